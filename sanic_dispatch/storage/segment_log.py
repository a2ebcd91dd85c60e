"""The event log in segments: older events in files, the newest in memory.

The store that has a SegmentLog keeps the newest events durable itself, in its journals. ``flush``
moves them to segments, and only then may the store remove the journals:

    add      take in the events of a durable batch
    flush    write them to a segment under another name, sync it, rename it; forget them
    start    the store adds the events of its journals again; those in segments are ignored

The last segment grows, by being rewritten, until it is full. The epochs are in ``epochs.json``; an
epoch of which no number is good any more has an empty name.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from threading import Lock, RLock
from typing import Any, NamedTuple

import structlog

from sanic_dispatch.core.job import Job, JobRef
from sanic_dispatch.core.tables import Table
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.storage.atomic_file import NameNotSynced, fsync_folder, is_gone, replace_file
from sanic_dispatch.storage.event_log import (
    KEEP_ALL,
    MAX_EPOCHS,
    Damage,
    Epoch,
    EventLog,
    EventWithPayload,
    Hole,
    Missing,
    Page,
    Question,
    Rest,
    Retention,
    ends_of,
    no_rest,
    number_before,
    page_of,
    readable,
    unnamed,
)
from sanic_dispatch.storage.event_record import LoggedEvent, Payload, Recorded, decode_events
from sanic_dispatch.storage.journal import BatchRead, RecordUpdate
from sanic_dispatch.storage.sealed_json import seal_json, unseal_json
from sanic_dispatch.storage.segment_erasure import may_have, without_payloads
from sanic_dispatch.storage.segment_files import SegmentFiles, write_index
from sanic_dispatch.storage.segment_format import (
    FOLDER,
    decode_event_lines,
    files_in,
    is_folder,
    segment_path,
)
from sanic_dispatch.storage.segment_index import SegmentIndex, index_of, index_path
from sanic_dispatch.storage.segment_search import (
    EventRange,
    events_after,
    events_matching,
    holes_between,
    payloads_in_span,
    ranges_of,
)
from sanic_dispatch.storage.segment_writer import SegmentWriter
from sanic_dispatch.storage.snapshots import SnapshotFiles

FLUSH_EVENTS = 3_500
"""How many events to keep in memory, 1.4 MB, before they are moved to a segment: a third of one.

With as many as a segment has it took 4 MB, and 0.2 µs of CPU less for an event.
"""

MAX_UNFLUSHED = 50_000
"""How many events to keep in memory, 20 MB, on a disk without room; older ones are forgotten."""

DECODED_AT_START = 512
"""How many of the newest events a start decodes of a store's rows; the others when needed."""

EPOCHS_NAME = "epochs.json"

DROPPED_NAME = "dropped.json"
"""The file with the number of the last event that was dropped: the log was too old or too long."""

_log = structlog.get_logger("sanic_dispatch.storage")

_number_of = attrgetter("n")


class EventRow(NamedTuple):
    """The events of one batch in a store's table or stream."""

    last_n: int
    """The number of the last one."""
    events: bytes
    """All of them, as a JSON array."""


class SegmentLog(EventLog):
    """The events of a data folder; its store calls ``load``, ``add`` and ``flush``."""

    def __init__(
        self,
        folder: Path,
        *,
        fsync: bool = True,
        retention: Retention = KEEP_ALL,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._retention = retention
        self._now_s = now_s
        self.files = SegmentFiles(folder / FOLDER)
        self.snapshots = SnapshotFiles(folder / FOLDER)
        self._fsync = fsync
        self._keeps_payloads = retention.payloads
        self._lock = Lock()
        """Guards ``_events``, ``_later`` and the numbers."""
        self._writing = RLock()
        """Held while segments are written."""
        self._events: list[Recorded] = []
        self._later: list[BatchRead] = []
        """Batches that are not decoded yet; their events come before ``_events``."""
        self._has_folder = False
        """Whether the name of the segments' folder is durable."""
        self._has_unsynced_name = False
        """Whether a power cut may still bring back a replaced or removed segment."""
        self._flushed_n = 0
        """The number of the last event that is no longer in memory: in a segment, or forgotten."""
        self._last_n = 0
        self._dropped_n = 0
        """The number of the last event that was dropped as too old."""
        self._epochs: list[Epoch] = []

    # ---- loading

    def load(self, last_number: int = 0) -> None:
        """Look for segments, and discard the events in memory. Raises OSError.

        ``last_number`` is that of the last event that the store has seen, if it knows. Numbers
        continue after it, and after those before the last epoch, also if their segment is gone.
        """
        self._load()
        try:
            self._epochs = read_epochs(self.files.folder)
        except OSError as error:  # as if they were damaged
            _log_damage(self.files.folder / EPOCHS_NAME, error)
            self._epochs = []
        self._last_n = max(self._flushed_n, last_number, number_before(self._epochs))

    def _load(self) -> None:
        """Look for segments, and discard the events in memory. Raises OSError."""
        last_n = self._find_segments()
        with self._lock:
            self._events, self._later = [], []
            self._flushed_n = last_n

    def _find_segments(self) -> int:
        """Look for the segments that are there now; return the number of their last event."""
        self.files.find()
        self.snapshots.find()
        self._dropped_n = _read_dropped(self.files.folder / DROPPED_NAME)
        self.stats.size_bytes = self.files.size_bytes
        for _, path in reversed(self.files.paths()):
            with suppress(OSError):  # answers report it
                if last_n := self.files.index(path).last_n:
                    return last_n
        return 0

    # ---- numbers and epochs

    @property
    def last_number(self) -> int:
        return self._last_n

    @property
    def flushed_n(self) -> int:
        """The number up to which the store may delete its own events."""
        return self._flushed_n

    @property
    def settled_n(self) -> int:
        return self._flushed_n

    def cuts(self) -> Collection[int]:
        return {first_n - 1 for first_n, _ in self.files.paths()}

    @property
    def epochs(self) -> Sequence[Epoch]:
        return self._epochs

    def begin_epoch(self, name: str, at_s: float) -> None:
        """Begin an epoch with the next event, durably. Raises OSError."""
        epochs = [*self._epochs, Epoch(name, self._last_n + 1, at_s)][-MAX_EPOCHS:]
        self.write_epochs(epochs)
        self._epochs = epochs

    def invalidate_cursors(self) -> None:
        self._epochs = unnamed(self._epochs)

    def write_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Replace the file with the epochs, durably. Raises OSError."""
        self._make_folder()
        replace_file(self.files.folder / EPOCHS_NAME, [seal_json(epochs)], fsync=self._fsync)

    # ---- events in memory

    def add(self, events: Sequence[Recorded]) -> None:
        """Take in the events of a durable batch; ignore those that the log has."""
        with self._lock:
            if self._later:
                self._decode_later()
            self._add(events)

    def add_later(self, batches: Iterable[BatchRead]) -> None:
        """Take in the events of batches that a start has read, before ``add``; decode them later.

        Only those of the last batch are decoded at once, for the last number.
        """
        with self._lock:
            self._later = [batch for batch in batches if batch.events]
            for batch in reversed(self._later):
                events = _read_events(batch)
                if events:
                    self._last_n = max(self._last_n, events[-1].n)
                    break

    def add_rows(self, rows: Sequence[EventRow], jobs: Iterable[Job]) -> None:
        """Take in all events that a store has, in order, as ``add_later`` does.

        Their payloads are the data and results of ``jobs``.
        """
        if not rows:
            return
        changes = [RecordUpdate(Table.JOBS, job.id, job) for job in jobs]
        newest_n = rows[-1].last_n - DECODED_AT_START
        parts = (
            [row.events for row in rows if row.last_n <= newest_n],
            [row.events for row in rows if row.last_n > newest_n],
        )
        self.add_later(BatchRead(changes, _joined(part)) for part in parts if part)

    def _decode_later(self) -> None:
        later, self._later = self._later, []
        for batch in later:
            self._add(_read_events(batch))

    def _add(self, events: Sequence[Recorded]) -> None:
        last_n = self._events[-1].n if self._events else self._flushed_n
        if events and events[0].n <= last_n:
            events = [event for event in events if event.n > last_n]
        if events:
            self._events += events
            self._last_n = max(self._last_n, events[-1].n)

    @property
    def unflushed(self) -> int:
        """How many events are in no segment yet, without those not decoded since a start."""
        return len(self._events)

    def _in_memory(self) -> list[Recorded]:
        """Return the events that are in no segment yet; decode those of ``add_later``."""
        with self._lock:
            self._decode_later()
            return self._events[:]

    def drop_unflushed(self, most: int) -> int:
        """Forget all events in memory but the newest ``most``; return how many are lost."""
        with self._lock:
            dropped = self._events[: max(0, len(self._events) - most)]
            if dropped:
                del self._events[: len(dropped)]
                self._flushed_n = dropped[-1].n
                self.stats.lost += len(dropped)
            return len(dropped)

    # ---- moving events to segments

    @property
    def is_due(self) -> bool:
        """Whether there are so many events in memory that they should be moved to segments."""
        return self.unflushed >= FLUSH_EVENTS

    def try_flush(self, rest: Rest = no_rest, keep: int | None = None) -> bool:
        """Flush; return whether the disk had room.

        If it had none that is logged, and only the newest ``keep`` events stay in memory.
        """
        try:
            self.flush(rest)
        except OSError as error:
            self.stats.is_failing = True
            dropped = 0 if keep is None else self.drop_unflushed(keep)
            _log.warning("history.not_written", reason=str(error), lost=dropped)
            return False
        self.stats.is_failing = False
        return True

    def flush(self, rest: Rest = no_rest) -> None:
        """Move the events that are in memory now to segments.

        Raises OSError. Then events that could not be written are still in memory; if only the
        folder could not be synced, those that were written may be lost by a power cut until the
        next flush.
        """
        with self._writing:
            try:
                self._move_to_segments(rest)
                self._sync_names()
            finally:
                self._drop_old()  # also if there is no room: that makes some

    def _move_to_segments(self, rest: Rest) -> None:
        until_n = self._until_n()
        while self._flushed_n < until_n:  # not for ever, while more events come
            writer, first_n = self._next_writer(rest)
            some = self._in_memory()[: writer.room]
            events = some[: bisect_right(some, until_n, key=_number_of)]
            if events:
                writer.add(events)
                self._write_segment(first_n or events[0].n, *writer.finish())
                self._note_flushed(events[-1].n)

    def _note_flushed(self, last_n: int) -> None:
        """Forget the events in memory up to a number, since segments have them."""
        with self._lock:
            self._decode_later()
            del self._events[: bisect_right(self._events, last_n, key=_number_of)]
            self._flushed_n = max(self._flushed_n, last_n)

    def _until_n(self) -> int:
        """Return the number of the last event to move to a segment now, or 0."""
        newest = self._in_memory()
        return newest[-1].n if newest else 0

    def _next_writer(self, rest: Rest) -> tuple[SegmentWriter, int]:
        """Return a writer that continues the last segment, and that segment's first number.

        If there is none that can be continued, return a writer of a new segment, and 0. Events that
        the last one has are forgotten: it may have been unreadable before, or once it was written.
        """
        keeps_payloads, paths = self._keeps_payloads, self.files.paths()
        if paths:
            first_n, path = paths[-1]
            with suppress(OSError), self.files.opened(path) as segment:  # else it is gone
                self._note_flushed(segment.index.last_n)
                if writer := SegmentWriter.continuing(segment, rest, keeps_payloads=keeps_payloads):
                    return writer, first_n
        return SegmentWriter(rest, keeps_payloads=keeps_payloads), 0

    def _write_segment(self, first_n: int, pieces: Sequence[bytes], index: SegmentIndex) -> None:
        """Write a segment and its index, or rewrite them. Raises OSError."""
        self._make_folder()
        path = segment_path(self.files.folder, first_n)
        try:
            replace_file(path, pieces, fsync=self._fsync)
        except NameNotSynced:  # it has its new content, which a power cut may take back
            self._has_unsynced_name = True
        write_index(path, index, b"".join(pieces[-2:]))
        self.files.add(first_n, path, index)

    def _sync_names(self) -> None:
        """Sync the folder if that failed after a segment was replaced. Raises OSError."""
        if self._has_unsynced_name:
            fsync_folder(self.files.folder)
            self._has_unsynced_name = False

    def _make_folder(self) -> None:
        """Make the folder of the segments, if it is missing, and sync its name. Raises OSError.

        The first time it is synced in any case: a killed process may have made it.
        """
        folder = self.files.folder
        if not (self._has_folder and is_folder(folder)):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._fsync:
                fsync_folder(folder.parent)
            self._has_folder = True

    @contextmanager
    def without_flush(self) -> Iterator[None]:
        """Move no event to a segment inside the ``with`` block; a flush waits for its end."""
        with self._writing:
            yield

    def remove_after(self, last_n: int) -> int:
        """Remove the events with later numbers from the segments; return how many that were.

        Raises OSError.
        """
        removed = 0
        self.snapshots.remove_after(last_n)
        with self._writing:
            for first_n, path in reversed(self.files.paths()):
                index = self.files.index(path)
                if index.last_n <= last_n:
                    break
                left = SegmentWriter(keeps_payloads=self._keeps_payloads)
                if first_n <= last_n:
                    with self.files.opened(path) as segment:
                        left.add_from(segment, last_n)
                removed += index.events - left.events
                if left.events:
                    self._write_segment(first_n, *left.finish())
                else:
                    self.files.remove(first_n)
            with self._lock:
                self._flushed_n = self._last_n = last_n
            self.stats.size_bytes = self.files.size_bytes
        return removed

    # ---- retention

    def maintain(self) -> None:
        with suppress(OSError):  # the segment was dropped meanwhile, or cannot be read
            if self.stats.is_failing or self._must_drop_oldest():
                self.try_flush()

    def _drop_old(self) -> None:
        """Delete the oldest segments while they are too old or too long. Raises OSError."""
        files = self.files
        for first_n, path in files.paths()[:-1]:
            if is_gone(path):  # its events are a hole
                files.remove(first_n)
        while self._must_drop_oldest():
            (first_n, path), (next_n, _) = files.paths()[:2]
            events, newest_s = 0, self._last_time_in(path)
            with suppress(OSError):
                events = files.index(path).events
            index_path(path).unlink(missing_ok=True)  # on a full disk, the room for the next file
            self.write_dropped(next_n - 1)
            files.remove(first_n)
            self.snapshots.remove_before(next_n - 1)
            self.stats.dropped += events
            _log.info("history.dropped", events=events, until=to_rfc3339(newest_s), file=path.name)
        self.stats.size_bytes = files.size_bytes

    def _must_drop_oldest(self) -> bool:
        """Return whether the oldest segment is too old, or all are too long together.

        The last segment is never dropped. Raises OSError.
        """
        paths, retention = self.files.paths(), self._retention
        if len(paths) < 2:
            return False
        oldest = paths[0][1]
        if is_gone(oldest) or self._last_time_in(oldest) < self._now_s() - retention.keep_s:
            return True
        return self.files.size_bytes > retention.keep_bytes

    def _last_time_in(self, path: Path) -> float:
        """Return when the last event of a segment was, in Unix seconds.

        If the segment is damaged or cannot be read, that is when it was written. Raises OSError.
        """
        with suppress(OSError):
            index = self.files.index(path)
            if not index.damage:
                return index.to_s
        return path.stat().st_mtime

    def write_dropped(self, last_n: int) -> None:
        """Record durably that events up to this number were dropped. Raises OSError."""
        dropped = self.files.folder / DROPPED_NAME
        replace_file(dropped, [seal_json(last_n)], fsync=self._fsync)
        self._dropped_n = last_n

    # ---- erasing

    def erase(self, jobs: Collection[JobRef], rest: Rest = no_rest) -> None:
        """Erase data and results of these jobs from memory and from all segments. Raises OSError.

        Segments are replaced one by one. Temporary files that a killed flush left are removed.
        """
        self._erase_in_memory(jobs)
        with self._writing:
            for path in files_in(self.files.folder):
                if path.match(".segment-*.new"):
                    path.unlink()
            for first_n, path in self.files.paths():
                with suppress(FileNotFoundError):  # somebody has removed it
                    self._erase_in_segment(first_n, path, jobs, rest)
            self.snapshots.erase(jobs)
            if self._fsync and is_folder(self.files.folder):
                self._has_unsynced_name = True  # a power cut may bring a removed file back
            self._sync_names()
            self.stats.size_bytes = self.files.size_bytes

    def _erase_in_memory(self, jobs: Collection[JobRef]) -> None:
        with self._lock:
            self._decode_later()
            self._events = [event.without_payload_of(jobs) for event in self._events]

    def _erase_in_segment(
        self, first_n: int, path: Path, jobs: Collection[JobRef], rest: Rest
    ) -> None:
        with self.files.opened(path) as segment:
            index = segment.index
            if not may_have(index, jobs):
                return
            remainder = without_payloads(segment.read(index.size), jobs, rest)
        if remainder is None:
            return
        for at, why in remainder.left_out:
            _log.warning("history.damaged", file=str(path), byte=at, reason=f"left out: {why}")
        pieces = remainder.pieces()
        if remainder.blocks:
            self._write_segment(first_n, pieces, index_of(b"".join(pieces)))
        else:
            self.files.remove(first_n)

    # ---- copying

    def copy_to(self, folder: Path, last_n: int, rest: Rest = no_rest) -> int:
        newest = self._in_memory()  # before the segments: what moves to one meanwhile is in both
        copy = SegmentLog(folder, retention=Retention(payloads=self._keeps_payloads))
        copy.write_epochs(unnamed(self._epochs))
        count = 0
        for first_n, path in self.files.paths():
            if first_n > last_n:
                break
            with suppress(FileNotFoundError):  # dropped meanwhile
                count += self._copy_segment(first_n, path, copy, last_n, rest)
            rest()
        if self._dropped_n:
            copy.write_dropped(self._dropped_n)
        copy.load()
        copy.add([event for event in newest if event.n <= last_n])
        count += copy.unflushed
        copy.flush(rest)
        return count

    def _copy_segment(
        self, first_n: int, path: Path, copy: SegmentLog, last_n: int, rest: Rest
    ) -> int:
        """Copy a segment, or its events up to ``last_n``; return how many these are.

        Raises OSError.
        """
        with self.files.opened(path) as segment:
            index = segment.index
            if index.last_n <= last_n:
                content = segment.read(index.size)
                target = segment_path(copy.files.folder, first_n)
                replace_file(target, [content])
                write_index(target, index, content)
                return index.events
            part = SegmentWriter(rest, keeps_payloads=self._keeps_payloads)
            part.add_from(segment, last_n)
        if part.events:
            copy._write_segment(first_n, *part.finish())
        return part.events

    # ---- reading

    def find(self, question: Question) -> Page:
        missing: list[Missing] = []
        found = readable(events_matching(self.files, self._in_memory(), question), missing)
        page = page_of(found, question)
        damage = [each for each in missing if isinstance(each, Damage)]
        return page._replace(damage=damage, holes=self._holes(question, page.next))

    def newest(self, most: int) -> Sequence[LoggedEvent]:
        with self._lock:
            lines, later = [event.line for event in self._events[-most:]], self._later[:]
        events = decode_event_lines(lines)
        while later and len(events) < most:
            events = [*_read_logged(later.pop()), *events]
        if len(events) < most:  # then there are too few to make ``find`` slow by decoding them
            return super().newest(most)
        return ends_of(events, self._last_n)[-most:]

    def scan(
        self, from_s: float | None = None, to_s: float | None = None
    ) -> Iterator[LoggedEvent | Missing]:
        span = Question(from_s=from_s, to_s=to_s)
        yield from events_matching(self.files, self._in_memory(), span)
        yield from self._holes(span)

    def payloads(
        self, from_s: float | None = None, to_s: float | None = None
    ) -> Iterator[Payload | Missing]:
        """Yield data and results of jobs, in the order of the events that brought them.

        Damage is yielded where it is met. A block that is partly in the span counts as a whole.
        """
        span = Question(from_s=from_s, to_s=to_s)
        yield from payloads_in_span(self.files, self._in_memory_as_kept(), span)

    def events_with_payloads(self, after: int) -> Iterator[EventWithPayload]:
        yield from events_after(self.files, self._in_memory_as_kept(), after)

    def _in_memory_as_kept(self) -> list[Recorded]:
        """Return the events in memory, without payloads if segments do not get them either."""
        newest = self._in_memory()
        if self._keeps_payloads:
            return newest
        return [event._replace(payload=None) for event in newest]

    def _holes(self, question: Question, to_n: int | None = None) -> list[Hole]:
        """Return the gaps in the numbers from ``question.after`` to ``to_n``, in its span.

        What was dropped as too old is not a gap.
        """
        last_n = self._last_n  # first: events that come meanwhile are not a gap
        began_s = self._epochs[0].at_s if self._epochs else 0.0
        before = EventRange(1, self._dropped_n, began_s, began_s)
        now_s = self._now_s()
        end = EventRange(last_n + 1, last_n + 1, now_s, now_s)
        return [
            hole
            for hole in holes_between([before, *ranges_of(self.files, self._in_memory()), end])
            if question.after < hole.last_n
            and (to_n is None or hole.first_n <= to_n)
            and (question.from_s is None or hole.to_s >= question.from_s)
            and (question.to_s is None or hole.from_s < question.to_s)
        ]


def _joined(arrays: Sequence[bytes]) -> bytes:
    """Join JSON arrays to one."""
    return b"[%b]" % b",".join([array[1:-1] for array in arrays])


def _read_logged(batch: BatchRead) -> list[LoggedEvent]:
    """Return a batch's events without payloads; none if they cannot be decoded."""
    try:
        return decode_events(batch.events)
    except ValueError:
        return []  # ``_read_events`` reports it


def _read_events(batch: BatchRead) -> list[Recorded]:
    """Return a batch's events; none if they cannot be decoded, which is logged."""
    try:
        return batch.read_events()
    except ValueError as error:  # their line's checksum is right: a mistake of ours
        _log.warning("history.damaged", file="journal", reason=str(error))
        return []


def read_epochs(folder: Path) -> list[Epoch]:
    """Read the epochs; none if the file is missing or damaged: then no cursor is good.

    Raises OSError.
    """
    written = _read_sealed(folder / EPOCHS_NAME) or ()
    return [Epoch(str(name), int(first_n), float(at_s)) for name, first_n, at_s in written]


def _read_dropped(path: Path) -> int:
    """Read the number of the last event that was dropped; 0 if that cannot be read."""
    try:
        return int(_read_sealed(path) or 0)
    except OSError as error:
        _log_damage(path, error)
        return 0


def _read_sealed(path: Path) -> Any:
    """Return the value in a file; None if it is missing, or damaged, which is logged.

    Raises OSError.
    """
    try:
        return unseal_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        _log_damage(path, error)
        return None


def _log_damage(path: Path, error: Exception) -> None:
    _log.warning("history.damaged", file=str(path), byte=0, reason=str(error))
