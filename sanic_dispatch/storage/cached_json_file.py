"""CachedJsonFile: the files of JsonFile as a checkpoint, and journals of what came after it.

A batch is one line at the end of a journal, so it costs the same at any length of the queue. What
waits is in the files after a second of quiet, after a clean stop, and whenever the journals have
outgrown them.

``dispatch.json`` says the number of the journal up to which the files have everything; the journals
after that one count. From the first batch to a clean stop it also says a version that older
programs refuse, and a journal that counts is never missing:

    start       journal n+1 is begun; dispatch.json: journaled, n
    checkpoint  journal n+1 is begun and takes the batches; the state at the end of n is written;
                dispatch.json: journaled, n; journals up to n are removed
    clean stop  a checkpoint; workers.json without places; dispatch.json: settled, n+1; journals go
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.garbage_collection import no_collection
from sanic_dispatch.storage.atomic_file import fsync_folder
from sanic_dispatch.storage.blocking import OneThread
from sanic_dispatch.storage.checkpoint import CheckpointFiles, Pace, Records, Snapshot
from sanic_dispatch.storage.data_folder import LOCK, Anchor
from sanic_dispatch.storage.journal import (
    Journal,
    JournalRead,
    cut_off_torn,
    encode_batch,
    journals_in,
)
from sanic_dispatch.storage.json_folder import needs_settling, read_folder
from sanic_dispatch.storage.store import Batch, Store, Stored
from sanic_dispatch.storage.trial import write_trial, writing
from sanic_dispatch.storage.whole_files import DISPATCH_NAME, JOBS_NAME, JOURNALED, WORKERS_NAME

QUIET_S = 1.0
"""How long nothing must have been committed before a checkpoint is written."""

LONG = 8 * 2**20
"""How many bytes journals may have even if the files have less: as much as is replayed in 0.7 s."""

RETRY_S = 5.0
"""How long after a checkpoint that failed the next one is tried."""

_log = structlog.get_logger("sanic_dispatch")


class CachedJsonFileStore(Store):
    """The journaled files; batches are appended in one thread, checkpoints written in another."""

    def __init__(
        self, folder: Path, *, workers: bool = True, fsync: bool = True, quiet_s: float = QUIET_S
    ) -> None:
        """Without ``workers`` only the jobs and the facts are kept here."""
        self._files = JournaledFiles(folder, workers=workers, fsync=fsync)
        self._quiet_s = quiet_s
        self._appends = OneThread("journal")
        self._checkpoints = OneThread("checkpoint")
        self._checkpoint: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._committed_s = 0.0
        self._not_before_s = 0.0
        self._is_closed = False

    async def load(self) -> Stored:
        with no_collection():
            stored = await self._appends.run(self._files.load)
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
            self._committed_s = loop.time()
            if self._timer is None and not self._is_closed:
                self._set_timer(self._quiet_s)
        if self._files.is_long and self._checkpoint is None and loop.time() > self._not_before_s:
            self._begin_checkpoint()

    async def try_writing(self) -> None:
        await self._appends.run(self._files.try_writing)

    async def checkpoint(self) -> None:
        """Bring the files up to date. Raises StorageFailed; nothing is lost by that."""
        if not self._files.has_batches:
            return
        try:
            await self._appends.run(self._files.prepare)
            turned = await self._appends.run(self._files.turn_over)
            if turned is not None:
                await self._checkpoints.run(self._files.write_checkpoint, *turned)
        except OSError as error:
            raise StorageFailed(f"the files could not be brought up to date: {error}") from error

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        try:
            await self._appends.run(self._files.close)
        finally:
            self._appends.stop()
            self._checkpoints.stop()

    # ---- when a checkpoint is due

    def _set_timer(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        """Begin a checkpoint if it has been quiet for long enough, or look again later."""
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        due_s = max(self._committed_s + self._quiet_s, self._not_before_s)
        if self._checkpoint is not None or now_s < due_s:
            self._set_timer(max(due_s - now_s, 0.001) if now_s < due_s else self._quiet_s)
        elif self._files.has_batches:
            self._begin_checkpoint()

    def _begin_checkpoint(self) -> None:
        if not self._is_closed:
            self._checkpoint = asyncio.create_task(self._try_checkpoint())

    async def _try_checkpoint(self) -> None:
        try:
            await self.checkpoint()
        except StorageFailed as error:
            _log.warning("storage.checkpoint_failed", reason=str(error))
            self._not_before_s = asyncio.get_running_loop().time() + RETRY_S
            if self._timer is None and not self._is_closed:
                self._set_timer(RETRY_S)
        finally:
            self._checkpoint = None


class JournaledFiles:
    """The same, blocking. ``write_checkpoint`` may run beside the others."""

    def __init__(self, folder: Path, *, workers: bool = True, fsync: bool = True) -> None:
        self._folder = folder.resolve()
        self._has_workers = workers
        self._fsync = fsync
        self._files = CheckpointFiles(self._folder, fsync=fsync)
        self._records = Records()
        self._anchor = Anchor(())
        self._journal: Journal | None = None
        self._spare: Journal | None = None
        """A journal that was begun, and takes no batches yet."""
        self._last_journal = 0
        self._replayed: Sequence[JournalRead] = ()
        self._is_settled = True
        """Whether dispatch.json stands for itself."""
        self._has_places = False
        """Whether workers.json has places."""
        self._old_bytes = 0
        """The length of journals that are no longer written, and not in the files yet."""
        self._file_bytes = 0
        self._batch = 0

    @property
    def is_broken(self) -> bool:
        """Whether the fate of the last batch is unknown, and its journal not to be used again."""
        return self._journal is not None and self._journal.is_broken

    @property
    def has_batches(self) -> bool:
        """Whether journals say more than the files."""
        return self._old_bytes > 0 or (self._journal is not None and self._journal.batches > 0)

    @property
    def is_long(self) -> bool:
        """Whether the journals have outgrown the files."""
        length = self._journal.length if self._journal else 0
        return self._old_bytes + length > max(LONG, self._file_bytes)

    def load(self) -> Stored:
        for journal in (self._journal, self._spare):
            if journal is not None:
                journal.close()
        self._journal = self._spare = None
        self._batch = 0
        if not self._has_workers:
            settle(self._folder, fsync=self._fsync)  # a journal may have workers, too
        found = read_folder(self._folder, workers=self._has_workers, fsync=self._fsync)
        self._anchor = Anchor((self._folder, self._folder / LOCK))
        self._records = found.records
        self._replayed = found.replayed
        self._last_journal = found.last_journal
        self._is_settled = found.version != JOURNALED
        self._has_places = found.has_places
        self._old_bytes = sum(read.size for read in found.replayed if read.batches)
        self._measure()
        return found.stored()

    def commit(self, batch: Batch) -> None:
        if batch.number <= self._batch:
            return
        if self._journal is None:
            self._journal = self._begin()
        elif self._journal.is_broken:
            self._renew(self._journal)
        self._journal.append(encode_batch(batch))
        self._records.apply(batch.changes)
        self._batch = batch.number

    def try_writing(self) -> None:
        if self.is_broken:
            raise StorageFailed("nothing can be written: the journal could not be synced")
        with writing():
            (self._journal or self._anchor).check()
            write_trial(self._folder)

    def close(self) -> None:
        """Write all files and remove the journals. Raises StorageFailed; nothing is lost by it."""
        try:
            if self._journal is not None or self._replayed or not self._is_settled:
                self._anchor.check()
                self._settle()
        except OSError as error:
            raise StorageFailed(f"the files could not be brought up to date: {error}") from error
        finally:
            for journal in (self._journal, self._spare):
                if journal is not None:
                    journal.close()

    # ---- checkpoints

    def prepare(self) -> None:
        """Begin the next journal, if that was not done yet. Raises OSError."""
        if self._spare is None:
            self._anchor.check()
            self._cut_off_torn()
            number = self._last_journal + 1
            self._spare = Journal.create(self._folder, number, fsync=self._fsync)
            self._last_journal = number

    def turn_over(self) -> tuple[Snapshot, int] | None:
        """Go on in the next journal; return the state at the end of the last one, and its number.

        None where there is nothing to write, or the last journal is broken.
        """
        if self.is_broken or self._spare is None or not self.has_batches:
            return None
        old, self._journal, self._spare = self._journal, self._spare, None
        if old is not None:
            self._old_bytes += old.length
            old.close()
        return self._records.snapshot(), self._journal.number - 1

    def write_checkpoint(self, snapshot: Snapshot, journal: int, pace: Pace | None = None) -> None:
        """Write the files, then remove the journals that are in them. Raises OSError."""
        length = self._old_bytes
        self._has_places |= snapshot.workers_changed
        try:
            self._anchor.check()
            self._files.write(snapshot, journal, pace or Pace())
        except OSError:
            self._records.note_unwritten(snapshot)
            raise
        self._is_settled = False
        self._old_bytes -= length
        self._measure()
        self._remove_journals(journal)

    def _begin(self) -> Journal:
        """Have a journal, and a dispatch.json that counts on it. Raises StorageFailed."""
        try:
            self.prepare()
            assert self._spare is not None
            if self._is_settled:
                snapshot, number = self._peek(), self._spare.number - 1
                self._files.write_ledger(snapshot, JOURNALED, number, Pace())
                self._is_settled = False
        except OSError as error:
            raise StorageFailed(f"the change could not be written: {error}") from error
        journal, self._spare = self._spare, None
        return journal

    def _renew(self, broken: Journal) -> None:
        """Replace a journal that could not be synced by files without its last batch.

        Raises OutcomeUnknown: until dispatch.json says that the journal does not count any more,
        that batch may be durable.
        """
        try:
            self.prepare()
            assert self._spare is not None
            self.write_checkpoint(self._records.snapshot(), self._spare.number - 1)
        except OSError as error:
            raise OutcomeUnknown(f"the journal could not be replaced: {error}") from error
        broken.close()
        self._journal, self._spare = self._spare, None

    def _settle(self) -> None:
        """Have files that stand for themselves. Raises OSError."""
        at_once = Pace(rest_s=0)
        if self.has_batches or self.is_broken:
            self.prepare()
            assert self._spare is not None
            self.write_checkpoint(self._records.snapshot(), self._spare.number - 1, at_once)
        self._files.settle(
            self._peek(),
            self._last_journal,
            at_once,
            workers=self._has_places and self._has_workers,
        )
        self._remove_journals(self._last_journal)

    def _peek(self) -> Snapshot:
        """Return all records; what is outdated stays so."""
        snapshot = self._records.snapshot()
        self._records.note_unwritten(snapshot)
        return snapshot

    def _cut_off_torn(self) -> None:
        """Cut off what a kill has left of the last line, before others follow. Raises OSError."""
        for read in self._replayed:
            if read.torn:
                cut_off_torn(read, fsync=self._fsync)
        self._replayed = ()

    def _remove_journals(self, last: int) -> None:
        """Remove journals that are in the files; those that cannot be are ignored by a start."""
        with suppress(OSError):
            for number, path in journals_in(self._folder).items():
                if number <= last:
                    path.unlink()
            if self._fsync:
                fsync_folder(self._folder)

    def _measure(self) -> None:
        paths = [self._folder / name for name in (JOBS_NAME, WORKERS_NAME, DISPATCH_NAME)]
        self._file_bytes = sum(path.stat().st_size for path in paths if path.exists())


def settle(folder: Path, *, fsync: bool) -> None:
    """Replay the journals that a kill has left, so that the files stand for themselves.

    Raises NotAQueue, and StorageFailed where the files cannot be written.
    """
    if needs_settling(folder):
        files = JournaledFiles(folder, fsync=fsync)
        files.load()
        files.close()
