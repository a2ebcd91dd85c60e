"""Open the stores that the settings choose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sanic_dispatch.config.redis_url import without_secrets
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import DataFolderUnusable, RedisUnusable, StartError, StorageFailed
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore, recover_folder
from sanic_dispatch.storage.data_folder import (
    DataFolder,
    make_topic_folder,
    refuse_incomplete_backup,
    refuse_missing_folder,
)
from sanic_dispatch.storage.event_log import Retention, retention_of
from sanic_dispatch.storage.json_file import JsonFileStore, recover_files
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.split import SplitStore
from sanic_dispatch.storage.sqlite import SqliteStore, recover_events
from sanic_dispatch.storage.store import Store


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Lock the data folder, if one is needed, and yield the store; close it at the end.

    The folder of a named topic is created. The caller reads the records with ``load``. Raises
    DataFolderUnusable, DataFolderInUse, or NotAQueue if the journals of a killed process cannot be
    replayed.
    """
    if settings.topic and settings.writes_data_dir:
        make_topic_folder(settings.data_dir)
    elif settings.writes_data_dir:
        refuse_missing_folder(settings.data_dir)
    with claimed(settings):
        store = store_of(settings)
        try:
            yield store
        finally:
            await store.close()


def store_of(settings: Settings) -> Store:
    """Return the store for the modes of both queues; the data folder has to be locked already."""
    if settings.needs_data_dir:
        recover_or_refuse(settings)
    return new_store(settings, retention_of(settings))


def new_store(settings: Settings, retention: Retention) -> Store:
    """Return the store, and leave what other modes have left in the folder to the next start."""
    jobs, workers = settings.job_queue_mode, settings.worker_queue_mode
    if jobs is workers:
        return _jobs_store(settings, retention, workers=True)
    jobs_store = _jobs_store(settings, retention, workers=False)
    return SplitStore(jobs_store, _workers_store(settings, retention))


def unusable(settings: Settings, reason: str) -> StartError:
    """Return the error of a start that the storage of these modes does not allow."""
    if settings.needs_redis:
        return RedisUnusable(without_secrets(settings.redis_url), reason)
    return DataFolderUnusable(settings.data_dir, reason)


def recover_or_refuse(settings: Settings) -> None:
    """Finish what other modes have left in the data folder: journals, and the newest events.

    Raises NotAQueue, or DataFolderUnusable if the files cannot be written.
    """
    mode, folder, fsync = settings.job_queue_mode, settings.data_dir, settings.fsync
    retention = retention_of(settings)
    try:
        if mode is not Mode.JSON_FILE:
            recover_files(folder, fsync=fsync, retention=retention)
        if mode is not Mode.CACHED_JSON_FILE:
            recover_folder(folder, fsync=fsync, retention=retention)
        if mode is not Mode.SQLITE:
            recover_events(folder, fsync=fsync, retention=retention)
    except StorageFailed as error:
        raise DataFolderUnusable(folder, str(error)) from error


@contextmanager
def claimed(settings: Settings) -> Iterator[None]:
    """Lock the data folder, if one is needed. Raises DataFolderUnusable or DataFolderInUse."""
    folder = DataFolder(settings.data_dir)
    if settings.needs_data_dir:
        folder.claim()
    elif settings.writes_data_dir:
        refuse_incomplete_backup(settings.data_dir)
    try:
        yield
    finally:
        folder.release()


def _jobs_store(settings: Settings, retention: Retention, *, workers: bool) -> Store:
    """Return a store of the jobs and facts, and with ``workers`` of the workers, too."""
    mode, folder, fsync = settings.job_queue_mode, settings.data_dir, settings.fsync
    if mode is Mode.JSON_FILE:
        return JsonFileStore(folder, workers=workers, fsync=fsync, retention=retention)
    if mode is Mode.CACHED_JSON_FILE:
        return CachedJsonFileStore(folder, workers=workers, fsync=fsync, retention=retention)
    return _any_store(settings, mode, retention)


def _workers_store(settings: Settings, retention: Retention) -> Store:
    """Return a store of the workers alone; they are few, so CachedJsonFile needs no journal."""
    mode = settings.worker_queue_mode
    if mode in (Mode.JSON_FILE, Mode.CACHED_JSON_FILE):
        rereads = mode is Mode.JSON_FILE
        return JsonFileStore(settings.data_dir, jobs=False, rereads=rereads, fsync=settings.fsync)
    return _any_store(settings, mode, retention)


def _any_store(settings: Settings, mode: Mode, retention: Retention) -> Store:
    """Return a store of a mode that does not need to know which tables it stores."""
    if mode is Mode.SQLITE:
        return SqliteStore(settings.data_dir, fsync=settings.fsync, retention=retention)
    if mode is Mode.REDIS:
        from sanic_dispatch.storage.redis import open_redis  # slow to import, so only for this mode

        return open_redis(settings)
    return InMemoryStore(payloads=settings.history_payloads)
