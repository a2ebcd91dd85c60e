"""The other dispatchers on the same queues: none, where one process owns them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sanic_dispatch.events import Event
from sanic_dispatch.job import Job
from sanic_dispatch.worker import Worker


class Snapshot(NamedTuple):
    """All that is stored, as of the last event that was told; ``past`` are events up to it.

    What is in the past may be in the other lists too.
    """

    jobs: Sequence[Job]
    finished: Sequence[Job]
    workers: Sequence[Worker]
    paused: bool
    past: Sequence[Event] = ()

    def untold(self) -> tuple[list[Job], list[Job], list[Worker]]:
        """The three lists, without what the past tells."""
        told = {event.job.id for event in self.past if event.job}
        told |= {event.worker.id for event in self.past if event.worker and not event.job}
        return (
            [job for job in self.jobs if job.id not in told],
            [job for job in self.finished if job.id not in told],
            [worker for worker in self.workers if worker.id not in told],
        )


Reset = Callable[[Snapshot], None]
CutOff = Callable[[bool], None]


class Peers:
    """What a dispatcher has to know of the others. Alone, it looks after everything itself."""

    def is_mine(self, record_id: str) -> bool:
        """Whether this one has to look after a record: of all dispatchers it is always one.

        While one of them comes or goes it can be two for a moment, or none.
        """
        return True

    def count(self) -> int:
        """How many dispatchers there are."""
        return 1

    async def may_hand_over(self, job: Job) -> bool:
        """Whether a job that was held here is still ours to hand over.

        It is not where this process was silent for so long that another has taken it over. Raises
        StorageFailed where that cannot be found out.
        """
        return True

    async def has_settled(self, job: Job) -> bool:
        """Wait until another dispatcher knows the outcome of a hand-over of its own.

        True where it does, and the job may be another now; False at once where it is nobody
        else's, and after a while where nothing is known. Raises StorageFailed.
        """
        return False

    async def catch_up(self) -> None:
        """Return once everything is told here that was stored before, by whomever."""

    def when_orphaned(self, call: Callable[[], None]) -> None:
        """Call this when a dispatcher has died: ``Pairs.hold_named_workers`` has what it left."""

    def when_reset(self, call: Reset) -> None:
        """Call this when events were missed: everything is to begin anew from a snapshot."""

    def when_cut_off(self, call: CutOff) -> None:
        """Call this with True when the events do not come any more, with False when they do."""
