"""The data folder: its lock, and checks of its paths and of whether it can be written to."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from sanic_dispatch.config.settings import TOPICS_FOLDER
from sanic_dispatch.errors import DataFolderInUse, DataFolderUnusable, StorageFailed
from sanic_dispatch.storage.atomic_file import fsync_folder, is_gone

LOCK = ".dispatch.lock"

INCOMPLETE_BACKUP = "backup.incomplete"
"""The file that is in the folder of a backup until the backup is whole."""

TEST_BLOCK = bytes(4096)
"""One block of zeros: an empty file can be made on a full disk."""


class DataFolder:
    """A folder that one process owns by an flock, which the kernel releases when it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def claim(self) -> None:
        """Lock the folder. Raises DataFolderUnusable or DataFolderInUse."""
        refuse_missing_folder(self.path)
        refuse_incomplete_backup(self.path)
        try:
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with NamedTemporaryFile(dir=self.path, prefix=".dispatch."):
                pass  # permissions are not enough: the file system may be read-only
        except BlockingIOError:
            self.release()
            raise DataFolderInUse(self.path) from None
        except OSError as error:
            self.release()
            raise DataFolderUnusable(self.path, f"is not writable: {error.strerror}") from error

    def release(self) -> None:
        """Unlock the folder; do nothing if it is not locked."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def make_topic_folder(folder: Path) -> None:
    """Create the folder of a named topic, unless it exists, in the service's data folder.

    It is synced in any case: a killed process may have created it. Raises DataFolderUnusable, also
    if the data folder is missing.
    """
    refuse_missing_folder(folder.parent.parent)
    try:
        for made in (folder.parent, folder):
            made.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(made.parent)
    except OSError as error:
        raise DataFolderUnusable(folder, f"cannot be created: {error.strerror}") from error


def topic_folders(folder: Path) -> dict[str, Path]:
    """Return the folders of the named topics in a service's data folder, by name."""
    return {path.name: path for path in sorted(folder.glob(f"{TOPICS_FOLDER}/*/"))}


def refuse_missing_folder(folder: Path) -> None:
    """Raise DataFolderUnusable unless there is a folder of this name.

    Raises OSError if that cannot be seen, where ``Path.is_dir`` is False since Python 3.14.
    """
    try:
        mode = folder.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataFolderUnusable(folder, "does not exist") from None
    if not stat.S_ISDIR(mode):
        raise DataFolderUnusable(folder, "is no folder")


def refuse_incomplete_backup(folder: Path) -> None:
    """Raise DataFolderUnusable if the folder has a backup that is not whole."""
    if not is_gone(folder / INCOMPLETE_BACKUP):
        raise DataFolderUnusable(folder, "the backup in it is incomplete")


class Anchor:
    """Checks that paths still lead to the same files and folders (device and inode).

    Renaming the data folder takes the open files along. Writes would then go to the renamed folder,
    be missing after a restart, and a second dispatcher could start on a new folder of the old name.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Remember the identity of each path that exists, independent of the working folder."""
        real = [os.path.realpath(path) for path in paths]
        found = {path: _identity(path) for path in real}
        self._identities = {path: identity for path, identity in found.items() if identity}

    def check(self) -> None:
        """Raise OSError (ESTALE) if one of the paths is gone or leads to another file."""
        for path, identity in self._identities.items():
            if _identity(path) != identity:
                raise OSError(errno.ESTALE, "It was taken away or replaced", path)


def write_test_file(folder: Path) -> None:
    """Write, sync and delete a temporary file. Raises OSError."""
    with NamedTemporaryFile(dir=folder, prefix=".dispatch.") as file:
        file.write(TEST_BLOCK)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def reporting_write_errors() -> Iterator[None]:
    """Turn an OSError in the block into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"nothing can be written: {error}") from error


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
