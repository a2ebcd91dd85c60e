"""A simulated disk: commits that take time, fail, stall, or whose fate is unknown."""

from __future__ import annotations

import asyncio
import random

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Record, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.memory_log import MemoryEventLog
from sanic_dispatch.storage.store import Batch, Store, Stored
from tests.histories.plan import Plan

STALL_S = (5.5, 20.0)


class Disk:
    """What is durable: it survives every crash."""

    def __init__(self) -> None:
        self.records: dict[Table, dict[str, Record]] = {table: {} for table in Table}
        self.is_faulty = True

    def write(self, batch: Batch) -> None:
        """Make a batch durable."""
        for change in batch.changes:
            if change.after is None:
                self.records[change.table].pop(change.id, None)
            else:
                self.records[change.table][change.id] = change.after

    def read(self) -> Stored:
        """Return everything, in order."""
        jobs: list[Job] = sorted(self.records[Table.JOBS].values(), key=_order_of)  # type: ignore
        workers: list[Worker] = sorted(
            self.records[Table.WORKERS].values(),  # type: ignore[arg-type]
            key=lambda worker: worker.place,
        )
        return Stored(jobs, workers, list(self.records[Table.FACTS].values()))  # type: ignore


def _order_of(job: Job) -> tuple[bool, float, float, int]:
    return job.state.is_final, job.finished_s or 0.0, job.place, job.ticket


class SimulatedStore(Store):
    """The disk as one life of the dispatcher sees it."""

    def __init__(self, disk: Disk, plan: Plan, dice: random.Random) -> None:
        self.history = MemoryEventLog()
        self._disk = disk
        self._plan = plan
        self._dice = dice
        self._written = 0
        self._in_flight: Batch | None = None

    async def load(self) -> Stored:
        await asyncio.sleep(0.001)
        return self._disk.read()

    async def commit(self, batch: Batch) -> None:
        dice, plan = self._dice, self._plan
        self._in_flight = batch
        if not self._disk.is_faulty:
            await asyncio.sleep(0.001)
        else:
            await self._wait()
            self._mishap(batch, dice, plan)
        self._write_once(batch)
        self._in_flight = None

    def _mishap(self, batch: Batch, dice: random.Random, plan: Plan) -> None:
        if batch.number > self._written and dice.random() < plan.fails:
            self._in_flight = None
            raise StorageFailed("the disk is full")
        if dice.random() < plan.unknown:
            if dice.random() < 0.5:
                self._write_once(batch)
            raise OutcomeUnknown("no answer from the disk")

    async def _wait(self) -> None:
        """Take time: usually little, seldom much."""
        dice, plan = self._dice, self._plan
        if dice.random() < plan.stalls:
            await asyncio.sleep(dice.uniform(*STALL_S))
        elif dice.random() < plan.slow:
            await asyncio.sleep(dice.uniform(0.1, 1.5))
        elif plan.commit_s:
            await asyncio.sleep(dice.uniform(0, plan.commit_s))
        else:
            await asyncio.sleep(0)

    def _write_once(self, batch: Batch) -> None:
        if batch.number > self._written:
            self._disk.write(batch)
            self._written = batch.number

    def crash(self) -> None:
        """The process dies; a batch that is being written is there as a whole, or not at all."""
        if self._in_flight is not None and self._dice.random() < 0.5:
            self._write_once(self._in_flight)
        self._in_flight = None

    async def try_writing(self) -> None:
        """Change nothing."""

    async def close(self) -> None:
        """Do nothing: everything is written already."""
