"""The mode CachedJsonFile: a write-ahead log (journals), and the files of JsonFile as checkpoint.

A batch is one line appended to a journal, so its cost does not depend on the length of the queue. A
checkpoint is written after a second without commits, at a clean stop, and when the journals have
outgrown the files.

``dispatch.json`` names the last journal that is contained in the files; recovery replays the
journals after it. From the first batch to a clean stop its version is JOURNALED, which programs
without journals refuse:

    start       create journal n+1; dispatch.json: JOURNALED, n
    checkpoint  create journal n+1 and append to it from now on; move events to segments; write the
                state at the end of n; dispatch.json: JOURNALED, n; remove the journals up to n
    clean stop  write a checkpoint; write workers.json without places;
                dispatch.json: STANDALONE, n+1; remove all journals

The journals are the newest part of the event log. Before dispatch.json makes a journal superfluous
its events are in a segment, so a start finds each event in a segment, in a journal that it replays,
or in both, and then ignores the second one. If the disk has no room for a segment, the checkpoint
is written all the same: orders go on, and dispatch.json says which events there were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.garbage_collection import no_collection
from sanic_dispatch.storage.atomic_file import fsync_folder
from sanic_dispatch.storage.blocking import RETRY_S, BackgroundFlush, OneThread
from sanic_dispatch.storage.checkpoint import CheckpointFiles, Pace, Records, Snapshot
from sanic_dispatch.storage.data_folder import LOCK, Anchor, reporting_write_errors, write_test_file
from sanic_dispatch.storage.event_log import KEEP_ALL, Retention
from sanic_dispatch.storage.event_record import recorded
from sanic_dispatch.storage.journal import (
    Journal,
    JournalRead,
    encode_batch,
    journal_path,
    journals_in,
    truncate_torn,
)
from sanic_dispatch.storage.json_format import DISPATCH_NAME, JOBS_NAME, JOURNALED, WORKERS_NAME
from sanic_dispatch.storage.read_json_folder import load_history, read_folder
from sanic_dispatch.storage.segment_log import MAX_UNFLUSHED, SegmentLog
from sanic_dispatch.storage.store import Batch, Store, Stored

QUIET_S = 1.0
"""How long after the last commit to begin a checkpoint."""

MIN_CHECKPOINT_BYTES = 8 * 2**20
"""The journal length below which files count as not outgrown; it is replayed in 0.7 s."""

_log = structlog.get_logger("sanic_dispatch")


class CachedJsonFileStore(Store):
    """Appends batches in one thread and writes checkpoints in another."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: bool = True,
        fsync: bool = True,
        quiet_s: float = QUIET_S,
        retention: Retention = KEEP_ALL,
    ) -> None:
        """Store jobs and facts, and with ``workers`` the workers, too."""
        self._files = JournaledFiles(folder, workers=workers, fsync=fsync, retention=retention)
        self.history = self._files.history
        self._quiet_s = quiet_s
        self._appends = OneThread("journal")
        self._checkpoints = OneThread("checkpoint")
        self._flushes = BackgroundFlush(self.history, MAX_UNFLUSHED)
        self._checkpoint: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_commit_s = 0.0
        self._retry_at_s = 0.0
        self._is_closed = False

    async def load(self) -> Stored:
        await self._flushes.finish()  # of what an earlier load has read
        await self._until_no_checkpoint()  # last: its timer may begin one meanwhile
        with no_collection():
            stored = await self._appends.run(self._files.load)
        self.is_as_committed = self._files.is_as_committed
        if self._files.has_batches:
            self._set_timer(self._quiet_s)
        return stored

    async def commit(self, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        if self._files.is_broken and self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        try:
            await self._appends.run(self._files.commit, batch)
        finally:
            self._last_commit_s = loop.time()
            if self._timer is None and not self._is_closed:
                self._set_timer(self._quiet_s)
        may_begin = self._checkpoint is None and loop.time() > self._retry_at_s
        if may_begin and self._files.journals_are_long:
            self._begin_checkpoint()
        if self._files.history.is_due:  # the next checkpoint may take a while
            self._flushes.begin_if_due()

    async def begin_epoch(self, name: str, at_s: float) -> None:
        await self._flushes.begin_epoch(name, at_s)

    async def try_writing(self) -> None:
        await self._appends.run(self._files.try_writing)

    async def erase(self, jobs: Collection[JobRef]) -> None:
        await self._until_no_checkpoint()
        self._checkpoint = asyncio.create_task(self._erase(jobs))
        await asyncio.shield(self._checkpoint)

    async def checkpoint(self) -> None:
        """Write a checkpoint, if journals have batches that are not in the files.

        Raises StorageFailed, after which the journals still have everything.
        """
        if self._files.has_batches:
            await self._write_checkpoint()

    async def _write_checkpoint(self) -> int:
        """Begin a new journal, and write what those before have to the files.

        Returns the number of the last one before. Raises StorageFailed.
        """
        try:
            await self._appends.run(self._files.create_spare)  # batches may come in between
            snapshot, journal = await self._appends.run(self._files.rotate)
            await self._checkpoints.run(self._files.write_checkpoint, snapshot, journal)
        except OSError as error:
            raise StorageFailed(f"the checkpoint could not be written: {error}") from error
        return journal

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        await self._flushes.finish()
        try:
            await self._appends.run(self._files.close)
        finally:
            self._appends.stop()
            self._checkpoints.stop()
            self._flushes.stop()

    # ---- scheduling checkpoints

    def _set_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._check_quiet)

    def _check_quiet(self) -> None:
        """Begin a checkpoint if there was no commit for ``quiet_s``; else check again later."""
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        due_s = max(self._last_commit_s + self._quiet_s, self._retry_at_s)
        if self._checkpoint is not None or now_s < due_s:
            self._set_timer(max(due_s - now_s, 0.001) if now_s < due_s else self._quiet_s)
        elif self._files.has_batches:
            self._begin_checkpoint()

    def _begin_checkpoint(self) -> None:
        if not self._is_closed:
            self._checkpoint = asyncio.create_task(self._try_checkpoint())

    async def _until_no_checkpoint(self) -> None:
        """Return once no checkpoint is being written and nothing is being erased."""
        while self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])

    async def _erase(self, jobs: Collection[JobRef]) -> None:
        """Write a checkpoint, whose files have only the newest records, and clear the segments."""
        try:
            journal = await self._write_checkpoint()
            with reporting_write_errors():
                await self._checkpoints.run(self._files.erase, jobs, journal)
        finally:
            self._checkpoint = None

    async def _try_checkpoint(self) -> None:
        try:
            await self.checkpoint()
        except Exception as error:  # also a mistake of ours: the journals have everything
            is_mistake = not isinstance(error, StorageFailed)
            _log.warning("storage.checkpoint_failed", reason=str(error), exc_info=is_mistake)
            self._retry_at_s = asyncio.get_running_loop().time() + RETRY_S
            if self._timer is None and not self._is_closed:
                self._set_timer(RETRY_S)
        finally:
            self._checkpoint = None


class JournaledFiles:
    """The blocking part of CachedJsonFileStore.

    ``write_checkpoint`` may run in another thread than the other methods.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: bool = True,
        fsync: bool = True,
        retention: Retention = KEEP_ALL,
    ) -> None:
        self._folder = folder.resolve()
        self._has_workers = workers
        self._retention = retention
        self._fsync = fsync
        self._files = CheckpointFiles(self._folder, fsync=fsync)
        self._records = Records()
        self.history = SegmentLog(self._folder, fsync=fsync, retention=retention)
        self.is_as_committed = True
        """Whether the files that ``load`` has read seem to be unedited."""
        self._anchor = Anchor(())
        self._journal: Journal | None = None
        self._spare: Journal | None = None
        """The next journal, created but without batches."""
        self._last_number = 0
        self._replayed: Sequence[JournalRead] = ()
        self._is_standalone = True
        """Whether dispatch.json is complete without journals."""
        self._old_bytes = 0
        """The length of closed journals that are not in the files yet."""
        self._file_bytes = 0
        self._batch = 0
        self._is_loaded = False
        """Whether all was read: what a load has refused is left as it was."""

    @property
    def is_broken(self) -> bool:
        """Whether the last batch may or may not be durable; its journal must be replaced."""
        return self._journal is not None and self._journal.is_broken

    @property
    def has_batches(self) -> bool:
        """Whether journals have batches that are not in the files."""
        return self._old_bytes > 0 or (self._journal is not None and self._journal.batches > 0)

    @property
    def journals_are_long(self) -> bool:
        """Whether the journals are longer than the files and MIN_CHECKPOINT_BYTES."""
        length = self._journal.length if self._journal else 0
        return self._old_bytes + length > max(MIN_CHECKPOINT_BYTES, self._file_bytes)

    def load(self) -> Stored:
        for journal in (self._journal, self._spare):
            if journal is not None:
                journal.close()
        self._journal = self._spare = None
        self._batch = 0
        self._is_loaded = False
        if not self._has_workers:
            # another mode has the workers now, and the journals may have some
            recover_folder(self._folder, fsync=self._fsync, retention=self._retention)
        found = read_folder(self._folder, workers=self._has_workers, fsync=self._fsync)
        load_history(self.history, found)
        self.is_as_committed = not _is_edited(self._folder, workers=self._has_workers)
        self._anchor = Anchor((self._folder, self._folder / LOCK))
        self._records = found.records
        self._replayed = found.replayed
        self._last_number = found.last_journal
        self._is_standalone = found.version != JOURNALED
        self._files = CheckpointFiles(self._folder, fsync=self._fsync, has_places=found.has_places)
        self._old_bytes = sum(read.size for read in found.replayed if read.batches)
        self._measure_files()
        self._records.last_event = self.history.last_number
        self._is_loaded = True
        return found.stored()

    def commit(self, batch: Batch) -> None:
        if batch.number <= self._batch:
            return
        if self._journal is None:
            self._journal = self._start_journal()
        elif self._journal.is_broken:
            self._replace_broken(self._journal)
        events = [recorded(event) for event in batch.events]
        self._journal.append(encode_batch(batch, events))
        self._records.apply(batch.changes)
        self.history.add(events)
        self._records.last_event = self.history.last_number
        self._batch = batch.number

    def try_writing(self) -> None:
        if self.is_broken:
            raise StorageFailed("nothing can be written: the journal could not be synced")
        with reporting_write_errors():
            (self._journal or self._anchor).check()
            write_test_file(self._folder)

    def close(self) -> None:
        """Write all files and remove the journals, once they were loaded.

        Raises StorageFailed, after which the journals still have everything.
        """
        try:
            is_to_write = self._journal is not None or self._replayed or not self._is_standalone
            if self._is_loaded and is_to_write:
                self._anchor.check()
                self._write_standalone()
        except OSError as error:
            raise StorageFailed(f"the checkpoint could not be written: {error}") from error
        finally:
            for journal in (self._journal, self._spare):
                if journal is not None:
                    journal.close()

    # ---- checkpoints

    def create_spare(self) -> Journal:
        """Create the next journal, unless it exists, and return it. Raises OSError."""
        if self._spare is None:
            self._anchor.check()
            self._truncate_torn()
            number = self._last_number + 1
            path = journal_path(self._folder, number)
            self._spare = Journal.create(path, number, fsync=self._fsync)
            self._last_number = number
        return self._spare

    def rotate(self) -> tuple[Snapshot, int]:
        """Switch to the next journal; return the records as of the last one, and its number.

        Raises StorageFailed if the last one is broken, or OSError.
        """
        if self.is_broken:
            raise StorageFailed("the journal could not be synced")
        old, self._journal = self._journal, self._take_spare()
        if old is not None:
            self._old_bytes += old.length
            old.close()
        return self._records.snapshot(), self._journal.number - 1

    def write_checkpoint(self, snapshot: Snapshot, journal: int, pace: Pace | None = None) -> None:
        """Write the files, then remove the journals up to this number. Raises OSError."""
        pace, length = pace or Pace(), self._old_bytes
        self.history.try_flush(pace.rest, MAX_UNFLUSHED)
        self._anchor.check()
        self._files.write(snapshot, journal, pace)
        self._is_standalone = False
        self._old_bytes -= length
        self._measure_files()
        self._remove_journals(journal)

    def erase(self, jobs: Collection[JobRef], journal: int) -> None:
        """Erase the data of these jobs from segments, and the journals up to this number.

        It is that of the checkpoint that has to precede. Raises OSError.
        """
        self._unlink_journals(journal)
        self.history.erase(jobs, Pace().rest)

    def _start_journal(self) -> Journal:
        """Return the first journal of this run. Raises StorageFailed."""
        try:
            return self._take_spare()
        except OSError as error:
            raise StorageFailed(f"the change could not be written: {error}") from error

    def _take_spare(self) -> Journal:
        """Return the next journal, once dispatch.json refers to it. Raises OSError."""
        journal = self.create_spare()
        if self._is_standalone:
            snapshot, number = self._records.snapshot(), journal.number - 1
            self._files.write_ledger(snapshot, JOURNALED, number, Pace())
            self._is_standalone = False
        self._spare = None
        return journal

    def _replace_broken(self, broken: Journal) -> None:
        """Replace a journal whose sync failed by a checkpoint without its last batch.

        Raises OutcomeUnknown: until dispatch.json names that journal as contained in the files,
        recovery would replay it, and its last batch may be durable.
        """
        try:
            number = self.create_spare().number - 1
            self.write_checkpoint(self._records.snapshot(), number)
        except OSError as error:
            raise OutcomeUnknown(f"the journal could not be replaced: {error}") from error
        broken.close()
        self._journal, self._spare = self._spare, None

    def _write_standalone(self) -> None:
        """Write files that are complete without journals, then remove these. Raises OSError."""
        unpaced = Pace(rest_s=0)
        self.history.try_flush()  # also what an earlier checkpoint had no room for
        if self.has_batches or self.is_broken:
            number = self.create_spare().number - 1
            self.write_checkpoint(self._records.snapshot(), number, unpaced)
        self._files.write_standalone(
            self._records.snapshot(),
            self._last_number,
            unpaced,
            workers=self._has_workers,
        )
        self._remove_journals(self._last_number)

    def _truncate_torn(self) -> None:
        """Truncate torn last lines before later journals get batches. Raises OSError."""
        for read in self._replayed:
            if read.torn:
                truncate_torn(read, fsync=self._fsync)
        self._replayed = ()

    def _remove_journals(self, last: int) -> None:
        """Remove the journals up to this number; recovery ignores any that cannot be removed."""
        with suppress(OSError):
            self._unlink_journals(last)

    def _unlink_journals(self, last: int) -> None:
        for number, path in journals_in(self._folder).items():
            if number <= last:
                path.unlink()
        if self._fsync:
            fsync_folder(self._folder)

    def _measure_files(self) -> None:
        paths = [self._folder / name for name in (JOBS_NAME, WORKERS_NAME, DISPATCH_NAME)]
        self._file_bytes = sum(path.stat().st_size for path in paths if path.exists())


def _is_edited(folder: Path, *, workers: bool) -> bool:
    """Return whether files were written after ``dispatch.json``, which a checkpoint writes last."""
    names = (JOBS_NAME, WORKERS_NAME) if workers else (JOBS_NAME,)
    written_ns = _written_ns(folder / DISPATCH_NAME)
    return any(_written_ns(folder / name) > written_ns for name in names)


def _written_ns(path: Path) -> int:
    """Return when a file was written; 0 if there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


def needs_recovery(folder: Path) -> bool:
    """Return whether there are journals, or a ``dispatch.json`` that depends on journals."""
    if journals_in(folder):
        return True
    path = folder / DISPATCH_NAME
    if not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            return file.read(64).startswith(b'{"version":%d,' % JOURNALED)
    except OSError:
        return False  # reading the file reports the error


def recover_folder(folder: Path, *, fsync: bool, retention: Retention = KEEP_ALL) -> None:
    """Replay the journals that a killed process left, write the files and remove the journals.

    Do nothing in a folder without journals. Raises NotAQueue, or StorageFailed if the files cannot
    be written.
    """
    if needs_recovery(folder):
        files = JournaledFiles(folder, fsync=fsync, retention=retention)
        files.load()
        files.close()
