"""What the tests of the queues share: records, backends, and a store that a test can hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sanic_dispatch.events import Event, Events, Kind, Note
from sanic_dispatch.job import Job, Stage, State, Way
from sanic_dispatch.lifecycle import assign
from sanic_dispatch.queues import Stores, open_pairs, stores_of
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.queues.redis_pairs import open_redis
from sanic_dispatch.queues.redis_store import Lock, RedisStore
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Change, Shelf, Store
from sanic_dispatch.settings import Mode, Settings
from sanic_dispatch.worker import Key, Worker
from tests.kit.redis import shared_server

AT = "2026-11-24T03:00:00.123456Z"
SUBMITTED = Note(Kind.JOB_SUBMITTED, 1.0)
REGISTERED = Note(Kind.WORKER_REGISTERED, 1.0)


@dataclass(frozen=True)
class Backend:
    """One way to keep the queues, and what it can do."""

    name: str
    jobs: Mode
    workers: Mode
    is_durable: bool = True
    """What waits is there again after closing and opening."""
    reads_during_writes: bool = True
    """Reading does not wait for a write that is under way."""


def both(mode: Mode, **capabilities: bool) -> Backend:
    """The same mode for jobs and workers."""
    return Backend(mode.value, mode, mode, **capabilities)


BACKENDS = [
    both(Mode.IN_MEMORY, is_durable=False),
    both(Mode.JSON_FILE, reads_during_writes=False),
    both(Mode.CACHED_JSON_FILE),
    both(Mode.SQLITE),
    both(Mode.REDIS),
]
"""A new backend is one more line."""

MIXED = [
    Backend("Sqlite+InMemory", Mode.SQLITE, Mode.IN_MEMORY),
    Backend("CachedJsonFile+Sqlite", Mode.CACHED_JSON_FILE, Mode.SQLITE),
    Backend("JsonFile+CachedJsonFile", Mode.JSON_FILE, Mode.CACHED_JSON_FILE),
    Backend("Redis+InMemory", Mode.REDIS, Mode.IN_MEMORY),
    Backend("Sqlite+Redis", Mode.SQLITE, Mode.REDIS),
    Backend("InMemory+JsonFile", Mode.IN_MEMORY, Mode.JSON_FILE, is_durable=False),
]
"""Each queue in a mode of its own."""


class Gate:
    """A store around the real one, whose writes a test can hold and fail, and which it counts."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rereads = store.rereads
        self.writes = 0
        self.failures = 0
        self._open = threading.Event()
        self._open.set()
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def hold(self) -> None:
        """From now on writes wait."""
        self._arrived.clear()
        self._open.clear()

    async def held(self) -> None:
        """Return when a write waits."""
        await self._arrived.wait()

    def let_go(self) -> None:
        """The write that waits goes on, and all after it."""
        self._open.set()

    def fail(self, times: int = 1) -> None:
        """The next writes fail."""
        self.failures = times

    def load(self, shelf: Shelf) -> list[Row]:
        return self.store.load(shelf)

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        self.store.adopt(shelf, rows)

    def write(self, changes: Sequence[Change]) -> None:
        if changes:
            self._pass()
        self.store.write(changes)

    def try_writing(self) -> None:
        self.store.try_writing()

    def close(self) -> None:
        self.store.close()

    def _pass(self) -> None:
        self.writes += 1
        if not self._open.is_set():
            self._loop.call_soon_threadsafe(self._arrived.set)
            self._open.wait()
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")


class Bench:
    """Both queues over gated stores, which can be closed and opened again."""

    def __init__(
        self, backend: Backend, folder: Path, *, fsync: bool = False, **ledger: Any
    ) -> None:
        self.backend = backend
        self.folder = folder
        self.history: list[Event] = []
        self.freed = 0
        self.was_freed = asyncio.Event()
        self._fsync = fsync
        self._ledger = ledger
        self._stack = AsyncExitStack()

    pairs: Pairs

    async def open(self) -> None:
        """Open them, as after a start of the service."""
        self.events = Events()
        self.events.subscribe(self.history.append)
        self.pairs = await self._stack.enter_async_context(await self._opening())
        self.pairs.when_freed(self._note_freed)

    async def _opening(self) -> AbstractAsyncContextManager[Pairs]:
        modes = self.backend.jobs, self.backend.workers
        prefix = str(self.folder).replace("/", ".")[-64:]
        if set(modes) == {Mode.REDIS}:
            self.stores = Stores(None, None)
            return open_redis(shared_server().url, prefix, self.events, **self._ledger)
        settings = Settings(
            job_queue_mode=self.backend.jobs,
            worker_queue_mode=self.backend.workers,
            data_dir=self.folder,
            fsync=self._fsync,
        )
        stores = stores_of(settings)
        if Mode.REDIS in modes:
            lock = Lock(shared_server().url, prefix)
            await self._stack.enter_async_context(lock.held())
            name = "jobs" if modes[0] is Mode.REDIS else "workers"
            stores = stores._replace(**{name: RedisStore(shared_server().url, lock)})
        self.stores = gated(stores)
        return open_pairs(self.stores, self.events, **self._ledger)

    async def close(self) -> None:
        """Close them."""
        for store in self.stores:
            if isinstance(store, Gate):
                store.let_go()
        await self._stack.aclose()

    async def reopen(self) -> None:
        """Close and open: what is there then was durable."""
        await self.close()
        await self.open()

    @property
    def kinds(self) -> list[Kind]:
        """What happened so far."""
        return [event.kind for event in self.history]

    def _note_freed(self) -> None:
        self.freed += 1
        self.was_freed.set()


def gated(stores: Stores) -> Stores:
    """The same stores, each behind a gate; one that is shared behind one."""
    if stores.jobs is stores.workers:
        shared = Gate(stores.jobs) if stores.jobs else None
        return Stores(shared, shared)
    return Stores(*(Gate(store) if store else None for store in stores))


def job(number: int, data: bytes = b'{"drink":"mojito"}') -> Job:
    """A new job that can be told from others."""
    return Job(f"{number:032x}", 0, data, AT, 0.0)


def worker(number: int, key: Key | None = None) -> Worker:
    """A new worker that can be told from others."""
    return Worker(f"http://engine/callbacks/{number}/", AT, key)


def held(job: Job, by: Worker, way: Way = Way.PUT, stage: Stage = Stage.UNDER_WAY) -> Job:
    """The job in the hands of that worker."""
    assigned = assign(job, by, way, 2.0).job
    assert assigned.hold
    return assigned._replace(hold=assigned.hold._replace(stage=stage))


def free(job: Job) -> Job:
    """The job back in line."""
    return job._replace(state=State.WAITING, hold=None)


def done(job: Job, at_s: float = 9.0, result: bytes | None = None) -> Job:
    """The job, finished."""
    return job._replace(state=State.DONE, finished_s=at_s, result=result)


async def ids(queue: Any) -> list[str]:
    """The ids of all records, in order."""
    return [record.id for record in await queue.items()]


async def turns(count: int = 20) -> None:
    """Let all tasks go on as far as they can without anything from outside."""
    for _ in range(count):
        await asyncio.sleep(0)
