"""Moving what waits from one data folder, or mode, into another, while no dispatcher runs.

What is read is what a dispatcher would find at its start, and reading changes nothing. What is
written is read again and compared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import Error as SqliteError

from sanic_dispatch.errors import (
    BrokenTransfer,
    DataFolderUnusable,
    FolderNotEmpty,
    NotAQueue,
    NothingStored,
)
from sanic_dispatch.events import Events
from sanic_dispatch.exchange import Content, in_line
from sanic_dispatch.queues import Stores, open_pairs, stores_of
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.queues.folder import DataFolder
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Change, Shelf, Store
from sanic_dispatch.settings import Mode, Settings

SQLITE_FILES = ("dispatch.sqlite3", "dispatch.sqlite3-wal", "dispatch.sqlite3-journal")


class Frozen:
    """A store that is only read: what a queue wants to have changed at the start is let go."""

    rereads = False

    def __init__(self, store: Store, *, is_there: bool) -> None:
        self._store = store
        self._is_there = is_there

    def load(self, shelf: Shelf) -> list[Row]:
        """As the store has it; a database that is not there is not made."""
        return self._store.load(shelf) if self._is_there else []

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """Nothing will be written."""

    def write(self, changes: Sequence[Change]) -> None:
        """Nothing is written."""

    def try_writing(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """Let go of files."""
        self._store.close()


async def read_folder(settings: Settings) -> Content:
    """What the folder holds in these modes.

    Raises NothingStored where there is none of their files, DataFolderInUse while a dispatcher
    runs, DataFolderUnusable and NotAQueue.
    """
    with _claimed(settings):
        if not any(path.exists() for path in files_of(settings)):
            raise NothingStored(settings.data_dir, _modes(settings))
        return await _read(settings)


async def write_folder(settings: Settings, content: Content) -> None:
    """Store everything in these modes, and make sure that it is there, in its order.

    Raises FolderNotEmpty where there is one of their files already; whatever else goes wrong,
    what was written is taken away again.
    """
    with _claimed(settings):
        for path in files_of(settings):
            if path.exists():
                raise FolderNotEmpty(path)
        try:
            _write(settings, content)
            if await _read_again(settings) != content:
                raise BrokenTransfer("what was stored is not what came in")
        except BaseException:
            for path in files_of(settings):
                path.unlink(missing_ok=True)
            raise


def files_of(settings: Settings) -> list[Path]:
    """The files that hold the queues in these modes."""
    names: dict[str, None] = {}
    for mode, own in (
        (settings.job_queue_mode, ("dispatch.json", "jobs.json")),
        (settings.worker_queue_mode, ("workers.json",)),
    ):
        names |= dict.fromkeys(SQLITE_FILES if mode is Mode.SQLITE else own)
    return [settings.data_dir / name for name in names]


@contextmanager
def _claimed(settings: Settings) -> Iterator[None]:
    for mode in (settings.job_queue_mode, settings.worker_queue_mode):
        if mode.is_shared or not mode.is_durable:
            raise NothingStored(settings.data_dir, mode)
    folder = DataFolder(settings.data_dir)
    folder.claim()
    try:
        yield
    finally:
        folder.release()


@asynccontextmanager
async def _frozen(settings: Settings) -> AsyncIterator[Pairs]:
    stores = _stores_of(settings)
    for_jobs = _freeze(stores.jobs, settings.job_queue_mode, settings.data_dir)
    for_workers = _freeze(stores.workers, settings.worker_queue_mode, settings.data_dir)
    if stores.jobs is stores.workers:
        for_workers = for_jobs
    async with open_pairs(Stores(for_jobs, for_workers), Events()) as pairs:
        yield pairs


def _freeze(store: Store | None, mode: Mode, folder: Path) -> Frozen | None:
    is_there = mode is not Mode.SQLITE or (folder / SQLITE_FILES[0]).exists()
    return Frozen(store, is_there=is_there) if store else None


async def _read(settings: Settings) -> Content:
    async with _frozen(settings) as pairs:
        facts = await pairs.jobs.facts()
        jobs = await pairs.jobs.items()
        finished = await pairs.jobs.all_finished()
        last_ticket = max(facts.last_ticket, *(job.ticket for job in (*jobs, *finished)), 0)
        return Content(
            facts._replace(last_ticket=last_ticket),
            in_line(await pairs.workers.items()),
            jobs,
            finished,
        )


async def _read_again(settings: Settings) -> Content:
    try:
        return await _read(settings)
    except NotAQueue as error:
        raise BrokenTransfer(error.reason) from error


def _stores_of(settings: Settings) -> Stores:
    """Nobody edits the files meanwhile: they need not be read before each write."""

    def cached(mode: Mode) -> Mode:
        return Mode.CACHED_JSON_FILE if mode is Mode.JSON_FILE else mode

    return stores_of(
        replace(
            settings,
            job_queue_mode=cached(settings.job_queue_mode),
            worker_queue_mode=cached(settings.worker_queue_mode),
        )
    )


def _write(settings: Settings, content: Content) -> None:
    stores = _stores_of(settings)
    assert stores.jobs is not None
    assert stores.workers is not None
    for_jobs, for_workers = list(_job_changes(content)), list(_worker_changes(content))
    try:
        if stores.jobs is stores.workers:
            stores.jobs.write([*for_workers, *for_jobs])
        else:
            stores.workers.write(for_workers)
            stores.jobs.write(for_jobs)
    except (OSError, SqliteError) as error:
        raise DataFolderUnusable(settings.data_dir, f"cannot be written: {error}") from error
    finally:
        stores.jobs.close()
        stores.workers.close()


def _job_changes(content: Content) -> Iterator[Change]:
    for name, value in content.facts._asdict().items():
        yield Change(Shelf.FACTS, name, None, 0.0, Row.fact(name, value).stored)
    for place, job in enumerate(content.finished, 1):
        yield Change(Shelf.FINISHED, job.id, None, float(place), job.to_stored())
    for job in content.jobs:
        yield Change(Shelf.JOBS, job.id, None, job.place, job.to_stored())


def _worker_changes(content: Content) -> Iterator[Change]:
    for worker in content.workers:
        yield Change(Shelf.WORKERS, worker.id, None, worker.place, worker.to_stored())


def _modes(settings: Settings) -> str:
    return " and ".join(dict.fromkeys((settings.job_queue_mode, settings.worker_queue_mode)))
