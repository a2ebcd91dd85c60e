"""Backups: a data folder with all records and events of a running topic, as of one moment.

A backup has the files of the JSON modes after a clean stop, or in the mode Sqlite the database; and
the event log. Until all of that is synced there is a file beside it, INCOMPLETE_BACKUP, and every
start and every tool refuses the folder. A new folder is there with that file or not at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Event as Flag
from typing import NamedTuple

from sanic_dispatch.errors import FolderRefused
from sanic_dispatch.storage.atomic_file import PRIVATE, fsync_folder
from sanic_dispatch.storage.checkpoint import CheckpointFiles, Pace, Snapshot
from sanic_dispatch.storage.data_folder import INCOMPLETE_BACKUP
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
    return Backup(copied.jobs, copied.workers, events + copied.events, _length_of(folder))


def _length_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def incomplete(folder: Path, data_dirs: Collection[Path]) -> Iterator[Path]:
    """Create the folder of a backup, or take an empty one; it is marked until the block ends.

    Yields its real path. If the block fails, everything in the folder is deleted. Raises OSError,
    and FolderRefused if it is in a data folder, not empty, or cannot be created.
    """
    real = _real_path(folder, data_dirs)
    is_new = not real.exists()
    if is_new:
        _create_marked(real, folder)
    else:
        _mark(real)
    try:
        fsync_folder(real.parent if is_new else real)
        yield real
        (real / INCOMPLETE_BACKUP).unlink()
        fsync_folder(real)
    except BaseException:
        with suppress(OSError):  # then the mark stays
            _delete(real, is_new=is_new)
        raise


def _real_path(folder: Path, data_dirs: Collection[Path]) -> Path:
    """Return the real path of a folder for a backup. Raises FolderRefused."""
    if not folder.is_absolute():
        raise FolderRefused(folder, "is no absolute path")
    with _refusing(folder):
        real = Path(os.path.realpath(folder))
        if any(real.is_relative_to(os.path.realpath(each)) for each in data_dirs):
            raise FolderRefused(folder, "is in the data folder")
        try:  # Path.exists would be False for every error since Python 3.14
            mode = real.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if not real.parent.is_dir():
                raise FolderRefused(folder, "its parent folder does not exist") from None
            return real
        if not stat.S_ISDIR(mode):
            raise FolderRefused(folder, "is no folder")
        if any(real.iterdir()):
            raise FolderRefused(folder, "is not empty")
    return real


def _create_marked(real: Path, folder: Path) -> None:
    """Create a folder in which the mark is from the beginning. Raises FolderRefused or OSError."""
    with _refusing(folder):
        new = Path(mkdtemp(prefix=".backup-", dir=real.parent))
    try:
        _mark(new)
        fsync_folder(new)
        new.rename(real)
    except BaseException:
        rmtree(new, ignore_errors=True)
        raise


def _mark(folder: Path) -> None:
    """Mark the backup in a folder as incomplete, unless it is marked. Raises OSError."""
    (folder / INCOMPLETE_BACKUP).touch(PRIVATE)


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """Raise FolderRefused if the block fails."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: no path at all
        reason = getattr(error, "strerror", None) or str(error)
        raise FolderRefused(folder, f"cannot be created: {reason}") from error


def _delete(folder: Path, *, is_new: bool) -> None:
    """Delete what a backup has written, its mark last. Raises OSError."""
    _mark(folder)  # the mark may be gone already
    for path in folder.iterdir():
        if path.is_dir():
            rmtree(path)
        elif path.name != INCOMPLETE_BACKUP:
            path.unlink()
    (folder / INCOMPLETE_BACKUP).unlink()
    if is_new:
        folder.rmdir()
