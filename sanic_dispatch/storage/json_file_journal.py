"""The journal of the mode JsonFile: a batch is appended to it before the files are written.

    append      a line with the batch and its events, synced: now the batch is durable
                the files are replaced, one after the other
    mark        an empty line of the same number, not synced: the files have the batch
    take back   instead of a mark, if a file could not be written and all are as before

A kill in between leaves the batch in some of the files, or in none; the next start writes it to all
of them. It is the last one, and without a mark. So a batch is stored as a whole or not at all, and
its events with it. A line has whole records: it does not matter which files have them already.

Edits from outside stand, since a batch that has its mark is not written again. A kill cannot lose
the mark; a power cut can. Then an edit of the last batch's records, made before the next start, is
overwritten. To sync the mark, too, would make a registration twice as slow.

The journal is the newest part of the event log, as CachedJsonFile's are. After FLUSH_EVENTS events
another one begins, and one is removed when its events are in segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sanic_dispatch.core.tables import Change
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.atomic_file import fsync_folder
from sanic_dispatch.storage.event_record import Recorded
from sanic_dispatch.storage.journal import (
    BatchRead,
    Journal,
    JournalName,
    JournalRead,
    RecordUpdate,
    encode_batch,
    journal_path,
    journals_in,
    read_journals,
    truncate_torn,
)
from sanic_dispatch.storage.record_json import order_of
from sanic_dispatch.storage.segment_log import FLUSH_EVENTS
from sanic_dispatch.storage.store import Batch


class Leftover(NamedTuple):
    """The journals that a killed process left."""

    journals: Sequence[JournalRead] = ()

    @property
    def batches(self) -> Iterator[BatchRead]:
        """All batches, in order; marks are empty ones."""
        return (batch for journal in self.journals for batch in journal.batches)

    @property
    def unfinished(self) -> BatchRead | None:
        """The batch that some files may not have."""
        last = next((read.batches[-1] for read in reversed(self.journals) if read.batches), None)
        return last if last is not None and last.changes else None


def read_leftover(folder: Path, *, fsync: bool = False) -> Leftover:
    """Read the journals of a folder; with ``fsync`` sync them before. Raises NotAQueue."""
    return Leftover(read_journals(journals_in(folder, JournalName.HISTORY), fsync=fsync))


class JsonFileJournal:
    """Appends batches, and removes the journals whose events are in segments."""

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self._folder = folder
        self._fsync = fsync
        self._current: Journal | None = None
        self._events = 0
        """How many events the current journal has."""
        self._last_number = 0
        self._last_n = 0
        """The number of the last event in any journal."""
        self._closed: list[tuple[Path, int]] = []
        """Older journals, each with the number of its last event, or of a later one."""
        self._pending = 0
        """The number of the batch that has its line and no mark."""

    @property
    def is_broken(self) -> bool:
        """Whether the last line may or may not be durable; all have to be removed next."""
        return self._current is not None and self._current.is_broken

    def resume(self, left: Leftover, last_n: int) -> None:
        """Go on after the journals that were read, whose batches are all in the files.

        ``last_n`` is the number of their last event. Raises OSError or StorageFailed.
        """
        self._close_current()
        for journal in left.journals:
            if journal.torn:
                truncate_torn(journal, fsync=self._fsync)
        self._closed = [(journal.path, last_n) for journal in left.journals]
        self._last_number = max([0, *journals_in(self._folder, JournalName.HISTORY)])
        self._last_n, self._pending = last_n, 0
        if left.unfinished is not None:
            try:
                self._open().append(_mark_of(0))
            except OutcomeUnknown as error:
                raise StorageFailed(str(error)) from error

    def append(self, batch: Batch, events: Sequence[Recorded]) -> None:
        """Make a batch durable, unless it has its line already.

        Raises StorageFailed, after which it has none, or OutcomeUnknown.
        """
        if batch.number == self._pending:
            return
        try:
            journal = self._open()
        except OSError as error:
            raise StorageFailed(f"the change could not be written: {error}") from error
        journal.append(encode_batch(_with_moves(batch), events))
        self._pending = batch.number
        self._events += len(events)
        if events:
            self._last_n = events[-1].n

    def take_back(self) -> None:
        """Remove the line of the batch that is pending, if it has one. Raises OutcomeUnknown."""
        pending, self._pending = self._pending, 0
        if self._current is not None and pending:
            self._current.take_back()

    def mark(self) -> None:
        """Note that the files have the batch that is pending."""
        if self._current is not None and self._pending:
            with suppress(StorageFailed, OutcomeUnknown):  # then the next line says the same
                self._current.append(_mark_of(self._pending), synced=False)
            if self._events >= FLUSH_EVENTS:
                self._close_current()
        self._pending = 0

    def remove_flushed(self, flushed_n: int) -> None:
        """Remove the journals whose events are in segments, up to this number."""
        while self._closed and self._closed[0][1] <= flushed_n:
            path, _ = self._closed.pop(0)
            with suppress(OSError):  # the next start ignores its events, and removes it
                path.unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Remove all journals: their events are in segments.

        Raises OSError; then the current one gets no more lines, and this has to be called again.
        """
        if self._current is not None:
            self._current.is_broken = True
        for path in journals_in(self._folder, JournalName.HISTORY).values():
            path.unlink(missing_ok=True)
        if self._fsync:  # also if an earlier call, or a batch, has removed the last one
            fsync_folder(self._folder)
        self._close_current()
        self._closed.clear()
        self._pending = 0

    def close(self) -> None:
        """Close the current journal."""
        self._close_current()

    def check(self) -> None:
        """Raise OSError if the current journal was removed or replaced."""
        if self._current is not None:
            self._current.check()

    def _open(self) -> Journal:
        """Return the current journal, or a new one. Raises OSError."""
        if self._current is None:
            number = self._last_number + 1
            path = journal_path(self._folder, number, JournalName.HISTORY)
            self._current = Journal.create(path, number, fsync=self._fsync)
            self._last_number, self._events = number, 0
        return self._current

    def _close_current(self) -> None:
        if self._current is not None:
            self._current.close()
            self._closed.append((self._current.path, self._last_n))
            self._current = None


def placed(changes: Sequence[RecordUpdate], known: Iterable[Worker]) -> list[RecordUpdate]:
    """Return changes in which known workers keep their places, and new ones are the last.

    Workers have other places after each start, so those in the journal are of another count.
    """
    gone = {change.id for change in changes if change.after is None}
    before = {worker.id: worker.place for worker in known}
    places = {each: place for each, place in before.items() if each not in gone}
    put = [change.after for change in changes if isinstance(change.after, Worker)]
    new = sorted((worker for worker in put if worker.id not in places), key=order_of)
    last = max([0.0, *before.values()])
    places |= {worker.id: last + at for at, worker in enumerate(new, 1)}
    return [
        change._replace(after=change.after._replace(place=places[change.id]))
        if isinstance(change.after, Worker)
        else change
        for change in changes
    ]


def _with_moves(batch: Batch) -> Batch:
    """Return a batch in which workers that have come to the end of the queue are gone first.

    That is for ``placed``, which cannot compare places, where one of them was there before: it has
    left the queue, and is back.
    """
    last = [change for change in batch.changes if _is_at_the_end(change)]
    if not any(change.before for change in last):
        return batch
    gone = [change._replace(after=None) for change in last]
    return batch._replace(changes=[*gone, *batch.changes])


def _is_at_the_end(change: Change) -> bool:
    """Return whether a worker is new, or has another place than before."""
    before, after = change.before, change.after
    if not isinstance(after, Worker):
        return False
    return not isinstance(before, Worker) or before.place != after.place


def _mark_of(number: int) -> bytes:
    return encode_batch(Batch(number, (), ()))
