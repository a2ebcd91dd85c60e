"""The values of a job's life: transitions, the fates of workers, and the registration table.

``lifecycle`` has the functions.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from sanic_dispatch.core.events import Note
from sanic_dispatch.core.job import Job, Stage, Way

GONE = "gone"
"""Our word for an instance that the engine does not know, or no longer knows."""

ENDED = (GONE, "finished", "abandoned")
"""The final states of an instance."""


class Fate(Enum):
    """What becomes of the worker that holds, or held, the job."""

    STAYS = "stays as it is: held by the job, or not in the queue at all"
    USED = "its callback is used up: it leaves the queue"
    ASIDE = "it stays in the queue, gets nothing, and is probed"
    UNCLEAR = "the same, but a job that was sent to it may still arrive: it is probed only later"
    REJOINS = "it had left the queue, and is to be set aside there again"
    BLAMELESS = "it is set aside, but that it waits then does not count against the job once more"


class Step(NamedTuple):
    """A transition of a job: its new record, the event to publish, and the fate of its worker."""

    job: Job
    note: Note
    fate: Fate = Fate.STAYS


class Registration(Enum):
    """What a registration with a new callback means for the job that its key holds."""

    SAME_JOB = "200: the same job again"
    DONE = "the job is done, and the worker is free for the next"
    AWAIT = "202: set aside until the delivery under way has an outcome"
    CLEAR_UP = "202: set aside until it is known whether the old callback was used up"


class Row(NamedTuple):
    """A row of the table: the meaning of a new callback, and the stage after a recovery."""

    new_callback: Registration
    after_recovery: Stage


TABLE: dict[tuple[Way, Stage], Row] = {
    (Way.PUT, Stage.UNDER_WAY): Row(Registration.AWAIT, Stage.IN_DOUBT),
    (Way.PUT, Stage.IN_DOUBT): Row(Registration.CLEAR_UP, Stage.IN_DOUBT),
    (Way.PUT, Stage.CONFIRMED): Row(Registration.DONE, Stage.CONFIRMED),
    (Way.ANSWER, Stage.CONFIRMED): Row(Registration.DONE, Stage.CONFIRMED),
    (Way.ANSWER, Stage.UNDER_WAY): Row(Registration.SAME_JOB, Stage.IN_DOUBT),
    (Way.ANSWER, Stage.IN_DOUBT): Row(Registration.SAME_JOB, Stage.IN_DOUBT),
}
"""What a new callback of key K means for the job that K holds: docs/design.md has it in words.

A repeat on the same callback needs no table: ``StateMachine._on_register`` answers it as before.
"""
