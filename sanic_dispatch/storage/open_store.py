"""Opening the store that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import DataFolderUnusable, StorageFailed
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore, settle
from sanic_dispatch.storage.data_folder import DataFolder
from sanic_dispatch.storage.json_file import JsonFileStore
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.split import SplitStore
from sanic_dispatch.storage.sqlite import SqliteStore
from sanic_dispatch.storage.store import Store


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Claim the data folder, if one is needed, and yield the store; it is closed at the end.

    What is stored is read by ``load``. Raises DataFolderUnusable, DataFolderInUse, and
    NotAQueue where journals that a kill left cannot be replayed.
    """
    with claimed(settings):
        store = store_of(settings)
        try:
            yield store
        finally:
            await store.close()


def store_of(settings: Settings) -> Store:
    """Return the store of both modes, on a data folder that is claimed already."""
    jobs, workers, folder = settings.job_queue_mode, settings.worker_queue_mode, settings.data_dir
    if settings.needs_data_dir and jobs is not Mode.CACHED_JSON_FILE:
        settle_or_refuse(folder, fsync=settings.fsync)
    if jobs is workers:
        return _whole_store(settings, jobs)
    return SplitStore(_jobs_store(settings, jobs), _workers_store(settings, workers))


def settle_or_refuse(folder: Path, *, fsync: bool) -> None:
    """Replay journals of CachedJsonFile before another mode uses the folder.

    Raises NotAQueue, and DataFolderUnusable where the files cannot be written.
    """
    try:
        settle(folder, fsync=fsync)
    except StorageFailed as error:
        raise DataFolderUnusable(folder, str(error)) from error


@contextmanager
def claimed(settings: Settings) -> Iterator[None]:
    """Own the data folder, if one is needed. Raises DataFolderUnusable or DataFolderInUse."""
    folder = DataFolder(settings.data_dir)
    if settings.needs_data_dir:
        folder.claim()
    try:
        yield
    finally:
        folder.release()


def _whole_store(settings: Settings, mode: Mode) -> Store:
    folder, fsync = settings.data_dir, settings.fsync
    if mode is Mode.JSON_FILE:
        return JsonFileStore(folder, fsync=fsync)
    if mode is Mode.CACHED_JSON_FILE:
        return CachedJsonFileStore(folder, fsync=fsync)
    return _half_store(settings, mode)


def _jobs_store(settings: Settings, mode: Mode) -> Store:
    folder, fsync = settings.data_dir, settings.fsync
    if mode is Mode.JSON_FILE:
        return JsonFileStore(folder, workers=False, fsync=fsync)
    if mode is Mode.CACHED_JSON_FILE:
        return CachedJsonFileStore(folder, workers=False, fsync=fsync)
    return _half_store(settings, mode)


def _workers_store(settings: Settings, mode: Mode) -> Store:
    """Return the store of the workers; without their jobs they are few, and written whole."""
    if mode in (Mode.JSON_FILE, Mode.CACHED_JSON_FILE):
        rereads = mode is Mode.JSON_FILE
        return JsonFileStore(settings.data_dir, jobs=False, rereads=rereads, fsync=settings.fsync)
    return _half_store(settings, mode)


def _half_store(settings: Settings, mode: Mode) -> Store:
    """Return a store that takes whatever it is given: both tables, or one of them."""
    if mode is Mode.SQLITE:
        return SqliteStore(settings.data_dir, fsync=settings.fsync)
    if mode is Mode.REDIS:
        from sanic_dispatch.storage.redis import open_redis  # costs time, so only for this

        return open_redis(settings)
    return InMemoryStore()
