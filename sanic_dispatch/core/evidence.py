"""What a look at a callback and its process instance proves, as pure functions.

lifecycle says what becomes of a job once it is known what happened to it; here it is found out what
happened. Nothing here waits, writes or calls anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from sanic_dispatch.core.job import Hold, Stage, Way
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import ENDED, GONE

FIRST_INTERVAL_S = 1.0
LAST_INTERVAL_S = 60.0
"""The first and the longest time before a look at the same worker, or job in doubt.

Never at once: an engine takes a moment to unregister a callback that it has just used up, and
until then the callback looks as if it still waited.
"""

LATE_S = 15.0
"""How long a job may be on its way to a callback after nobody listens for the answer any more.

A killed process has sent what lies in its machine's buffers, and a busy engine reads it later.
Until then another job sent there could find the callback used, and look as if it had used it.
"""

UNCLEAR_S = 60.0
"""How long a worker that has come back waits until its last job is cleared up.

Then it gets that job again, unless its engine is away: one that answers can say what became of it.
"""

UNPROBED_S = 4.0
PROBES_PER_S = 20
"""For how long a worker set aside that is needed is not probed, and how many probes there are then
at most. Who is to be probed is found out once a second, so that makes five."""


A_MOMENT_S = 0.01
"""The shortest wait for a time that is nearly over: a rest of 1e-15 s moves no clock on."""


class Look(NamedTuple):
    """The result of probing a callback, with the state of its instance before and after that.

    None stands for what nobody can tell.
    """

    pending: bool | None = None
    before: str | None = None
    after: str | None = None

    @property
    def is_used_up(self) -> bool:
        """Whether the callback was used up.

        While an instance is stopped its callbacks do not wait, and that says nothing of them: so
        it must have run all the time.
        """
        return self.pending is False and self.before == "running" == self.after

    @property
    def has_ended(self) -> bool:
        """Whether the instance that registered has ended, even if a new one has its callback."""
        return self.before in ENDED or self.after in ENDED


class Finding(Enum):
    """What probing a worker says of its job, and what to do next."""

    WAIT = "nothing yet: look again later"
    USED = "the worker has the job"
    UNUSED = "the worker took the job and has lost it"
    SEND_AGAIN = "the same job to the same callback"
    SEND_TO_SUCCESSOR = "the same job to the callback with which the worker has come back"


def state_of_ours(word: str | None, registered: str, there: str | None) -> str | None:
    """The state of the instance that registered: ``gone`` if another one has its number now.

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


def is_same(before: Hold | None, now: Hold | None) -> bool:
    """Whether nothing has happened between the two but that a report was refused."""
    if before is None or now is None:
        return before is now
    return before[:-1] == now[:-1]  # all but the refused report: 2 µs less than _replace


def is_to_be_checked(hold: Hold) -> bool:
    """Whether a 2xx has to prove true: the callback of a worker with a key must be used up."""
    is_taken = hold.stage is Stage.CONFIRMED and hold.way is Way.PUT
    return is_taken and hold.worker.key is not None


def after_taking(look: Look) -> Finding:
    """What a look at a worker says that took a job ``Policy.unconsumed_after_s`` ago."""
    if look.pending and look.before == "running":
        return Finding.UNUSED
    return Finding.USED if look.is_used_up else Finding.WAIT


def in_doubt(
    hold: Hold, look: Look, *, came_back: bool, held_s: float, unclear_s: float, policy: Policy
) -> Finding:
    """What a look at the worker of a job in doubt says.

    ``came_back``: the worker has registered with a new callback. ``held_s`` and ``unclear_s`` are
    the seconds since the doubt began, and since it was first looked into.
    """
    if look.has_ended:
        return Finding.WAIT  # lifecycle.end_with_instance settles it
    if hold.is_unused and came_back:
        return Finding.SEND_TO_SUCCESSOR
    if look.pending:
        if not hold.unused or hold.is_unused:
            return Finding.SEND_AGAIN
        return Finding.UNUSED if held_s >= policy.unconsumed_after_s else Finding.WAIT
    if look.pending is False and (came_back or look.is_used_up):
        return Finding.USED
    is_away = look.before is None and hold.worker.instance_url != ""
    if came_back and unclear_s > UNCLEAR_S and not is_away:
        return Finding.SEND_TO_SUCCESSOR
    return Finding.WAIT


def of_ended(
    hold: Hold, state: str, pending: bool | None, held_s: float, policy: Policy
) -> Finding:
    """What the callback of an instance that has ended says of the job that it was sent.

    Where the instance was deleted, a new one may have its number, and with it the callback; it may
    use what is on its way there until ``Policy.unconsumed_after_s`` after the hold began.
    """
    if hold.is_unused:
        return Finding.UNUSED
    if hold.way is not Way.PUT or not pending:
        return Finding.USED
    may_be_used = state == GONE and held_s < policy.unconsumed_after_s
    return Finding.WAIT if may_be_used else Finding.UNUSED


def next_look_s(hold: Hold, looks: int, held_s: float, policy: Policy, instance_s: float) -> float:
    """How long to wait before the next look at a job's holder, without the spread.

    ``looks`` is how many there were at this hold, which began ``held_s`` ago; a confirmed one is
    asked for its instance every ``instance_s``. A job that was taken and not used is sent again on
    an interval that grows with each time that it was not used.
    """
    left_s = policy.unconsumed_after_s - held_s
    if hold.stage is Stage.CONFIRMED:
        is_due_later = is_to_be_checked(hold) and left_s > 0
        return min(instance_s, max(left_s, A_MOMENT_S)) if is_due_later else instance_s
    if hold.is_unused:
        return growing_s(hold.unused - 1)
    if hold.unused:
        return min(growing_s(looks), max(left_s, FIRST_INTERVAL_S))
    return growing_s(looks)


def why_aside(pending: bool | None, word: str | None) -> str:
    """Return the reason to show for a worker whose callback does not wait; empty if unknown."""
    if pending is not False or word is None:
        return ""
    if word == "running":
        return "its instance is running, but does not wait for a job"
    return f"its instance is {word}"


def to_wake(naps: Mapping[str, float], now_s: float) -> tuple[list[str], float]:
    """Which workers set aside are to be probed now since they are needed; when to ask again.

    ``naps`` says since when each was not probed. Each is at least every five seconds, those first
    that were not for longest, and at most 20 in a second.
    """
    due = [each for each in naps if now_s - naps[each] >= UNPROBED_S]
    chosen = sorted(due, key=lambda each: naps[each])[:PROBES_PER_S]
    left_s = (UNPROBED_S - (now_s - since_s) for since_s in naps.values())
    return chosen, max(1.0, min((each for each in left_s if each > 0), default=0.0))


def growing_s(looks: int) -> float:
    """How long to wait after so many looks: twice as long each time."""
    return min(FIRST_INTERVAL_S * 2.0 ** min(max(looks, 0), 10), LAST_INTERVAL_S)
