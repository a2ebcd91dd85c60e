"""The store of the mode Sqlite: one database file, one connection, one transaction a commit."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.queues.atomic_file import PRIVATE, fsync_folder, refuse_link_to_nothing
from sanic_dispatch.queues.folder import LOCK, Anchor
from sanic_dispatch.queues.store import FINDERS, UNREADABLE, Change, Row, Shelf, described
from sanic_dispatch.strict_json import check, one_entry

VERSION = 1
APPLICATION_ID = 0x6A6F6273
"""``jobs`` in ASCII: tells our files from other programs' ones."""


class SqliteStore:
    """All shelves in one file, a table each; durable by a write-ahead log that is always synced.

    The file belongs to this connection alone while it is open: SQLite before 3.51.3 can damage
    the log when several connections write.
    """

    rereads = False

    def __init__(self, path: Path, *, fsync: bool = True) -> None:
        self._given = path
        self._path = Path(os.path.realpath(path))
        self._fsync = fsync
        self._opened: sqlite3.Connection | None = None
        self._anchor = Anchor(())

    def load(self, shelf: Shelf) -> list[Row]:
        """All rows of a table in order. Raises NotAQueue."""
        query = f"SELECT rowid, id, place, CAST(record AS BLOB) FROM {shelf} ORDER BY place"
        rows = []
        with self._reading():
            indexed = self._indexed(shelf)
            for number, row_id, place, stored in self._database().execute(query):
                if indexed.pop(number, None) != row_id:
                    raise NotAQueue(self._path, f"table {shelf}, row {row_id!r}: its index differs")
                rows.append(self._row(shelf, row_id, place, stored))
        if indexed:
            raise NotAQueue(self._path, f"table {shelf}: its index has {len(indexed)} rows more")
        return rows

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """Nothing is kept in memory."""

    def write(self, changes: Sequence[Change]) -> None:
        """Make all changes in one transaction, or raise sqlite3.Error or OSError and make none."""
        database = self._database()
        self._anchor.check()
        database.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                _make(database, change)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def try_writing(self) -> None:
        """The version that is there already: a transaction as any other."""
        database = self._database()
        self._anchor.check()
        database.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Close the file; the log is worked in."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            with self._reading():
                self._opened = self._open()
                self._anchor = Anchor(self._must_stay())
        return self._opened

    def _open(self) -> sqlite3.Connection:
        refuse_link_to_nothing(self._given)
        if not os.path.lexists(self._path):
            if _log_of(self._path).exists():
                raise NotAQueue(self._path, "is missing, and its log is there")
            _create(self._path, fsync=self._fsync)
        _check_file(self._path)
        database = _connected(self._path)
        try:
            _check_database(self._path, database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {'FULL' if self._fsync else 'OFF'}")
            _work_log_in(self._path, database)
        except BaseException:
            database.close()
            raise
        return database

    def _must_stay(self) -> Sequence[Path]:
        return self._path, _log_of(self._path), self._path.parent / LOCK

    def _indexed(self, shelf: Shelf) -> dict[int, str]:
        """The ids by which rows are found when they are changed: quick_check does not look there,
        and integrity_check takes ten times as long as reading everything."""
        query = f"SELECT rowid, id FROM {shelf} INDEXED BY sqlite_autoindex_{shelf}_1"
        return dict(self._database().execute(query))

    def _row(self, shelf: Shelf, row_id: str, place: float, stored: bytes) -> Row:
        try:
            if shelf is Shelf.FACTS:
                return Row.fact(row_id, check(stored))
            if not isinstance(place, float):
                raise TypeError(f"its place is {place!r}")
            row = Row.read(shelf, one_entry(stored, FINDERS[shelf]), place)
            if row.record.id != row_id:
                raise ValueError(f"the record has the id {row.record.id!r}")
        except (*UNREADABLE, InvalidJson) as error:
            reason = f"table {shelf}, row {row_id!r}: {described(error)}"
            raise NotAQueue(self._path, reason) from error
        return row

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise NotAQueue(self._path, f"cannot be read: {error}") from error


def _make(database: sqlite3.Connection, change: Change) -> None:
    if change.place is None:
        database.execute(f"DELETE FROM {change.shelf} WHERE id = ?", (change.id,))
    else:
        database.execute(
            f"REPLACE INTO {change.shelf} VALUES (?, ?, CAST(? AS TEXT))",
            (change.id, change.place, change.stored),
        )


def _create(path: Path, *, fsync: bool) -> None:
    """Under another name first: a file of the right name is never a half-made one."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT, PRIVATE))
    database = _connected(new)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    for shelf in Shelf:
        database.execute(f"CREATE TABLE {shelf} (id TEXT PRIMARY KEY, place REAL, record TEXT)")
    database.close()
    new.rename(path)
    if fsync:
        fsync_folder(path.parent)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None)
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    return database


def _work_log_in(path: Path, database: sqlite3.Connection) -> None:
    """What a process that was killed had written, and perhaps not synced, is synced before it is
    read: from then on others act on it. The log is a file from now on, too."""
    database.execute("SELECT 1 FROM sqlite_schema").fetchone()  # opens the log
    is_busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise NotAQueue(path, "its log cannot be worked in")


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise NotAQueue(path, "is no regular file")
    if path.stat().st_size == 0:
        raise NotAQueue(path, "is empty")


def _check_database(path: Path, database: sqlite3.Connection) -> None:
    if _pragma(database, "application_id") != APPLICATION_ID:
        raise NotAQueue(path, "is another program's database")
    if (version := _pragma(database, "user_version")) != VERSION:
        raise NotAQueue(path, f"it has version {version}, and this program knows {VERSION}")
    if (result := _pragma(database, "quick_check")) != "ok":
        raise NotAQueue(path, f"is damaged: {result}")


def _pragma(database: sqlite3.Connection, name: str) -> object:
    return database.execute(f"PRAGMA {name}").fetchone()[0]
