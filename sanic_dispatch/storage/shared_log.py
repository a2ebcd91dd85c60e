"""The event log of the mode Redis: its newest part is in Redis, and its older part in segments.

The segments are in the data folder of the process that owned the queues. An owner on another
machine has others: what its folder does not have, and Redis does not have any more, is a hole.

Dispatchers on one machine may share a folder, and one that was paused may write its events after
another has taken over. So each flush locks the folder, and looks for new segments first: what is
there already is not written again, and what was committed is always right to be written.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from sanic_dispatch.core.job import Job, JobRef
from sanic_dispatch.storage.event_log import MAX_EPOCHS, Epoch, Rest, no_rest, number_before
from sanic_dispatch.storage.event_record import Recorded
from sanic_dispatch.storage.segment_format import is_folder
from sanic_dispatch.storage.segment_log import (
    FLUSH_EVENTS,
    EventRow,
    SegmentLog,
    read_epochs,
)

MIN_AGE_S = 5.0
"""How old events are before they are moved: Redis may lose what is younger, and segments not."""

LOCK_NAME = ".lock"

_log = structlog.get_logger("sanic_dispatch.storage")


class SharedLog(SegmentLog):
    """Events in Redis and in the segments of a folder; the store calls ``load_shared``."""

    _is_foreign = False
    """Whether the segments in the folder are of other data than that in Redis."""

    def load_shared(
        self, epochs: Sequence[Epoch], rows: Sequence[EventRow], jobs: Iterable[Job]
    ) -> None:
        """Load segments, and add the events that are in Redis, with what their jobs have.

        ``epochs`` and ``rows`` are those in Redis. Raises OSError.
        """
        last_n = max(
            rows[-1].last_n if rows else 0, number_before(epochs)
        )  # not those in the folder: see _is_foreign
        self._load()
        written = read_epochs(self.files.folder)
        self._last_n = max(self._flushed_n, last_n)
        self._is_foreign = self._is_of_others(written, epochs)
        if self._is_foreign:
            _log.warning("history.foreign", folder=str(self.files.folder))
            self.files.forget()
            self.snapshots.forget()
            self._flushed_n, self._last_n = 0, last_n
        elif epochs:
            self._remove_lost(_last_common_n(written, epochs, last_n))
        self._epochs = list(epochs)
        self.add_rows(rows, jobs)

    def note_epoch(self, epoch: Epoch) -> None:
        """Take in an epoch that begins in Redis, and write it if the folder has a history."""
        self._epochs = [*self._epochs, epoch][-MAX_EPOCHS:]
        if self.files.paths():
            with suppress(OSError), self._locked():  # else it is written before the next flush
                self.write_epochs(self._epochs)

    @property
    def settled_n(self) -> int:
        """That of a segment: an event that was only forgotten is in no folder of this topic."""
        return self._flushed_n if self.files.paths() else 0

    @property
    def is_due(self) -> bool:
        """Whether there are FLUSH_EVENTS that are old enough."""
        last = self._events[FLUSH_EVENTS - 1 : FLUSH_EVENTS]  # at once: a thread may remove some
        return bool(last) and self._is_old(last[0])

    def flush(self, rest: Rest = no_rest) -> None:
        """Move events that are old enough to segments.

        Raises OSError, also if another process is writing, or the folder has another history.
        """
        with self._locked():
            self._look_again()
            super().flush(rest)

    def erase(self, jobs: Collection[JobRef], rest: Rest = no_rest) -> None:
        """Erase data and results of these jobs from memory and from the folder.

        Raises OSError, also if another process is writing, or nobody can tell whose history the
        folder has.
        """
        self._erase_in_memory(jobs)  # first: the folder may be locked
        written = read_epochs(self.files.folder) if self._is_foreign else []
        is_of_others = written and set(written).isdisjoint(self._epochs)
        if is_of_others or not is_folder(self.files.folder):
            self.snapshots.erase(jobs)
            return
        with self._locked():
            self._look_again()
            super().erase(jobs, rest)

    def _until_n(self) -> int:
        return max((event.n for event in self._in_memory() if self._is_old(event)), default=0)

    def _is_old(self, event: Recorded) -> bool:
        """Whether an event is MIN_AGE_S old, or of the future: then the clock was set back."""
        return not 0 <= self._now_s() - event.at_s < MIN_AGE_S

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the folder; other threads wait, since flock would refuse them like other processes.

        Raises OSError, also if another process is writing.
        """
        with self._writing:
            self._make_folder()
            lock = os.open(self.files.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
            finally:
                os.close(lock)

    def _look_again(self) -> None:
        """Find what another process has written, and say in the folder which history this is."""
        written = read_epochs(self.files.folder)
        flushed_n = self._find_segments()
        if self._is_foreign or self._is_of_others(written, self._epochs):
            self.files.forget()
            self.snapshots.forget()
            raise OSError(errno.EEXIST, "the folder has the history of other data")
        if self._epochs and self._epochs[-1] not in written:
            self.write_epochs(self._epochs)
        self._note_flushed(flushed_n)

    def _is_of_others(self, written: Sequence[Epoch], epochs: Sequence[Epoch]) -> bool:
        """Return whether there are segments, and none of the folder's epochs is Redis's."""
        return bool(self.files.paths() and epochs) and not set(written) & set(epochs)

    def _remove_lost(self, last_n: int) -> None:
        """Remove the events that Redis has lost from the segments. Raises OSError."""
        if self._flushed_n > last_n:
            with self._locked():
                removed = self.remove_after(last_n)
            _log.warning("history.removed", events=removed, reason="Redis has lost them")


def _last_common_n(written: Sequence[Epoch], epochs: Sequence[Epoch], last_n: int) -> int:
    """Return the number up to which segments can have what Redis has, or had.

    Beyond the first number of the epoch after the last one that both know, Redis had lost what the
    segments have, and numbered other events so.
    """
    common = [at for at, epoch in enumerate(epochs) if epoch in written]
    following = epochs[common[-1] + 1 :] if common else []
    return min([last_n, *(epoch.first_n - 1 for epoch in following)])
