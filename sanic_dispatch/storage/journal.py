"""A write-ahead log: each batch is one line, appended and synced at a constant cost.

A line is a CRC-32 in eight hex digits, a blank, and a JSON array: the batch's number, then each
changed record as it is after the batch, the ids of deleted records, and the batch's events.
Checksums are chained: each one continues that of the line before, so that a missing line is
detected. The first line says the journal's number.

    5a1e0c3f [{"batch":17},{"job":{"id":...}},{"worker":{...}},{"events":[[42,1732412340.5,...]]}]

Records are stored whole, not as differences, so replay is idempotent: a journal may be replayed
over files that already have its batches.

A job's data keeps every byte, and may have newlines between its tokens. A line has none: they are
written as vertical tabs, which no JSON contains.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from json import JSONDecodeError
from pathlib import Path
from typing import NamedTuple

import ujson

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Fact, Record, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import InvalidJson, NotAQueue, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.atomic_file import PRIVATE, fsync_existing, fsync_folder, write_all
from sanic_dispatch.storage.data_folder import LOCK, Anchor
from sanic_dispatch.storage.entries import ANY_JOB
from sanic_dispatch.storage.event_record import (
    NEWLINE,
    STAND_IN,
    Recorded,
    decode_events,
    encode_event,
    join_lines,
    payload_of,
    recorded_again,
)
from sanic_dispatch.storage.record_json import (
    UNREADABLE,
    decode_fact,
    decode_worker,
    describe_error,
    encode_fact,
    encode_job,
    encode_placed_worker,
)
from sanic_dispatch.storage.store import Batch
from sanic_dispatch.strict_json import Entry, array_entries, object_at, value_end

sync_data = getattr(os, "fdatasync", os.fsync)
"""Sync a file's content and length (fdatasync; fsync on macOS, which has none)."""

_NAME = re.compile(r"(dispatch|history)\.journal-([0-9]{1,15})")


class JournalName(StrEnum):
    """Whose journals: those of CachedJsonFile, or of JsonFile."""

    DISPATCH = "dispatch"
    HISTORY = "history"


def journal_path(folder: Path, number: int, name: JournalName = JournalName.DISPATCH) -> Path:
    """Return the path of the journal with this number."""
    return folder / f"{name}.journal-{number}"


def number_of(path: Path) -> int | None:
    """Return the number in a journal's file name; None for any other file."""
    match = _NAME.fullmatch(path.name)
    return int(match[2]) if match else None


def journals_in(folder: Path, name: JournalName = JournalName.DISPATCH) -> dict[int, Path]:
    """Return a folder's journals by number, in increasing order."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return dict(
        sorted((int(match[2]), path) for match, path in found if match and match[1] == name)
    )


def all_journals_in(folder: Path) -> list[Path]:
    """Return a folder's journals of every mode."""
    return [path for name in JournalName for path in journals_in(folder, name).values()]


# ---- lines


class RecordUpdate(NamedTuple):
    """A record as it is after a batch; ``after`` is None if it was deleted."""

    table: Table
    id: str
    after: Record | None


class BatchRead(NamedTuple):
    """What a line has: records, and what happened."""

    changes: list[RecordUpdate]
    events: bytes = b""
    """A JSON array of events as the event log keeps them, not decoded: see ``read_events``."""

    def read_events(self) -> list[Recorded]:
        """Decode the events; payloads are those of the records. Raises ValueError.

        An earlier job may have had the same id, and has another ticket.
        """
        if not self.events:
            return []
        jobs = {change.id: change.after for change in self.changes}
        found = []
        for event in decode_events(self.events):
            job = jobs.get(event.job)
            payload = None
            if isinstance(job, Job) and job.ticket == event.ticket:
                payload = payload_of(event.n, event.event, job)
            found.append(recorded_again(event, encode_event(event), payload))
        return found


def encode_batch(batch: Batch, events: Sequence[Recorded] = ()) -> bytes:
    """Encode a batch, with its events, as the JSON array of its line."""
    parts = [b'{"batch":%d}' % batch.number]
    parts += [_encode_change(change) for change in batch.changes]
    if events:
        parts.append(b'{"events":%b}' % join_lines(events))
    return (b"[%b]" % b",".join(parts)).replace(NEWLINE, STAND_IN)


def _encode_change(change: Change) -> bytes:
    after = change.after
    if isinstance(after, Job):
        return b'{"job":%b}' % encode_job(after)
    if isinstance(after, Worker):
        return b'{"worker":%b}' % encode_placed_worker(after)
    if isinstance(after, Fact):
        return b'{"fact":%b,"value":%b}' % (_quoted(after.id), encode_fact(after))
    return b'{"gone":%b,"from":"%b"}' % (_quoted(change.id), change.table.value.encode())


def decode_batch(body: bytes) -> BatchRead:
    """Decode the JSON array of a line. Raises one of UNREADABLE, or InvalidJson."""
    entries = array_entries(body.replace(STAND_IN, NEWLINE), _find_part)
    first = next(entries, None)
    if not isinstance(first, Entry) or "batch" not in first.values:
        raise ValueError("it does not begin with the number of a batch")
    changes, events = list[RecordUpdate](), b""
    for entry in entries:
        if isinstance(entry, bytes):
            events = entry
        else:
            changes.append(entry if isinstance(entry, RecordUpdate) else _decode_part(entry))
    return BatchRead(changes, events)


def _decode_part(entry: Entry) -> RecordUpdate:
    values = entry.values
    if "worker" in values:
        worker = decode_worker(values["worker"])
        return RecordUpdate(Table.WORKERS, worker.id, worker)
    if "fact" in values:
        fact = decode_fact(values["fact"], values["value"])
        return RecordUpdate(Table.FACTS, fact.id, fact)
    return RecordUpdate(Table(values["from"]), values["gone"], None)


def _find_part(text: str, at: int) -> tuple[Entry | RecordUpdate | bytes, int]:
    """Return the part of a batch at this offset, and its end.

    A job is decoded at once. Events are the last part, and returned as they are written.
    """
    if text.startswith(_EVENTS, at) and text.endswith("}]"):
        return text[at + len(_EVENTS) : -2].encode(), len(text) - 1
    if not text.startswith(_JOB, at):
        return object_at(text, at)
    start = at + len(_JOB)
    end = value_end(text, start)
    if text[end : end + 1] != "}":
        raise JSONDecodeError("expected }", text, end)
    try:
        job = ANY_JOB.read(text[start:end].encode())
    except (*UNREADABLE, InvalidJson) as error:
        raise JSONDecodeError(describe_error(error), text, at) from error
    return RecordUpdate(Table.JOBS, job.id, job), end + 1


_JOB = '{"job":'
_EVENTS = '{"events":'


def _quoted(text: str) -> bytes:
    return ujson.dumps(text, ensure_ascii=False, escape_forward_slashes=False).encode()


def seal(body: bytes, before: int) -> tuple[bytes, int]:
    """Return a complete line, and its checksum: the ``before`` of the next line."""
    checksum = zlib.crc32(body, before)
    return b"%08x %b\n" % (checksum, body), checksum


# ---- reading


class JournalLine(NamedTuple):
    """A complete line whose checksum is right; ``at`` is its offset in the file."""

    at: int
    body: bytes
    checksum: int


class JournalRead(NamedTuple):
    """A journal's batches, its size, and how many of its bytes are a torn last line."""

    path: Path
    batches: list[BatchRead]
    size: int
    torn: int


def read_journal(path: Path, number: int) -> JournalRead:
    """Read and check a journal; ignore a torn last line, which was never acknowledged.

    Raises NotAQueue, naming the byte, if any other line is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotAQueue(path, f"cannot be read: {error.strerror}") from error
    whole = content.rfind(b"\n") + 1
    lines = list(lines_of(path, content[:whole]))
    if _lost_only_newline(content[whole:], lines[-1].checksum if lines else 0):
        raise NotAQueue(path, f"at byte {len(content) - 1}: the end of its last line is damaged")
    if lines and lines[0].body != header_of(number):
        raise NotAQueue(path, f"line 1, at byte 0: it is not the head of journal {number}")
    batches = []
    for count, line in enumerate(lines[1:], 2):
        try:
            batches.append(decode_batch(line.body))
        except (*UNREADABLE, InvalidJson) as error:
            where = f"line {count}, at byte {line.at}"
            raise NotAQueue(path, f"{where}: {describe_error(error)}") from error
    return JournalRead(path, batches, len(content), len(content) - whole)


def read_journals(journals: Mapping[int, Path], *, fsync: bool) -> list[JournalRead]:
    """Read journals that follow each other; with ``fsync`` sync each one before.

    Raises NotAQueue, also if one ends with a torn line although later ones have batches.
    """
    read = [_read_synced(path, number, fsync=fsync) for number, path in journals.items()]
    for at, journal in enumerate(read):
        if journal.torn and any(later.batches for later in read[at + 1 :]):
            where = f"at byte {journal.size - journal.torn}"
            raise NotAQueue(
                journal.path,
                f"{where}: its last line is incomplete, but later journals have batches",
            )
    return read


def _read_synced(path: Path, number: int, *, fsync: bool) -> JournalRead:
    if not path.is_file():
        raise NotAQueue(path, "is no regular file")
    if fsync:
        fsync_existing(path)
    return read_journal(path, number)


def _lost_only_newline(line: bytes, before: int) -> bool:
    """Return whether only the newline of a line is wrong: damage, since no torn write does that."""
    sealed, body = line[:9], line[9:-1]
    return len(body) > 0 and sealed == b"%08x " % zlib.crc32(body, before)


def lines_of(path: Path, content: bytes) -> Iterator[JournalLine]:
    """Yield the lines of a journal. Raises NotAQueue at the first wrong checksum."""
    at, before = 0, 0
    for count, line in enumerate(content.split(b"\n")[:-1], 1):
        body = line[9:]
        checksum = zlib.crc32(body, before)
        if line[:9] != b"%08x " % checksum:
            raise NotAQueue(path, f"line {count}, at byte {at}: its checksum is wrong")
        yield JournalLine(at, body, checksum)
        at, before = at + len(line) + 1, checksum


def header_of(number: int) -> bytes:
    """Return the JSON array of a journal's first line."""
    return b'[{"journal":%d,"version":1}]' % number


def truncate_torn(journal: JournalRead, *, fsync: bool) -> None:
    """Truncate a journal before its torn last line. Raises OSError."""
    descriptor = os.open(journal.path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, journal.size - journal.torn)
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- writing


class Journal:
    """A journal open for appending; after a failed sync it is broken and never synced again."""

    def __init__(self, path: Path, number: int, descriptor: int, *, fsync: bool) -> None:
        self.number = number
        self.path = path
        self.length = 0
        """How many bytes of it are durable."""
        self.batches = 0
        self.is_broken = False
        self._descriptor = descriptor
        self._fsync = fsync
        self._checksum = 0
        self._before = (0, 0)
        """Length and checksum before the last line."""
        self._anchor = Anchor((path.parent, path.parent / LOCK, path))

    @classmethod
    def create(cls, path: Path, number: int, *, fsync: bool) -> Journal:
        """Create a journal with its first line, and sync it and its folder. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        descriptor = os.open(path, flags, PRIVATE)
        try:
            journal = cls(path, number, descriptor, fsync=fsync)
            line, checksum = seal(header_of(number), 0)
            write_all(descriptor, line)
            if fsync:
                sync_data(descriptor)
                fsync_folder(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        journal.length, journal._checksum = len(line), checksum
        return journal

    def append(self, body: bytes, *, synced: bool = True) -> None:
        """Append a line, and sync it unless the next one may do that.

        Raises StorageFailed, after which the journal is as before, or OutcomeUnknown, after which
        it is broken.
        """
        line, checksum = seal(body, self._checksum)
        try:
            self._anchor.check()
        except OSError as error:
            raise StorageFailed(f"the change could not be written: {error}") from error
        try:
            write_all(self._descriptor, line)
        except Exception as error:  # whatever it is, also MemoryError: a part may be written
            self._truncate()
            raise StorageFailed(f"the change could not be written: {error}") from error
        if self._fsync and synced:
            try:
                sync_data(self._descriptor)
            except Exception as error:
                self.is_broken = True
                raise OutcomeUnknown(f"the journal could not be synced: {error}") from error
        self._before = (self.length, self._checksum)
        self.length += len(line)
        self._checksum = checksum
        self.batches += 1

    def take_back(self) -> None:
        """Remove the line that was appended last.

        Raises OutcomeUnknown, after which the journal is broken.
        """
        self.length, self._checksum = self._before
        self.batches -= 1
        self._truncate()

    def check(self) -> None:
        """Raise OSError if the folder, its lock file or the journal was removed or replaced."""
        self._anchor.check()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _truncate(self) -> None:
        """Truncate the file to its durable part, ``length`` bytes. Raises OutcomeUnknown."""
        try:
            os.ftruncate(self._descriptor, self.length)
            if self._fsync:
                os.fsync(self._descriptor)
        except Exception as error:
            self.is_broken = True
            raise OutcomeUnknown(f"a failed write could not be rolled back: {error}") from error
