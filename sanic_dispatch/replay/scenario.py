"""What is to be different when an evening is run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sanic_dispatch.core.topic import Policy
from sanic_dispatch.errors import UnusableReplay
from sanic_dispatch.replay.recording import Recording

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Scenario:
    """The changes; without any the evening is run as it was.

    ``robots`` is how many more there are, or fewer. ``slower`` is a factor of all service times.
    ``rules`` are by the robot's name. ``fair_by``, ``priorities`` and ``max_jobs`` are None where
    they stay as they were; an empty ``fair_by`` means that customers take no turns.
    """

    robots: int = 0
    slower: float = 1.0
    rules: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    fair_by: str | None = None
    priorities: bool | None = None
    max_jobs: int | None = None
    seed: int = 1

    def policy(self, ordering: str | None) -> Policy:
        """Return the rules of the topic, whose line was ordered so in the recording.

        No limit is there but those of the scenario, and nothing fails but by the recording.
        """
        policy = Policy(
            max_attempts=2**31,
            max_jobs=2**31 if self.max_jobs is None else self.max_jobs,
            max_workers=2**31,
            max_rules=2**31,
            keep_finished=KEEP_FINISHED,
            lease_s=LEASE_S,
        )
        if ordering is not None:
            policy = policy.with_ordering(ordering)
        if self.fair_by is not None:
            policy = replace(policy, fair_by=self.fair_by or None)
        if self.priorities is not None:
            policy = replace(policy, priorities=self.priorities)
        return policy

    def check(self, recording: Recording) -> None:
        """Raise UnusableReplay where it names what the recording does not have."""
        names = [robot.name for robot in recording.robots]
        for name in self.rules:
            if name not in names and name not in self.added:
                known = ", ".join(names[:10]) or "there were none"
                raise UnusableReplay(f"there was no robot {name!r}; there were: {known}")
        count = len(names)
        if not (count or self.added):
            raise UnusableReplay("there was no robot")
        if -self.robots >= count:
            raise UnusableReplay(f"--robots {self.robots}: there were {count}, and one has to stay")

    @property
    def added(self) -> list[str]:
        """The names of the robots that are added."""
        return [f"extra {n}" for n in range(1, self.robots + 1)]


LEASE_S = 1e9
"""No lease ends but by the recording."""

KEEP_FINISHED = 1000
"""How many finished orders the tables keep: enough to put a failed one back."""
