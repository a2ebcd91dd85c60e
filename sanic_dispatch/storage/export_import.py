"""Read and write all records of a topic, in any mode that keeps them, while no dispatcher runs.

For the commands export and import: ``read_contents`` returns the records that a dispatcher would
start with, and changes nothing; ``write_contents`` reads the result back and compares it. Between
the two, ``export_format`` makes lines of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf, nextafter
from pathlib import Path

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import PUSH, Change, Fact, Table
from sanic_dispatch.errors import (
    BrokenTransfer,
    FolderNotEmpty,
    NotAQueue,
    NothingStored,
    StorageError,
)
from sanic_dispatch.storage.atomic_file import is_gone, refuse_link_to_nothing
from sanic_dispatch.storage.data_folder import make_topic_folder
from sanic_dispatch.storage.event_log import KEEP_ALL
from sanic_dispatch.storage.export_format import Content, renumber_workers
from sanic_dispatch.storage.journal import all_journals_in
from sanic_dispatch.storage.json_format import DISPATCH_NAME, JOBS_NAME, WORKERS_NAME
from sanic_dispatch.storage.open_store import claimed, new_store, unusable
from sanic_dispatch.storage.read_json_folder import read_folder
from sanic_dispatch.storage.record_json import order_of
from sanic_dispatch.storage.sqlite import DATABASE_NAME, opened_copy
from sanic_dispatch.storage.store import Batch, Stored

SQLITE_FILES = (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-journal")


async def read_contents(settings: Settings) -> Content:
    """Return all records that are stored in these modes.

    Raises NothingStored if none of their files exists and Redis has no records, DataFolderInUse or
    RedisInUse while a dispatcher runs, DataFolderUnusable, RedisUnusable or NotAQueue.
    """
    with _claimed(settings):
        has_files = not all(map(is_gone, files_of(settings)))
        if not has_files and not (settings.needs_redis and any(await _read_redis(settings))):
            if settings.needs_data_dir:
                raise NothingStored(settings.data_dir, _modes(settings))
            raise unusable(settings, f"no queues of the prefix {settings.redis_keys} are there")
        return await _read(settings)


async def write_contents(settings: Settings, content: Content) -> None:
    """Write all records in these modes, and verify them. A topic's folder is made.

    Raises FolderNotEmpty if one of their files exists, and RedisUnusable if Redis has records.
    After any other error the files that were written are removed.
    """
    if settings.topic and settings.needs_data_dir:
        make_topic_folder(settings.data_dir)
    with _claimed(settings):
        _refuse_files(settings)
        if settings.needs_redis and any(await _read_redis(settings)):
            raise unusable(settings, f"queues of the prefix {settings.redis_keys} are there")
        try:
            await _write(settings, content)
            if await _read_again(settings) != content:
                raise BrokenTransfer("the stored records differ from the imported ones")
        except BaseException:
            for path in files_of(settings):
                path.unlink(missing_ok=True)
            raise


def _refuse_files(settings: Settings) -> None:
    """Raise FolderNotEmpty if one of the files is there, or a link that leads nowhere."""
    for path in files_of(settings):
        if not is_gone(path):
            raise FolderNotEmpty(path)


def files_of(settings: Settings) -> list[Path]:
    """Return the paths of the topic's files in these modes, existing or not."""
    names: dict[str, None] = {}
    for mode, own in (
        (settings.job_queue_mode, (DISPATCH_NAME, JOBS_NAME)),
        (settings.worker_queue_mode, (WORKERS_NAME,)),
    ):
        if not mode.is_shared:
            names |= dict.fromkeys(SQLITE_FILES if mode is Mode.SQLITE else own)
    files = [settings.data_dir / name for name in names]
    if any(name in names for name in (JOBS_NAME, WORKERS_NAME)) and settings.data_dir.is_dir():
        files += all_journals_in(settings.data_dir)
    return files


@contextmanager
def _claimed(settings: Settings) -> Iterator[None]:
    for mode in (settings.job_queue_mode, settings.worker_queue_mode):
        if not mode.is_durable:
            raise NothingStored(settings.data_dir, mode)
    with claimed(settings):
        yield


# ---- reading


async def _read(settings: Settings) -> Content:
    jobs, workers = settings.job_queue_mode, settings.worker_queue_mode
    of_jobs = await _read_mode(settings, jobs, jobs=True, workers=jobs is workers)
    of_workers = of_jobs
    if jobs is not workers:
        of_workers = await _read_mode(settings, workers, jobs=False, workers=True)
    # Without phones: whoever has the file could write to them, and their pages subscribe again.
    facts = {fact.id: fact for fact in of_jobs.facts if not fact.id.startswith(PUSH)}
    last_ticket = max([int(facts["last_ticket"].value)] if "last_ticket" in facts else [0])
    numbered = number_jobs(of_jobs.jobs, last_ticket)
    facts["last_ticket"] = Fact("last_ticket", max([last_ticket, *(j.ticket for j in numbered)]))
    facts.setdefault("paused", Fact("paused", False))
    facts.setdefault("secret", Fact("secret", secrets.token_hex(32)))
    finished = [job for job in numbered if job.state.is_final]
    return Content(
        [facts[name] for name in sorted(facts)],
        renumber_workers(of_workers.workers),
        [job for job in numbered if not job.state.is_final],
        sorted(finished, key=order_of),
    )


async def _read_mode(settings: Settings, mode: Mode, *, jobs: bool, workers: bool) -> Stored:
    if mode.is_shared:
        return await _read_redis(settings)
    if mode is Mode.SQLITE:
        return read_database(settings.data_dir)
    return read_folder(settings.data_dir, jobs=jobs, workers=workers).stored()


async def _read_redis(settings: Settings) -> Stored:
    """Return the records that are in Redis. Raises RedisInUse or RedisUnusable."""
    from sanic_dispatch.storage.redis import open_redis  # slow to import, so only for this mode

    store = open_redis(settings)
    try:
        return await store.load() if await store.is_there() else Stored()
    except StorageError as error:
        raise unusable(settings, str(error)) from error
    finally:
        await store.close()


def read_database(folder: Path) -> Stored:
    """Read a copy of the database, since opening it checkpoints its log. Raises NotAQueue."""
    refuse_link_to_nothing(folder / DATABASE_NAME)
    if all(is_gone(folder / name) for name in SQLITE_FILES):
        return Stored()
    if not is_gone(folder / DATABASE_NAME) and not (folder / DATABASE_NAME).is_file():
        raise NotAQueue(folder / DATABASE_NAME, "is no regular file")
    with opened_copy(folder) as database:
        return database.load()


def number_jobs(jobs: Iterable[Job], last_ticket: int) -> list[Job]:
    """Return the jobs with missing tickets added, and with increasing places."""
    read = list(jobs)
    ticket, last = max([last_ticket, *(job.ticket for job in read)]), -inf
    made = []
    for each in read:
        job = each
        if not job.ticket:
            ticket += 1
            job = job._replace(ticket=ticket, place=ticket)
        if not job.state.is_final:
            if job.place <= last:
                job = job._replace(place=nextafter(last, inf))
            last = job.place
        made.append(job)
    return made


async def _read_again(settings: Settings) -> Content:
    try:
        return await _read(settings)
    except NotAQueue as error:
        raise BrokenTransfer(error.reason) from error


# ---- writing


async def _write(settings: Settings, content: Content) -> None:
    store = new_store(settings, KEEP_ALL)  # only a start knows how long the history is kept
    try:
        await store.load()
        await store.commit(Batch(1, list(_changes(content)), ()))
        await store.close()
    except StorageError as error:
        raise unusable(settings, f"cannot be written: {error}") from error
    finally:
        await store.close()


def _changes(content: Content) -> Iterator[Change]:
    for fact in content.facts:
        yield Change(Table.FACTS, fact.id, None, fact)
    for worker in content.workers:
        yield Change(Table.WORKERS, worker.id, None, worker)
    for job in _all_jobs(content):
        yield Change(Table.JOBS, job.id, None, job)


def _all_jobs(content: Content) -> Sequence[Job]:
    return [*content.finished, *content.jobs]


def _modes(settings: Settings) -> str:
    return " and ".join(dict.fromkeys((settings.job_queue_mode, settings.worker_queue_mode)))
