"""A topic in two stores: the jobs' half is committed first, and each half once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from sanic_dispatch.core.tables import Fact, Table
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.memory_log import MemoryEventLog
from sanic_dispatch.storage.split import SplitStore
from sanic_dispatch.storage.store import Batch, EditedMeanwhile, Store, Stored
from tests.storage.samples import Topic, in_order, job, worker


class Half(Store):
    """A store that records its batches, and fails when it is told to."""

    def __init__(self) -> None:
        self.history = MemoryEventLog()
        self.given: list[tuple[int, list[Table]]] = []
        self.failures: list[Exception] = []
        self.edits: list[Exception] = []
        self.is_closed = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.was_given = asyncio.Event()

    async def load(self) -> Stored:
        return Stored()

    async def commit(self, batch: Batch) -> None:
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.was_given.set()
        self.given.append((batch.number, [change.table for change in batch.changes]))

    async def check_unedited(self) -> None:
        if self.edits:
            raise self.edits.pop(0)

    async def try_writing(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def close(self) -> None:
        self.is_closed = True
        if self.failures:
            raise self.failures.pop(0)


class Both:
    """A split store, and its halves."""

    def __init__(self) -> None:
        self.jobs, self.workers = Half(), Half()
        self.store = SplitStore(self.jobs, self.workers)


@pytest.fixture
async def both() -> Both:
    return Both()


def batch(number: int = 1) -> Batch:
    made = Topic().put(job(1), Fact("paused", True), worker(1))
    return made._replace(number=number)


JOBS, WORKERS = [Table.JOBS, Table.FACTS], [Table.WORKERS]


async def test_each_half_gets_its_own(both: Both) -> None:
    """Jobs and facts go to one store, workers to the other, under the batch's number."""
    await both.store.commit(batch())
    assert (both.jobs.given, both.workers.given) == ([(1, JOBS)], [(1, WORKERS)])
    await both.store.commit(Topic().put(worker(2))._replace(number=2))
    assert len(both.jobs.given) == 1


@pytest.mark.parametrize("error", [StorageFailed, OutcomeUnknown])
async def test_the_jobs_half_fails(both: Both, error: type[Exception]) -> None:
    """The other half gets nothing, and the commit ends as the jobs' half does."""
    both.jobs.failures = [error("full")]
    with pytest.raises(error, match="full"):
        await both.store.commit(batch())
    assert both.workers.given == []
    await both.store.commit(batch())
    assert (both.jobs.given, both.workers.given) == ([(1, JOBS)], [(1, WORKERS)])


@pytest.mark.parametrize("error", [StorageFailed, OutcomeUnknown, EditedMeanwhile])
async def test_only_the_workers_half_fails(both: Both, error: type[Exception]) -> None:
    """The outcome is unknown until that half is written too; the jobs' half is written once."""
    both.workers.failures = [error("full"), error("full")]
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await both.store.commit(batch())
    await both.store.commit(batch())
    assert (both.jobs.given, both.workers.given) == ([(1, JOBS)], [(1, WORKERS)])
    await both.store.commit(batch(2))
    assert both.jobs.given == [(1, JOBS), (2, JOBS)]


async def test_an_edit_is_looked_for_before_anything_is_written(both: Both) -> None:
    """An edit of workers.json stops a batch before its jobs' half; the number is used again."""
    both.workers.edits = [EditedMeanwhile("x"), EditedMeanwhile("x")]
    for _ in range(2):
        with pytest.raises(EditedMeanwhile):
            await both.store.commit(batch())
    assert (both.jobs.given, both.workers.given) == ([], [])
    both.jobs.failures = [StorageFailed("full")]
    with pytest.raises(StorageFailed):
        await both.store.commit(batch())
    both.workers.edits = [EditedMeanwhile("x")]
    with pytest.raises(EditedMeanwhile):
        await both.store.commit(batch())


async def test_no_edit_is_looked_for_while_the_outcome_is_unknown(both: Both) -> None:
    """A batch of which a half may be durable is completed, in spite of edits."""
    both.jobs.failures = [OutcomeUnknown("lost")]
    with pytest.raises(OutcomeUnknown):
        await both.store.commit(batch())
    both.workers.edits = [EditedMeanwhile("x")]
    await both.store.commit(batch())
    assert both.workers.given == [(1, WORKERS)]


async def test_the_caller_is_cancelled_between_the_halves(both: Both) -> None:
    """Both halves are written, and the next batch waits for that."""
    both.workers.gate.clear()
    first = asyncio.create_task(both.store.commit(batch()))
    await both.jobs.was_given.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(both.store.commit(batch(2)))
    both.workers.gate.set()
    await second
    assert both.workers.given == [(1, WORKERS), (2, WORKERS)]


@pytest.mark.parametrize("half", [lambda both: both.jobs, lambda both: both.workers])
async def test_trying_and_closing(both: Both, half: Callable[[Both], Half]) -> None:
    """Either half can refuse a trial; both are closed, even if one fails."""
    half(both).failures = [StorageFailed("full"), StorageFailed("full")]
    with pytest.raises(StorageFailed):
        await both.store.try_writing()
    with pytest.raises(StorageFailed):
        await both.store.close()
    assert (both.jobs.is_closed, both.workers.is_closed) == (True, True)


async def test_a_store_that_is_loaded_again_accepts_batches_from_one_on(tmp_path: Path) -> None:
    """A store that is loaded again accepts batches numbered from 1, as after a take-over."""
    store = SplitStore(CachedJsonFileStore(tmp_path, workers=False, fsync=False), InMemoryStore())
    topic = Topic()
    for first in (1, 11):
        await store.load()
        topic.restarted()
        for number in range(first, first + 3):
            await store.commit(topic.apply(topic.put(job(number))))
    stored = await store.load()
    await store.close()
    assert in_order(stored) == topic.stored()
