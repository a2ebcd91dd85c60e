"""The database file: one transaction a commit, and no other program's file taken for ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.sqlite import SqliteStore
from sanic_dispatch.queues.store import Change, Shelf
from sanic_dispatch.settings import Mode
from tests.queues.kit import Bench, Gate, both, done, held, job, worker

NAME = "dispatch.sqlite3"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A database with two waiting jobs, a finished one, and a worker."""
    bench = Bench(both(Mode.SQLITE), tmp_path)
    await bench.open()
    for number in (1, 2, 3):
        stored = await bench.pairs.jobs.enqueue(job(number))
    await bench.pairs.jobs.finish(done(held(stored, worker(3))))
    await bench.pairs.workers.enqueue(worker(1))
    yield bench
    await bench.close()


@contextmanager
def database(bench: Bench) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(bench.folder / NAME)) as connection, connection:
        yield connection


async def refused(bench: Bench) -> str:
    """Opening is refused, and the file is what it was. The reason."""
    before = (bench.folder / NAME).read_bytes()
    with pytest.raises(NotAQueue) as caught:
        await bench.open()
    await bench.close()
    assert (bench.folder / NAME).read_bytes() == before
    return caught.value.reason


async def test_both_queues_share_the_store(bench: Bench) -> None:
    """One file, one connection, one thread; and nothing else is left in the folder."""
    assert bench.stores.jobs is bench.stores.workers
    await bench.close()
    assert os.listdir(bench.folder) == [NAME]


async def test_finishing_is_one_transaction(bench: Bench) -> None:
    """Out of the queue and in among the finished: in one write."""
    gate = bench.stores.jobs
    assert isinstance(gate, Gate)
    before = gate.writes
    first = (await bench.pairs.jobs.items())[0]
    await bench.pairs.jobs.finish(done(held(first, worker(1))))
    assert gate.writes == before + 1


def test_a_transaction_is_whole(tmp_path: Path) -> None:
    """When one of its statements fails nothing of it is there, and the next write works."""
    store = SqliteStore(tmp_path / NAME)
    store.load(Shelf.FACTS)
    good = Change(Shelf.FACTS, "paused", None, 0.0, b"true")
    bad = Change(Shelf.FACTS, 2**70, None, 0.0)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        store.write([good, bad])
    assert store.load(Shelf.FACTS) == []
    store.write([good])
    assert [row.record.value for row in store.load(Shelf.FACTS)] == [True]
    store.close()


async def test_one_process_at_a_time(bench: Bench) -> None:
    """While it is open nobody else can even read it: several connections can damage the log."""
    script = f"""
import sqlite3
sqlite3.connect({str(bench.folder / NAME)!r}, timeout=0).execute("SELECT 1 FROM jobs")
"""
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE
    )
    assert b"database is locked" in (await other.communicate())[1]


async def test_always_synced(bench: Bench) -> None:
    """A write-ahead log, synced at every commit; with fsync switched off never."""
    await bench.close()
    for fsync, expected in ((True, 2), (False, 0)):
        store = SqliteStore(bench.folder / NAME, fsync=fsync)
        connection = store._database()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (expected,)
        store.close()


async def test_the_owner_only(bench: Bench) -> None:
    """Nobody but the owner can read the file."""
    await bench.close()
    assert (bench.folder / NAME).stat().st_mode & 0o777 == 0o600


async def test_a_later_version(bench: Bench) -> None:
    """A file of a later version is refused with both versions named."""
    await bench.close()
    with database(bench) as connection:
        connection.execute("PRAGMA user_version = 3")
    assert await refused(bench) == "it has version 3, and this program knows 2"


async def test_an_earlier_version(bench: Bench) -> None:
    """A file of version 1 is taken over as it is, and changes of it last."""
    expected = [await bench.pairs.jobs.items(), await bench.pairs.workers.items()]
    await bench.close()
    with database(bench) as connection:
        for shelf in Shelf:
            connection.execute(f"ALTER TABLE {shelf} RENAME TO renamed")
            connection.execute(
                f"CREATE TABLE {shelf} (id TEXT PRIMARY KEY, place REAL, record TEXT)"
            )
            connection.execute(f"INSERT INTO {shelf} SELECT * FROM renamed ORDER BY id DESC")
            connection.execute("DROP TABLE renamed")
        connection.execute("PRAGMA user_version = 1")
    await bench.open()
    assert [await bench.pairs.jobs.items(), await bench.pairs.workers.items()] == expected
    await bench.pairs.jobs.finish(done(held(expected[0][0], worker(9))))
    await bench.close()
    with database(bench) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        made = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema")]
    assert len(made) == len(Shelf)
    assert all(sql.endswith("WITHOUT ROWID") for sql in made)
    await bench.open()
    assert await bench.pairs.jobs.items() == expected[0][1:]


async def test_another_programs_database(bench: Bench) -> None:
    """A database that is not ours is refused."""
    await bench.close()
    with database(bench) as connection:
        connection.execute("PRAGMA application_id = 7")
    assert await refused(bench) == "is another program's database"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"[]", "file is not a database"),
        (b"SQLite format 3\0", "file is not a database"),
        (b"\0" * 8192, "file is not a database"),
    ],
)
async def test_no_database(bench: Bench, content: bytes, reason: str) -> None:
    """A file that is no database is refused, and so is an empty one."""
    await bench.close()
    (bench.folder / NAME).write_bytes(content)
    assert reason in await refused(bench)


async def test_no_file_at_all(bench: Bench) -> None:
    """A folder or a pipe in the place of the file is refused at once."""
    await bench.close()
    (bench.folder / NAME).unlink()
    for make in (os.mkdir, os.mkfifo):
        make(bench.folder / NAME)
        with pytest.raises(NotAQueue, match="no regular file"):
            await bench.open()
        await bench.close()
        (os.rmdir if make is os.mkdir else os.unlink)(bench.folder / NAME)


async def test_a_link_to_nothing(tmp_path: Path) -> None:
    """A link whose disk is not mounted is no empty queue."""
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAQueue, match="is a link that leads nowhere"):
        SqliteStore(tmp_path / NAME).load(Shelf.JOBS)
    assert os.listdir(tmp_path) == [NAME]


async def test_truncated_anywhere(bench: Bench) -> None:
    """A file that was cut off is refused, wherever it was cut off."""
    await bench.close()
    content = (bench.folder / NAME).read_bytes()
    for length in range(0, len(content), 251):
        (bench.folder / NAME).write_bytes(content[:length])
        assert await refused(bench)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE jobs SET record = '{' WHERE id LIKE '%2'", "table jobs, row '0"),
        ("UPDATE jobs SET record = '{}' WHERE id LIKE '%2'", "'id' is missing"),
        ("UPDATE jobs SET record = record || ' 1' WHERE id LIKE '%2'", "something follows"),
        ("UPDATE jobs SET id = 'other' WHERE id LIKE '%2'", "the record has the id '0"),
        ("UPDATE jobs SET record = NULL WHERE id LIKE '%2'", "table jobs, row '0"),
        ("UPDATE jobs SET place = '' WHERE id LIKE '%2'", "its place is ''"),
        ("UPDATE jobs SET place = 7 WHERE id LIKE '%2'", "its place is 7.0, and the record says 2"),
        ("UPDATE jobs SET record = replace(record, ',\"ticket\":2', '')", "it has no ticket"),
        ("INSERT INTO workers SELECT id, 9, record FROM workers", "an id is there twice"),
        ("UPDATE facts SET record = '7' WHERE id = 'secret'", "secret cannot be 7"),
        ("UPDATE finished SET record = (SELECT record FROM jobs)", "table finished"),
        ("DROP TABLE workers", "no such table: workers"),
    ],
)
async def test_a_row_that_cannot_be_read(bench: Bench, change: str, reason: str) -> None:
    """A row that is no record is refused with its table and id."""
    await bench.close()
    with database(bench) as connection:
        connection.execute(change)
    assert reason in await refused(bench)


async def test_a_start_that_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-made database never has the real name, and the next start makes a whole one."""

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    bench = Bench(both(Mode.SQLITE), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(NotAQueue, match="Input/output error"):
            await bench.open()
    await bench.close()
    assert os.listdir(tmp_path) == [f".{NAME}.new"]
    await bench.open()
    assert await bench.pairs.jobs.items() == []
    await bench.close()


def test_a_place_that_is_taken(tmp_path: Path) -> None:
    """Nothing is ever written over another record: the transaction fails, and all of it."""
    store = SqliteStore(tmp_path / NAME)
    first, second = Row.of(job(1).numbered(1)), Row.of(job(2).numbered(1))
    store.write([Change(Shelf.JOBS, first.record.id, None, 1, first.stored)])
    with pytest.raises(sqlite3.IntegrityError):
        store.write([Change(Shelf.JOBS, second.record.id, None, 1, second.stored)])
    assert [row.record.id for row in store.load(Shelf.JOBS)] == [first.record.id]
    store.close()


def test_places_that_change_hands(tmp_path: Path) -> None:
    """Two records can change places in one transaction."""
    store = SqliteStore(tmp_path / NAME)
    rows = [Row.of(worker(n)._replace(place=float(n))) for n in (1, 2)]
    store.write([Change(Shelf.WORKERS, r.record.id, None, r.place, r.stored) for r in rows])
    store.write([Change(Shelf.WORKERS, r.record.id, r.place, 3 - r.place, r.stored) for r in rows])
    found = store.load(Shelf.WORKERS)
    assert [row.record.id for row in found] == [r.record.id for r in reversed(rows)]
    store.close()


async def test_a_log_without_its_database(bench: Bench) -> None:
    """What is in the log was acknowledged; a new database would swallow it, or be spoilt by it."""
    crashed = bench.folder / "crashed"
    crashed.mkdir()
    shutil.copy(bench.folder / f"{NAME}-wal", crashed)
    store = SqliteStore(crashed / NAME)
    with pytest.raises(NotAQueue, match="is missing, and its log is there"):
        store.load(Shelf.JOBS)
    assert os.listdir(crashed) == [f"{NAME}-wal"]


async def test_a_log_is_worked_in_first(bench: Bench) -> None:
    """What a killed process had written is made durable before anybody acts on it."""
    crashed = bench.folder / "crashed"
    crashed.mkdir()
    for path in bench.folder.glob(f"{NAME}*"):
        shutil.copy(path, crashed)
    assert (crashed / f"{NAME}-wal").stat().st_size
    store = SqliteStore(crashed / NAME)
    assert len(store.load(Shelf.JOBS)) == 2
    assert (crashed / f"{NAME}-wal").stat().st_size == 0
    store.close()
