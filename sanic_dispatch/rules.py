"""The values of a job's life: the fates of workers, an operator's choices, the table of
registrations. lifecycle has the functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from sanic_dispatch.events import Note
from sanic_dispatch.job import Job, Stage, Way
from sanic_dispatch.outcome import GONE
from sanic_dispatch.worker import Worker

ENDED = (GONE, "finished", "abandoned")
"""The states of an instance that will never do anything more."""


class Fate(Enum):
    """What becomes of the worker that holds, or held, the job."""

    STAYS = "stays as it is: held by the job, or not in the queue at all"
    USED = "its callback is used up: it leaves the queue"
    ASIDE = "it stays in the queue, gets nothing, and is probed"
    REJOINS = "it had left the queue, and is to be set aside there again"
    BLAMELESS = "the same, but that it waits then does not count against the job once more"


class Step(NamedTuple):
    """The job after what happened, what is to be said of it, and what becomes of its worker."""

    job: Job
    note: Note
    fate: Fate = Fate.STAYS


@dataclass(frozen=True, slots=True)
class Policy:
    """The choices that an operator has over a job's life.

    ``resend_doubt``: True sends a job in doubt to the next worker, False keeps it with its own,
    None does the former where the worker cannot be asked and the latter where it can. A worker that
    has waited longer than ``probe_after_s`` is asked whether it still waits before it gets a job.
    One that took a job by PUT and still waits on that callback ``unconsumed_after_s`` later has
    lost it.
    """

    max_attempts: int = 3
    lease_s: float | None = None
    resend_doubt: bool | None = None
    probe_after_s: float = 60.0
    unconsumed_after_s: float = 30.0

    def resends(self, worker: Worker) -> bool:
        """Whether a job in doubt with this worker goes to the next one without further ado."""
        return worker.key is None if self.resend_doubt is None else self.resend_doubt


class Registration(Enum):
    """What a registration by a key means for the job which that key holds."""

    QUEUED = "202: it waits already, nothing new"
    SAME_JOB = "200: the same job again"
    DONE = "the job is done, and the worker is free for the next"
    AWAIT = "202: set aside until the delivery under way has an outcome"
    CLEAR_UP = "202: set aside until it is known whether the old callback was used up"


class Row(NamedTuple):
    """One row of the table: what a repeat and what a new callback mean, and a restart."""

    same_callback: Registration
    new_callback: Registration
    after_restart: Stage


TABLE: dict[tuple[Way, Stage], Row] = {
    (Way.PUT, Stage.UNDER_WAY): Row(Registration.QUEUED, Registration.AWAIT, Stage.IN_DOUBT),
    (Way.PUT, Stage.IN_DOUBT): Row(Registration.QUEUED, Registration.CLEAR_UP, Stage.IN_DOUBT),
    (Way.PUT, Stage.CONFIRMED): Row(Registration.QUEUED, Registration.DONE, Stage.CONFIRMED),
    (Way.ANSWER, Stage.CONFIRMED): Row(Registration.SAME_JOB, Registration.DONE, Stage.CONFIRMED),
    (Way.ANSWER, Stage.UNDER_WAY): Row(
        Registration.SAME_JOB, Registration.SAME_JOB, Stage.IN_DOUBT
    ),
    (Way.ANSWER, Stage.IN_DOUBT): Row(Registration.SAME_JOB, Registration.SAME_JOB, Stage.IN_DOUBT),
}
"""What a registration by key K means for the job that K holds: docs/design.md has it in words."""
