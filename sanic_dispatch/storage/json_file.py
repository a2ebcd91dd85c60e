"""The mode JsonFile: each batch rewrites ``dispatch.json``, ``jobs.json``, ``workers.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import NotAQueue, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.blocking import ThreadedStore
from sanic_dispatch.storage.cached_json_file import recover_folder
from sanic_dispatch.storage.data_folder import LOCK, Anchor, reporting_write_errors, write_test_file
from sanic_dispatch.storage.entries import QUEUED, WORKERS
from sanic_dispatch.storage.json_format import DISPATCH_NAME, JOBS_NAME, WORKERS_NAME
from sanic_dispatch.storage.store import Batch, Edit, Stored
from sanic_dispatch.storage.whole_files import ArrayFile, LedgerFile, WholeFile


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
    ) -> None:
        super().__init__(
            JsonFiles(folder, jobs=jobs, workers=workers, rereads=rereads, fsync=fsync)
        )


class JsonFiles:
    """The blocking part of JsonFileStore.

    A batch replaces ``dispatch.json`` first, then ``jobs.json``, then ``workers.json``. So a crash
    leaves a job that finishes in at least one of the first two; a job in both is in the queue.
    """

    def __init__(
        self, folder: Path, *, jobs: bool, workers: bool, rereads: bool, fsync: bool
    ) -> None:
        self.rereads = rereads
        self._folder = folder
        self._fsync = fsync
        self._anchor = Anchor(())
        self._ledger = LedgerFile(folder / DISPATCH_NAME, fsync=fsync) if jobs else None
        self._jobs = (
            ArrayFile(folder / JOBS_NAME, QUEUED, Table.JOBS, fsync=fsync) if jobs else None
        )
        self._workers = (
            ArrayFile(folder / WORKERS_NAME, WORKERS, Table.WORKERS, fsync=fsync)
            if workers
            else None
        )
        files: Sequence[WholeFile[Any] | None] = (self._ledger, self._jobs, self._workers)
        self._files = [file for file in files if file is not None]
        self._outcome_is_unknown = False
        """Whether a write failed and could not be rolled back."""

    def load(self) -> Stored:
        recover_folder(self._folder, fsync=self._fsync)
        self._anchor = Anchor((self._folder, self._folder / LOCK))
        workers: list[Worker] = self._workers.load() if self._workers else []
        if self._ledger is None or self._jobs is None:
            return Stored((), workers, ())
        ledger, queued = self._ledger.load(), self._jobs.load()
        ids = {job.id for job in queued}
        finished = [found.record for found in ledger.finished]
        self._ledger.leave_out(job for job in finished if job.id in ids)
        kept: list[Job] = [job for job in finished if job.id not in ids]
        return Stored([*queued, *kept], workers, ledger.facts)

    def commit(self, batch: Batch) -> None:
        try:
            self._anchor.check()
            if not self._outcome_is_unknown:
                self.check_unedited()
        except OSError as error:
            raise self._error_for(error) from error
        drafts = [(file, file.draft(batch.changes)) for file in self._files]
        try:
            for file, draft in drafts:
                file.save(draft)
        except OSError as error:
            self._roll_back()
            raise self._error_for(error) from error
        for file, draft in drafts:
            file.commit(draft)
        self._outcome_is_unknown = False

    def refresh(self) -> Edit | None:
        if not self.rereads or self._outcome_is_unknown:
            return None
        with _reporting_read_errors():
            jobs = self._jobs.refresh() if self._jobs else None
            workers = self._workers.refresh() if self._workers else None
        if jobs is None and workers is None:
            return None
        at_s = max(found[1] for found in (jobs, workers) if found is not None)
        return Edit(jobs[0] if jobs else None, workers[0] if workers else None, at_s)

    def check_unedited(self) -> None:
        if self.rereads:
            with _reporting_read_errors():
                for file in (self._jobs, self._workers):
                    if file is not None:
                        file.check_unedited()

    def try_writing(self) -> None:
        if self._outcome_is_unknown:
            raise StorageFailed("nothing can be written: a failed write is not rolled back yet")
        with reporting_write_errors():
            self._anchor.check()
            write_test_file(self._folder)

    def close(self) -> None:
        """Do nothing: no file is open between commits."""

    def _roll_back(self) -> None:
        """Restore all files, or note that their content is unknown."""
        self._outcome_is_unknown = False
        for file in self._files:
            try:
                file.roll_back()
            except OSError:
                self._outcome_is_unknown = True

    def _error_for(self, error: OSError) -> Exception:
        kind = OutcomeUnknown if self._outcome_is_unknown else StorageFailed
        return kind(f"the change could not be written: {error}")


@contextmanager
def _reporting_read_errors() -> Iterator[None]:
    """Turn an unreadable file in the block into StorageFailed."""
    try:
        yield
    except (NotAQueue, OSError) as error:
        raise StorageFailed(f"the change could not be written: {error}") from error
