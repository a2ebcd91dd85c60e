"""Shared by the tests of the stores: records, batches, a model, and every kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Hold, Job, Progress, Stage, State, Way
from sanic_dispatch.core.tables import PUSH, Change, Fact, Record, Table
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.storage.open_store import open_store, store_of
from sanic_dispatch.storage.store import Batch, Store, Stored
from tests.support.redis import redis_values

AT = "2026-11-24T03:00:00.123456Z"


@dataclass(frozen=True)
class Backend:
    """The stores of a topic's two tables; ``keeps_…``: whether they survive a crash."""

    jobs: Mode
    workers: Mode
    keeps_jobs: bool = True
    keeps_workers: bool = True

    @property
    def name(self) -> str:
        """The name in the ids of tests."""
        return self.jobs if self.jobs is self.workers else f"{self.jobs}+{self.workers}"

    @property
    def is_shared(self) -> bool:
        """Whether a table is in Redis: then a copy of the folder is not a copy of all."""
        return Mode.REDIS in (self.jobs, self.workers)

    def settings(self, folder: Path, *, fsync: bool = False) -> Settings:
        """Return settings for these modes in this folder."""
        shared = Mode.REDIS if self.is_shared else self.jobs
        return Settings(
            job_queue_mode=self.jobs,
            worker_queue_mode=self.workers,
            data_dir=folder,
            fsync=fsync,
            **redis_values(shared, folder),
        )

    def store(self, folder: Path, *, fsync: bool = False) -> Store:
        """Return a store on this folder, without claiming it."""
        return store_of(self.settings(folder, fsync=fsync))


def both(mode: Mode) -> Backend:
    """Return the backend with the same mode for jobs and workers."""
    return Backend(mode, mode)


FILES = [both(Mode.JSON_FILE), both(Mode.CACHED_JSON_FILE), both(Mode.SQLITE)]
"""Whole topics in a data folder."""

MIXED = [
    Backend(Mode.SQLITE, Mode.IN_MEMORY, keeps_workers=False),
    Backend(Mode.IN_MEMORY, Mode.SQLITE, keeps_jobs=False),
    Backend(Mode.IN_MEMORY, Mode.JSON_FILE, keeps_jobs=False),
    Backend(Mode.CACHED_JSON_FILE, Mode.IN_MEMORY, keeps_workers=False),
    Backend(Mode.CACHED_JSON_FILE, Mode.SQLITE),
    Backend(Mode.CACHED_JSON_FILE, Mode.JSON_FILE),
    Backend(Mode.JSON_FILE, Mode.CACHED_JSON_FILE),
    Backend(Mode.SQLITE, Mode.CACHED_JSON_FILE),
    Backend(Mode.SQLITE, Mode.JSON_FILE),
]
"""Each table in a mode of its own."""

IN_REDIS = [
    both(Mode.REDIS),
    Backend(Mode.REDIS, Mode.IN_MEMORY, keeps_workers=False),
    Backend(Mode.SQLITE, Mode.REDIS),
    Backend(Mode.REDIS, Mode.CACHED_JSON_FILE),
]
"""One table or both in a Redis server, under a prefix that belongs to the folder."""

DURABLE = [*FILES, *MIXED, *IN_REDIS]
HISTORIES = [each for each in DURABLE if each.jobs is not Mode.IN_MEMORY]
"""Those whose event log lasts."""

EVERY = [Backend(Mode.IN_MEMORY, Mode.IN_MEMORY, False, False), *DURABLE]


def job(number: int, data: bytes = b'{"drink" : "mojito"}') -> Job:
    """Return a waiting job, whose id differs from others in many bits."""
    job_id = f"{number * 0x9E3779B97F4A7C15F39CC060 % 2**96:024x}{number:08x}"
    return Job(job_id, number, data, AT, number)


def worker(number: int, key: Key | None = None) -> Worker:
    """Return a worker."""
    return Worker(f"http://engine/callbacks/{number}/", AT, key, place=float(number))


def held(job: Job, by: Worker, way: Way = Way.PUT, stage: Stage = Stage.UNDER_WAY) -> Job:
    """Return the job, held by that worker."""
    hold = Hold(by._replace(place=0.0), way, stage, 2.0)
    return job._replace(state=State.ASSIGNED, hold=hold, attempt=job.attempt + 1)


def done(job: Job, at_s: float = 9.0, result: bytes | None = None) -> Job:
    """Return the job, finished."""
    return job._replace(state=State.DONE, finished_s=at_s, result=result)


def free(job: Job) -> Job:
    """Return the job, waiting again."""
    return job._replace(state=State.WAITING, hold=None, finished_s=None, result=None)


@dataclass
class Topic:
    """A model of a store's content, which makes the batches that change it."""

    records: dict[tuple[Table, str], Record] = field(default_factory=dict)
    number: int = 0
    events: list[Event] = field(default_factory=list)
    """What has happened in the batches of ``with_events``."""

    def put(self, *records: Record) -> Batch:
        """Return the batch that stores these records."""
        return self._batch([self._change(record) for record in records])

    def remove(self, *records: Record) -> Batch:
        """Return the batch that removes these records."""
        return self._batch([Change(table_of(r), r.id, self._before(r), None) for r in records])

    def together(self, put: Iterable[Record], remove: Iterable[Record]) -> Batch:
        """Return one batch that does both."""
        changes = [self._change(record) for record in put]
        changes += [Change(table_of(r), r.id, self._before(r), None) for r in remove]
        return self._batch(changes)

    def restarted(self) -> None:
        """Count batches from 1 again."""
        self.number = 0

    def with_events(self, batch: Batch) -> Batch:
        """Give a batch the events of its changes, with the next numbers."""
        last_n = self.events[-1].number if self.events else 0
        made = [
            Event(last_n + at, _told(change), 1795489201.5 + last_n, *_who(change), "", f"r{at}")
            for at, change in enumerate(batch.changes, 1)
        ]
        self.events += made
        return batch._replace(events=made)

    def batch_of_events(self, count: int) -> Batch:
        """Make a batch in which only something happens."""
        last_n = self.events[-1].number if self.events else 0
        made = [
            Event(last_n + at, EventKind.DISPATCH_PAUSED, 1795489201.5, None, None, "")
            for at in range(1, count + 1)
        ]
        self.events += made
        return self._batch([])._replace(events=made)

    def apply(self, batch: Batch) -> Batch:
        """Apply a batch that is durable, and return it."""
        for change in batch.changes:
            if change.after is None:
                del self.records[change.table, change.id]
            else:
                self.records[change.table, change.id] = change.after
        return batch

    def stored(self, *, jobs: bool = True, workers: bool = True) -> Stored:
        """Return what a store has to load, in order."""
        queued = [r for r in self.records.values() if isinstance(r, Job) and jobs]
        waiting = [r for r in self.records.values() if isinstance(r, Worker) and workers]
        facts = [r for r in self.records.values() if isinstance(r, Fact) and jobs]
        return in_order(Stored(queued, waiting, facts))

    def _batch(self, changes: Sequence[Change]) -> Batch:
        self.number += 1
        return Batch(self.number, changes, ())

    def _change(self, record: Record) -> Change:
        return Change(table_of(record), record.id, self._before(record), record)

    def _before(self, record: Record) -> Record | None:
        return self.records.get((table_of(record), record.id))


def _told(change: Change) -> EventKind:
    """Return the kind of event that a change may have caused."""
    after = change.after
    if isinstance(after, Job):
        if change.before is None:
            return EventKind.JOB_SUBMITTED
        return EventKind.JOB_DONE if after.state is State.DONE else EventKind.JOB_ASSIGNED
    if isinstance(after or change.before, Worker):
        return EventKind.WORKER_REGISTERED if after else EventKind.WORKER_USED
    return EventKind.DISPATCH_PAUSED


def _who(change: Change) -> tuple[Job | None, Worker | None]:
    """Return the job and the worker of a change's event."""
    record = change.after or change.before
    if isinstance(record, Job):
        return record, record.worker
    return None, record if isinstance(record, Worker) else None


def table_of(record: Record) -> Table:
    """Return the table in which a record stands."""
    if isinstance(record, Job):
        return Table.JOBS
    return Table.WORKERS if isinstance(record, Worker) else Table.FACTS


def in_order(stored: Stored) -> Stored:
    """Sort what was loaded, and number the workers again: only the order of their places counts."""
    workers = sorted(stored.workers, key=lambda worker: worker.place)
    return Stored(
        sorted(stored.jobs, key=lambda job: (job.state.is_final, job.place, job.ticket, job.id)),
        [worker._replace(place=float(n)) for n, worker in enumerate(workers, 1)],
        sorted(stored.facts, key=lambda fact: fact.id),
    )


@asynccontextmanager
async def opened(backend: Backend, folder: Path, *, fsync: bool = False) -> AsyncIterator[Store]:
    """Yield a store that owns its folder; it is closed at the end."""
    async with open_store(backend.settings(folder, fsync=fsync)) as store:
        yield store


async def load_once(backend: Backend, folder: Path) -> Stored:
    """Return what a start loads."""
    async with opened(backend, folder) as store:
        return in_order(await store.load())


async def filled(backend: Backend, folder: Path) -> Topic:
    """Fill a folder with a record of every kind, and stop cleanly."""
    topic = Topic()
    async with opened(backend, folder) as store:
        await store.load()
        await store.commit(topic.apply(one_of_each(topic)))
    return topic


def one_of_each(topic: Topic) -> Batch:
    """Return a batch with a record of every kind."""
    sidelined = worker(3, Key("17", "a2")).set_aside_by_operator(5.0, "on its way")
    particular = worker(9)._replace(rule="match.drink=a||b|gin tonic&not.guest.table=7")
    confirmed = held(job(2)._replace(priority=7, turn=3), particular, stage=Stage.CONFIRMED)
    tablet = Worker("ws:tablet", AT, label="Bar", rule="match.drink=beer", session="5e" * 16)
    made = held(job(8), tablet, way=Way.OFFER, stage=Stage.CONFIRMED)
    assert made.hold is not None
    return topic.put(
        Fact("secret", "ab" * 32),
        Fact("last_ticket", 7),
        Fact("paused", True),
        Fact(PUSH + job(1).id, '[{"endpoint":"https://push.example/ä"}]'),
        job(1),
        confirmed,
        held(job(3), worker(1, Key("4", "a1"))),
        held(job(4), worker(2), way=Way.ANSWER, stage=Stage.IN_DOUBT),
        job(5, b'{"a" : [1.0, "\xc3\xa4", 9007199254740993]}')._replace(
            place=0.5, priority=0, turn=12
        ),
        done(held(job(6), worker(8)), result=b'{"ok" : true}'),
        job(7)._replace(state=State.FAILED, finished_s=3.5, reason="nobody takes it"),
        worker(1, Key("4", "a1")),
        worker(2)._replace(
            label="Ä", instance_url="http://engine/2/", rule="match.drink=m%C3%BCsli"
        ),
        sidelined,
        worker(4).refused("503", 5.0, job(1).id, may_arrive=True),
        made._replace(
            hold=made.hold._replace(reported_s=4.5),
            progress=Progress(40.5, "shaking \N{COCKTAIL GLASS}"),
            cancelling=True,
            reason="changed my mind",
        ),
        Worker("poll:shell", AT, place=5.0),
        Worker("ws:other", AT, place=6.0, session="c5" * 16),
        worker(7)._replace(expires_s=1795489261.25),
        worker(8)._replace(expires_s=6.0).expired(6.5, "its registration has expired"),
    )


def settings_of(mode: Mode, folder: Path) -> Settings:
    """Return settings for both tables in this mode, in this folder, which is created if needed."""
    folder.mkdir(exist_ok=True)
    return Settings.of(mode, data_dir=folder, fsync=False, **redis_values(mode, folder))


async def used(folder: Path, mode: Mode) -> Settings:
    """Fill a folder with a record of every kind, and return its settings."""
    settings = settings_of(mode, folder)
    await filled(both(mode), folder)
    return settings


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
