"""What probing a callback and its process instance proves, as pure functions.

Here is decided what has happened to a job; ``lifecycle`` decides what becomes of it then, and
``held_jobs`` and ``workers_aside`` when to probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from sanic_dispatch.core.job import Hold, Stage, Way
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import ENDED, GONE

FIRST_INTERVAL_S = 1.0
LAST_INTERVAL_S = 60.0
"""The first and the longest time before a look at the same worker, or job in doubt.

Never at once: an engine takes a moment to unregister a callback that it has just used up, and
until then the callback looks as if it still waited.
"""

LATE_S = 15.0
"""How long a job may still be on its way to a callback after its request was given up.

A killed process has sent what lies in its machine's buffers, and a busy engine reads it later.
Until then another job sent there could find the callback used, and look as if it had used it.
"""

UNCLEAR_S = 60.0
"""How long a worker that has come back waits until its last job is cleared up.

Then it gets that job again, unless its engine is away: one that answers can say what became of it.
"""

UNPROBED_S = 4.0
PROBES_PER_S = 20
"""How long a needed worker set aside goes unprobed, and the most probes in a second.

Whom to probe is decided once a second: with these four seconds that makes five at most."""


SHORTEST_TIMER_S = 0.01
"""The shortest timer: adding a rest of 1e-15 s would not move a clock on."""


class ProbeResult(NamedTuple):
    """The result of probing a callback, with the state of its instance before and after that.

    None means that the answer was unclear.
    """

    pending: bool | None = None
    before: str | None = None
    after: str | None = None

    @property
    def is_used_up(self) -> bool:
        """Whether the callback was used up.

        A stopped instance answers 404 for callbacks that it has not used, so the instance must have
        been running before and after the probe.
        """
        return self.pending is False and self.before == "running" == self.after

    @property
    def has_ended(self) -> bool:
        """Whether the instance that registered has ended, even if a new one has its callback."""
        return self.before in ENDED or self.after in ENDED


class Finding(Enum):
    """What a probe proves about a job, and what to do next."""

    WAIT = "nothing yet: look again later"
    USED = "the worker has the job"
    UNUSED = "the worker took the job and has lost it"
    SEND_AGAIN = "the same job to the same callback"
    SEND_TO_NEW_CALLBACK = "the same job to the callback with which the worker has come back"


def state_of_ours(word: str | None, registered: str, there: str | None) -> str | None:
    """Return the state of the instance that registered: ``gone`` if another one has its number now.

    ``word`` is the engine's for the instance at that address, ``registered`` the UUID that came
    with the registration, ``there`` the UUID at that address now, which was asked for after the
    state: empty where the engine does not say, None where it is unclear. Engines reuse a number as
    soon as its instance is deleted, and the state of the new one says nothing of ours.
    """
    if word is None or word == GONE or there == "":
        return word
    if there is None:
        return None
    return word if there == registered else GONE


def is_same(before: Hold, now: Hold | None) -> bool:
    """Whether two holds are the same but for a refused report, and the worker's session."""
    if now is None:
        return False
    same = before._replace(refused_report=now.refused_report, worker=now.worker)
    return same == now and before.worker.id == now.worker.id


def is_to_be_checked(hold: Hold) -> bool:
    """Whether a hold needs a check that the worker, which has a key, has used its callback up."""
    is_taken = hold.stage is Stage.CONFIRMED and hold.way is Way.PUT
    return is_taken and hold.worker.key is not None


def after_taking(found: ProbeResult) -> Finding:
    """Decide whether a worker uses the job that it took ``Policy.unconsumed_after_s`` ago."""
    if found.pending and found.before == "running":
        return Finding.UNUSED
    return Finding.USED if found.is_used_up else Finding.WAIT


def in_doubt(
    hold: Hold,
    found: ProbeResult,
    *,
    came_back: bool,
    held_s: float,
    unclear_s: float,
    policy: Policy,
) -> Finding:
    """Decide what a probe of its worker proves about a job in doubt.

    ``came_back``: the worker has registered with a new callback. ``held_s`` and ``unclear_s`` are
    the seconds since the doubt began, and since it was first looked into.
    """
    if found.has_ended:
        return Finding.WAIT  # lifecycle.end_with_instance settles it
    if hold.is_unused and came_back:
        return Finding.SEND_TO_NEW_CALLBACK
    if found.pending:
        if not hold.times_unused or hold.is_unused:
            return Finding.SEND_AGAIN
        return Finding.UNUSED if held_s >= policy.unconsumed_after_s else Finding.WAIT
    if found.pending is False and (came_back or found.is_used_up):
        return Finding.USED
    is_away = found.before is None and hold.worker.instance_url != ""
    if came_back and unclear_s > UNCLEAR_S and not is_away:
        return Finding.SEND_TO_NEW_CALLBACK
    return Finding.WAIT


def of_ended(
    hold: Hold, state: str, pending: bool | None, held_s: float, policy: Policy
) -> Finding:
    """Decide whether an instance that has ended had used the job that was sent to it.

    If it was deleted, a new instance may have its number and its callback, and may use what was
    sent there until ``Policy.unconsumed_after_s`` after the hold began.
    """
    if hold.is_unused:
        return Finding.UNUSED
    if hold.way is not Way.PUT or not pending:
        return Finding.USED
    may_be_used = state == GONE and held_s < policy.unconsumed_after_s
    return Finding.WAIT if may_be_used else Finding.UNUSED


def next_look_s(hold: Hold, looks: int, held_s: float, policy: Policy) -> float:
    """Return the seconds until the next probe of a job's holder, without jitter.

    ``looks`` counts the probes of this hold, which began ``held_s`` ago. A job that was taken and
    not used is sent again with exponential backoff.
    """
    left_s = policy.unconsumed_after_s - held_s
    if hold.stage is Stage.CONFIRMED:
        is_due_later = is_to_be_checked(hold) and left_s > 0
        interval_s = policy.instance_interval_s
        return min(interval_s, max(left_s, SHORTEST_TIMER_S)) if is_due_later else interval_s
    if hold.is_unused:
        return growing_s(hold.times_unused - 1)
    if hold.times_unused:
        return min(growing_s(looks), max(left_s, FIRST_INTERVAL_S))
    return growing_s(looks)


def why_aside(pending: bool | None, word: str | None) -> str:
    """Return the reason to show for a worker whose callback does not wait; empty if unknown."""
    if pending is not False or word is None:
        return ""
    if word == "running":
        return "its instance is running, but does not wait for a job"
    return f"its instance is {word}"


def due_for_probe(last_probed_s: Mapping[str, float], now_s: float) -> tuple[list[str], float]:
    """Return the needed workers set aside to probe now, and after how many seconds to choose again.

    ``last_probed_s`` has the monotonic time of each worker's last probe. Each is probed at least
    every five seconds, the longest unprobed first, 20 a second at most.
    """
    due = [each for each in last_probed_s if now_s - last_probed_s[each] >= UNPROBED_S]
    chosen = sorted(due, key=lambda each: last_probed_s[each])[:PROBES_PER_S]
    left_s = (UNPROBED_S - (now_s - probed_s) for probed_s in last_probed_s.values())
    return chosen, max(1.0, min((each for each in left_s if each > 0), default=0.0))


def growing_s(looks: int) -> float:
    """Return the wait after so many looks, in seconds: exponential backoff."""
    return min(FIRST_INTERVAL_S * 2.0 ** min(max(looks, 0), 10), LAST_INTERVAL_S)
