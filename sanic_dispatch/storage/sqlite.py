"""The mode Sqlite: one database file, one connection, one transaction per batch.

The newest events are in the table ``events``, a row for each batch, in its transaction. When they
are many, and at a clean stop, a second thread moves them to segments; the next transaction deletes
their rows. To index events in the database would cost more CPU than all else of an order.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ujson

from sanic_dispatch import strict_json
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Fact, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import InvalidJson, NotAQueue, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.atomic_file import (
    PRIVATE,
    fsync_file,
    fsync_folder,
    is_gone,
    refuse_link_to_nothing,
)
from sanic_dispatch.storage.blocking import ThreadedStore
from sanic_dispatch.storage.data_folder import LOCK, Anchor
from sanic_dispatch.storage.entries import ANY_JOB, WORKERS, Kind, R
from sanic_dispatch.storage.event_log import KEEP_ALL, Rest, Retention
from sanic_dispatch.storage.event_record import join_lines, recorded
from sanic_dispatch.storage.record_json import (
    UNREADABLE,
    decode_fact,
    describe_error,
    encode_fact,
    encode_job,
    encode_worker,
    in_queue_order,
)
from sanic_dispatch.storage.segment_log import EventRow, SegmentLog
from sanic_dispatch.storage.store import Batch, DatabaseCopy, Stored

DATABASE_NAME = "dispatch.sqlite3"

VERSION = 4
"""The schema's version. 3 had no events; 1 and 2 had other keys, and finished jobs apart."""

APPLICATION_ID = 0x6A6F6273
"""``jobs`` in ASCII; tells our databases from other programs'."""

EVENTS_TABLE = "CREATE TABLE events (last_n INTEGER PRIMARY KEY, lines TEXT)"
"""The events of each batch as a JSON array, by the number of the last one."""

TABLES = (
    "CREATE TABLE jobs (ticket INTEGER, id TEXT, record TEXT, PRIMARY KEY (ticket, id))"
    " WITHOUT ROWID",
    "CREATE TABLE workers (place REAL, id TEXT, record TEXT, PRIMARY KEY (place, id))"
    " WITHOUT ROWID",
    "CREATE TABLE facts (id TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID",
)

DELETE_MOVED = "DELETE FROM events WHERE last_n <= ? AND last_n < (SELECT max(last_n) FROM events)"
"""Deletes the rows of events that are in segments, but for the last row: it says the last number,
also if its segment is lost."""

NOT_WRITTEN = (
    "SQLITE_FULL",
    "SQLITE_IOERR_WRITE",
    "SQLITE_BUSY",
    "SQLITE_READONLY",
    "SQLITE_TOOBIG",
)
"""Errors of COMMIT after which the write-ahead log certainly has no complete transaction."""

WITHOUT_EVENTS = ("SQLITE_ERROR", "SQLITE_NOTADB", "SQLITE_CORRUPT")
"""What the names of errors begin with that say: no table of events is there, or it is damaged."""

CACHE_KB = 500
"""SQLite's cache of pages, whose default is 2 MB. Batches are written to the ends of the B-trees,
so with 100,000 jobs waiting they take the same CPU time."""

STEP_PAGES = 64
"""How many pages of 4 KB one step of a backup copies; a commit waits for that."""

STEP_RETRY_S = 0.001
"""How long a step of a backup waits for a commit."""


class SqliteStore(ThreadedStore):
    """Stores records in the SQLite database of a data folder."""

    def __init__(
        self, folder: Path, *, fsync: bool = True, retention: Retention = KEEP_ALL
    ) -> None:
        self._file = SqliteFile(folder / DATABASE_NAME, fsync=fsync, retention=retention)
        super().__init__(self._file)

    def copy_database(self, folder: Path, rest: Rest) -> DatabaseCopy | None:
        return self._file.copy_to(folder / DATABASE_NAME, rest)


class SqliteFile:
    """The blocking part of SqliteStore: one file in WAL mode, synced at each commit.

    The primary keys begin with the ticket (jobs) or the place (workers), so that new rows are
    appended to the B-tree. The connection locks the file exclusively: SQLite before 3.51.3 can
    damage the write-ahead log if several connections write.
    """

    def __init__(self, path: Path, *, fsync: bool = True, retention: Retention = KEEP_ALL) -> None:
        self.history = SegmentLog(path.parent, fsync=fsync, retention=retention)
        self._deleted_n = 0
        """The number of the last event whose row was deleted, since it is in a segment."""
        self._link = path
        self._path = Path(os.path.realpath(path))
        self._fsync = fsync
        self._opened: sqlite3.Connection | None = None
        self._anchor = Anchor(())
        self._outcome_is_unknown = False
        """Whether the last transaction may or may not be durable."""

    def load(self) -> Stored:
        """Return all records, with the last batch if that has become durable. Raises NotAQueue."""
        database = self._reopen() if self._outcome_is_unknown else self._database()
        self._outcome_is_unknown = False
        jobs, workers = self._jobs(database), self._workers(database)
        for name, records in (("jobs", jobs), ("workers", workers)):
            if len({record.id for record in records}) < len(records):
                raise NotAQueue(self._path, f"table {name}: an id is there twice")
        self._load_history(database, jobs)
        return Stored(in_queue_order(jobs), workers, self._facts(database))

    def _load_history(self, database: sqlite3.Connection, jobs: Sequence[Job]) -> None:
        """Find the segments, and add the events of the table, with what their jobs have."""
        with self._reading():
            rows = database.execute("SELECT last_n, CAST(lines AS BLOB) FROM events ORDER BY 1")
            found = rows.fetchall()
            if not all(isinstance(n, int) and isinstance(lines, bytes) for n, lines in found):
                raise NotAQueue(self._path, "table events: a row is damaged")
            self.history.load(found[-1][0] if found else 0)
        self.history.add_rows([EventRow(*row) for row in found], jobs)

    def commit(self, batch: Batch) -> None:
        """Apply all changes in one transaction, with the events."""
        events = [recorded(event) for event in batch.events]
        flushed_n = self.history.flushed_n
        try:
            self._anchor.check()
            database = self._reopen() if self._outcome_is_unknown else self._database()
            _roll_back(database)  # what an earlier batch could not roll back
            database.execute("BEGIN IMMEDIATE")
        except (OSError, NotAQueue, sqlite3.Error) as error:
            raise self._error_for(error) from error
        try:
            _apply_changes(database, batch.changes)
            if events:
                row = (events[-1].n, join_lines(events))
                database.execute("REPLACE INTO events VALUES (?, CAST(? AS TEXT))", row)
            if flushed_n > self._deleted_n:
                database.execute(DELETE_MOVED, (flushed_n,))
        except BaseException as error:
            _roll_back(database)
            raise self._error_for(error) from error
        try:
            database.execute("COMMIT")
        except Exception as error:  # sqlite3 makes a MemoryError of SQLITE_NOMEM
            # an earlier attempt that is unknown may be durable, whatever became of this one
            self._outcome_is_unknown |= getattr(error, "sqlite_errorname", "") not in NOT_WRITTEN
            _roll_back(database)
            raise self._error_for(error) from error
        self._outcome_is_unknown = False
        self._deleted_n = flushed_n
        self.history.add(events)

    def try_writing(self) -> None:
        """Set the version to the same value, which is a durable transaction."""
        if self._outcome_is_unknown:  # a log whose sync failed is never synced again
            raise StorageFailed("nothing can be written: the last transaction's outcome is unknown")
        try:
            self._anchor.check()
            self._database().execute(f"PRAGMA user_version = {VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise StorageFailed(f"nothing can be written: {error}") from error

    def erase(self) -> None:
        """Erase older records: rewrite the database with the present ones, and truncate its log.

        ``secure_delete`` overwrites a deleted row, but not the copies that are left in free space
        when rows move to other pages of the B-tree. Raises StorageFailed.
        """
        if self._outcome_is_unknown:
            raise StorageFailed("the outcome of the last transaction is unknown")
        try:
            self._anchor.check()
            database = self._database()
            database.execute("PRAGMA temp_store = MEMORY")  # no copy in a folder for such files
            try:
                database.execute("VACUUM")
            finally:  # without room it fails, and leaves a log that has taken all there was
                _checkpoint_log(self._path, database)
        except (OSError, NotAQueue, sqlite3.Error) as error:
            raise StorageFailed(f"the database could not be written anew: {error}") from error

    def close(self) -> None:
        """Move the events to a segment, checkpoint the write-ahead log and close the file."""
        if self._opened is not None:
            with suppress(OSError, sqlite3.Error):  # then the next start ignores the rows
                self._anchor.check()
                if self.history.unflushed and self.history.try_flush():
                    self._opened.execute(DELETE_MOVED, (self.history.flushed_n,))
            self._opened.close()
            self._opened = None

    def copy_to(self, path: Path, rest: Rest) -> DatabaseCopy:
        """Copy the database, as of the end of a transaction, by SQLite's online backup.

        Runs in another thread than commits: between two steps others take place, and SQLite brings
        the copy up to date. Raises StorageFailed or OSError.
        """
        database = self._opened
        if database is None:
            raise StorageFailed("the database is not open")

        def step(*_: int) -> None:
            if database is not self._opened:
                raise sqlite3.OperationalError("it was opened anew meanwhile")
            rest()

        new = path.with_name(f".{path.name}.new")
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT, PRIVATE))
        try:
            with self.history.without_flush():
                flushed_n = self.history.flushed_n
                with closing(_connect(new)) as copy:
                    copy.execute("PRAGMA synchronous = OFF")  # the last step holds up commits
                    database.backup(copy, pages=STEP_PAGES, progress=step, sleep=STEP_RETRY_S)
            with closing(_connect(new)) as copy:
                jobs, workers = _count(copy, "jobs"), _count(copy, "workers")
                events = _count_events(copy, flushed_n, rest)
        except sqlite3.Error as error:
            raise StorageFailed(f"the database could not be copied: {error}") from error
        fsync_file(new)
        new.rename(path)
        fsync_folder(path.parent)
        return DatabaseCopy(jobs, workers, events, flushed_n)

    def _error_for(self, error: BaseException) -> Exception:
        kind = OutcomeUnknown if self._outcome_is_unknown else StorageFailed
        return kind(f"the change could not be written: {error}")

    # ---- opening

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            with self._reading():
                self._opened = self._open()
                lock = self._path.parent / LOCK
                self._anchor = Anchor((self._path, _log_of(self._path), lock))
        return self._opened

    def _reopen(self) -> sqlite3.Connection:
        """Close and open the file, which recovers what the write-ahead log durably has.

        A log whose sync failed is never synced again.
        """
        if self._opened is not None:
            self._anchor = Anchor((self._path, self._path.parent / LOCK))  # closing removes the log
            with suppress(sqlite3.Error):
                self._opened.close()
            self._opened = None
        return self._database()

    def _open(self) -> sqlite3.Connection:
        refuse_link_to_nothing(self._link)
        if is_gone(self._path):
            if not is_gone(_log_of(self._path)):
                raise NotAQueue(self._path, "is missing, but its write-ahead log is there")
            _create(self._path, fsync=self._fsync)
        _check_file(self._path)
        database = _connect(self._path)
        try:
            version = _check_database(self._path, database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            database.execute(f"PRAGMA synchronous = {'FULL' if self._fsync else 'OFF'}")
            _checkpoint_log(self._path, database)
            if version < VERSION:
                self._migrate(database, version)
        except BaseException:
            database.close()
            raise
        return database

    def _migrate(self, database: sqlite3.Connection, version: int) -> None:
        """Migrate an older version to the current schema, in one transaction."""
        database.execute("BEGIN IMMEDIATE")
        try:
            if version < 3:
                self._migrate_records(database)
            database.execute(EVENTS_TABLE)
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
        except BaseException:
            _roll_back(database)
            raise

    def _migrate_records(self, database: sqlite3.Connection) -> None:
        """Migrate the records of version 1 or 2."""
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
                if job.ticket != ticket:  # a change would not find the row
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
                    facts.append(decode_fact(name, strict_json.parse(stored)))
                except (*UNREADABLE, InvalidJson) as error:
                    reason = f"table facts, row {name!r}: {describe_error(error)}"
                    raise NotAQueue(self._path, reason) from error
        return facts

    def _record(self, table: str, kind: Kind[R], row_id: str, stored: bytes) -> R:
        try:
            record = kind.read(stored, 1)
            if record.id != row_id:
                raise ValueError(f"the record has the id {record.id!r}")
        except (*UNREADABLE, InvalidJson) as error:
            reason = f"table {table}, row {row_id!r}: {describe_error(error)}"
            raise NotAQueue(self._path, reason) from error
        return record

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise NotAQueue(self._path, f"cannot be read: {error}") from error


def recover_events(folder: Path, *, fsync: bool, retention: Retention = KEEP_ALL) -> None:
    """Move the events that only the database of a folder has to segments, for another mode.

    A killed process leaves some, and so does a backup. Do nothing in a folder without a database of
    ours with events. Raises NotAQueue, or StorageFailed if the segments cannot be written.
    """
    path = folder / DATABASE_NAME
    last = _last_event(path)
    if not last:
        return
    file = SqliteFile(path, fsync=fsync, retention=retention)
    try:
        file.history.load()
        if last > file.history.flushed_n:
            file.load()
            file.history.flush()
    except OSError as error:
        raise StorageFailed(f"the history cannot be moved: {error.strerror}") from error
    finally:
        file.close()


def _last_event(path: Path) -> int:
    """Return the number of the last event in a database, 0 if it has none or is not ours.

    Raises NotAQueue if it cannot be opened now: its events would be passed over for good.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return 0
        with closing(_connect(Path(os.path.realpath(path)))) as database:
            return database.execute("SELECT max(last_n) FROM events").fetchone()[0] or 0
    except FileNotFoundError:
        return 0
    except (OSError, sqlite3.Error) as error:
        if getattr(error, "sqlite_errorname", "").startswith(WITHOUT_EVENTS):
            return 0
        raise NotAQueue(path, f"cannot be read: {error}") from error


def _count(database: sqlite3.Connection, table: str) -> int:
    count: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


def _count_events(database: sqlite3.Connection, flushed_n: int, rest: Rest) -> int:
    """Return how many events in the database are in no segment."""
    count = 0
    query = "SELECT CAST(lines AS BLOB) FROM events WHERE last_n > ?"
    for (lines,) in database.execute(query, (flushed_n,)):
        count += sum(event[0] > flushed_n for event in ujson.loads(lines))
        rest()
    return count


def _apply_changes(database: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Delete the rows of removed records and of those whose key changed, then upsert the others."""
    jobs_out, jobs_in, workers_out, workers_in, facts_out, facts_in = [], [], [], [], [], []
    for change in changes:
        before, after = change.before, change.after
        if isinstance(before, Job) and (after is None or _row_key(before) != _row_key(after)):
            jobs_out.append(_row_key(before))
        elif isinstance(before, Worker) and (after is None or _row_key(before) != _row_key(after)):
            workers_out.append(_row_key(before))
        elif change.table is Table.FACTS and after is None:
            facts_out.append((change.id,))
        if isinstance(after, Job):
            jobs_in.append((*_row_key(after), encode_job(after)))
        elif isinstance(after, Worker):
            workers_in.append((*_row_key(after), encode_worker(after)))
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


def _row_key(record: object) -> tuple[float, str]:
    """Return the primary key of a record's row: ticket or place, and id."""
    if isinstance(record, Job):
        return record.ticket, record.id
    assert isinstance(record, Worker)
    return record.place, record.id


def _roll_back(database: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error, MemoryError):
        if database.in_transaction:
            database.execute("ROLLBACK")


def _create(path: Path, *, fsync: bool) -> None:
    """Create an empty database under a temporary name, and rename it once it is complete."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT, PRIVATE))
    database = _connect(new)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    for table in (EVENTS_TABLE, *TABLES):
        database.execute(table)
    database.close()
    new.rename(path)
    if fsync:
        fsync_folder(path.parent)


@contextmanager
def opened_copy(folder: Path) -> Iterator[SqliteFile]:
    """Open a copy of the database in this folder: to open the database itself would change it.

    Raises OSError, and NotAQueue of the database in this folder if the block does.
    """
    with TemporaryDirectory(prefix="sanic-dispatch-") as copies:
        copy_closed(folder / DATABASE_NAME, Path(copies))
        copy = SqliteFile(Path(copies) / DATABASE_NAME, fsync=False)
        try:
            yield copy
        except NotAQueue as error:
            raise NotAQueue(folder / DATABASE_NAME, error.reason) from error
        finally:
            copy.close()


def copy_closed(database: Path, folder: Path) -> None:
    """Copy a database, with its logs, into a folder. Nobody may have it open. Raises OSError.

    A link is followed: SQLite has the logs beside the file itself, and names them after it.
    """
    real = os.path.realpath(database)
    for log in ("", "-wal", "-journal"):
        with suppress(FileNotFoundError):
            shutil.copy(f"{real}{log}", folder / f"{database.name}{log}")


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA secure_delete = ON")
    return database


def _checkpoint_log(path: Path, database: sqlite3.Connection) -> None:
    """Checkpoint the write-ahead log, which syncs what a killed process may have left unsynced.

    Afterwards the log file exists, so that an Anchor can check it.
    """
    database.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens the log
    is_busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise NotAQueue(path, "its write-ahead log cannot be checkpointed")


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise NotAQueue(path, "is no regular file")
    if path.stat().st_size == 0:
        raise NotAQueue(path, "is empty")


def _check_database(path: Path, database: sqlite3.Connection) -> int:
    """Return the schema's version. Raises NotAQueue if it is unknown or the file is damaged."""
    if _pragma(database, "application_id") != APPLICATION_ID:
        raise NotAQueue(path, "is another program's database")
    version: int = _pragma(database, "user_version")
    if not 1 <= version <= VERSION:
        raise NotAQueue(
            path, f"it has version {version}, but this program knows only up to {VERSION}"
        )
    if (result := _pragma(database, "quick_check")) != "ok":
        raise NotAQueue(path, f"is damaged: {result}")
    return version


def _pragma(database: sqlite3.Connection, name: str) -> Any:
    return database.execute(f"PRAGMA {name}").fetchone()[0]
