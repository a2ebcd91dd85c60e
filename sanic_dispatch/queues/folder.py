"""The data folder: it must be there, be ours to write to, and belong to this process alone."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from sanic_dispatch.errors import DataFolderInUse, DataFolderUnusable


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
            self._lock = os.open(self.path / ".dispatch.lock", os.O_RDWR | os.O_CREAT, 0o600)
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
