"""The files of the mode JsonFile, each rewritten for a batch that changes it.

A write has three steps: draft the new content, save it, and commit it once all files are saved. If
one cannot be saved, all are rolled back.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeGuard, TypeVar

import ujson

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Fact, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import InvalidJson, NotAQueue
from sanic_dispatch.storage.atomic_file import (
    NameNotSynced,
    fsync_existing,
    refuse_link_to_nothing,
    replace_file,
)
from sanic_dispatch.storage.blocks import Blocks, SortKey
from sanic_dispatch.storage.entries import FINISHED, Found, Kind, R, read_array
from sanic_dispatch.storage.records import (
    UNREADABLE,
    decode_fact,
    describe_error,
    encode_fact,
    encode_job,
    order_of,
)
from sanic_dispatch.storage.store import EditedMeanwhile
from sanic_dispatch.strict_json import Entry, one_object

C = TypeVar("C")

JOBS_NAME = "jobs.json"
WORKERS_NAME = "workers.json"
DISPATCH_NAME = "dispatch.json"

EMPTY_ARRAY = b"[]\n"

STANDALONE = 1
"""The version of a dispatch.json that is complete without journals; also that before 0.2."""

JOURNALED = 2
"""The version of a dispatch.json that is incomplete without the journals after it."""


class WholeFile(ABC, Generic[C]):
    """One file: its committed content, and the bytes that are on the disk."""

    def __init__(self, path: Path, content: C, *, fsync: bool) -> None:
        self.path = Path(os.path.realpath(path))
        self._link = path
        self._fsync = fsync
        self._content = content
        self._on_disk: Sequence[bytes] | None = [EMPTY_ARRAY]
        """The bytes in the file, in pieces; None if unknown."""
        self._saved: Sequence[bytes] | None = None
        self._is_edited = False
        """Whether another program wrote these bytes."""

    @abstractmethod
    def draft(self, changes: Sequence[Change]) -> C:
        """Return the content with these changes, or the same object if none concerns this file."""

    @abstractmethod
    def pieces_of(self, content: C) -> Sequence[bytes]:
        """Return the file's bytes for a content, as pieces to concatenate."""

    def save(self, draft: C) -> None:
        """Replace the file by a draft, unless the file has that content. Raises OSError."""
        if draft is self._content and self._on_disk is not None and not self._is_edited:
            return
        pieces = self.pieces_of(draft)
        try:
            replace_file(self.path, pieces, fsync=self._fsync)
        except NameNotSynced:
            self._saved = pieces
            raise
        self._saved = pieces

    def commit(self, draft: C) -> None:
        """Make a saved draft the committed content."""
        self._content = draft
        if self._saved is not None:
            self._on_disk, self._saved, self._is_edited = self._saved, None, False

    def roll_back(self) -> None:
        """Restore the file as it was before ``save``.

        Raises OSError, after which the file's content is unknown until the next success.
        """
        if self._saved is None and self._on_disk is not None:
            return
        before = self.pieces_of(self._content) if self._on_disk is None else self._on_disk
        self._saved = self._on_disk = None
        replace_file(self.path, before, fsync=self._fsync)
        self._on_disk = before


class ArrayFile(WholeFile[Blocks], Generic[R]):
    """``jobs.json`` or ``workers.json`` in the original service's format: one array.

    Each entry has a line. Their bytes stay in memory, so that a write encodes only changes.
    """

    def __init__(self, path: Path, kind: Kind[R], table: Table, *, fsync: bool) -> None:
        super().__init__(path, Blocks(), fsync=fsync)
        self._kind: Kind[R] = kind
        self._table = table

    def load(self) -> list[R]:
        """Read all records, in the order of the file; a missing file has none.

        Raises NotAQueue.
        """
        content = read_synced(self._link, fsync=self._fsync) or EMPTY_ARRAY
        found = list(read_array(self.path, self._kind, content))
        items = [(order_of(each.record), each.stored) for each in found]
        self._content = Blocks.of(sorted(items))
        pieces = self.pieces_of(self._content)
        self._on_disk = pieces if _equals_joined(content, pieces) else [content]
        self._is_edited = False
        return [each.record for each in found]

    def refresh(self) -> tuple[list[R], float] | None:
        """Return the records of an edited file and when it was edited, or None if it was not.

        The same edit is returned until the next commit. Raises NotAQueue.
        """
        content = read_regular(self.path) or EMPTY_ARRAY
        if self._is_on_disk(content) and not self._is_edited:
            return None
        found = list(read_array(self.path, self._kind, content))
        self._on_disk, self._is_edited = [content], True
        return [each.record for each in found], _modified_s(self.path)

    def check_unedited(self) -> None:
        """Raise EditedMeanwhile if the file is not as last read or written, or NotAQueue."""
        if not self._is_on_disk(read_regular(self.path) or EMPTY_ARRAY):
            raise EditedMeanwhile(self.path.name)

    def draft(self, changes: Sequence[Change]) -> Blocks:
        edits: dict[SortKey, bytes | None] = {}
        mine = [change for change in changes if change.table is self._table]
        for change in mine:
            if _is_in_array_file(change.before):
                edits[order_of(change.before)] = None
        for change in mine:
            if _is_in_array_file(change.after):
                edits[order_of(change.after)] = self._kind.encode(change.after)
        return self._content.changed(edits) if edits else self._content

    def pieces_of(self, content: Blocks) -> Sequence[bytes]:
        return json_array(content.joined())

    def _is_on_disk(self, content: bytes) -> bool:
        return self._on_disk is None or _equals_joined(content, self._on_disk)


class Ledger(NamedTuple):
    """The content of ``dispatch.json``: facts, and finished jobs.

    ``leaving`` are the keys of finished jobs that the next write removes: a job that is put back
    stays in this file until it is durable in ``jobs.json``; a job in both is in the queue.
    """

    facts: Mapping[str, Fact]
    finished: Blocks
    leaving: tuple[SortKey, ...] = ()


class LedgerFile(WholeFile[Ledger]):
    """``dispatch.json``, replaced before ``jobs.json``; edits from outside are not detected."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        super().__init__(path, Ledger({}, Blocks()), fsync=fsync)

    def load(self) -> LedgerRead:
        """Read facts and finished jobs; a missing file has none. Raises NotAQueue."""
        read = read_ledger(self._link, fsync=self._fsync)
        if read.version != STANDALONE:
            raise NotAQueue(self.path, "is incomplete without its journals")
        items = sorted((order_of(each.record), each.stored) for each in read.finished)
        self._content = Ledger({fact.id: fact for fact in read.facts}, Blocks.of(items))
        self._on_disk = []  # never compared, and rolled back from the content
        return read

    def leave_out(self, jobs: Iterable[Job]) -> None:
        """Remove finished jobs that are in the queue, too, with the next write."""
        leaving = tuple(order_of(job) for job in jobs)
        self._content = self._content._replace(leaving=leaving)

    def draft(self, changes: Sequence[Change]) -> Ledger:
        facts = {c.id: c.after for c in changes if isinstance(c.after, Fact)}
        edits: dict[SortKey, bytes | None] = {}
        leaving: list[SortKey] = []
        jobs = [change for change in changes if change.table is Table.JOBS]
        for change in jobs:
            if _is_finished(change.before):
                if change.after is None or _is_finished(change.after):
                    edits[order_of(change.before)] = None
                else:
                    leaving.append(order_of(change.before))
        for change in jobs:
            if _is_finished(change.after):
                edits[order_of(change.after)] = encode_job(change.after)
        if not facts and not edits and not leaving:
            return self._content
        return Ledger(
            {**self._content.facts, **facts},
            self._content.finished.changed(dict.fromkeys(self._content.leaving) | edits),
            tuple(leaving),
        )

    def pieces_of(self, content: Ledger) -> Sequence[bytes]:
        head = ledger_head(STANDALONE, content.facts.values())
        return [head, *content.finished.joined(), LEDGER_END]

    def roll_back(self) -> None:
        if self._saved is not None:
            self._on_disk = None
        super().roll_back()


class LedgerRead(NamedTuple):
    """The content of ``dispatch.json``; ``journal`` is the last journal that the files contain.

    If the version is JOURNALED, the later journals have to be replayed.
    """

    version: int = STANDALONE
    journal: int | None = None
    facts: Sequence[Fact] = ()
    finished: Sequence[Found[Job]] = ()


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
            list(read_array(path, FINISHED, entry.raw("finished").encode())),
        )
    except UNREADABLE as error:
        raise NotAQueue(path, describe_error(error)) from error


def ledger_head(version: int, facts: Iterable[Fact], journal: int | None = None) -> bytes:
    """Return the beginning of ``dispatch.json``, up to the array of finished jobs."""
    joined = b",".join(b"%b:%b" % (_quoted(fact.id), encode_fact(fact)) for fact in facts)
    number = b"" if journal is None else b'"journal":%d,' % journal
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


def _is_finished(record: object) -> TypeGuard[Job]:
    return isinstance(record, Job) and record.state.is_final


def _is_in_array_file(record: object) -> TypeGuard[Job | Worker]:
    """Return whether a record belongs in an array file: a worker, or a job that is not finished."""
    return isinstance(record, (Job, Worker)) and not _is_finished(record)


def _quoted(text: str) -> bytes:
    return ujson.dumps(text, ensure_ascii=False).encode()


def _equals_joined(content: bytes, pieces: Sequence[bytes]) -> bool:
    at = 0
    for piece in pieces:
        if not content.startswith(piece, at):
            return False
        at += len(piece)
    return at == len(content)


def _modified_s(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else path.parent.stat().st_mtime
