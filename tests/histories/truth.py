"""What is durable at each moment, and a store that keeps a record of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Hold, Job, JobRef
from sanic_dispatch.core.tables import Change, Record, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.event_log import EventLog, Question
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.store import Batch, Store, Stored

Accuse = Callable[[str, str], None]
"""Records a violation: the rule, and the evidence."""


class Truth:
    """What a store has said is durable: records, and in this life events and versions of jobs."""

    def __init__(self, accuse: Accuse, see: Callable[[Event, Job | None], None]) -> None:
        """``see`` gets each event when it becomes durable, with the job as it was before."""
        self.records: dict[Table, dict[str, Record]] = {table: {} for table in Table}
        self.events: list[Event] = []
        self.before = 0
        """The number of the last event before this life, where the store keeps it."""
        self.unsure: Batch | None = None
        self._accuse = accuse
        self._see = see
        self._versions: set[Job] = set()
        self._latest: dict[str, Job] = {}

    @property
    def jobs(self) -> dict[str, Job]:
        return self.records[Table.JOBS]  # type: ignore[return-value]

    @property
    def workers(self) -> dict[str, Worker]:
        return self.records[Table.WORKERS]  # type: ignore[return-value]

    def is_durable(self, job: Job) -> bool:
        """Return whether the job was ever durable in this version."""
        return job in self._versions

    def begin_life(self, stored: Stored, history: EventLog) -> None:
        """Compare what was loaded with what was durable; a batch of unknown fate may be there."""
        durable = [logged(event) for event in self.events]
        unsure, self.unsure = self.unsure, None
        found = _by_table(stored)
        has, had = _plain(found), _plain(self.records)
        if unsure is not None and has != had:
            self._note(unsure)
            had = _plain(self.records)
        if has != had:
            difference = _first_difference(had, has)
            self._accuse("STORE", f"loaded is not what was durable: {difference}")
        self.records = found
        if isinstance(history, SegmentLog):
            self._compare(history, durable, unsure)
        self.before, self.events = history.last_number, []
        self._versions = set(self.jobs.values())
        self._latest = dict(self.jobs)

    def expect(self, batch: Batch) -> None:
        """Check that a batch fits what is durable."""
        for change in batch.changes:
            there = self.records[change.table].get(change.id)
            if there != change.before:
                self._accuse(
                    "BATCH", f"{change.before!r} was to be changed, and {there!r} is there"
                )

    def note(self, batch: Batch) -> None:
        """Record that a batch is durable."""
        self.unsure = None
        self._note(batch)

    def _note(self, batch: Batch) -> None:
        for change in batch.changes:
            self._put(change)
        for event in batch.events:
            last_n = self.before + len(self.events)
            if event.number != last_n + 1:
                self._accuse("EVENTS", f"number {event.number} follows {last_n}")
            self.events.append(event)
            self._look_at(event)

    def _compare(
        self, history: SegmentLog, durable: list[LoggedEvent], unsure: Batch | None
    ) -> None:
        """Compare the event log with the last life's events; it may have those of ``unsure``."""
        page = history.find(Question(after=self.before, limit=10**9))
        found = list(page.events)
        possible = [*durable, *map(logged, unsure.events if unsure else ())]
        if page.damage or page.holes or found not in (durable, possible):
            self._accuse("EVENTS", f"the log has {found[-3:]}, and {durable[-3:]} happened")

    def _put(self, change: Change) -> None:
        if change.after is None:
            self.records[change.table].pop(change.id, None)
        else:
            self.records[change.table][change.id] = change.after
        if isinstance(change.after, Job):
            self._versions.add(change.after)

    def _look_at(self, event: Event) -> None:
        before = None
        if event.job is not None and not event.kind.startswith("worker"):
            before = self._latest.get(event.job.id)
            self._latest[event.job.id] = event.job
            self._versions.add(event.job)
        self._see(event, before)


class Witness(Store):
    """A store that records in a Truth what has become durable, and when."""

    def __init__(self, inner: Store, truth: Truth) -> None:
        self._inner = inner
        self.history = inner.history
        self._truth = truth
        self._last: Batch = Batch(0, (), ())
        self.rereads = inner.rereads
        self.is_gone = False
        """Whether the process is dead, and writes nothing more."""
        self.committing: Batch | None = None

    async def load(self) -> Stored:
        stored = await self._inner.load()
        self._truth.begin_life(stored, self.history)
        return stored

    async def commit(self, batch: Batch) -> None:
        if self.is_gone:
            raise asyncio.CancelledError
        if batch.number != self._last.number + 1 or self.committing is not None:
            self._truth._accuse("BATCH", f"number {batch.number} follows {self._last.number}")
        self._truth.expect(batch)
        self._truth.unsure = self.committing = batch
        try:
            await self._inner.commit(batch)
        except StorageFailed:
            self._truth.unsure = None
            raise
        except OutcomeUnknown:
            raise
        finally:
            self.committing = None
        self._last = batch
        self._truth.note(batch)

    async def try_writing(self) -> None:
        await self._inner.try_writing()

    async def erase(self, jobs: Collection[JobRef]) -> None:
        if self.is_gone:
            raise asyncio.CancelledError
        await self._inner.erase(jobs)

    async def close(self) -> None:
        await self._inner.close()


def _by_table(stored: Stored) -> dict[Table, dict[str, Record]]:
    return {
        Table.JOBS: {job.id: job for job in stored.jobs},
        Table.WORKERS: {worker.id: worker for worker in stored.workers},
        Table.FACTS: {fact.id: fact for fact in stored.facts},
    }


def _plain(records: dict[Table, dict[str, Record]]) -> dict[Table, dict[str, Any]]:
    """Return records as every store keeps them: of workers' places only the order."""
    jobs = {name: _with_plain_holds(job) for name, job in records[Table.JOBS].items()}
    by_place = sorted(records[Table.WORKERS].values(), key=lambda worker: worker.place)  # type: ignore
    workers = {
        each.id: each._replace(place=at)  # type: ignore[call-arg]
        for at, each in enumerate(by_place)
    }
    return {Table.JOBS: jobs, Table.WORKERS: workers, Table.FACTS: records[Table.FACTS]}


def _with_plain_holds(job: Any) -> Any:
    return job._replace(hold=_plain_hold(job.hold), former=_plain_hold(job.former))


def _plain_hold(hold: Hold | None) -> Hold | None:
    return hold and hold._replace(worker=hold.worker._replace(place=0.0))


def _first_difference(had: dict[Table, Any], has: dict[Table, Any]) -> str:
    for table in Table:
        for name in {**had[table], **has[table]}:
            if had[table].get(name) != has[table].get(name):
                return f"{had[table].get(name)!r} is {has[table].get(name)!r}"
    return "nothing"


def differences(records: dict[Table, dict[str, Record]], tables: Any) -> str:
    """Return where tables in memory differ from what is durable."""
    found: dict[Table, dict[str, Record]] = {
        Table.JOBS: dict(tables.jobs._jobs),
        Table.WORKERS: dict(tables.workers._workers),
        Table.FACTS: {fact.id: fact for fact in tables.facts},
    }
    return "" if found == records else _first_difference(records, found)
