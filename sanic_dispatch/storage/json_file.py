"""The mode JsonFile: each batch rewrites ``dispatch.json``, ``jobs.json``, ``workers.json``.

The file of workers alone needs no journal. With jobs, a batch is in a journal before, which makes
it atomic and has its events: see json_file_journal.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Record, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import NotAQueue, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.blocking import ThreadedStore
from sanic_dispatch.storage.cached_json_file import recover_folder
from sanic_dispatch.storage.data_folder import LOCK, Anchor, reporting_write_errors, write_test_file
from sanic_dispatch.storage.entries import QUEUED, WORKERS
from sanic_dispatch.storage.event_log import KEEP_ALL, Retention
from sanic_dispatch.storage.event_record import Recorded, recorded
from sanic_dispatch.storage.file_checksums import FileChecksums, checksum
from sanic_dispatch.storage.journal import BatchRead, JournalName, RecordUpdate, journals_in
from sanic_dispatch.storage.json_file_contents import ArrayFile, C, LedgerFile, WholeFile
from sanic_dispatch.storage.json_file_journal import JsonFileJournal, placed, read_leftover
from sanic_dispatch.storage.json_format import DISPATCH_NAME, JOBS_NAME, WORKERS_NAME
from sanic_dispatch.storage.read_json_folder import load_log
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.store import Batch, Edit, Stored


class JsonFileStore(ThreadedStore):
    """Stores jobs, workers or both in JSON files; with ``rereads`` other programs may edit them."""

    def __init__(
        self,
        folder: Path,
        *,
        jobs: bool = True,
        workers: bool = True,
        rereads: bool = True,
        fsync: bool = True,
        retention: Retention = KEEP_ALL,
    ) -> None:
        self._files = JsonFiles(
            folder, jobs=jobs, workers=workers, rereads=rereads, fsync=fsync, retention=retention
        )
        super().__init__(self._files)
        self.rereads = rereads

    async def load(self) -> Stored:
        stored = await super().load()
        self.is_as_committed = self._files.is_as_committed
        return stored

    async def refresh(self) -> Edit | None:
        return await self._thread.run(self._files.refresh) if self.rereads else None

    async def check_unedited(self) -> None:
        if self.rereads:
            await self._thread.run(self._files.check_unedited)


class JsonFiles:
    """The blocking part of JsonFileStore.

    A batch replaces ``dispatch.json`` first, then ``jobs.json``, then ``workers.json``. So folders
    of versions without a journal have a job that finishes in at least one of the first two; a job
    in both is in the queue.
    """

    def __init__(
        self,
        folder: Path,
        *,
        jobs: bool,
        workers: bool,
        rereads: bool,
        fsync: bool,
        retention: Retention = KEEP_ALL,
    ) -> None:
        self._rereads = rereads
        self.history = SegmentLog(folder, fsync=fsync, retention=retention)
        self._folder = folder
        self._fsync = fsync
        self._anchor = Anchor(())
        self._journal = JsonFileJournal(folder, fsync=fsync) if jobs else None
        self._ledger = LedgerFile(folder / DISPATCH_NAME, fsync=fsync) if jobs else None
        self._jobs = _jobs_file(folder, fsync=fsync) if jobs else None
        self._workers = _workers_file(folder, fsync=fsync) if workers else None
        files: Sequence[WholeFile[Any] | None] = (self._ledger, self._jobs, self._workers)
        self._files = [file for file in files if file is not None]
        self._checksums = FileChecksums(folder, [file.name for file in self._files])
        self.is_as_committed = False
        """Whether the files that ``load`` has read are unedited; False for workers alone."""
        self._outcome_is_unknown = False
        """Whether a write failed and could not be rolled back."""
        self._is_loaded = False
        """Whether all was read: what a load has refused is left as it was."""

    def load(self) -> Stored:
        self._is_loaded = self._outcome_is_unknown = False
        recover_folder(self._folder, fsync=self._fsync)
        self._anchor = Anchor((self._folder, self._folder / LOCK))
        if self._journal is None or self._ledger is None or self._jobs is None:
            return Stored((), self._workers.load() if self._workers else [], ())
        left = read_leftover(self._folder, fsync=self._fsync)
        with reporting_write_errors():
            if left.unfinished is not None:
                self._finish(left.unfinished)
        workers: list[Worker] = self._workers.load() if self._workers else []
        ledger, queued = self._ledger.load(), self._jobs.load()
        self.is_as_committed = self._checksums.match()
        load_log(self.history, ledger.event, left.batches)
        with reporting_write_errors():
            self._journal.resume(left, self.history.last_number)
        ids = {job.id for job in queued}
        finished = [found.record for found in ledger.finished]
        self._ledger.leave_out(job for job in finished if job.id in ids)
        kept: list[Job] = [job for job in finished if job.id not in ids]
        self._is_loaded = True
        return Stored([*queued, *kept], workers, ledger.facts)

    def commit(self, batch: Batch) -> None:
        try:
            self._anchor.check()
            if self._rereads and not self._outcome_is_unknown:
                self.check_unedited()
        except OSError as error:
            raise self._error_for(error) from error
        events = [recorded(event) for event in batch.events]
        drafts = [(file, file.draft(batch.changes)) for file in self._files]
        after = _checksums_of(drafts) if self._journal is not None else {}
        self._checksums.begin_batch(after)
        self._append(batch, events)
        try:
            for file, draft in drafts:
                file.save(draft)
        except Exception as error:  # also MemoryError: files that have the batch look like an edit
            self._roll_back()
            raise self._error_for(error) from error
        for file, draft in drafts:
            file.commit(draft)
        self._checksums.end_batch(after)
        self._outcome_is_unknown = False
        if self._journal is not None:
            self._journal.mark()
            self.history.add(events)
            self._journal.remove_flushed(self.history.flushed_n)

    def refresh(self) -> Edit | None:
        if self._outcome_is_unknown:
            return None
        with _reporting_read_errors():
            jobs = self._jobs.refresh() if self._jobs else None
            workers = self._workers.refresh() if self._workers else None
        if jobs is None and workers is None:
            return None
        at_s = max(found[1] for found in (jobs, workers) if found is not None)
        return Edit(jobs[0] if jobs else None, workers[0] if workers else None, at_s)

    def check_unedited(self) -> None:
        with _reporting_read_errors():
            for file in (self._jobs, self._workers):
                if file is not None:
                    file.check_unedited()

    def _check_readable(self) -> None:
        """Raise StorageFailed if an edit has damaged a file: then no batch can be written."""
        with _reporting_read_errors():
            for file in (self._jobs, self._workers):
                if file is not None:
                    file.check_readable()

    def try_writing(self) -> None:
        if self._outcome_is_unknown:
            raise StorageFailed("nothing can be written: a failed write is not rolled back yet")
        with reporting_write_errors():
            self._anchor.check()
            if self._journal is not None:
                self._journal.check()
            write_test_file(self._folder)
        if self._rereads:
            self._check_readable()

    def erase(self) -> None:
        """Erase older records: remove the journals, after their events are moved to segments.

        Raises StorageFailed.
        """
        if self._outcome_is_unknown:
            raise StorageFailed("a failed write is not rolled back yet")
        if self._journal is not None:
            with reporting_write_errors():
                self.history.flush()
                self._retire(self._journal)

    def close(self) -> None:
        """Move the events to a segment, and remove the journals, once they were loaded."""
        if self._journal is not None:
            with suppress(OSError):  # then the next start ignores events that are in segments
                self._anchor.check()
                is_known = self._is_loaded and not self._outcome_is_unknown
                if is_known and self.history.try_flush():
                    self._retire(self._journal)
            self._journal.close()

    def _retire(self, journal: JsonFileJournal) -> None:
        """Remove the journals, whose events are in segments.

        Before, ``dispatch.json`` is made to say the number of the last event: else only a segment
        would, which may get lost. Raises OSError.
        """
        if self._ledger is not None:
            draft = self._ledger.draft_event(self.history.last_number)
            after = _checksums_of([(self._ledger, draft)])
            self._checksums.begin_batch(after)
            self._ledger.save(draft)
            self._ledger.commit(draft)
            self._checksums.end_batch(after)
        journal.remove_all()

    def _finish(self, batch: BatchRead) -> None:
        """Write a batch that a killed process left unfinished. Raises NotAQueue or OSError."""
        is_as_committed = self._checksums.match()
        write_unfinished(self._folder, batch, fsync=self._fsync)
        if is_as_committed:
            self._checksums.renew()

    def _append(self, batch: Batch, events: Sequence[Recorded]) -> None:
        """Append a batch to the journal. Raises StorageFailed or OutcomeUnknown."""
        if self._journal is None or not (batch.changes or events):
            return
        try:
            if self._journal.is_broken:
                self.history.flush()
                self._journal.remove_all()
            self._journal.append(batch, events)
        except (OSError, StorageFailed) as error:
            raise self._error_for(error) from error
        except OutcomeUnknown:
            self._outcome_is_unknown = True
            raise

    def _roll_back(self) -> None:
        """Restore all files, then the journal, or note that their content is unknown."""
        self._outcome_is_unknown = False
        for file in self._files:
            try:
                file.roll_back()
            except Exception:
                self._outcome_is_unknown = True
        if self._journal is not None and not self._outcome_is_unknown:
            try:
                self._journal.take_back()
            except OutcomeUnknown:
                self._outcome_is_unknown = True

    def _error_for(self, error: Exception) -> Exception:
        kind = OutcomeUnknown if self._outcome_is_unknown else StorageFailed
        return kind(f"the change could not be written: {error}")


def recover_files(folder: Path, *, fsync: bool, retention: Retention = KEEP_ALL) -> None:
    """Write the batch that a killed process left unfinished, and move its events to segments.

    Do nothing in a folder without journals of this mode. Raises NotAQueue, or StorageFailed if the
    files cannot be written.
    """
    if journals_in(folder, JournalName.HISTORY):
        files = JsonFiles(
            folder, jobs=True, workers=False, rereads=False, fsync=fsync, retention=retention
        )
        files.load()
        files.close()


def write_unfinished(folder: Path, batch: BatchRead, *, fsync: bool) -> None:
    """Write a batch to all files, of which some may have it already.

    Raises NotAQueue, or OSError if a file cannot be written.
    """
    ledger, jobs = LedgerFile(folder / DISPATCH_NAME, fsync=fsync), _jobs_file(folder, fsync=fsync)
    finished = [found.record for found in ledger.load().finished]
    _write(ledger, _changes_to(finished, batch.changes))
    _write(jobs, _changes_to(jobs.load(), batch.changes))
    if any(each.table is Table.WORKERS for each in batch.changes):
        workers = _workers_file(folder, fsync=fsync)
        known = workers.load()
        _write(workers, _changes_to(known, placed(batch.changes, known)))


def _changes_to(records: Sequence[Record], updates: Iterable[RecordUpdate]) -> list[Change]:
    before = {record.id: record for record in records}
    return [Change(table, key, before.get(key), after) for table, key, after in updates]


def _write(file: WholeFile[C], changes: Sequence[Change]) -> None:
    draft = file.draft(changes)
    file.save(draft)
    file.commit(draft)


def _checksums_of(drafts: Iterable[tuple[WholeFile[Any], Any]]) -> dict[str, int]:
    """Return the checksums of the files that saving these drafts will replace, by name."""
    return {
        file.name: checksum(file.pieces_of(draft))
        for file, draft in drafts
        if file.is_to_write(draft)
    }


def _jobs_file(folder: Path, *, fsync: bool) -> ArrayFile[Job]:
    return ArrayFile(folder / JOBS_NAME, QUEUED, Table.JOBS, fsync=fsync)


def _workers_file(folder: Path, *, fsync: bool) -> ArrayFile[Worker]:
    return ArrayFile(folder / WORKERS_NAME, WORKERS, Table.WORKERS, fsync=fsync)


@contextmanager
def _reporting_read_errors() -> Iterator[None]:
    """Turn an unreadable file in the block into StorageFailed."""
    try:
        yield
    except (NotAQueue, OSError) as error:
        raise StorageFailed(f"the change could not be written: {error}") from error
