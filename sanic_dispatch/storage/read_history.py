"""Read the event log of a data folder while no dispatcher runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

from sanic_dispatch.errors import DataFolderInUse, NoHistory, NotAQueue
from sanic_dispatch.storage.data_folder import (
    LOCK,
    DataFolder,
    refuse_incomplete_backup,
    refuse_missing_folder,
)
from sanic_dispatch.storage.event_log import EventLog
from sanic_dispatch.storage.event_record import Recorded, encode_event, recorded_again
from sanic_dispatch.storage.journal import all_journals_in
from sanic_dispatch.storage.read_json_folder import load_history, read_folder
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.snapshots import SNAPSHOT_SUFFIX
from sanic_dispatch.storage.sqlite import DATABASE_NAME, copy_closed, opened_copy


@contextmanager
def history_of(path: Path) -> Iterator[EventLog]:
    """Open the event log of a folder, in any mode; nothing but an index is written.

    After a kill the newest events are in journals or in the database. Raises DataFolderInUse while
    a dispatcher runs, DataFolderUnusable, NotAQueue, and NoHistory if there are no events.
    """
    folder = DataFolder(path)
    folder.claim()
    try:
        has_database = (path / DATABASE_NAME).is_file()
        if not ((path / FOLDER).is_dir() or all_journals_in(path) or has_database):
            raise NoHistory(path)
        found, log = read_folder(path), SegmentLog(path)
        load_history(log, found)
        if has_database:
            log.add(_events_in_database(path))
        yield log
    finally:
        folder.release()


@contextmanager
def history_left_alone(path: Path) -> Iterator[EventLog]:
    """Open the event log of a folder and write nothing there, which may be read-only.

    No dispatcher can start on the folder meanwhile. Raises as ``history_of``.
    """
    refuse_missing_folder(path)
    refuse_incomplete_backup(path)
    with _shared_lock(path), TemporaryDirectory(prefix="sanic-dispatch-") as name:
        mirror = Path(name)
        _mirror(path, mirror)
        try:
            with history_of(mirror) as log:
                yield log
        except NoHistory:
            raise NoHistory(path) from None
        except NotAQueue as error:
            where = error.path
            if where.is_relative_to(mirror):
                where = path / where.relative_to(mirror)
            raise NotAQueue(where, error.reason) from None


@contextmanager
def _shared_lock(path: Path) -> Iterator[None]:
    """Keep dispatchers from a folder. Raises DataFolderInUse."""
    if not (path / LOCK).exists():  # a backup
        yield
        return
    with (path / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderInUse(path) from None
        yield


def _mirror(path: Path, mirror: Path) -> None:
    """Make a folder with the same files: segments, which never change, are links to them.

    Snapshots are left out: they may be as long as all segments, and only a service reads them.
    """
    for each in path.iterdir():
        if each.is_file() and each.name != LOCK and not each.name.startswith(DATABASE_NAME):
            copy(each, mirror)
    if (path / DATABASE_NAME).is_file():
        copy_closed(path / DATABASE_NAME, mirror)
    if (path / FOLDER).is_dir():
        (mirror / FOLDER).mkdir()
        for each in (path / FOLDER).iterdir():
            if each.suffix == ".gz":
                (mirror / FOLDER / each.name).symlink_to(each.resolve())
            elif each.is_file() and each.suffix != SNAPSHOT_SUFFIX:
                copy(each, mirror / FOLDER)


def _events_in_database(path: Path) -> list[Recorded]:
    """Return the events that are in no segment yet, with what their jobs have."""
    with opened_copy(path) as database:
        database.load()
        found = database.history.events_with_payloads(0)
        return [recorded_again(event, encode_event(event), payload) for event, payload in found]
