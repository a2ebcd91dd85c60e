"""Backups: a data folder with all records and events of a running topic, as of one moment.

A backup has the files of the JSON modes after a clean stop, or in the mode Sqlite the database; and
the event log. Until it is whole, its ``dispatch.json`` says that it is incomplete, and every start
and every tool refuses it. That file is replaced, or removed where there is a database, when all
others are synced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from threading import Event as Flag
from typing import NamedTuple

from sanic_dispatch.errors import FolderRefused
from sanic_dispatch.storage.atomic_file import fsync_folder, replace_file
from sanic_dispatch.storage.checkpoint import CheckpointFiles, Pace, Snapshot
from sanic_dispatch.storage.json_format import DISPATCH_NAME, INCOMPLETE
from sanic_dispatch.storage.store import Store


class Backup(NamedTuple):
    """The number of records and events in a backup, and its length.

    ``jobs`` are all jobs, also the finished ones that are still kept.
    """

    jobs: int
    workers: int
    events: int
    bytes: int


class BackupStopped(Exception):
    """The backup was called off."""


class StoppablePace(Pace):
    """A pace for work that another thread may call off."""

    def __init__(self) -> None:
        super().__init__()
        self._is_stopped = Flag()

    def stop(self) -> None:
        """Let the next ``rest`` raise BackupStopped."""
        self._is_stopped.set()

    def rest(self) -> None:
        """Sleep if it is time to. Raises BackupStopped."""
        if self._is_stopped.is_set():
            raise BackupStopped
        super().rest()


def write_backup(store: Store, snapshot: Snapshot, folder: Path, pace: StoppablePace) -> Backup:
    """Write a backup to an empty folder, and sync it; batches are committed meanwhile.

    ``snapshot`` has the records. Those in a database are copied as they are a moment later. Call
    this in a thread of its own. Raises OSError, StorageFailed or BackupStopped.
    """
    copied = store.copy_database(folder, pace.rest)
    last_n = copied.flushed_n if copied else snapshot.last_event
    events = store.history.copy_to(folder, last_n, pace.rest)
    if copied is None:
        CheckpointFiles(folder, fsync=True).write_all(snapshot, pace)
        return Backup(len(snapshot.jobs), len(snapshot.workers), events, _length_of(folder))
    (folder / DISPATCH_NAME).unlink()
    fsync_folder(folder)
    return Backup(copied.jobs, copied.workers, events + copied.events, _length_of(folder))


def _length_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def incomplete(folder: Path, data_dir: Path | None) -> Iterator[Path]:
    """Create the folder of a backup, or take an empty one, and mark it as incomplete.

    Yields its real path. If the block fails, everything in the folder is deleted. Raises OSError,
    and FolderRefused if it is in the data folder, not empty, or cannot be created.
    """
    real, is_new = _created(folder, data_dir)
    try:
        replace_file(real / DISPATCH_NAME, [INCOMPLETE])
        if is_new:
            fsync_folder(real.parent)
        yield real
    except BaseException:
        with suppress(OSError):  # then the mark stays
            _delete(real, is_new=is_new)
        raise


def _created(folder: Path, data_dir: Path | None) -> tuple[Path, bool]:
    """Return the folder's real path, and whether it is new. Raises FolderRefused."""
    if not folder.is_absolute():
        raise FolderRefused(folder, "is no absolute path")
    try:
        real = Path(os.path.realpath(folder))
        if data_dir is not None and real.is_relative_to(os.path.realpath(data_dir)):
            raise FolderRefused(folder, "is in the data folder")
        if not real.parent.is_dir():
            raise FolderRefused(folder, "its parent folder does not exist")
        is_new = not real.exists()
        if is_new:
            real.mkdir(0o700)
        elif not real.is_dir():
            raise FolderRefused(folder, "is no folder")
        elif any(real.iterdir()):
            raise FolderRefused(folder, "is not empty")
    except (OSError, ValueError) as error:  # ValueError: no path at all
        reason = getattr(error, "strerror", None) or str(error)
        raise FolderRefused(folder, f"cannot be created: {reason}") from error
    return real, is_new


def _delete(folder: Path, *, is_new: bool) -> None:
    """Delete what a backup has written, its mark last. Raises OSError."""
    for path in folder.iterdir():
        if path.is_dir():
            rmtree(path)
        elif path.name != DISPATCH_NAME:
            path.unlink()
    (folder / DISPATCH_NAME).unlink(missing_ok=True)
    if is_new:
        folder.rmdir()
