"""Files that are replaced as a whole: after a crash there is the old one or the new one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from sanic_dispatch.errors import NotAQueue

PRIVATE = 0o600
"""A new file is its owner's only: it holds names, and ids that open doors."""

MAX_PIECES = 1024
"""How many pieces one system call takes (Linux, macOS)."""


class NameNotSynced(OSError):
    """A file was replaced, and the folder could not be synced: after a crash it may be the old."""


def replace_file(
    path: Path, pieces: Iterable[bytes], *, fsync: bool = True, at_once: int = MAX_PIECES
) -> None:
    """Write a new file beside the old one, sync it, and rename it over the old one.

    It gets the old one's mode; ``at_once`` pieces go into one system call. Raises NameNotSynced, or
    another OSError: then the old file is as it was. A descriptor whose fsync failed is never used
    again: the kernel has marked its pages clean, so a second fsync would lie.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        _write_new(new, pieces, _mode_of(path), fsync, at_once)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    if fsync:
        try:
            fsync_folder(path.parent)
        except OSError as error:
            raise NameNotSynced(error.errno, error.strerror) from error


def refuse_link_to_nothing(path: Path) -> None:
    """Raise NotAQueue for a link that leads nowhere.

    Its target may be on a disk that is not mounted now, and a new file would be an empty queue.
    """
    if path.is_symlink() and not os.path.lexists(os.path.realpath(path)):
        raise NotAQueue(path, "is a link that leads nowhere")


def fsync_found(path: Path) -> None:
    """Sync a file that was found, and its name; a killed process may not have. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(new: Path, pieces: Iterable[bytes], mode: int, fsync: bool, at_once: int) -> None:
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    try:
        os.fchmod(descriptor, mode)
        left = iter(pieces)
        while some := list(islice(left, at_once)):
            _write_some(descriptor, some)
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes, however many the system takes at once."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _write_some(descriptor: int, pieces: Sequence[bytes]) -> None:
    """Write pieces in one system call as a rule: each one more is a wait for Python's lock."""
    written = os.writev(descriptor, pieces)
    if written < sum(map(len, pieces)):
        write_all(descriptor, b"".join(pieces)[written:])


def _mode_of(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return PRIVATE
