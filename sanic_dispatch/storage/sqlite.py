"""Sqlite: one database file, one connection, one transaction for each batch."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Fact, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import InvalidJson, NotAQueue, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.atomic_file import PRIVATE, fsync_folder, refuse_link_to_nothing
from sanic_dispatch.storage.blocking import Threaded
from sanic_dispatch.storage.data_folder import LOCK, Anchor
from sanic_dispatch.storage.entries import ANY_JOB, WORKERS, Kind, R
from sanic_dispatch.storage.records import (
    UNREADABLE,
    decode_fact,
    described,
    encode_fact,
    encode_job,
    encode_worker,
    order_of,
)
from sanic_dispatch.storage.store import Batch, Edit, Stored
from sanic_dispatch.strict_json import check, one_entry

DATABASE_NAME = "dispatch.sqlite3"

VERSION = 3
"""Version 1 found rows by id, version 2 by place; both had finished jobs in another table."""

APPLICATION_ID = 0x6A6F6273
"""``jobs`` in ASCII: tells our files from other programs' ones."""

TABLES = (
    "CREATE TABLE jobs (ticket INTEGER, id TEXT, record TEXT, PRIMARY KEY (ticket, id))"
    " WITHOUT ROWID",
    "CREATE TABLE workers (place REAL, id TEXT, record TEXT, PRIMARY KEY (place, id))"
    " WITHOUT ROWID",
    "CREATE TABLE facts (id TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID",
)

NOT_WRITTEN = (
    "SQLITE_FULL",
    "SQLITE_IOERR_WRITE",
    "SQLITE_BUSY",
    "SQLITE_READONLY",
    "SQLITE_TOOBIG",
)
"""Errors of a commit after which nothing of it is in the log as a whole."""


class SqliteStore(Threaded):
    """The database of a data folder."""

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        super().__init__(SqliteFile(folder / DATABASE_NAME, fsync=fsync))


class SqliteFile:
    """The same, blocking. All tables are in one file, with a write-ahead log that is always synced.

    Jobs are kept, and found, by their tickets and workers by their places: what comes in stands at
    the end, beside the row before. The file belongs to this connection alone while it is open:
    SQLite before 3.51.3 can damage the log when several connections write.
    """

    rereads = False

    def __init__(self, path: Path, *, fsync: bool = True) -> None:
        self._given = path
        self._path = Path(os.path.realpath(path))
        self._fsync = fsync
        self._opened: sqlite3.Connection | None = None
        self._anchor = Anchor(())
        self._is_unknown = False
        """Whether nobody knows if the last transaction is durable."""

    def load(self) -> Stored:
        """Read everything. Raises NotAQueue."""
        database = self._database()
        jobs, workers = self._jobs(database), self._workers(database)
        for name, records in (("jobs", jobs), ("workers", workers)):
            if len({record.id for record in records}) < len(records):
                raise NotAQueue(self._path, f"table {name}: an id is there twice")
        jobs.sort(key=lambda job: (job.state.is_final, order_of(job)))
        return Stored(jobs, workers, self._facts(database))

    def commit(self, batch: Batch) -> None:
        """Make all changes in one transaction."""
        try:
            self._anchor.check()
            database = self._reopened() if self._is_unknown else self._database()
            database.execute("BEGIN IMMEDIATE")
        except (OSError, NotAQueue, sqlite3.Error) as error:
            raise self._failure(error) from error
        try:
            _make(database, batch.changes)
        except BaseException as error:
            _roll_back(database)
            raise self._failure(error) from error
        try:
            database.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(database)
            self._is_unknown = error.sqlite_errorname not in NOT_WRITTEN
            raise self._failure(error) from error
        self._is_unknown = False

    def refresh(self) -> Edit | None:
        return None

    def check_unedited(self) -> None:
        """Nobody else can write to the database while it is open."""

    def try_writing(self) -> None:
        """Write the version that is there already: a transaction as any other."""
        try:
            self._anchor.check()
            self._database().execute(f"PRAGMA user_version = {VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise StorageFailed(f"nothing can be written: {error}") from error

    def close(self) -> None:
        """Close the file; the log is worked in."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _failure(self, error: BaseException) -> Exception:
        kind = OutcomeUnknown if self._is_unknown else StorageFailed
        return kind(f"the change could not be written: {error}")

    # ---- opening

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            with self._reading():
                self._opened = self._open()
                self._anchor = Anchor(self._must_stay())
        return self._opened

    def _reopened(self) -> sqlite3.Connection:
        """Open the file anew: what its log has is in the file then, and what is lost is lost.

        A log that could not be synced is never synced again.
        """
        if self._opened is not None:
            with suppress(sqlite3.Error):
                self._opened.close()
            self._opened = None
        return self._database()

    def _open(self) -> sqlite3.Connection:
        refuse_link_to_nothing(self._given)
        if not os.path.lexists(self._path):
            if _log_of(self._path).exists():
                raise NotAQueue(self._path, "is missing, and its log is there")
            _create(self._path, fsync=self._fsync)
        _check_file(self._path)
        database = _connected(self._path)
        try:
            version = _check_database(self._path, database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {'FULL' if self._fsync else 'OFF'}")
            _work_log_in(self._path, database)
            if version < VERSION:
                self._migrate(database)
        except BaseException:
            database.close()
            raise
        return database

    def _must_stay(self) -> Sequence[Path]:
        return self._path, _log_of(self._path), self._path.parent / LOCK

    def _migrate(self, database: sqlite3.Connection) -> None:
        """Copy what version 1 or 2 has into tables of this one, in one transaction."""
        database.execute("BEGIN IMMEDIATE")
        try:
            for name in ("jobs", "workers", "finished", "facts"):
                database.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
            for table in TABLES:
                database.execute(table)
            for name in ("finished", "jobs"):  # a job that is in both is in the queue
                database.executemany(
                    "REPLACE INTO jobs VALUES (?, ?, CAST(? AS TEXT))",
                    self._old_jobs(database, name),
                )
            query = "SELECT place, id, record FROM old_workers ORDER BY place"
            database.execute(f"INSERT INTO workers {query}")
            database.execute("INSERT INTO facts SELECT id, record FROM old_facts")
            for name in ("jobs", "workers", "finished", "facts"):
                database.execute(f"DROP TABLE old_{name}")
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
        except BaseException:
            _roll_back(database)
            raise

    def _old_jobs(
        self, database: sqlite3.Connection, name: str
    ) -> Iterator[tuple[int, str, bytes]]:
        rows = database.execute(f"SELECT id, CAST(record AS BLOB) FROM old_{name} ORDER BY place")
        for row_id, stored in rows:
            job = self._record(name, ANY_JOB, row_id, stored)
            if job.state.is_final is not (name == "finished"):
                reason = f"table {name}, row {row_id!r}: a job that is {job.state} is not there"
                raise NotAQueue(self._path, reason)
            if not job.ticket:
                raise NotAQueue(self._path, f"table {name}, row {row_id!r}: it has no ticket")
            yield job.ticket, job.id, stored

    # ---- reading

    def _jobs(self, database: sqlite3.Connection) -> list[Job]:
        query = "SELECT ticket, id, CAST(record AS BLOB) FROM jobs ORDER BY ticket"
        jobs = []
        with self._reading():
            for ticket, row_id, stored in database.execute(query):
                job = self._record("jobs", ANY_JOB, row_id, stored)
                if job.ticket != ticket:  # it would not be found when it is changed
                    reason = f"its ticket is {ticket!r}, and the record says {job.ticket}"
                    raise NotAQueue(self._path, f"table jobs, row {row_id!r}: {reason}")
                jobs.append(job)
        return jobs

    def _workers(self, database: sqlite3.Connection) -> list[Worker]:
        query = "SELECT place, id, CAST(record AS BLOB) FROM workers ORDER BY place"
        workers = []
        with self._reading():
            for place, row_id, stored in database.execute(query):
                worker = self._record("workers", WORKERS, row_id, stored)
                if not isinstance(place, float):
                    reason = f"table workers, row {row_id!r}: its place is {place!r}"
                    raise NotAQueue(self._path, reason)
                workers.append(worker._replace(place=place))
        return workers

    def _facts(self, database: sqlite3.Connection) -> list[Fact]:
        facts = []
        with self._reading():
            query = "SELECT id, CAST(record AS BLOB) FROM facts"
            for name, stored in database.execute(query):
                try:
                    facts.append(decode_fact(name, check(stored)))
                except (*UNREADABLE, InvalidJson) as error:
                    reason = f"table facts, row {name!r}: {described(error)}"
                    raise NotAQueue(self._path, reason) from error
        return facts

    def _record(self, table: str, kind: Kind[R], row_id: str, stored: bytes) -> R:
        try:
            record = kind.read(one_entry(stored, kind.find), 1).record
            if record.id != row_id:
                raise ValueError(f"the record has the id {record.id!r}")
        except (*UNREADABLE, InvalidJson) as error:
            reason = f"table {table}, row {row_id!r}: {described(error)}"
            raise NotAQueue(self._path, reason) from error
        return record

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise NotAQueue(self._path, f"cannot be read: {error}") from error


def _make(database: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Take out what is gone or stands elsewhere now, then put in what is new or has changed."""
    jobs_out, jobs_in, workers_out, workers_in, facts_out, facts_in = [], [], [], [], [], []
    for change in changes:
        before, after = change.before, change.after
        if isinstance(before, Job) and (after is None or _row_of(before) != _row_of(after)):
            jobs_out.append(_row_of(before))
        elif isinstance(before, Worker) and (after is None or _row_of(before) != _row_of(after)):
            workers_out.append(_row_of(before))
        elif change.table is Table.FACTS and after is None:
            facts_out.append((change.id,))
        if isinstance(after, Job):
            jobs_in.append((*_row_of(after), encode_job(after)))
        elif isinstance(after, Worker):
            workers_in.append((*_row_of(after), encode_worker(after)))
        elif isinstance(after, Fact):
            facts_in.append((after.id, encode_fact(after)))
    for statement, rows in (
        ("DELETE FROM jobs WHERE ticket = ? AND id = ?", jobs_out),
        ("DELETE FROM workers WHERE place = ? AND id = ?", workers_out),
        ("DELETE FROM facts WHERE id = ?", facts_out),
        ("REPLACE INTO jobs VALUES (?, ?, CAST(? AS TEXT))", jobs_in),
        ("REPLACE INTO workers VALUES (?, ?, CAST(? AS TEXT))", workers_in),
        ("REPLACE INTO facts VALUES (?, CAST(? AS TEXT))", facts_in),
    ):
        if rows:
            database.executemany(statement, rows)


def _row_of(record: object) -> tuple[float, str]:
    """Where a record stands: a job by its ticket, a worker by its place."""
    if isinstance(record, Job):
        return record.ticket, record.id
    assert isinstance(record, Worker)
    return record.place, record.id


def _roll_back(database: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        if database.in_transaction:
            database.execute("ROLLBACK")


def _create(path: Path, *, fsync: bool) -> None:
    """Make an empty database, under another name first: the right one is never a half-made one."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT, PRIVATE))
    database = _connected(new)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    for table in TABLES:
        database.execute(table)
    database.close()
    new.rename(path)
    if fsync:
        fsync_folder(path.parent)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    return database


def _work_log_in(path: Path, database: sqlite3.Connection) -> None:
    """Sync what a killed process had written, perhaps unsynced, before others act on it.

    From then on the log is a file, too.
    """
    database.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens the log
    is_busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise NotAQueue(path, "its log cannot be worked in")


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise NotAQueue(path, "is no regular file")
    if path.stat().st_size == 0:
        raise NotAQueue(path, "is empty")


def _check_database(path: Path, database: sqlite3.Connection) -> int:
    """Return its version, which is one that this program knows."""
    if _pragma(database, "application_id") != APPLICATION_ID:
        raise NotAQueue(path, "is another program's database")
    version: int = _pragma(database, "user_version")
    if not 1 <= version <= VERSION:
        raise NotAQueue(path, f"it has version {version}, and this program knows {VERSION}")
    if (result := _pragma(database, "quick_check")) != "ok":
        raise NotAQueue(path, f"is damaged: {result}")
    return version


def _pragma(database: sqlite3.Connection, name: str) -> Any:
    return database.execute(f"PRAGMA {name}").fetchone()[0]
