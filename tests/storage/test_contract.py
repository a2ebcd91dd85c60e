"""The contract of every store: see sanic_dispatch/storage/store.py."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from sanic_dispatch.core.tables import Fact
from sanic_dispatch.storage.store import Batch, Stored
from tests.storage.samples import (
    Backend,
    Topic,
    done,
    free,
    held,
    in_order,
    job,
    load_once,
    one_of_each,
    opened,
    worker,
)


def expected(topic: Topic, backend: Backend) -> Stored:
    """Return the part of the topic that the backend keeps."""
    return topic.stored(jobs=backend.keeps_jobs, workers=backend.keeps_workers)


async def test_a_new_store_is_empty(backend: Backend, tmp_path: Path) -> None:
    """A start on an empty folder finds nothing, and leaves nothing that the next one refuses."""
    assert await load_once(backend, tmp_path) == Stored([], [], [])
    assert await load_once(backend, tmp_path) == Stored([], [], [])


async def test_everything_is_kept(backend: Backend, tmp_path: Path) -> None:
    """Each field of each kind of record is there after a clean stop."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        await store.load()
        await store.commit(topic.apply(one_of_each(topic)))
    assert await load_once(backend, tmp_path) == expected(topic, backend)


async def test_everything_survives_a_kill(in_folder: Backend, tmp_path: Path) -> None:
    """Committed batches are there after a crash."""
    topic, data = Topic(), tmp_path / "data"
    data.mkdir()
    async with opened(in_folder, data) as store:
        await store.load()
        first = topic.apply(one_of_each(topic))
        await store.commit(first)
        for number in range(10, 13):
            await store.commit(topic.apply(topic.put(job(number), worker(number))))
            shutil.copytree(data, tmp_path / f"crashed-{number}")
            assert await load_once(in_folder, tmp_path / f"crashed-{number}") == expected(
                topic, in_folder
            )


async def test_each_step_of_a_job_is_kept(durable: Backend, tmp_path: Path) -> None:
    """Submitted, held, back, held, done and put back: after each step a start finds it."""
    topic = Topic()
    new, robot = job(1), worker(1)
    steps = [new, held(new, robot), new, held(new, robot), done(held(new, robot)), free(new)]
    for step in steps:
        async with opened(durable, tmp_path) as store:
            await store.load()
            topic.restarted()
            await store.commit(topic.apply(topic.put(step)))
        assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_a_finished_job_that_is_put_back_and_removed_is_gone(
    durable: Backend, tmp_path: Path
) -> None:
    """It is not finished again: where it was finished, it is removed too."""
    topic, finished = Topic(), done(held(job(1), worker(1)))
    async with opened(durable, tmp_path) as store:
        await store.load()
        for put in (finished, free(finished)):
            await store.commit(topic.apply(topic.put(put)))
        await store.commit(topic.apply(topic.remove(finished)))
    assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_removed_records_are_gone(durable: Backend, tmp_path: Path) -> None:
    """In any state; the others stay."""
    topic = Topic()
    async with opened(durable, tmp_path) as store:
        await store.load()
        batch = topic.apply(one_of_each(topic))
        await store.commit(batch)
        gone = [change.after for change in batch.changes if not isinstance(change.after, Fact)]
        for record in gone[::2]:
            assert record is not None
            await store.commit(topic.apply(topic.remove(record)))
    assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_order(durable: Backend, tmp_path: Path) -> None:
    """Jobs and workers are loaded in order of their places, not of their commits."""
    topic = Topic()
    async with opened(durable, tmp_path) as store:
        await store.load()
        for number in (5, 3, 9):
            await store.commit(topic.apply(topic.put(job(number), worker(number))))
        moved = job(9)._replace(place=4.5), worker(9)._replace(place=0.25)
        await store.commit(topic.apply(topic.put(*moved)))
    async with opened(durable, tmp_path) as store:
        stored = await store.load()
    if durable.keeps_jobs:
        assert [job.ticket for job in stored.jobs] == [3, 9, 5]
    if durable.keeps_workers:
        assert [w.callback_url[-2] for w in stored.workers] == ["9", "3", "5"]
    assert in_order(stored) == expected(topic, durable)


async def test_two_records_can_swap_places(durable: Backend, tmp_path: Path) -> None:
    """Two records can swap their places in one batch."""
    topic = Topic()
    async with opened(durable, tmp_path) as store:
        await store.load()
        await store.commit(topic.apply(topic.put(job(1), job(2), worker(1), worker(2))))
        swapped = [job(1)._replace(place=2), job(2)._replace(place=1)]
        robots = [worker(1)._replace(place=2.0), worker(2)._replace(place=1.0)]
        await store.commit(topic.apply(topic.put(*swapped, *robots)))
    assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_equal_places(durable: Backend, tmp_path: Path) -> None:
    """Records with the same place are all kept."""
    topic = Topic()
    async with opened(durable, tmp_path) as store:
        await store.load()
        same = [job(n)._replace(place=1) for n in (1, 2, 3)]
        finished = [done(job(n), 5.0) for n in (4, 5)]
        await store.commit(topic.apply(topic.put(*same, *finished)))
    assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_a_batch_twice(durable: Backend, tmp_path: Path) -> None:
    """A batch that is repeated under its number is applied once."""
    topic = Topic()
    async with opened(durable, tmp_path) as store:
        await store.load()
        batch = topic.apply(one_of_each(topic))
        await store.commit(batch)
        await store.commit(batch)
    assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_an_empty_batch(backend: Backend, tmp_path: Path) -> None:
    """A batch without changes, or with only facts or workers, is accepted."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        await store.load()
        await store.commit(Batch(1, (), ()))
        topic.number = 1
        await store.commit(topic.apply(topic.put(Fact("paused", True))))
        await store.commit(topic.apply(topic.put(worker(1))))
    assert await load_once(backend, tmp_path) == expected(topic, backend)


async def test_the_caller_is_cancelled(durable: Backend, tmp_path: Path) -> None:
    """A commit whose caller is cancelled goes on, and the store can be used after it."""
    topic = Topic()
    async with opened(durable, tmp_path) as store:
        await store.load()
        task = asyncio.create_task(store.commit(topic.apply(topic.put(job(1)))))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.commit(topic.apply(topic.put(job(2))))
    assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_try_writing_changes_nothing(backend: Backend, tmp_path: Path) -> None:
    """Before the first batch and after it."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        await store.load()
        await store.try_writing()
        await store.commit(topic.apply(one_of_each(topic)))
        await store.try_writing()
    assert await load_once(backend, tmp_path) == expected(topic, backend)


async def test_many_runs(durable: Backend, tmp_path: Path) -> None:
    """Batches are numbered from 1 at each start, and none is taken for one of the last run."""
    topic = Topic()
    for number in range(1, 5):
        async with opened(durable, tmp_path) as store:
            await store.load()
            topic.restarted()
            await store.commit(topic.apply(topic.put(job(number), worker(number))))
    assert await load_once(durable, tmp_path) == expected(topic, durable)


async def test_closing_twice(backend: Backend, tmp_path: Path) -> None:
    """A closed store can be closed again."""
    async with opened(backend, tmp_path) as store:
        await store.load()
        await store.close()
