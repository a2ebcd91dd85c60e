"""Repair ``jobs.json``, ``workers.json`` and journals: keep good entries, set bad ones aside.

The bytes that cannot be read are moved to a file beside it, named like
``jobs.json.damaged-20241124T013900Z``, which is synced before the damaged file is replaced.
"""

from __future__ import annotations

import os
import re
import zlib
from datetime import UTC, datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import DataFolderUnusable, InvalidJson, NotAQueue
from sanic_dispatch.storage.atomic_file import PRIVATE, fsync_folder, replace_file
from sanic_dispatch.storage.data_folder import DataFolder
from sanic_dispatch.storage.entries import QUEUED, WORKERS, DecodedEntry, Kind, read_array
from sanic_dispatch.storage.journal import (
    JournalName,
    all_journals_in,
    decode_batch,
    header_of,
    journals_in,
    number_of,
    read_journal,
    seal,
)
from sanic_dispatch.storage.json_format import JOBS_NAME, WORKERS_NAME, json_array
from sanic_dispatch.storage.record_json import UNREADABLE
from sanic_dispatch.strict_json import object_at

FILE_MODES = (Mode.JSON_FILE, Mode.CACHED_JSON_FILE)

_KINDS: dict[str, Kind[Any]] = {JOBS_NAME: QUEUED, WORKERS_NAME: WORKERS}
_HEAD = re.compile(r"\ufeff?[ \t\r\n]*\[?[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")
_END = re.compile(r"[ \t\r\n]*\]?[ \t\r\n]*\Z")
_LINE_END = re.compile(rb'\n|(?<=.)(?=[0-9a-f]{8} \[\{"batch":)')
"""Where a line of a journal ends, also where its newline is damaged: no JSON has such a head."""
_NEXT_ENTRY = re.compile(r"^ {0,2}\{", re.MULTILINE)
"""Where an entry can begin after damage: at the beginning of a line, as in our files, or after two
blanks, as in the original service's. Objects within a job's data are indented more deeply."""

_log = structlog.get_logger("sanic_dispatch")


class Repaired(NamedTuple):
    """The number of kept entries and of damaged pieces, and the file that has these, or None.

    A file that was cut off between two entries is rewritten though no piece of it is damaged.
    """

    kept: int
    damaged: int
    aside: Path | None
    is_rewritten: bool


def repair_all(settings: Settings, now_s: float) -> None:
    """Repair the files of a data folder that these modes use, and log which were rewritten.

    Raises DataFolderInUse, DataFolderUnusable, or NotAQueue for a file that cannot be repaired.
    """
    for path in _files_of(settings):
        try:
            repaired = repair(path, now_s)
        except OSError as error:
            raise DataFolderUnusable(settings.data_dir, f"cannot be repaired: {error}") from error
        if repaired.is_rewritten:
            _log.warning(
                "queue.repaired",
                file=path.name,
                kept=repaired.kept,
                damaged=repaired.damaged,
                aside=str(repaired.aside or ""),
            )


def repair(path: Path, now_s: float) -> Repaired:
    """Repair one file.

    Raises DataFolderInUse while a dispatcher runs, NotAQueue if the file is of another kind, or
    OSError.
    """
    folder = DataFolder(path.parent)
    folder.claim()
    try:
        return _repair(Path(os.path.realpath(path)), path, now_s)
    finally:
        folder.release()


def _files_of(settings: Settings) -> list[Path]:
    folder = settings.data_dir
    paths = [
        folder / name
        for name, mode in (
            (JOBS_NAME, settings.job_queue_mode),
            (WORKERS_NAME, settings.worker_queue_mode),
        )
        if mode in FILE_MODES and (folder / name).exists()
    ]
    if settings.needs_data_dir and folder.is_dir():
        paths += all_journals_in(folder)
    return paths


def _repair(path: Path, given: Path, now_s: float) -> Repaired:
    number = number_of(given)
    if given.name not in _KINDS and number is None:
        raise NotAQueue(given, f"only {', '.join(_KINDS)} and journals can be repaired")
    if not path.is_file():
        raise NotAQueue(given, "is no regular file")
    if number is None:
        return _repair_array(path, _KINDS[given.name], now_s)
    return _repair_journal(path, given, number, now_s)


# ---- arrays


def _repair_array(path: Path, kind: Kind[Any], now_s: float) -> Repaired:
    content = path.read_bytes()
    try:
        kept = len(read_array(path, kind, content))
        return Repaired(kept, 0, None, is_rewritten=False)
    except NotAQueue:
        good, damaged = _separate_entries(content.decode("utf-8", "surrogateescape"), kind)
    aside = _set_aside(path, [_to_bytes(piece) for piece in damaged], now_s) if damaged else None
    joined = b",\n".join(found.stored for found in good)
    replace_file(path, json_array([joined] if good else []))
    return Repaired(len(good), len(damaged), aside, is_rewritten=True)


def _separate_entries(text: str, kind: Kind[Any]) -> tuple[list[DecodedEntry[Any]], list[str]]:
    """Return the good entries, and all text between them."""
    good: dict[str, DecodedEntry[Any]] = {}
    damaged: list[str] = []
    at = _skip(_HEAD, text, 0)
    while not _END.match(text, at):
        end = _good_entry(text, at, kind, good)
        if end is None:
            following = _NEXT_ENTRY.search(text, at + 1)
            end = following.start() if following else len(text)
            damaged.append(text[at:end])
        at = _skip(_BETWEEN, text, end)
    return list(good.values()), damaged


def _good_entry(
    text: str, at: int, kind: Kind[Any], good: dict[str, DecodedEntry[Any]]
) -> int | None:
    """Add the entry at this offset to ``good``, and return its end; None if there is none."""
    try:
        entry, end = object_at(text, at)
        stored = entry.encoded()  # raises for bytes that are not UTF-8
        found = DecodedEntry(kind.read_any(entry, 1), stored)
    except (*UNREADABLE, JSONDecodeError):
        return None
    return end if good.setdefault(found.record.id, found) is found else None


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _to_bytes(piece: str) -> bytes:
    return piece.encode("utf-8", "surrogateescape")


# ---- journals


def _repair_journal(path: Path, given: Path, number: int, now_s: float) -> Repaired:
    """Keep every batch whose checksum is right, also after a damaged one: records are whole.

    An incomplete last line is damage only if later journals have batches.
    """
    try:
        read = read_journal(path, number)
        if not (read.torn and _is_followed(given, number)):
            return Repaired(len(read.batches), 0, None, is_rewritten=False)
    except NotAQueue:
        pass
    good, damaged = _separate_lines(path.read_bytes(), number)
    aside = _set_aside(path, damaged, now_s) if damaged else None
    lines, before = [], 0
    for body in [header_of(number), *good]:
        line, before = seal(body, before)
        lines.append(line)
    replace_file(path, lines)
    return Repaired(len(good), len(damaged), aside, is_rewritten=True)


def _is_followed(path: Path, number: int) -> bool:
    """Return whether a later journal has more than its head."""
    name = JournalName(path.name.partition(".")[0])
    return any(
        later > number and each.read_bytes().count(b"\n") > 1
        for later, each in journals_in(path.parent, name).items()
    )


def _separate_lines(content: bytes, number: int) -> tuple[list[bytes], list[bytes]]:
    """Return the good batches and the damaged lines.

    After a damaged line the chain continues with the checksum that it states, or if that is what
    is damaged, with the one that it should have.
    """
    good: list[bytes] = []
    damaged: list[bytes] = []
    before, right = 0, 0
    for line in _LINE_END.split(content):
        body, stated = line[9:], _stated_checksum(line)
        is_right = stated in (zlib.crc32(body, before), zlib.crc32(body, right))
        if is_right and _is_valid_line(body, number):
            if body != header_of(number):
                good.append(body)
        elif line:
            damaged.append(line)
        right = zlib.crc32(body, before)
        before = before if stated is None else stated
    return good, damaged


def _stated_checksum(line: bytes) -> int | None:
    return int(line[:8], 16) if re.match(rb"[0-9a-f]{8} ", line) else None


def _is_valid_line(body: bytes, number: int) -> bool:
    """Return whether a line's array is this journal's header or a batch."""
    try:
        return body == header_of(number) or decode_batch(body) is not None
    except (*UNREADABLE, InvalidJson):
        return False


def _set_aside(path: Path, pieces: list[bytes], now_s: float) -> Path:
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with open(descriptor, "wb") as file:
        for piece in pieces:
            file.write(piece + b"\n")
        file.flush()
        os.fsync(file.fileno())
    fsync_folder(aside.parent)
    return aside
