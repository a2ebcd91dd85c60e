"""Backups: of every mode, as of one moment, whole or refused."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE
from threading import Thread
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import DataFolderUnusable, FolderRefused, StorageFailed
from sanic_dispatch.storage import segment_log, segment_writer
from sanic_dispatch.storage.backup import (
    Backup,
    BackupStopped,
    StoppablePace,
    incomplete,
    write_backup,
)
from sanic_dispatch.storage.check import inspect
from sanic_dispatch.storage.checkpoint import Snapshot
from sanic_dispatch.storage.data_folder import INCOMPLETE_BACKUP
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, logged, payload_of
from sanic_dispatch.storage.export_format import Content
from sanic_dispatch.storage.export_import import read_contents, write_contents
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.read_history import history_of
from sanic_dispatch.storage.sqlite import DATABASE_NAME, SqliteFile
from sanic_dispatch.storage.store import Store
from tests.storage.samples import (
    EVERY,
    FILES,
    HISTORIES,
    Backend,
    Topic,
    both,
    done,
    held,
    in_order,
    job,
    load_once,
    names_in,
    one_of_each,
    opened,
    settings_of,
    worker,
)
from tests.support.disk_faults import Disk, Killed, cannot_be_looked_at

IN_MEMORY = both(Mode.IN_MEMORY)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small blocks and segments, so that a few batches fill them."""
    monkeypatch.setattr(segment_writer, "BLOCK_EVENTS", 4)
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", 12)


def named(backend: Backend) -> str:
    return backend.name


def restored(backend: Backend) -> Backend:
    """The modes in which a backup is served."""
    in_database = backend.jobs is backend.workers is Mode.SQLITE
    return backend if in_database else both(Mode.CACHED_JSON_FILE)


def snapshot_of(topic: Topic) -> Snapshot:
    """What the dispatcher sees of a topic, in no order."""
    records = list(topic.records.values())[::-1]
    last_event = topic.events[-1].number if topic.events else 0
    return Snapshot(
        [record for record in records if isinstance(record, Job)],
        [record for record in records if isinstance(record, Worker)],
        [record for record in records if isinstance(record, Fact)],
        last_event=last_event,
    )


async def commit(store: Store, topic: Topic, *put: Job | Worker) -> None:
    batch = topic.apply(topic.with_events(topic.put(*put)))
    await store.commit(batch)
    store.history.note(batch.events)


async def live(store: Store, topic: Topic) -> None:
    """Load a store, and give it a record and an event of every kind."""
    await store.load()
    await store.begin_epoch("first", 1.0)
    batch = topic.apply(topic.with_events(one_of_each(topic)))
    await store.commit(batch)
    store.history.note(batch.events)
    await commit(store, topic, done(held(job(2), worker(9)), result=b"[1]"), job(10))


def back_up(store: Store, topic: Topic, folder: Path) -> Backup:
    with incomplete(folder, ()) as created:
        return write_backup(store, snapshot_of(topic), created, StoppablePace())


def happened(topic: Topic) -> list[LoggedEvent]:
    return [logged(event) for event in topic.events]


async def kept(store: Store) -> list[LoggedEvent]:
    page = await asyncio.to_thread(store.history.find, Question(limit=1000))
    assert (list(page.damage), list(page.holes)) == ([], [])
    return list(page.events)


@pytest.mark.parametrize("backend", EVERY, ids=named)
async def test_everything_is_in_it(backend: Backend, tmp_path: Path) -> None:
    """Records, in order, events with their payloads, and epochs, of which no number is good.

    Numbers go on from there.
    """
    topic, data, copy = Topic(), tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    async with opened(backend, data) as store:
        await live(store, topic)
        made = await asyncio.to_thread(back_up, store, topic, copy)
    assert made[:3] == (9, 8, len(topic.events))
    assert made.bytes == sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
    report = inspect(copy)
    assert report.is_whole
    assert {each.counts.get("last_ticket", 10) for each in report.files} == {10}
    async with opened(restored(backend), copy) as store:
        assert in_order(await store.load()) == topic.stored()
        assert store.history.last_number == topic.events[-1].number
        assert [each[:2] for each in store.history.epochs] == [("", 1)]
        assert await kept(store) == happened(topic)
        assert list(store.history.payloads()) == payloads_of(topic.events)
        topic.restarted()
        await commit(store, topic, job(11))
        assert await kept(store) == happened(topic)


def payloads_of(events: list[Event]) -> list[object]:
    made = [payload_of(each.number, each.kind.value, each.job) for each in events]
    return [payload for payload in made if payload]


@pytest.mark.parametrize("backend", [IN_MEMORY, both(Mode.SQLITE)], ids=named)
async def test_it_is_private(backend: Backend, tmp_path: Path) -> None:
    """A new folder, and every file in it, are for this user only."""
    async with opened(backend, tmp_path) as store:
        await live(store, topic := Topic())
        back_up(store, topic, tmp_path / "copy")
    found = [tmp_path / "copy", *(tmp_path / "copy").rglob("*")]
    assert {S_IMODE(path.stat().st_mode) for path in found} == {0o600, 0o700}
    assert all(S_IMODE(path.stat().st_mode) == 0o700 for path in found if path.is_dir())


@pytest.mark.parametrize("backend", [IN_MEMORY, *HISTORIES], ids=named)
@pytest.mark.parametrize("flush", [False, True])
async def test_it_is_of_one_moment(backend: Backend, flush: bool, tmp_path: Path) -> None:
    """What comes after the records were read is not in it, also if it is in a segment by then."""
    topic, data, copy = Topic(), tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    async with opened(backend, data) as store:
        await live(store, topic)
        snapshot, before = snapshot_of(topic), list(topic.events)
        expected = topic.stored()
        if restored(backend).jobs is not Mode.SQLITE:  # a database is copied as it is by then
            for number in range(20, 24):
                await commit(store, topic, job(number))
        if flush and isinstance(store.history, segment_log.SegmentLog):
            await asyncio.to_thread(store.history.flush)
        with incomplete(copy, ()):
            await asyncio.to_thread(write_backup, store, snapshot, copy, StoppablePace())
    async with opened(restored(backend), copy) as store:
        assert in_order(await store.load()) == expected
        assert await kept(store) == [logged(event) for event in before]
        assert list(store.history.payloads()) == payloads_of(before)


def test_commits_go_on_while_a_database_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps; the copy has what was committed by the last one, records and events."""
    monkeypatch.setattr("sanic_dispatch.storage.sqlite.STEP_PAGES", 1)
    file, topic = SqliteFile(tmp_path / DATABASE_NAME, fsync=False), Topic()
    file.load()
    file.commit(topic.apply(topic.with_events(topic.put(*map(job, range(1, 200))))))
    steps = 0

    def rest() -> None:
        nonlocal steps
        steps += 1
        if steps <= 10:
            file.commit(
                topic.apply(topic.with_events(topic.put(done(job(steps)), job(1000 + steps))))
            )
            assert is_held(file.history._writing), "no event moves meanwhile"

    copied = file.copy_to(tmp_path / "copy.sqlite3", rest)
    file.close()
    assert steps > 10
    assert copied == (209, 0, len(topic.events), 0)
    copy = SqliteFile(tmp_path / "copy.sqlite3")
    assert in_order(copy.load()) == topic.stored()
    copy.close()


def is_held(lock: Any) -> bool:
    """Return whether another thread would have to wait for a lock."""
    with ThreadPoolExecutor(1) as other:
        return not other.submit(lock.acquire, blocking=False).result()


async def test_a_topic_goes_back_to_an_empty_redis(tmp_path: Path) -> None:
    """Its records are imported, and its events are in the folder; numbers go on, also later."""
    topic, copy = Topic(), tmp_path / "copy"
    async with opened(both(Mode.REDIS), tmp_path) as store:
        await live(store, topic)
        await asyncio.to_thread(back_up, store, topic, copy)
    content = await read_contents(settings_of(Mode.CACHED_JSON_FILE, copy))
    await write_contents(settings_of(Mode.REDIS, copy), content)
    for name in ("second", "third"):
        async with opened(both(Mode.REDIS), copy) as store:
            assert in_order(await store.load())[:2] == topic.stored()[:2]
            await store.begin_epoch(name, 2.0)
            assert await kept(store) == happened(topic)
            topic.restarted()
            await commit(store, topic, job(10 + len(topic.events)))


# ---- whole or not at all


async def opened_store(backend: Backend, folder: Path) -> tuple[Store, Topic]:
    topic, store = Topic(), backend.store(folder)
    await live(store, topic)
    return store, topic


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("backend", [IN_MEMORY, both(Mode.SQLITE)], ids=named)
async def test_a_killed_backup_is_refused(
    backend: Backend, is_new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each call the folder is as it was before, or is marked.

    The last call syncs the folder of a whole backup.
    """
    store, topic = await opened_store(backend, tmp_path)
    monkeypatch.setattr("sanic_dispatch.storage.backup._delete", lambda *_, **__: None)
    calls = calls_of(store, topic, place(tmp_path / "counted", is_new), monkeypatch)
    for number in range(calls - 1):
        folder = place(tmp_path / f"killed-{number}", is_new)
        with monkeypatch.context() as patch:
            Disk(patch, folder.parent).kill_at(number)
            with pytest.raises(Killed):
                back_up(store, topic, folder)
        if folder.exists() and (is_new or names_in(folder)):
            assert INCOMPLETE_BACKUP in names_in(folder)
    await store.close()


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("backend", [IN_MEMORY, both(Mode.SQLITE)], ids=named)
async def test_a_failed_backup_leaves_nothing(
    backend: Backend, is_new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each call; only an index may be missing, which is rebuilt when it is needed."""
    store, topic = await opened_store(backend, tmp_path)
    calls = calls_of(store, topic, place(tmp_path / "counted", is_new), monkeypatch)
    for number in range(calls):
        folder = place(tmp_path / f"failed-{number}", is_new)
        with monkeypatch.context() as patch:
            Disk(patch, folder.parent).before = failing_at(number)
            try:
                back_up(store, topic, folder)
            except (OSError, StorageFailed, FolderRefused):
                assert list(folder.parent.rglob("*")) == ([] if is_new else [folder])
            else:
                assert inspect(folder).is_whole
    await store.close()


def place(parent: Path, is_new: bool) -> Path:
    """Return the folder of a backup, in a new folder; it is empty or not there."""
    (parent / "copy").mkdir(parents=True)
    if is_new:
        (parent / "copy").rmdir()
    return parent / "copy"


def calls_of(store: Store, topic: Topic, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many calls of a disk a backup makes."""
    with monkeypatch.context() as patch:
        disk = Disk(patch, folder.parent)
        back_up(store, topic, folder)
    assert len(disk.calls) > 10
    return len(disk.calls)


def failing_at(number: int) -> Callable[[int, str, Path | None], None]:
    def before(now: int, name: str, path: Path | None) -> None:
        if now == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return before


@pytest.mark.parametrize("backend", [*FILES, both(Mode.REDIS)], ids=named)
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "cannot be looked at"])
async def test_an_incomplete_backup_is_refused(
    backend: Backend, is_seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No start, no tool and no other backup takes it for an empty folder, or changes it."""
    (tmp_path / INCOMPLETE_BACKUP).touch()
    report = inspect(tmp_path).files[0]
    assert (report.file, report.damage) == (INCOMPLETE_BACKUP, "the backup is incomplete")
    settings = backend.settings(tmp_path)
    for attempt in (
        load_once(backend, tmp_path),
        read_contents(settings),
        write_contents(settings, Content((), (), (), ())),
        asyncio.to_thread(history_of(tmp_path).__enter__),
    ):
        with monkeypatch.context() as faulty:
            if not is_seen:
                cannot_be_looked_at(faulty, INCOMPLETE_BACKUP)
            with pytest.raises(DataFolderUnusable, match="the backup in it is incomplete"):
                await attempt
    with pytest.raises(FolderRefused, match="is not empty"), incomplete(tmp_path, ()):
        pass
    assert names_in(tmp_path) == {INCOMPLETE_BACKUP}


def test_a_stopped_backup_leaves_nothing(tmp_path: Path) -> None:
    """It ends at the next rest; a folder that was there stays, empty."""
    store, topic = InMemoryStore(), Topic()
    store.history.note(topic.with_events(topic.put(job(1))).events)
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        pace = StoppablePace()
        pace.stop()
        with pytest.raises(BackupStopped), incomplete(tmp_path / name, ()) as folder:
            write_backup(store, snapshot_of(topic), folder, pace)
    assert (names_in(tmp_path), names_in(tmp_path / "empty")) == ({"empty"}, set())


def test_a_database_that_is_opened_again_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed commit; the backup fails, so that it does not keep the file locked."""
    monkeypatch.setattr("sanic_dispatch.storage.sqlite.STEP_PAGES", 1)
    file, topic = SqliteFile(tmp_path / DATABASE_NAME, fsync=False), Topic()
    file.load()
    before, reopening = file._opened, Thread(target=file._reopen)

    def rest() -> None:
        if not reopening.ident:
            reopening.start()
            while file._opened is before:
                time.sleep(0.001)

    with pytest.raises(StorageFailed, match="opened anew meanwhile"):
        file.copy_to(tmp_path / "copy.sqlite3", rest)
    reopening.join()
    file.commit(topic.put(job(1)))
    file.close()
    with pytest.raises(StorageFailed, match="is not open"):
        file.copy_to(tmp_path / "copy.sqlite3", rest)


# ---- where to


def test_folders_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup never goes where something is, nor into the data folder: also on Python 3.14."""
    monkeypatch.setattr(Path, "exists", os.path.exists)  # which is False for every error
    monkeypatch.setattr(Path, "is_dir", os.path.isdir)
    data, full, file = tmp_path / "data", tmp_path / "full", tmp_path / "file"
    data.mkdir()
    full.mkdir()
    file.write_text("mine")
    (full / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(data)
    for folder, reason in {
        Path("relative"): "is no absolute path",
        data: "is in the data folder",
        data / "copy": "is in the data folder",
        tmp_path / "link/copy": "is in the data folder",
        full / "../data/copy": "is in the data folder",
        tmp_path / "none/copy": "its parent folder does not exist",
        file / "copy": "its parent folder does not exist",
        full: "is not empty",
        file: "is no folder",
        tmp_path / ("x" * 300): "cannot be created: File name too long",
        tmp_path / "a\0b": "cannot be created: .*embedded null",
        tmp_path / "\ud800": "cannot be created: .* surrogates not allowed",
        Path("/proc/copy"): "cannot be created: No such file or directory",
    }.items():
        with pytest.raises(FolderRefused, match=reason), incomplete(folder, [data]):
            pass
    assert names_in(tmp_path) == {"data", "full", "file", "link"}
    assert (names_in(full), names_in(data)) == ({"mine"}, set())


async def test_a_link_to_an_empty_folder(tmp_path: Path) -> None:
    """The folder that it leads to is used, with its permissions."""
    store, topic = await opened_store(IN_MEMORY, tmp_path)
    (tmp_path / "disk").mkdir(0o750)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    back_up(store, topic, tmp_path / "link")
    assert (tmp_path / "disk/jobs.json").exists()
    assert S_IMODE((tmp_path / "disk").stat().st_mode) == 0o750
