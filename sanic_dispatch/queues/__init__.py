"""Where jobs and workers wait: one contract (base.py), one file per backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import NamedTuple

from sanic_dispatch.collector import no_collection
from sanic_dispatch.errors import DataFolderUnusable, StorageFailed
from sanic_dispatch.events import Events
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.queues.commit import Commit, GroupCommit
from sanic_dispatch.queues.folder import DataFolder
from sanic_dispatch.queues.json_store import JsonStore, jobs_store, workers_store
from sanic_dispatch.queues.ledger import KEEP_S, KEPT, Ledger
from sanic_dispatch.queues.local_jobs import LocalJobQueue
from sanic_dispatch.queues.local_workers import LocalWorkerQueue
from sanic_dispatch.queues.pairs import LocalPairs
from sanic_dispatch.queues.sqlite import SqliteStore
from sanic_dispatch.queues.store import Store
from sanic_dispatch.settings import Mode, Settings


class Stores(NamedTuple):
    """Where the two queues last: None for one that does not, the same for two that share it."""

    jobs: Store | None
    workers: Store | None


@asynccontextmanager
async def open_queues(settings: Settings, events: Events) -> AsyncIterator[Pairs]:
    """Both queues, open, in the modes that the settings name; closed at the end.

    Raises DataFolderUnusable, DataFolderInUse, NotAQueue, RedisUnusable or RedisInUse, and then
    nothing was changed.
    """
    if settings.is_shared:
        from sanic_dispatch.queues.redis_pairs import open_redis  # costs time, so only for this

        url, prefix, keep_s = settings.redis_url, settings.redis_prefix, settings.keep_done_s
        async with open_redis(url, prefix, events, keep_s=keep_s) as shared:
            yield shared
        return
    with _claimed(settings):
        async with AsyncExitStack() as stack:
            stores = stores_of(settings)
            if settings.needs_redis:
                stores = await stack.enter_async_context(_with_redis(settings, stores))
            opening = open_pairs(stores, events, keep_s=settings.keep_done_s)
            try:
                pairs = await stack.enter_async_context(opening)
            except StorageFailed as error:
                raise DataFolderUnusable(settings.data_dir, str(error)) from error
            yield pairs


@asynccontextmanager
async def _with_redis(settings: Settings, stores: Stores) -> AsyncIterator[Stores]:
    """The same stores, and the one in Redis, which is locked for this process."""
    from sanic_dispatch.queues.redis_store import Lock, RedisStore

    lock = Lock(settings.redis_url, settings.redis_prefix)
    async with lock.held():
        store = RedisStore(settings.redis_url, lock)
        if settings.job_queue_mode.is_shared:
            yield stores._replace(jobs=store)
        else:
            yield stores._replace(workers=store)


@asynccontextmanager
async def open_pairs(
    stores: Stores, events: Events, *, kept: int = KEPT, keep_s: float = KEEP_S
) -> AsyncIterator[Pairs]:
    """Both queues over these stores, open; closed at the end.

    Raises NotAQueue, and StorageFailed where what opening changed could not be stored.
    """
    async with AsyncExitStack() as stack:
        for_jobs = GroupCommit(stores.jobs) if stores.jobs else Commit()
        for_workers = GroupCommit(stores.workers) if stores.workers else Commit()
        if stores.jobs is stores.workers:
            for_workers = for_jobs
        for commit in (for_jobs, for_workers):
            stack.push_async_callback(commit.close)
        workers = LocalWorkerQueue(events, for_workers)
        jobs = LocalJobQueue(events, for_jobs, Ledger(for_jobs, kept, keep_s))
        with no_collection():
            await workers.open()
            await jobs.open()
        yield LocalPairs(jobs, workers)


def stores_of(settings: Settings) -> Stores:
    """The stores of both modes, but for the one in Redis; nothing is read or made yet."""
    sqlite = SqliteStore(settings.data_dir / "dispatch.sqlite3", fsync=settings.fsync)

    def store(mode: Mode, json_store: Callable[..., JsonStore]) -> Store | None:
        if not mode.is_durable or mode.is_shared:
            return None
        if mode is Mode.SQLITE:
            return sqlite
        rereads = mode is Mode.JSON_FILE
        return json_store(settings.data_dir, rereads=rereads, fsync=settings.fsync)

    return Stores(
        store(settings.job_queue_mode, jobs_store),
        store(settings.worker_queue_mode, workers_store),
    )


@contextmanager
def _claimed(settings: Settings) -> Iterator[None]:
    folder = DataFolder(settings.data_dir)
    if settings.needs_data_dir:
        folder.claim()
    try:
        yield
    finally:
        folder.release()
