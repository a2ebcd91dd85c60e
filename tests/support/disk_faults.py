"""Faults of a disk: each system call that changes it can be counted, failed, or be the last.

Nothing is really synced: what a kill leaves does not depend on that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "write", "writev", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "fchmod")
"""The calls by which the stores change a disk; ``open`` only if it creates or truncates a file."""


def cannot_be_looked_at(
    patch: pytest.MonkeyPatch, name: str = "", *, after: int = 0, times: int = 10**9
) -> None:
    """Fail so many looks at what has this name, or any, after so many of them."""
    seen, real = 0, os.lstat

    def lstat(path: Any, **named: Any) -> os.stat_result:
        nonlocal seen
        is_meant = name in ("", os.path.basename(path))
        seen += is_meant
        if is_meant and after < seen <= after + times:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, **named)

    patch.setattr(os, "lstat", lstat)
    patch.setattr(Path, "lstat", lstat)


def bad_sector(patch: pytest.MonkeyPatch, first: int = 700, end: int = 800) -> None:
    """Let no ``pread`` get these bytes of any file: one that begins before them ends there."""
    real = os.pread

    def pread(descriptor: int, length: int, at: int) -> bytes:
        if first <= at < end:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, min(length, first - at) if at < first else length, at)

    patch.setattr(os, "pread", pread)


class Killed(BaseException):
    """The process was killed at this call."""


class Disk:
    """Counts the calls, and lets, fails or ends each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.calls: list[str] = []
        self.before: Callable[[int, str, Path | None], None] = lambda number, name, path: None
        self.after: Callable[[str], None] = lambda name: None
        self._folder = str(folder.resolve())
        for name in CALLS:
            monkeypatch.setattr(os, name, self._seam(name, getattr(os, name)))
        monkeypatch.setattr(Path, "unlink", _unlink)
        monkeypatch.setattr(Path, "replace", lambda old, new: os.rename(old, new))
        monkeypatch.setattr("sanic_dispatch.storage.journal.sync_data", lambda fd: os.fdatasync(fd))

    def fail(self, wanted: str, *, after: int = 0, times: int = 1, code: int = errno.EIO) -> None:
        """Fail the next calls of this name, after so many of them."""
        seen = 0

        def before(_: int, name: str, path: Path | None) -> None:
            nonlocal seen
            if name == wanted:
                seen += 1
                if after < seen <= after + times:
                    raise OSError(code, os.strerror(code))

        self.before = before

    def exhaust(self, wanted: str, *, after: int = 0) -> None:
        """Have no memory left once such a call was made, after so many of them."""
        seen = 0

        def exhausted(name: str) -> None:
            nonlocal seen
            if name == wanted:
                seen += 1
                if seen == after + 1:
                    raise MemoryError

        self.after = exhausted

    def fill(self) -> None:
        """Have no room: calls that need some fail."""

        def before(_: int, name: str, path: Path | None) -> None:
            if name in ("open", "write", "writev"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.before = before

    def kill_at(self, number: int) -> None:
        """Be killed before the call of this number, counted from 0; ignore later calls."""

        def before(now: int, name: str, path: Path | None) -> None:
            if now >= number:
                raise Killed

        self.before = before

    def heal(self) -> None:
        """Let every call through again."""
        self.before = lambda number, name, path: None
        self.after = lambda name: None

    def _seam(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            path = self._path(name, args)
            if path is not None:
                self.calls.append(name)
                self.before(len(self.calls) - 1, name, path)
            made = None if "sync" in name else real(*args, **named)
            if path is not None:
                self.after(name)
            return made

        return call

    def _path(self, name: str, args: tuple[Any, ...]) -> Path | None:
        """Return the path of a call, if it changes something in the folder."""
        if name == "open":
            if not args[1] & (os.O_CREAT | os.O_TRUNC):
                return None
            path = str(args[0])
        elif isinstance(args[0], int):
            try:
                path = os.readlink(f"/proc/self/fd/{args[0]}")
            except OSError:
                return None
        else:
            path = str(args[0])
        return Path(path) if path.startswith(self._folder) else None


def _unlink(path: Path, missing_ok: bool = False) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise
