"""Repairing ``jobs.json`` or ``workers.json``: good entries stay, damaged ones are set aside."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from json import JSONDecodeError
from pathlib import Path
from typing import NamedTuple

from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.queues.array_file import array_of, rows_of
from sanic_dispatch.queues.atomic_file import PRIVATE, fsync_folder, replace_file
from sanic_dispatch.queues.blocks import Blocks
from sanic_dispatch.queues.folder import DataFolder
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import UNREADABLE, Shelf, read_row
from sanic_dispatch.strict_json import object_at

_SHELVES = {"jobs.json": Shelf.JOBS, "workers.json": Shelf.WORKERS}
_HEAD = re.compile(r"\ufeff?[ \t\r\n]*\[?[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")
_END = re.compile(r"[ \t\r\n]*\]?[ \t\r\n]*\Z")
_NEXT_ENTRY = re.compile(r"^ {0,2}\{", re.MULTILINE)
"""Where an entry can begin after damage: at the begin of a line, as in our files, or set in by
two blanks, as in the original's. What is nested in somebody's data is deeper."""


class Repaired(NamedTuple):
    """How many entries stay, how many pieces were set aside, and where; None: there were none."""

    kept: int
    damaged: int
    aside: Path | None


def repair(path: Path, now_s: float) -> Repaired:
    """Make a file readable again; what cannot be read goes, byte by byte, to a file beside it.

    That one is called like ``jobs.json.damaged-20241124T013900Z`` and is durable before the
    file itself is replaced. Raises DataFolderInUse while a dispatcher runs, NotAQueue where
    there is no file that could be repaired, and OSError.
    """
    folder = DataFolder(path.parent)
    folder.claim()
    try:
        return _repair(Path(os.path.realpath(path)), _shelf_of(path), now_s)
    finally:
        folder.release()


def _shelf_of(path: Path) -> Shelf:
    if path.name not in _SHELVES:
        raise NotAQueue(path, f"only {' and '.join(_SHELVES)} can be repaired")
    if not path.is_file():
        raise NotAQueue(path, "is no regular file")
    return _SHELVES[path.name]


def _repair(path: Path, shelf: Shelf, now_s: float) -> Repaired:
    content = path.read_bytes()
    try:
        return Repaired(len(list(rows_of(path, shelf, content))), 0, None)
    except NotAQueue:
        good, damaged = _sorted_out(content.decode("utf-8", "surrogateescape"), shelf)
    aside = _set_aside(path, damaged, now_s) if damaged else None
    replace_file(path, array_of(_joined(good)))
    return Repaired(len(good), len(damaged), aside)


def _sorted_out(text: str, shelf: Shelf) -> tuple[list[Row], list[str]]:
    """The good entries, and all pieces that are none."""
    good: dict[str, Row] = {}
    damaged: list[str] = []
    at = _skip(_HEAD, text, 0)
    while not _END.match(text, at):
        end = _good_entry(text, at, shelf, good)
        if end is None:
            following = _NEXT_ENTRY.search(text, at + 1)
            end = following.start() if following else len(text)
            damaged.append(text[at:end])
        at = _skip(_BETWEEN, text, end)
    return list(good.values()), damaged


def _good_entry(text: str, at: int, shelf: Shelf, good: dict[str, Row]) -> int | None:
    """Take in the entry that begins here and say where it ends; None where there is none."""
    try:
        entry, end = object_at(text, at)
        row = read_row(shelf, entry, 1.0)
    except (*UNREADABLE, JSONDecodeError):
        return None
    return end if good.setdefault(row.record.id, row) is row else None


def _joined(good: list[Row]) -> list[bytes]:
    return Blocks.of((number, row.stored) for number, row in enumerate(good)).joined()


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _set_aside(path: Path, pieces: list[str], now_s: float) -> Path:
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with open(descriptor, "wb") as file:
        for piece in pieces:
            file.write(piece.encode("utf-8", "surrogateescape") + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fsync_folder(aside.parent)
    return aside
