"""The store of the mode Sqlite: one database file, one connection, one transaction a commit."""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.queues.atomic_file import PRIVATE, fsync_folder, refuse_link_to_nothing
from sanic_dispatch.queues.folder import LOCK, Anchor
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import FINDERS, UNREADABLE, Change, Shelf, described, read_row
from sanic_dispatch.strict_json import check, one_entry

VERSION = 2
"""In version 1 a row was found by its id: at a long queue, each new one on another page."""

APPLICATION_ID = 0x6A6F6273
"""``jobs`` in ASCII: tells our files from other programs' ones."""


class SqliteStore:
    """All shelves in one file, a table each; durable by a write-ahead log that is always synced.

    A row is kept, and found, by its place: what comes in stands at the end, beside the row before.
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
        query = f"SELECT id, place, CAST(record AS BLOB) FROM {shelf} ORDER BY place"
        with self._reading():
            rows = [self._row(shelf, *found) for found in self._database().execute(query)]
        if len({row.record.id for row in rows}) < len(rows):
            raise NotAQueue(self._path, f"table {shelf}: an id is there twice")
        return rows

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """Nothing is kept in memory."""

    def write(self, changes: Sequence[Change]) -> None:
        """Make all changes in one transaction, or raise sqlite3.Error or OSError and make none."""
        database = self._database()
        self._anchor.check()
        database.execute("BEGIN IMMEDIATE")
        try:
            _make(database, changes)
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
            version = _check_database(self._path, database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {'FULL' if self._fsync else 'OFF'}")
            _work_log_in(self._path, database)
            if version < VERSION:
                _renew(database)
        except BaseException:
            database.close()
            raise
        return database

    def _must_stay(self) -> Sequence[Path]:
        return self._path, _log_of(self._path), self._path.parent / LOCK

    def _row(self, shelf: Shelf, row_id: str, place: float, stored: bytes) -> Row:
        try:
            if shelf is Shelf.FACTS:
                return Row.fact(row_id, check(stored))
            if not isinstance(place, float):
                raise TypeError(f"its place is {place!r}")
            row = read_row(shelf, one_entry(stored, FINDERS[shelf]), place)
            if row.record.id != row_id:
                raise ValueError(f"the record has the id {row.record.id!r}")
            if shelf is Shelf.JOBS and not row.record.ticket:
                raise ValueError("it has no ticket")
            if row.place != place:  # where it would not be found when it is changed
                raise ValueError(f"its place is {place}, and the record says {row.place}")
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


def _make(database: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """First all out, then all in: a place may go from one record to another.

    Of several changes of a fact the last one counts.
    """
    shelves: defaultdict[Shelf, dict[str, Change]] = defaultdict(dict)
    for change in changes:
        shelves[change.shelf][change.id] = change
    for shelf, last in shelves.items():
        database.executemany(
            f"DELETE FROM {shelf} WHERE place = ? AND id = ?",
            [(each.was, each.id) for each in last.values() if each.was is not None],
        )
        database.executemany(
            f"INSERT INTO {shelf} VALUES (?, ?, CAST(? AS TEXT))",
            [
                (each.id, each.place, each.stored)
                for each in last.values()
                if each.place is not None
            ],
        )


def _create(path: Path, *, fsync: bool) -> None:
    """Under another name first: a file of the right name is never a half-made one."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT, PRIVATE))
    database = _connected(new)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    _create_tables(database)
    database.close()
    new.rename(path)
    if fsync:
        fsync_folder(path.parent)


def _create_tables(database: sqlite3.Connection) -> None:
    for shelf in Shelf:
        key = "id" if shelf is Shelf.FACTS else "place"
        database.execute(
            f"CREATE TABLE {shelf}"
            f" (id TEXT, place REAL, record TEXT, PRIMARY KEY ({key})) WITHOUT ROWID"
        )


def _renew(database: sqlite3.Connection) -> None:
    """Copy what version 1 has into tables of this one."""
    database.execute("BEGIN IMMEDIATE")
    for shelf in Shelf:
        database.execute(f"ALTER TABLE {shelf} RENAME TO old_{shelf}")
    _create_tables(database)
    for shelf in Shelf:
        database.execute(f"INSERT INTO {shelf} SELECT * FROM old_{shelf} ORDER BY place")
        database.execute(f"DROP TABLE old_{shelf}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    database.execute("COMMIT")


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


def _check_database(path: Path, database: sqlite3.Connection) -> int:
    """Its version, which is one that this program knows."""
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
