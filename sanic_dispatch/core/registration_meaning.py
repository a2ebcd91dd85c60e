"""The registration table: what a registration means for the job that its worker holds.

A worker that comes back with a new callback may be done with its job, may have lost it, or may have
to wait until that is known. ``registrations`` does what ``meaning_of`` returns.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from sanic_dispatch.core.job import Job, Stage, State, Way
from sanic_dispatch.errors import WrongState


class Registration(Enum):
    """What a registration with a new callback means for the job that its key holds."""

    SAME_JOB = "200: the same job again"
    DONE = "the job is done, and the worker is free for the next"
    AWAIT = "202: set aside until the delivery under way has an outcome"
    CLEAR_UP = "202: set aside until it is known whether the old callback was used up"


class Meaning(NamedTuple):
    """A row of the table: the meaning of a new callback, and the stage after a recovery."""

    new_callback: Registration
    after_recovery: Stage


TABLE: dict[tuple[Way, Stage], Meaning] = {
    (Way.PUT, Stage.UNDER_WAY): Meaning(Registration.AWAIT, Stage.IN_DOUBT),
    (Way.PUT, Stage.IN_DOUBT): Meaning(Registration.CLEAR_UP, Stage.IN_DOUBT),
    (Way.PUT, Stage.CONFIRMED): Meaning(Registration.DONE, Stage.CONFIRMED),
    (Way.ANSWER, Stage.CONFIRMED): Meaning(Registration.DONE, Stage.CONFIRMED),
    (Way.ANSWER, Stage.UNDER_WAY): Meaning(Registration.SAME_JOB, Stage.IN_DOUBT),
    (Way.ANSWER, Stage.IN_DOUBT): Meaning(Registration.SAME_JOB, Stage.IN_DOUBT),
}
"""What a new callback of key K means for the job that K holds: docs/design.md has it in words.

A repeat on the same callback needs no table: ``registrations`` answers it as before.
"""


def meaning_of(job: Job, *, lost: bool = False) -> Registration:
    """Return what a registration with a new callback means for the job that its key holds.

    ``lost``: the answer to its last registration never arrived. While a delivery is under way it
    waits for its outcome all the same. Raises WrongState if nobody holds, or held, the job.
    """
    if job.state is State.WAITING and job.former:
        return Registration.SAME_JOB if lost else Registration.DONE
    if job.state is not State.ASSIGNED or job.hold is None:
        raise WrongState("register for it", job.state)
    row = TABLE[job.hold.way, job.hold.stage]
    if lost and row.new_callback is not Registration.AWAIT:
        return Registration.SAME_JOB
    return row.new_callback
