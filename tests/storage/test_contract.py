"""The contract of every store: see sanic_dispatch/storage/store.py."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from sanic_dispatch.core.tables import Fact
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.store import Batch, Store, Stored
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


# ---- the event log


def kept(store: Store) -> list[LoggedEvent]:
    """All events that a store answers with."""
    page = store.history.find(Question(limit=1000))
    assert (list(page.damage), list(page.holes), page.next) == ([], [], None)
    assert list(store.history.scan()) == list(page.events)
    return list(page.events)


def happened(topic: Topic) -> list[LoggedEvent]:
    """All events of batches that are durable."""
    return [logged(event) for event in topic.events]


async def test_events_of_this_run(backend: Backend, tmp_path: Path) -> None:
    """Events are there once their batch is durable and they are published, in order."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        await store.load()
        for records in ((job(1), worker(1)), (held(job(1), worker(1)),), (worker(2),)):
            batch = topic.apply(topic.with_events(topic.put(*records)))
            await store.commit(batch)
            store.history.note(batch.events)
            assert kept(store) == happened(topic)
        assert store.history.last_number == 4
        assert [each.json for each in store.history.payloads()] == [job(1).data]


async def test_events_are_kept(keeps_history: Backend, tmp_path: Path) -> None:
    """Events of all runs are there exactly once, in order, and numbers go on."""
    topic = Topic()
    for number in range(1, 5):
        async with opened(keeps_history, tmp_path) as store:
            await store.load()
            topic.restarted()
            assert store.history.last_number == len(topic.events)
            assert kept(store) == happened(topic)
            given = held(job(number), worker(number))
            for put, gone in (
                ([job(number), worker(number)], []),
                ([given], []),
                ([done(given)], [worker(number)]),
            ):
                batch = topic.with_events(topic.together(put, gone))
                await store.commit(topic.apply(batch))
            await store.commit(topic.batch_of_events(1))
            assert kept(store) == happened(topic)
    async with opened(keeps_history, tmp_path) as store:
        await store.load()
        assert kept(store) == happened(topic)
        assert [each.ticket for each in store.history.payloads()] == [1, 2, 3, 4]


async def test_events_survive_a_kill(keeps_history: Backend, tmp_path: Path) -> None:
    """After a crash the events of each durable batch are there, and none of another one."""
    if keeps_history.is_shared:
        pytest.skip("a copy of the folder is not all of it")
    topic, data = Topic(), tmp_path / "data"
    data.mkdir()
    async with opened(keeps_history, data) as store:
        await store.load()
        for number in range(10, 14):
            await store.commit(
                topic.apply(topic.with_events(topic.put(job(number), worker(number))))
            )
            shutil.copytree(data, tmp_path / f"crashed-{number}")
            async with opened(keeps_history, tmp_path / f"crashed-{number}") as other:
                await other.load()
                assert kept(other) == happened(topic)


async def test_a_batch_twice_has_its_events_once(keeps_history: Backend, tmp_path: Path) -> None:
    """A batch that is given again under its number has its events once."""
    topic = Topic()
    async with opened(keeps_history, tmp_path) as store:
        await store.load()
        batch = topic.apply(topic.with_events(one_of_each(topic)))
        await store.commit(batch)
        await store.commit(batch)
        assert kept(store) == happened(topic)
    async with opened(keeps_history, tmp_path) as store:
        await store.load()
        assert kept(store) == happened(topic)


async def test_closing_twice(backend: Backend, tmp_path: Path) -> None:
    """A closed store can be closed again."""
    async with opened(backend, tmp_path) as store:
        await store.load()
        await store.close()


async def test_epochs(backend: Backend, tmp_path: Path) -> None:
    """An epoch begins with the next event."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        await store.load()
        await store.begin_epoch("a", 5.0)
        assert [each[:2] for each in store.history.epochs] == [("a", 1)]
        batch = topic.apply(topic.with_events(topic.put(job(1), worker(1))))
        await store.commit(batch)
        store.history.note(batch.events)
        await store.begin_epoch("b", 6.0)
        assert list(store.history.epochs) == [("a", 1, 5.0), ("b", 3, 6.0)]


async def test_epochs_are_kept(keeps_history: Backend, tmp_path: Path) -> None:
    """A start finds the epochs, also of a run in which nothing happened."""
    for name in "abc":
        async with opened(keeps_history, tmp_path) as store:
            await store.load()
            await store.begin_epoch(name, 5.0)
    async with opened(keeps_history, tmp_path) as store:
        await store.load()
        assert list(store.history.epochs) == [(each, 1, 5.0) for each in "abc"]
