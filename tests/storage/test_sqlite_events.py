"""The mode Sqlite's event log: the newest events are rows, older ones are in segments."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from shutil import copytree
from threading import Event as ThreadEvent
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.errors import NotAQueue, StorageFailed
from sanic_dispatch.storage import segment_log
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.read_history import history_of
from sanic_dispatch.storage.segment_format import FOLDER, segments_in
from sanic_dispatch.storage.segment_index import SegmentIndex
from sanic_dispatch.storage.sqlite import DATABASE_NAME, SqliteFile, SqliteStore
from tests.storage.samples import Topic, both, done, filled, held, job, load_once, worker
from tests.support.disk_faults import Disk

Open = Callable[[Path], SqliteFile]


@pytest.fixture
def opened() -> Iterator[Open]:
    """What opens the blocking store, and loads it; each is closed in the end."""
    with ExitStack() as stack:

        def opened(folder: Path) -> SqliteFile:
            file = SqliteFile(folder / DATABASE_NAME, fsync=False)
            stack.callback(file.close)
            file.load()
            return file

        yield opened


def kept(file: SqliteFile) -> list[LoggedEvent]:
    page = file.history.find(Question(limit=1000))
    assert (list(page.damage), list(page.holes)) == ([], [])
    return list(page.events)


def happened(topic: Topic) -> list[LoggedEvent]:
    return [logged(event) for event in topic.events]


def rows(folder: Path) -> int:
    """How many rows of events there are, after a clean stop."""
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as database:
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
        return int(count)


def test_a_batch_that_fails(opened: Open, tmp_path: Path) -> None:
    """Of a batch that was rolled back no event stays, and the next one has its numbers."""
    file, topic = opened(tmp_path), Topic()
    file.commit(topic.apply(topic.with_events(topic.put(job(1)))))
    before = list(topic.events)
    file._database().execute(
        "CREATE TRIGGER no BEFORE INSERT ON jobs BEGIN SELECT raise(FAIL, 'no'); END"
    )
    with pytest.raises(StorageFailed):
        file.commit(topic.with_events(topic.put(job(2))))
    file._database().execute("DROP TRIGGER no")
    topic.events = before
    file.commit(topic.apply(topic.with_events(topic.put(job(3)))))
    assert kept(file) == happened(topic)
    file.close()
    assert kept(opened(tmp_path)) == happened(topic)


def test_a_kill_before_and_after_a_flush(opened: Open, tmp_path: Path) -> None:
    """Events are in rows, in segments, or in both; they are there once, with their payloads."""
    topic, given = Topic(), held(job(1), worker(1))
    for flushes in (False, True):
        file = opened(tmp_path)
        topic.restarted()
        for record in (job(1), given, done(given, result=b"[1]"), worker(1)):
            file.commit(topic.apply(topic.with_events(topic.put(record))))
        if flushes:
            file.history.flush()
        assert file._opened is not None
        file._opened.close()
        file = opened(tmp_path)
        assert kept(file) == happened(topic)
        file._database().close()
    data = [(each.n, each.is_result) for each in opened(tmp_path).history.payloads()]
    assert data[:2] == [(1, False), (3, True)]


def test_an_earlier_job_with_the_same_id(opened: Open, tmp_path: Path) -> None:
    """After a kill its events do not have the data of the later one, which may be forgotten."""
    file, topic = opened(tmp_path), Topic()
    for record in (job(1), ended := done(held(job(1), worker(1)))):
        file.commit(topic.apply(topic.with_events(topic.put(record))))
    file.commit(topic.apply(topic.remove(ended)))
    file.commit(topic.apply(topic.with_events(topic.put(job(2)._replace(id=ended.id)))))
    copytree(tmp_path, tmp_path / "killed")
    again = opened(tmp_path / "killed")
    assert [(each.n, each.ticket) for each in again.history.payloads()] == [(3, 2)]
    again.close()
    file.close()


async def test_many_events(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are many they are moved to a segment, and their rows deleted but for the last."""
    monkeypatch.setattr(segment_log, "FLUSH_EVENTS", 4)
    store, topic = SqliteStore(tmp_path, fsync=False), Topic()
    await store.load()
    for number in range(1, 12):
        await store.commit(topic.apply(topic.with_events(topic.put(job(number)))))
        await store._flushes.finish()
    assert segments_in(tmp_path / FOLDER)
    await store.close()
    assert rows(tmp_path) == 1
    assert kept(opened(tmp_path)) == happened(topic)


async def test_a_load_while_events_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is loaded again, as after a take-over, has all events."""
    monkeypatch.setattr(segment_log, "FLUSH_EVENTS", 4)
    began, may_go_on, real = ThreadEvent(), ThreadEvent(), segment_log.write_index

    def write_index(path: Path, index: SegmentIndex, end: bytes) -> None:
        began.set()
        may_go_on.wait()
        real(path, index, end)

    monkeypatch.setattr(segment_log, "write_index", write_index)
    store, topic = SqliteStore(tmp_path, fsync=False), Topic()
    await store.load()
    await store.commit(topic.batch_of_events(4))
    await asyncio.to_thread(began.wait)
    await store.commit(topic.batch_of_events(1))
    loading = asyncio.create_task(store.load())
    await asyncio.wait([loading], timeout=0.1)
    assert store.history.last_number == 5
    assert len(store.history.find(Question()).events) == 5
    may_go_on.set()
    await loading
    await store._flushes.finish()
    assert kept(store._file) == happened(topic)
    await store.close()


def test_no_room_for_a_segment(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then events stay in the database, and nothing is lost."""
    file, topic = opened(tmp_path), Topic()
    file.commit(topic.apply(topic.with_events(topic.put(job(1)))))
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path).fill()
        file.close()
    assert rows(tmp_path) == 1
    assert kept(opened(tmp_path)) == happened(topic)


async def test_a_database_of_version_3(opened: Open, tmp_path: Path) -> None:
    """One without events is migrated: records stay, and numbers begin with 1."""
    topic = await filled(both(Mode.SQLITE), tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as database:
        database.execute("DROP TABLE events")
        database.execute("PRAGMA user_version = 3")
    assert await load_once(both(Mode.SQLITE), tmp_path) == topic.stored()
    file = opened(tmp_path)
    file.commit(topic.apply(topic.with_events(topic.put(job(20)))))
    assert kept(file) == happened(topic)


def test_a_start_keeps_the_newest_apart(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill all events are there, of which a start decodes only the newest."""
    monkeypatch.setattr("sanic_dispatch.storage.segment_log.DECODED_AT_START", 3)
    file, topic = opened(tmp_path), Topic()
    for number in range(1, 6):
        file.commit(topic.apply(topic.with_events(topic.put(job(number), worker(number)))))
    killed = tmp_path / "killed"
    copytree(tmp_path, killed)
    again = opened(killed)
    assert list(again.history.newest(3)) == happened(topic)[-3:]
    assert kept(again) == happened(topic)
    again.close()
    file.close()


@pytest.mark.parametrize("column", ["last_n", "lines"])
def test_a_damaged_row(opened: Open, column: str, tmp_path: Path) -> None:
    """A row that lost a value, as by a flipped bit in the table's definition, is refused."""
    file, topic = opened(tmp_path), Topic()
    file.commit(topic.apply(topic.with_events(topic.put(job(1)))))
    file.close()
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as database:
        database.execute("ALTER TABLE events RENAME TO old")
        database.execute("CREATE TABLE events (last_n INTEGER, lines TEXT)")
        database.execute("INSERT INTO events SELECT * FROM old")
        database.execute("DROP TABLE old")
        database.execute(f"UPDATE events SET {column} = NULL")
        database.commit()
    with pytest.raises(NotAQueue, match="table events: a row is damaged"):
        opened(tmp_path)


def hide(path: Path, _: pytest.MonkeyPatch) -> Callable[[], object]:
    """Let the file be impossible to look at; return what mends it."""
    aside = path.rename(path.with_suffix(".aside"))
    path.symlink_to(path)
    return partial(aside.replace, path)


def lock(path: Path, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Let the file be impossible to open, as without descriptors; return what mends it."""
    real = sqlite3.connect

    def connect(name: str, **named: Any) -> sqlite3.Connection:
        return real(name.replace(DATABASE_NAME, "missing/file"), **named)

    patch.setattr(sqlite3, "connect", connect)
    return patch.undo


@pytest.mark.parametrize("fault", [hide, lock])
async def test_another_mode_waits_for_the_events(
    fault: Callable[[Path, pytest.MonkeyPatch], Callable[[], object]],
    opened: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database that cannot be opened now may have some: no other mode starts without them."""
    file, topic = opened(tmp_path), Topic()
    file.commit(topic.apply(topic.with_events(topic.put(job(1)))))
    killed = copytree(tmp_path, tmp_path / "killed")
    mend = fault(killed / DATABASE_NAME, monkeypatch)
    with pytest.raises(NotAQueue, match="cannot be read"):
        await load_once(both(Mode.CACHED_JSON_FILE), killed)
    mend()
    await load_once(both(Mode.CACHED_JSON_FILE), killed)
    with history_of(killed) as log:
        assert list(log.scan()) == happened(topic)
