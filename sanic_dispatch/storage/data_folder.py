"""The data folder: it must be there, be ours to write to, and belong to this process alone."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

from sanic_dispatch.errors import DataFolderInUse, DataFolderUnusable

LOCK = ".dispatch.lock"


class DataFolder:
    """A folder that one dispatcher owns, by a lock that goes with the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def claim(self) -> None:
        """Take the folder. Raises DataFolderUnusable or DataFolderInUse."""
        if not self.path.is_dir():
            reason = "is no folder" if self.path.exists() else "does not exist"
            raise DataFolderUnusable(self.path, reason)
        try:
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._try_writing()
        except BlockingIOError:
            self.release()
            raise DataFolderInUse(self.path) from None
        except OSError as error:
            self.release()
            raise DataFolderUnusable(self.path, f"is not writable: {error.strerror}") from error

    def _try_writing(self) -> None:
        """Permissions do not tell everything: root has them all, on a read-only disk too."""
        with NamedTemporaryFile(dir=self.path, prefix=".dispatch."):
            pass

    def release(self) -> None:
        """Give it up."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class Anchor:
    """Files, and folders, that must stay the ones that they are for as long as they are written to.

    A folder that is renamed takes an open database along, and lets a second dispatcher start on
    another one of its name: what is written from then on would not be there after a restart.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Those of these that are there now, whatever the working folder will be called."""
        real = [os.path.realpath(path) for path in paths]
        found = {path: _identity(path) for path in real}
        self._identities = {path: identity for path, identity in found.items() if identity}

    def check(self) -> None:
        """Raises OSError where one of them is gone, or another one stands in its place."""
        for path, identity in self._identities.items():
            if _identity(path) != identity:
                raise OSError(errno.ESTALE, "It was taken away or replaced", path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
