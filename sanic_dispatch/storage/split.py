"""A store made of two: one for jobs and facts, one for workers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.core.tables import Table
from sanic_dispatch.errors import LostOwnership, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.store import Batch, Edit, EditedMeanwhile, Store, Stored


class SplitStore(Store):
    """Commits the jobs' half of each batch, with its events, first, then the workers'.

    Jobs come first because a job's record says which worker holds it. If only the workers' half
    fails, the outcome is unknown: the batch is committed again, and then only that half is written.
    """

    def __init__(self, jobs: Store, workers: Store) -> None:
        self.lasts = jobs.lasts or workers.lasts
        self.rereads = jobs.rereads or workers.rereads
        self.ownership = jobs.ownership or workers.ownership
        self.history = jobs.history
        self._jobs = jobs
        self._workers = workers
        self._lock = asyncio.Lock()
        self._last_jobs_durable = 0
        """The number of the last batch whose jobs' half is durable."""
        self._last_begun = 0
        """The number of the last batch that may be durable, in full or in part."""

    async def load(self) -> Stored:
        async with self._lock:  # a commit whose caller was cancelled may still be under way
            self._last_begun = self._last_jobs_durable = 0
            jobs, workers = await self._jobs.load(), await self._workers.load()
        self.is_as_committed = self._jobs.is_as_committed and self._workers.is_as_committed
        return Stored(jobs.jobs, workers.workers, jobs.facts)

    async def commit(self, batch: Batch) -> None:
        """Commit both halves, even if the caller is cancelled in between."""
        await asyncio.shield(self._commit(batch))

    async def _commit(self, batch: Batch) -> None:
        async with self._lock:
            await self._commit_halves(batch)

    async def _commit_halves(self, batch: Batch) -> None:
        if batch.number != self._last_begun:
            await self.check_unedited()
            self._last_begun = batch.number
        if batch.number != self._last_jobs_durable:
            await self._commit_jobs(batch)
            self._last_jobs_durable = batch.number
        try:
            await _commit_half(self._workers, batch._replace(events=()), (Table.WORKERS,))
        except EditedMeanwhile as error:
            with suppress(StorageFailed):  # the jobs' half is durable, so the batch stands
                await self._workers.refresh()
            raise OutcomeUnknown("the workers' file was edited during a write") from error
        except LostOwnership:
            # The new owner numbers its batches from 1.
            self._last_begun = self._last_jobs_durable = 0
            raise
        except StorageFailed as error:
            raise OutcomeUnknown(f"only the jobs are written: {error}") from error

    async def _commit_jobs(self, batch: Batch) -> None:
        try:
            await _commit_half(self._jobs, batch, (Table.JOBS, Table.FACTS))
        except (StorageFailed, EditedMeanwhile):
            self._last_begun = 0  # nothing is durable: the next batch may reuse the number
            raise

    async def begin_epoch(self, name: str, at_s: float) -> None:
        await self._jobs.begin_epoch(name, at_s)

    async def erase(self, jobs: Collection[JobRef]) -> None:
        await self._jobs.erase(jobs)

    async def refresh(self) -> Edit | None:
        jobs, workers = await self._jobs.refresh(), await self._workers.refresh()
        if jobs is None or workers is None:
            return jobs or workers
        return Edit(jobs.jobs, workers.workers, max(jobs.at_s, workers.at_s))

    async def check_unedited(self) -> None:
        await self._jobs.check_unedited()
        await self._workers.check_unedited()

    async def try_writing(self) -> None:
        await self._jobs.try_writing()
        await self._workers.try_writing()

    async def close(self) -> None:
        try:
            await self._jobs.close()
        finally:
            await self._workers.close()


async def _commit_half(store: Store, batch: Batch, tables: tuple[Table, ...]) -> None:
    changes = [change for change in batch.changes if change.table in tables]
    if changes or batch.events or store.rereads:
        await store.commit(batch._replace(changes=changes))
