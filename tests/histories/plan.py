"""Plans: how much of which fault a history has, drawn from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sanic_dispatch.core.topic import Policy

DRINKS = (b"beer", b"gin")
BEER_ONLY = "match.drink=beer"
"""What every second robot makes in a history with skills."""


@dataclass(frozen=True)
class Plan:
    """The probabilities of one history, and its topic's policy. Times are in seconds."""

    policy: Policy
    actions: int
    gap_s: float
    """The mean pause between two actions."""
    robots: int
    keyless: float
    """The share of robots without a key."""
    work_s: float
    # the disk
    commit_s: float
    """The longest commit that is not slow."""
    slow: float
    stalls: float
    fails: float
    unknown: float
    # the network
    lost: float
    """The chance that a message is lost, each way."""
    late: float
    """The chance of an outcome that is reported twice, or late."""
    cut_off: float
    broken_answers: float
    # robots
    refuses: float
    blames: float
    fickle: float
    """The chance that a robot stops, dies or is abandoned, at an action."""
    # the rest
    crash: float
    operator: float
    clock_step: float
    has_skills: bool = False
    """Whether every second robot takes only every second order."""
    connected: float = 0.0
    """The share of workers without a callback; if there are some, robots report progress too."""
    polling: float = 0.4
    """The share of pollers among them; the others are tablets at a websocket."""
    cuts: float = 0.0
    """The chance that a websocket is cut, at each message, or a poll is hung up."""
    expires: float = 0.0
    """The share of registrations with an end."""

    @property
    def is_calm(self) -> bool:
        """Return whether there are no faults."""
        return not (self.fails or self.unknown or self.lost or self.crash or self.fickle)


def draw_plan(dice: random.Random) -> Plan:
    """Draw a plan; most histories have only some kinds of fault."""

    def some(*chances: float) -> float:
        return dice.choice((0.0, 0.0, *chances))

    actions = dice.randint(25, 70)
    return Plan(
        policy=_draw_policy(dice),
        actions=actions,
        gap_s=dice.choice((0.0, 0.002, 0.02, 0.3, 2.0)),
        robots=dice.randint(1, 5),
        keyless=dice.choice((0.0, 0.0, 0.3, 1.0)),
        work_s=dice.choice((0.01, 0.3, 2.0)),
        commit_s=dice.choice((0.0, 0.002, 0.02, 0.3)),
        slow=some(0.05),
        stalls=some(0.01),
        fails=some(0.02, 0.2),
        unknown=some(0.02, 0.2),
        lost=some(0.03, 0.2),
        late=some(0.1, 0.5),
        cut_off=some(0.05, 0.3),
        broken_answers=some(0.1, 0.4),
        refuses=some(0.1, 0.4),
        blames=some(0.03),
        fickle=some(0.05),
        crash=some(1 / actions, 5 / actions),
        operator=some(0.05, 0.3),
        clock_step=some(0.02),
        connected=dice.choice((0.0, 0.0, 0.0, 0.5, 0.8)),
        cuts=some(0.03, 0.15),
        expires=some(0.2),
    )


def _draw_policy(dice: random.Random) -> Policy:
    return Policy(
        max_attempts=dice.choice((1, 2, 3, 3)),
        lease_s=dice.choice((None, None, 1.0, 20.0)),
        resend_doubt=dice.choice((None, None, True, False)),
        probe_after_s=dice.choice((0.5, 60.0)),
        instance_interval_s=dice.choice((2.0, 30.0)),
        max_jobs=dice.choice((5, 100_000, 100_000)),
        max_workers=dice.choice((2, 10_000, 10_000)),
    )
