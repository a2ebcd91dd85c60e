"""Files that are replaced as a whole: after a crash there is the old one or the new one."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from sanic_dispatch.errors import NotAQueue

PRIVATE = 0o600
"""A new file is its owner's only: it holds names, and ids that open doors."""

MAX_PIECES = 1024
"""How many pieces one system call takes (Linux, macOS)."""


def replace_file(path: Path, pieces: Sequence[bytes], *, fsync: bool = True) -> None:
    """Write a new file beside the old one, make it durable, and let it take the old one's place.

    It gets the old one's mode. Raises OSError; then the old file is as it was. A descriptor whose
    fsync failed is never used again: the kernel has marked its pages clean, so a second fsync
    would lie.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        _write_new(new, pieces, _mode_of(path), fsync)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    if fsync:
        fsync_folder(path.parent)


def refuse_link_to_nothing(path: Path) -> None:
    """Raises NotAQueue for a link that leads nowhere: its target may be on a disk that is not
    there now, and a new file would be an empty queue."""
    if path.is_symlink() and not os.path.lexists(os.path.realpath(path)):
        raise NotAQueue(path, "is a link that leads nowhere")


def fsync_found(path: Path) -> None:
    """Make a file that was found durable, and its name: a process that was killed may have put it
    there and not have come to that. Raises OSError."""
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


def _write_new(new: Path, pieces: Sequence[bytes], mode: int, fsync: bool) -> None:
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    try:
        os.fchmod(descriptor, mode)
        for at in range(0, len(pieces), MAX_PIECES):
            _write_all(descriptor, pieces[at : at + MAX_PIECES])
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, pieces: Sequence[bytes]) -> None:
    """In one system call as a rule: each one more is a wait for Python's lock."""
    written = os.writev(descriptor, pieces)
    if written < sum(map(len, pieces)):
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _mode_of(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return PRIVATE
