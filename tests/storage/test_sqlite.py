"""The database: one transaction per batch, and no other program's file is taken for ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.errors import NotAQueue, OutcomeUnknown, StartError, StorageFailed
from sanic_dispatch.storage import sqlite
from sanic_dispatch.storage.check import inspect
from sanic_dispatch.storage.sqlite import SqliteFile
from sanic_dispatch.storage.store import Stored
from tests.storage.samples import Topic, both, filled, in_order, job, load_once, worker
from tests.support.disk_faults import cannot_be_looked_at

NAME = "dispatch.sqlite3"


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A folder with a database with records of every kind."""
    await filled(both(Mode.SQLITE), tmp_path)
    return tmp_path


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / NAME)) as connection, connection:
        yield connection


async def refused(folder: Path) -> str:
    """Check that opening is refused and the file is unchanged; return the reason."""
    before = (folder / NAME).read_bytes()
    with pytest.raises(NotAQueue) as caught:
        await load_once(both(Mode.SQLITE), folder)
    assert (folder / NAME).read_bytes() == before
    return caught.value.reason


async def test_nothing_else_is_left(folder: Path) -> None:
    """After a clean stop there is one file, and no log."""
    assert names_in(folder) == {NAME, ".dispatch.lock"}


def test_a_transaction_is_whole(tmp_path: Path) -> None:
    """If a statement fails, nothing of the batch is stored, and the next batch succeeds."""
    store = SqliteFile(tmp_path / NAME)
    store.load()
    topic = Topic()
    bad = job(2)._replace(ticket=2**70)
    with pytest.raises(StorageFailed):
        store.commit(topic.put(job(1), Fact("paused", True), bad))
    assert store.load() == Stored([], [], [])
    store.commit(topic.apply(topic.put(job(1))))
    assert in_order(store.load()) == topic.stored()
    store.close()


async def test_one_process_at_a_time(folder: Path) -> None:
    """While it is open other processes cannot even read it, since that could damage the log."""
    script = f"""
import sqlite3
sqlite3.connect({str(folder / NAME)!r}, timeout=0).execute("SELECT 1 FROM jobs")
"""
    store = SqliteFile(folder / NAME)
    store.load()
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE
    )
    assert b"database is locked" in (await other.communicate())[1]
    store.close()


async def test_always_synced(folder: Path) -> None:
    """The log is synced at every commit; with fsync off, never."""
    for fsync, expected in ((True, 2), (False, 0)):
        store = SqliteFile(folder / NAME, fsync=fsync)
        connection = store._database()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (expected,)
        store.close()


async def test_only_the_owner_can_read_the_file(folder: Path) -> None:
    """The file has mode 600."""
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600


async def test_a_later_version(folder: Path) -> None:
    """A file of a later version is refused with both versions."""
    with database(folder) as connection:
        connection.execute("PRAGMA user_version = 5")
    assert await refused(folder) == "it has version 5, but this program knows only up to 4"


async def test_another_programs_database(folder: Path) -> None:
    """Another program's database is refused."""
    with database(folder) as connection:
        connection.execute("PRAGMA application_id = 7")
    assert await refused(folder) == "is another program's database"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"[]", "file is not a database"),
        (b"SQLite format 3\0", "file is not a database"),
        (b"\0" * 8192, "file is not a database"),
    ],
)
async def test_no_database(folder: Path, content: bytes, reason: str) -> None:
    """A file that is not a database, or empty, is refused."""
    (folder / NAME).write_bytes(content)
    assert reason in await refused(folder)


async def test_a_folder_or_pipe_in_place_of_the_file(folder: Path) -> None:
    """It is refused at once."""
    (folder / NAME).unlink()
    for make in (os.mkdir, os.mkfifo):
        make(folder / NAME)
        with pytest.raises(NotAQueue, match="no regular file"):
            await load_once(both(Mode.SQLITE), folder)
        (os.rmdir if make is os.mkdir else os.unlink)(folder / NAME)


async def test_a_link_to_nothing(tmp_path: Path) -> None:
    """A link that leads nowhere is refused."""
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAQueue, match="is a link that leads nowhere"):
        SqliteFile(tmp_path / NAME).load()
    (report,) = inspect(tmp_path).files
    assert (report.file, report.damage) == (NAME, "is a link that leads nowhere")
    assert os.listdir(tmp_path) == [NAME]


async def test_a_database_that_cannot_be_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing fault of the disk, at any look, puts no new database in its place."""
    before = await load_once(both(Mode.SQLITE), folder)
    for after in range(8):
        with monkeypatch.context() as faulty, suppress(OSError, StartError):
            cannot_be_looked_at(faulty, NAME, after=after, times=1)
            assert await load_once(both(Mode.SQLITE), folder) == before
        assert await load_once(both(Mode.SQLITE), folder) == before


async def test_truncated_anywhere(folder: Path) -> None:
    """A truncated file is refused, wherever it was cut."""
    content = (folder / NAME).read_bytes()
    for length in range(0, len(content), 251):
        (folder / NAME).write_bytes(content[:length])
        assert await refused(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE jobs SET record = '{' WHERE id LIKE '%2'", "table jobs, row '3c6ef372"),
        ("UPDATE jobs SET record = '{}' WHERE id LIKE '%2'", "'id' is missing"),
        ("UPDATE jobs SET record = record || ' 1' WHERE id LIKE '%2'", "something follows"),
        ("UPDATE jobs SET id = 'other' WHERE id LIKE '%2'", "the record has the id '3c6ef372"),
        ("UPDATE jobs SET record = NULL WHERE id LIKE '%2'", "table jobs, row '3c6ef372"),
        ("UPDATE workers SET place = ''", "its place is ''"),
        (
            "UPDATE jobs SET ticket = 70 WHERE id LIKE '%2'",
            "its ticket is 70, and the record says 2",
        ),
        ("UPDATE jobs SET record = replace(record, '\"ticket\":2', '\"x\":1')", "says 0"),
        (
            "INSERT INTO jobs SELECT 90, id, replace(record, '\"ticket\":2', '\"ticket\":90')"
            " FROM jobs WHERE id LIKE '%2'",
            "table jobs: an id is there twice",
        ),
        ("INSERT INTO workers SELECT place + 9, id, record FROM workers", "an id is there twice"),
        ("UPDATE facts SET record = '7' WHERE id = 'secret'", "secret cannot be 7"),
        ("DROP TABLE workers", "no such table: workers"),
    ],
)
async def test_a_row_that_cannot_be_read(folder: Path, change: str, reason: str) -> None:
    """It is refused with its table and id."""
    with database(folder) as connection:
        connection.execute(change)
    assert reason in await refused(folder)


def test_an_interrupted_creation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An incomplete database never has the real name, and the next start makes a new one."""

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(NotAQueue, match="Input/output error"):
            SqliteFile(tmp_path / NAME).load()
    assert os.listdir(tmp_path) == [f".{NAME}.new"]
    store = SqliteFile(tmp_path / NAME)
    assert store.load() == Stored([], [], [])
    store.close()


class FailingConnection:
    """A connection whose commits fail with an error of SQLite."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self.times = 1

    def execute(self, statement: str) -> Any:
        if statement == "COMMIT" and self.times:
            self.times -= 1
            if self._name == "SQLITE_NOMEM":
                raise MemoryError
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = self._name
            raise error
        return self._connection.execute(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_FULL", StorageFailed),
        ("SQLITE_IOERR_WRITE", StorageFailed),
        ("SQLITE_IOERR_FSYNC", OutcomeUnknown),
        ("SQLITE_IOERR", OutcomeUnknown),
        ("SQLITE_NOMEM", OutcomeUnknown),
    ],
)
def test_a_commit_that_fails(name: str, kind: type[Exception], folder: Path) -> None:
    """After a failed sync the outcome is unknown; the file is reopened before the repeat."""
    store = SqliteFile(folder / NAME)
    topic = Topic()
    for record in (stored := store.load()).jobs + stored.workers + stored.facts:
        topic.apply(topic.put(record))
    topic.restarted()
    store._opened = before = FailingConnection(store._database(), name)  # type: ignore[assignment]
    batch = topic.put(job(20), worker(20))
    with pytest.raises(kind):
        store.commit(batch)
    store.commit(topic.apply(batch))
    assert (store._opened is before) is (kind is StorageFailed)
    assert in_order(store.load()) == topic.stored()
    store.close()


class NoMemory(FailingConnection):
    """A connection without memory to change anything, or to roll it back."""

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "ROLLBACK" and self.times:
            raise MemoryError
        return self._connection.execute(statement, *values)

    def executemany(self, statement: str, rows: Any) -> Any:
        if self.times:
            raise MemoryError
        return self._connection.executemany(statement, rows)


def test_a_batch_that_cannot_be_rolled_back(folder: Path) -> None:
    """It is before the next one, which would be refused within its transaction."""
    store, topic = SqliteFile(folder / NAME), Topic()
    store.load()
    store._opened = exhausted = NoMemory(store._database(), "")  # type: ignore[assignment]
    with pytest.raises((StorageFailed, MemoryError)):
        store.commit(topic.put(job(20)))
    exhausted.times = 0
    store.commit(topic.put(job(21)))
    stored = store.load().jobs
    assert (job(20) in stored, job(21) in stored) == (False, True)
    store.close()


def test_not_ready_while_the_outcome_is_unknown(folder: Path) -> None:
    """Nothing is written to a log whose sync has failed, until it was opened again."""
    store, batch = SqliteFile(folder / NAME), Topic().put(job(20))
    store.load()
    store._opened = FailingConnection(store._database(), "SQLITE_IOERR_FSYNC")  # type: ignore[assignment]
    with pytest.raises(OutcomeUnknown):
        store.commit(batch)
    with pytest.raises(StorageFailed, match="outcome is unknown"):
        store.try_writing()
    store.commit(batch)
    store.try_writing()
    store.close()


def test_a_load_while_the_outcome_is_unknown(folder: Path) -> None:
    """The file is opened anew, and the outcome is what is read: the batch is not repeated."""
    store, batch = SqliteFile(folder / NAME), Topic().put(job(20))
    store.load()
    store._opened = before = FailingConnection(store._database(), "SQLITE_IOERR_FSYNC")  # type: ignore[assignment]
    with pytest.raises(OutcomeUnknown):
        store.commit(batch)
    assert job(20) not in store.load().jobs
    assert store._opened is not before
    store.try_writing()
    store.commit(Topic().put(job(21)))
    assert {job(20), job(21)}.intersection(store.load().jobs) == {job(21)}
    store.close()


def test_a_repeat_that_certainly_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome stays unknown: the first attempt, whose sync failed, may be durable, as here."""
    store = SqliteFile(folder / NAME)
    store.load()
    real, opened = store._reopen, store._database()
    monkeypatch.setattr(store, "_opened", FailingConnection(opened, "SQLITE_IOERR_FSYNC"))
    batch = Topic().put(job(20))
    with pytest.raises(OutcomeUnknown):
        store.commit(batch)
    opened.execute("BEGIN")
    sqlite._apply_changes(opened, batch.changes)
    opened.execute("COMMIT")
    monkeypatch.setattr(store, "_reopen", lambda: FailingConnection(real(), "SQLITE_FULL"))
    with pytest.raises(OutcomeUnknown):
        store.commit(batch)
    monkeypatch.setattr(store, "_reopen", real)
    store.commit(batch)
    assert job(20) in store.load().jobs
    store.close()


def test_a_file_that_cannot_be_opened_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome stays unknown until it can; the log is missing since closing has removed it."""
    store, batch = SqliteFile(folder / NAME), Topic().put(job(20))
    store.load()
    store._opened = FailingConnection(store._database(), "SQLITE_IOERR_FSYNC")  # type: ignore[assignment]
    with pytest.raises(OutcomeUnknown):
        store.commit(batch)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_checkpoint_log", _fail)
        with pytest.raises(OutcomeUnknown):
            store.commit(batch)
    assert not (folder / f"{NAME}-wal").exists()
    store.commit(batch)
    assert job(20) in store.load().jobs
    store.close()


def _fail(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


@pytest.fixture
def crashed(folder: Path) -> Iterator[Path]:
    """Return a copy of a folder whose last batch is only in the log."""
    store, topic = SqliteFile(folder / NAME), Topic()
    store.load()
    store.commit(topic.put(job(20)))
    copied = folder / "crashed"
    copied.mkdir()
    for path in folder.glob(f"{NAME}*"):
        shutil.copy(path, copied)
    yield copied
    store.close()


def test_a_log_without_its_database(crashed: Path) -> None:
    """The log has acknowledged batches, so no new database is created beside it."""
    (crashed / NAME).unlink()
    before = names_in(crashed)
    with pytest.raises(NotAQueue, match="is missing, but its write-ahead log is there"):
        SqliteFile(crashed / NAME).load()
    (report,) = inspect(crashed).files
    assert (report.file, report.damage) == (NAME, "is missing, but its write-ahead log is there")
    assert names_in(crashed) == before


def test_a_log_is_worked_in_first(crashed: Path) -> None:
    """What a killed process wrote is made durable before anything else."""
    assert (crashed / f"{NAME}-wal").stat().st_size
    store = SqliteFile(crashed / NAME)
    assert job(20) in store.load().jobs
    assert (crashed / f"{NAME}-wal").stat().st_size == 0
    store.close()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
