"""Durable file operations: atomic replacement (write, fsync, rename), fsync and full writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from sanic_dispatch.errors import NotAQueue

PRIVATE = 0o600
"""The mode of new files: they hold people's names, and job ids, which are secrets."""

MAX_PIECES = 1024
"""How many buffers one writev may have (IOV_MAX on Linux and macOS)."""


class NameNotSynced(OSError):
    """The file was replaced but its folder not synced: a crash may bring the old file back."""


def replace_file(
    path: Path, pieces: Iterable[bytes], *, fsync: bool = True, pieces_per_call: int = MAX_PIECES
) -> None:
    """Replace a file atomically: write a new one, sync it, rename it, and sync the folder.

    The new file keeps the old one's mode; each writev gets ``pieces_per_call`` pieces. Raises
    NameNotSynced if only the last step failed, or another OSError, after which the old file is
    unchanged. A descriptor whose fsync failed is never synced again: the kernel has marked its
    pages clean, so a second fsync would succeed without writing them.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        _write_new(new, pieces, _mode_of(path), fsync, pieces_per_call)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    if fsync:
        try:
            fsync_folder(path.parent)
        except OSError as error:
            raise NameNotSynced(error.errno, error.strerror) from error


def is_gone(path: Path) -> bool:
    """Return whether there is nothing of this name; what cannot be looked at is there.

    ``os.path.lexists`` is False for every error: a file behind a fault of the disk would count as
    one that may be made anew.
    """
    try:
        path.lstat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def refuse_link_to_nothing(path: Path) -> None:
    """Raise NotAQueue for a dangling symbolic link.

    Its target may be on a disk that is not mounted, and a new file would be an empty queue.
    """
    if path.is_symlink() and not os.path.lexists(os.path.realpath(path)):
        raise NotAQueue(path, "is a link that leads nowhere")


def fsync_existing(path: Path) -> None:
    """Sync a file and its folder, which a killed process may have left unsynced.

    Raises NotAQueue.
    """
    try:
        fsync_file(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise NotAQueue(path, f"cannot be synced: {error.strerror}") from error


def fsync_file(path: Path) -> None:
    """Sync a file's content. Raises OSError."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(folder: Path) -> None:
    """Sync a folder, so that created, renamed and deleted names are durable."""
    _fsync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(
    new: Path, pieces: Iterable[bytes], mode: int, fsync: bool, pieces_per_call: int
) -> None:
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    try:
        os.fchmod(descriptor, mode)
        left = iter(pieces)
        while some := list(islice(left, pieces_per_call)):
            _write_pieces(descriptor, some)
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes, also if the system accepts only a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _write_pieces(descriptor: int, pieces: Sequence[bytes]) -> None:
    """Write pieces with one writev if possible: after each system call the thread needs the GIL."""
    written = os.writev(descriptor, pieces)
    if written < sum(map(len, pieces)):
        write_all(descriptor, b"".join(pieces)[written:])


def _mode_of(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return PRIVATE
