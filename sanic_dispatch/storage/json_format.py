"""The JSON files of a data folder: their names, their versions, and how they are read and written.

``jobs.json`` and ``workers.json`` are arrays in the original service's format; ``dispatch.json``
is an object with facts and finished jobs. The modes JsonFile and CachedJsonFile share them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import ujson

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.storage.atomic_file import fsync_existing, refuse_link_to_nothing
from sanic_dispatch.storage.entries import FINISHED, DecodedEntry, read_array
from sanic_dispatch.storage.record_json import UNREADABLE, decode_fact, describe_error, encode_fact
from sanic_dispatch.strict_json import Entry, one_object

JOBS_NAME = "jobs.json"
WORKERS_NAME = "workers.json"
DISPATCH_NAME = "dispatch.json"

EMPTY_ARRAY = b"[]\n"

STANDALONE = 1
"""The version of a dispatch.json that is complete without journals; also that before 0.2."""

JOURNALED = 2
"""The version of a dispatch.json that is incomplete without the journals after it."""


class LedgerRead(NamedTuple):
    """The content of ``dispatch.json``; ``journal`` is the last journal that the files contain.

    If the version is JOURNALED, the later journals have to be replayed. ``event`` is the number of
    the last event that led to these files, as far as it is known.
    """

    version: int = STANDALONE
    journal: int | None = None
    facts: Sequence[Fact] = ()
    finished: Sequence[DecodedEntry[Job]] = ()
    event: int = 0


def read_ledger(path: Path, *, fsync: bool) -> LedgerRead:
    """Read ``dispatch.json``; a missing file has no facts and no jobs. Raises NotAQueue."""
    content = read_synced(path, fsync=fsync)
    path = Path(os.path.realpath(path))
    if content is None:
        return LedgerRead(journal=None)
    try:
        entry = one_object(content)
    except InvalidJson as error:
        raise NotAQueue(path, f"is no JSON object: {error}") from None
    try:
        version, journal = _version_of(entry)
        return LedgerRead(
            version,
            journal,
            [decode_fact(name, value) for name, value in entry.values["facts"].items()],
            read_array(path, FINISHED, entry.raw("finished").encode()),
            _event_of(entry),
        )
    except UNREADABLE as error:
        raise NotAQueue(path, describe_error(error)) from error


def ledger_head(
    version: int, facts: Iterable[Fact], journal: int | None = None, event: int = 0
) -> bytes:
    """Return the beginning of ``dispatch.json``, up to the array of finished jobs."""
    joined = b",".join(b"%b:%b" % (_quoted(fact.id), encode_fact(fact)) for fact in facts)
    number = b"" if journal is None else b'"journal":%d,' % journal
    if event:
        number += b'"event":%d,' % event
    return b'{"version":%d,%b"facts":{%b},"finished":[\n' % (version, number, joined)


LEDGER_END = b"\n]}\n"


def json_array(joined: Sequence[bytes]) -> list[bytes]:
    """Return a JSON array, in pieces, of encoded entries that have separators already."""
    return [b"[\n", *joined, b"\n]\n"] if joined else [EMPTY_ARRAY]


def read_synced(path: Path, *, fsync: bool) -> bytes | None:
    """Read a file at start; return None if there is none. Raises NotAQueue.

    With ``fsync`` the file is synced, so that nothing depends on data that a crash could lose.
    """
    refuse_link_to_nothing(path)
    real = Path(os.path.realpath(path))
    content = read_regular(real)
    if fsync and content is not None:
        fsync_existing(real)
    return content


def read_regular(path: Path) -> bytes | None:
    """Read a regular file that is not blank; return None if there is none. Raises NotAQueue."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotAQueue(path, "is no regular file")
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotAQueue(path, f"cannot be read: {error.strerror}") from error
    if not content.strip():
        raise NotAQueue(path, "is empty")
    return content


def _event_of(entry: Entry) -> int:
    event = entry.values.get("event", 0)
    if type(event) is not int or event < 0:
        raise TypeError(f"event cannot be {event!r}")
    return event


def _version_of(entry: Entry) -> tuple[int, int | None]:
    version, journal = entry.values["version"], entry.values.get("journal")
    if version not in (STANDALONE, JOURNALED) or isinstance(version, (bool, float)):
        raise ValueError(
            f"it has version {version!r}, but this program knows only {STANDALONE} and {JOURNALED}"
        )
    is_number = isinstance(journal, int) and not isinstance(journal, bool) and journal >= 0
    if not is_number and (journal is not None or version == JOURNALED):
        raise TypeError(f"journal cannot be {journal!r}")
    return version, journal


def _quoted(text: str) -> bytes:
    return ujson.dumps(text, ensure_ascii=False).encode()
