"""The job queue of one process: the jobs that wait or are held, and a ledger of the finished."""

from __future__ import annotations

from math import inf, nextafter

from sanic_dispatch.errors import Outdated, UnknownJob
from sanic_dispatch.events import Events, Kind, Note
from sanic_dispatch.job import Job, State
from sanic_dispatch.queues.base import Facts, JobQueue
from sanic_dispatch.queues.commit import Commit, Merged
from sanic_dispatch.queues.ledger import Ledger
from sanic_dispatch.queues.local import EDITED, LocalQueue, nothing
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Edited, Shelf


class LocalJobQueue(LocalQueue[Job], JobQueue):
    """Jobs in order of their tickets; a finished one goes to the ledger and keeps its place.

    Both are stored by one commit. Where a crash between two files left a job in both, it is in
    the queue: nobody was told that it is finished.
    """

    shelf = Shelf.JOBS
    added = Kind.JOB_SUBMITTED
    changed = Kind.JOB_MOVED

    def __init__(self, events: Events, commit: Commit, ledger: Ledger) -> None:
        super().__init__(events, commit)
        self.ledger = ledger
        self._last_ticket = 0

    async def open(self) -> None:
        await self.ledger.open()
        known = (job.ticket for job in self.ledger.all())
        self._last_ticket = max(self.ledger.facts.last_ticket, *known, 0)
        await super().open()
        self._last_ticket = max([self._last_ticket, *(job.ticket for job in self.index)])
        draft = self.ledger.beginning(job.id for job in self.index)
        if draft.changes:
            await self.commit.run(draft.changes, draft.apply, nothing)

    async def finish(self, job: Job, *notes: Note) -> Job:
        await self.refresh()
        await self.turn(job.id)
        self._check_version(job)
        finished = job._replace(version=job.version + 1)
        await self._drop(finished, notes, self.ledger.adding(finished, self._last_ticket))
        return finished

    async def put_back(self, job: Job, *notes: Note) -> Job:
        await self.refresh()
        await self.turn(job.id)
        kept = self.ledger.get(job.id)
        if kept is None and self.index.get(job.id) is None:
            raise UnknownJob
        if kept is None or kept.version != job.version:
            raise Outdated(job.id)
        returned = job._replace(version=job.version + 1)
        return (await self._put(returned, notes, self.ledger.dropping([job.id]))).record

    async def finished(self, job_id: str) -> Job | None:
        return self.ledger.get(job_id)

    async def all_finished(self) -> list[Job]:
        return self.ledger.all()

    async def of_instance(self, instance: str) -> list[Job]:
        await self.refresh()
        return self.index.of_instance(instance)

    async def at_callback(self, callback_url: str) -> Job | None:
        await self.refresh()
        return self.index.at_callback(callback_url) or self.ledger.at_callback(callback_url)

    async def facts(self) -> Facts:
        return self.ledger.facts

    async def pause(self, paused: bool, *notes: Note) -> None:
        draft = self.ledger.noting(paused=paused)

        def apply() -> None:
            draft.apply()
            for note in notes:
                self._events.publish(note)

        await self.commit.run(draft.changes, apply, nothing)

    def knows(self, job_id: str) -> bool:
        return super().knows(job_id) or self.ledger.get(job_id) is not None

    def _at_end(self, job: Job) -> Job:
        ticket = job.ticket or self._last_ticket + 1
        self._last_ticket = max(self._last_ticket, ticket)
        # The ticket itself, not a float that equals it: one object less for every waiting job.
        place = ticket if ticket > self._last_place else nextafter(self._last_place, inf)
        return job._replace(ticket=ticket, place=place)

    def _taken_over(self, row: Row, known: Job | None) -> Job:
        job: Job = row.record
        if not job.ticket:
            job = job.numbered(known.ticket if known else self._last_ticket + 1)
        self._last_ticket = max(self._last_ticket, job.ticket)
        return job._replace(place=known.place) if known else job

    def _merge(self, edited: Edited) -> Merged:
        merged = super()._merge(edited)
        draft = self.ledger.dropping([row.record.id for row in merged.rows])
        draft.apply()
        return Merged(merged.rows, [*merged.changes, *draft.changes])

    def _publish_gone(self, job: Job, at_s: float) -> None:
        cancelled = job._replace(state=State.CANCELLED, finished_s=at_s, reason=EDITED)
        self._publish([Note(Kind.JOB_CANCELLED, at_s, EDITED)], cancelled)
