"""The files of the mode JsonFile, each rewritten for a batch that changes it.

A write has three steps: draft the new content, save it, and commit it once all files are saved. If
one cannot be saved, all are rolled back.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeGuard, TypeVar

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Fact, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.storage.atomic_file import NameNotSynced, replace_file
from sanic_dispatch.storage.blocks import Blocks, SortKey
from sanic_dispatch.storage.entries import Kind, R, read_array
from sanic_dispatch.storage.json_format import (
    EMPTY_ARRAY,
    LEDGER_END,
    STANDALONE,
    LedgerRead,
    json_array,
    ledger_head,
    read_ledger,
    read_regular,
    read_synced,
)
from sanic_dispatch.storage.record_json import encode_job, order_of
from sanic_dispatch.storage.store import EditedMeanwhile

C = TypeVar("C")


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

    @property
    def name(self) -> str:
        """The file's name in the data folder."""
        return self._link.name

    def is_to_write(self, draft: C) -> bool:
        """Return whether ``save`` will replace the file."""
        return draft is not self._content or self._on_disk is None or self._is_edited

    def save(self, draft: C) -> None:
        """Replace the file by a draft, unless the file has that content. Raises OSError."""
        if not self.is_to_write(draft):
            return
        self._saved = self.pieces_of(draft)
        try:
            replace_file(self.path, self._saved, fsync=self._fsync)
        except NameNotSynced:
            raise
        except OSError:  # the old file is unchanged; after any other error that is unknown
            self._saved = None
            raise

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
        found = read_array(self.path, self._kind, content)
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
        found = read_array(self.path, self._kind, content)
        self._on_disk, self._is_edited = [content], True
        return [each.record for each in found], _modified_s(self.path)

    def check_readable(self) -> None:
        """Raise NotAQueue if an edit has made the file unreadable; do not take any edit over."""
        content = read_regular(self.path) or EMPTY_ARRAY
        if not self._is_on_disk(content):
            read_array(self.path, self._kind, content)

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

    ``leaving`` are the keys of finished jobs that the next batch removes: a job that is put back
    stays in this file until it is durable in ``jobs.json``; a job in both is in the queue. The next
    batch may take it out of ``jobs.json``, and without that it would be finished again. ``event``
    is the number of the last event, or of an earlier one: see ``LedgerRead``.
    """

    facts: Mapping[str, Fact]
    finished: Blocks
    leaving: tuple[SortKey, ...] = ()
    event: int = 0


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
        facts = {fact.id: fact for fact in read.facts}
        self._content = Ledger(facts, Blocks.of(items), event=read.event)
        self._on_disk = []  # never compared, and rolled back from the content
        return read

    def leave_out(self, jobs: Iterable[Job]) -> None:
        """Remove finished jobs that are in the queue, too, with the next write."""
        leaving = tuple(order_of(job) for job in jobs)
        self._content = self._content._replace(leaving=leaving)

    def draft(self, changes: Sequence[Change]) -> Ledger:
        facts = {change.id: change.after for change in changes if change.table is Table.FACTS}
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
        if not (facts or edits or leaving or self._content.leaving):
            return self._content
        merged = {**self._content.facts, **facts}
        return Ledger(
            {name: fact for name, fact in merged.items() if isinstance(fact, Fact)},
            self._content.finished.changed(dict.fromkeys(self._content.leaving) | edits),
            tuple(leaving),
            self._content.event,
        )

    def draft_event(self, event: int) -> Ledger:
        """Return the content with this number of the last event; the same object if it has it."""
        content = self._content
        return content if event == content.event else content._replace(event=event)

    def pieces_of(self, content: Ledger) -> Sequence[bytes]:
        head = ledger_head(STANDALONE, content.facts.values(), event=content.event)
        return [head, *content.finished.joined(), LEDGER_END]

    def roll_back(self) -> None:
        if self._saved is not None:
            self._on_disk = None
        super().roll_back()


def _is_finished(record: object) -> TypeGuard[Job]:
    return isinstance(record, Job) and record.state.is_final


def _is_in_array_file(record: object) -> TypeGuard[Job | Worker]:
    """Return whether a record belongs in an array file: a worker, or a job that is not finished."""
    return isinstance(record, (Job, Worker)) and not _is_finished(record)


def _equals_joined(content: bytes, pieces: Sequence[bytes]) -> bool:
    at = 0
    for piece in pieces:
        if not content.startswith(piece, at):
            return False
        at += len(piece)
    return at == len(content)


def _modified_s(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else path.parent.stat().st_mtime
