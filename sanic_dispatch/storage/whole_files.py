"""The files that are written whole: ``jobs.json``, ``workers.json`` and ``dispatch.json``.

A write is drafted, saved and then kept; what could not be saved is put back as it was.
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
    fsync_found,
    refuse_link_to_nothing,
    replace_file,
)
from sanic_dispatch.storage.blocks import Blocks, Key
from sanic_dispatch.storage.entries import FINISHED, Found, Kind, R, read_array
from sanic_dispatch.storage.records import (
    UNREADABLE,
    decode_fact,
    described,
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

SETTLED = 1
"""The version of a dispatch.json that stands for itself; what was written before 0.2 has it too."""

JOURNALED = 2
"""The version of a dispatch.json that counts only together with the journals after it."""


class WholeFile(ABC, Generic[C]):
    """One file: what is committed of it, and what was last seen on the disk."""

    def __init__(self, path: Path, content: C, *, fsync: bool) -> None:
        self.path = Path(os.path.realpath(path))
        self._given = path
        self._fsync = fsync
        self._content = content
        self._seen: Sequence[bytes] | None = [EMPTY_ARRAY]
        """What the file holds; None where nobody knows."""
        self._saved: Sequence[bytes] | None = None
        self._is_edited = False
        """Whether what the file holds was put there by somebody else."""

    @abstractmethod
    def draft(self, changes: Sequence[Change]) -> C:
        """Return the content with these changes; the present one where none is of this file."""

    @abstractmethod
    def pieces_of(self, content: C) -> Sequence[bytes]:
        """Return the bytes of a content, in pieces."""

    def save(self, draft: C) -> None:
        """Replace the file, unless it is as it should be. Raises OSError."""
        if draft is self._content and self._seen is not None and not self._is_edited:
            return
        pieces = self.pieces_of(draft)
        try:
            replace_file(self.path, pieces, fsync=self._fsync)
        except NameNotSynced:
            self._saved = pieces
            raise
        self._saved = pieces

    def keep(self, draft: C) -> None:
        """Take what was saved for the committed content."""
        self._content = draft
        if self._saved is not None:
            self._seen, self._saved, self._is_edited = self._saved, None, False

    def go_back(self) -> None:
        """Have the file as it was before a save. Raises OSError, and then nobody knows."""
        if self._saved is None and self._seen is not None:
            return
        before = self.pieces_of(self._content) if self._seen is None else self._seen
        self._saved = self._seen = None
        replace_file(self.path, before, fsync=self._fsync)
        self._seen = before


class ArrayFile(WholeFile[Blocks], Generic[R]):
    """``jobs.json`` or ``workers.json``, the original's files: one array, an entry a line.

    What is kept in memory are the entries' bytes, so that a write encodes only what changed.
    """

    def __init__(self, path: Path, kind: Kind[R], table: Table, *, fsync: bool) -> None:
        super().__init__(path, Blocks(), fsync=fsync)
        self._kind: Kind[R] = kind
        self._table = table

    def load(self) -> list[R]:
        """Read all records, in the order of the file; none where there is no file.

        Raises NotAQueue.
        """
        content = read_found(self._given, fsync=self._fsync) or EMPTY_ARRAY
        found = list(read_array(self.path, self._kind, content))
        items = [(order_of(each.record), each.stored) for each in found]
        self._content = Blocks.of(sorted(items))
        pieces = self.pieces_of(self._content)
        self._seen = pieces if _is_made_of(content, pieces) else [content]
        self._is_edited = False
        return [each.record for each in found]

    def refresh(self) -> tuple[list[R], float] | None:
        """Read an edit and say when it was made; None where there is none.

        An edit is returned again until something was committed after it. Raises NotAQueue.
        """
        content = read_regular(self.path) or EMPTY_ARRAY
        if self._is_seen(content) and not self._is_edited:
            return None
        found = list(read_array(self.path, self._kind, content))
        self._seen, self._is_edited = [content], True
        return [each.record for each in found], _edited_s(self.path)

    def check_unedited(self) -> None:
        """Raise EditedMeanwhile where the file is not what was last seen; NotAQueue."""
        if not self._is_seen(read_regular(self.path) or EMPTY_ARRAY):
            raise EditedMeanwhile(self.path.name)

    def draft(self, changes: Sequence[Change]) -> Blocks:
        edits: dict[Key, bytes | None] = {}
        mine = [change for change in changes if change.table is self._table]
        for change in mine:
            if _belongs(change.before):
                edits[order_of(change.before)] = None
        for change in mine:
            if _belongs(change.after):
                edits[order_of(change.after)] = self._kind.encode(change.after)
        return self._content.changed(edits) if edits else self._content

    def pieces_of(self, content: Blocks) -> Sequence[bytes]:
        return array_of(content.joined())

    def _is_seen(self, content: bytes) -> bool:
        return self._seen is None or _is_made_of(content, self._seen)


class Ledger(NamedTuple):
    """The content of ``dispatch.json``: facts, and finished jobs.

    ``leaving`` are finished jobs that the next write leaves out: one that is put back must not be
    gone from this file before it is in ``jobs.json``. A job that is in both is in the queue.
    """

    facts: Mapping[str, Fact]
    finished: Blocks
    leaving: tuple[Key, ...] = ()


class LedgerFile(WholeFile[Ledger]):
    """``dispatch.json``, replaced before ``jobs.json``. Edits are not looked for."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        super().__init__(path, Ledger({}, Blocks()), fsync=fsync)

    def load(self) -> LedgerRead:
        """Read everything; nothing where there is no file. Raises NotAQueue."""
        read = read_ledger(self._given, fsync=self._fsync)
        if read.version != SETTLED:
            raise NotAQueue(self.path, "counts only together with its journals")
        items = sorted((order_of(each.record), each.stored) for each in read.finished)
        self._content = Ledger({fact.id: fact for fact in read.facts}, Blocks.of(items))
        self._seen = []  # it is never compared, and is put back from the content
        return read

    def leave_out(self, jobs: Iterable[Job]) -> None:
        """Leave out finished jobs, which are in the queue too, from the next write on."""
        leaving = tuple(order_of(job) for job in jobs)
        self._content = self._content._replace(leaving=leaving)

    def draft(self, changes: Sequence[Change]) -> Ledger:
        facts = {c.id: c.after for c in changes if isinstance(c.after, Fact)}
        edits: dict[Key, bytes | None] = {}
        leaving: list[Key] = []
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
        head = ledger_head(SETTLED, content.facts.values())
        return [head, *content.finished.joined(), LEDGER_END]

    def go_back(self) -> None:
        if self._saved is not None:
            self._seen = None
        super().go_back()


class LedgerRead(NamedTuple):
    """What was read from ``dispatch.json``.

    Where the version is JOURNALED, it counts only together with the journals after ``journal``.
    """

    version: int = SETTLED
    journal: int | None = None
    facts: Sequence[Fact] = ()
    finished: Sequence[Found[Job]] = ()


def read_ledger(path: Path, *, fsync: bool) -> LedgerRead:
    """Read ``dispatch.json``; nothing where there is no file. Raises NotAQueue."""
    content = read_found(path, fsync=fsync)
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
        raise NotAQueue(path, described(error)) from error


def ledger_head(version: int, facts: Iterable[Fact], journal: int | None = None) -> bytes:
    """Return the begin of ``dispatch.json``, up to its finished jobs, of which each has a line."""
    joined = b",".join(b"%b:%b" % (_quoted(fact.id), encode_fact(fact)) for fact in facts)
    number = b"" if journal is None else b'"journal":%d,' % journal
    return b'{"version":%d,%b"facts":{%b},"finished":[\n' % (version, number, joined)


LEDGER_END = b"\n]}\n"


def array_of(joined: Sequence[bytes]) -> list[bytes]:
    """Return an array of entries, which come with their separators: a line each."""
    return [b"[\n", *joined, b"\n]\n"] if joined else [EMPTY_ARRAY]


def read_found(path: Path, *, fsync: bool) -> bytes | None:
    """Read what is there at the start, made durable before anybody acts on it.

    None where there is nothing. Raises NotAQueue.
    """
    refuse_link_to_nothing(path)
    real = Path(os.path.realpath(path))
    content = read_regular(real)
    if fsync and content is not None:
        try:
            fsync_found(real)
        except OSError as error:
            raise NotAQueue(real, f"cannot be synced: {error.strerror}") from error
    return content


def read_regular(path: Path) -> bytes | None:
    """Read a regular file; None where there is none. Raises NotAQueue otherwise."""
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
    if version not in (SETTLED, JOURNALED) or isinstance(version, (bool, float)):
        raise ValueError(f"it has version {version!r}, and this program knows {JOURNALED}")
    is_number = isinstance(journal, int) and not isinstance(journal, bool) and journal >= 0
    if not is_number and (journal is not None or version == JOURNALED):
        raise TypeError(f"journal cannot be {journal!r}")
    return version, journal


def _is_finished(record: object) -> TypeGuard[Job]:
    return isinstance(record, Job) and record.state.is_final


def _belongs(record: object) -> TypeGuard[Job | Worker]:
    """Whether a record stands in an array file: finished jobs do not."""
    return isinstance(record, (Job, Worker)) and not _is_finished(record)


def _quoted(text: str) -> bytes:
    return ujson.dumps(text, ensure_ascii=False).encode()


def _is_made_of(content: bytes, pieces: Sequence[bytes]) -> bool:
    at = 0
    for piece in pieces:
        if not content.startswith(piece, at):
            return False
        at += len(piece)
    return at == len(content)


def _edited_s(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else path.parent.stat().st_mtime
