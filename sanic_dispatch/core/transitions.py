"""What a transition of a job is made of: ``Step``, and the fate of the worker.

``lifecycle`` has the functions that return them.
"""

from __future__ import annotations

from enum import Enum

from sanic_dispatch.core.events import Note
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.value import Value


class Fate(Enum):
    """What becomes of the worker that holds, or held, the job."""

    STAYS = "stays as it is: held by the job, or not in the queue at all"
    USED = "its callback is used up: it leaves the queue"
    ASIDE = "it stays in the queue, gets nothing, and is probed"
    UNCLEAR = "the same, but a job that was sent to it may still arrive: it is probed only later"
    REJOINS = "it had left the queue, and is to be set aside there again"
    BLAMELESS = "it is set aside, but that it waits then does not count against the job once more"


class Step(Value, frozen=True):
    """A transition of a job: its new record, the event to publish, and the fate of its worker."""

    job: Job
    note: Note
    fate: Fate = Fate.STAYS
