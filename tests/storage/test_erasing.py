"""Erasing the data of forgotten jobs, in every store: searched for byte by byte."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import logged
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.snapshots import SnapshotRef
from sanic_dispatch.storage.store import Store
from tests.storage.samples import (
    FILES,
    MIXED,
    Backend,
    Topic,
    both,
    done,
    held,
    job,
    load_once,
    opened,
    worker,
)
from tests.support.disk_faults import Disk, Killed
from tests.support.leftovers import files_with
from tests.support.redis import shared_server

IN_FOLDER = [each for each in (*FILES, *MIXED) if each.keeps_jobs]

SECRET = b"Ada-Lovelace"
KEPT = b"Grace-Hopper"


def order(number: int, name: bytes) -> Job:
    """Return a job with somebody's name in its data."""
    return job(number, b'{"name":\n"%b"}' % name)


def result_for(name: bytes) -> bytes:
    """Return a result with the same name."""
    return b'{"for" : "%b"}' % name


async def serve(store: Store, topic: Topic, *orders: Job) -> list[Job]:
    """Submit jobs, have them done by robots, and return them as they are then."""
    finished = []
    for each in orders:
        robot = worker(each.ticket)
        given, name = held(each, robot), KEPT if KEPT in each.data else SECRET
        ended = done(given, result=result_for(name))
        steps: list[tuple[list[Job | Worker], list[Worker]]] = [
            ([each, robot], []), ([given], []), ([ended], [robot])
        ]  # fmt: skip
        for put, gone in steps:
            batch = topic.apply(topic.with_events(topic.together(put, gone)))
            await store.commit(batch)
            store.history.note(batch.events)
        finished.append(ended)
    return finished


async def forget(store: Store, topic: Topic, *jobs: Job) -> None:
    """Commit that these jobs are forgotten, and erase what is left of their data."""
    for each in jobs:
        await store.commit(topic.apply(topic.put(each.without_data())))
    await store.erase([each.ref for each in jobs])


async def test_a_snapshot_in_the_making_is_not_kept(backend: Backend, tmp_path: Path) -> None:
    """It has the data, whether there are files of a history yet or not."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        await store.load()
        (served,) = await serve(store, topic, order(1, SECRET))
        snapshots = store.history.snapshots
        erased_before = snapshots.erased
        await forget(store, topic, served)
        assert snapshots.erased > erased_before  # which the rewinder's snapshots in memory go by
        snapshots.put(SnapshotRef(1, 0), served.id.encode(), erased_before)
        assert snapshots.refs() == []


async def test_no_file_has_the_data(backend: Backend, tmp_path: Path) -> None:
    """Neither while it runs, nor after a stop; the data of others and all events are there."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        await store.load()
        (first,) = await serve(store, topic, order(1, SECRET))
        await serve(store, topic, order(2, KEPT))
        (third,) = await serve(store, topic, order(3, SECRET))
        await forget(store, topic, first, third)
        assert files_with(tmp_path, SECRET) == []
        assert [each.ticket for each in store.history.payloads()] == [2, 2]
        page = store.history.find(Question(limit=1000))
        assert page.events == [logged(event) for event in topic.events]
        assert not page.damage
        assert not page.holes
    assert files_with(tmp_path, SECRET) == []
    stored = await load_once(backend, tmp_path)
    if backend.keeps_jobs:
        assert {each.data for each in stored.jobs} == {b"", order(2, KEPT).data}
        if not backend.is_shared:
            assert files_with(tmp_path, KEPT)


async def test_a_job_of_an_earlier_run_that_is_not_kept_any_more(
    keeps_history: Backend, tmp_path: Path
) -> None:
    """It is erased from the history; the jobs around it stay."""
    topic = Topic()
    async with opened(keeps_history, tmp_path) as store:
        await store.load()
        served = await serve(store, topic, *(order(n, KEPT) for n in (1, 2)), order(3, SECRET))
        served += await serve(store, topic, *(order(n, KEPT) for n in (4, 5)))
        assert isinstance(store.history, SegmentLog)
        store.history.flush()
    async with opened(keeps_history, tmp_path) as store:
        await store.load()
        topic.restarted()
        await store.commit(topic.apply(topic.remove(*served)))
        assert files_with(tmp_path, SECRET)
        await store.erase([served[2].ref])
        assert files_with(tmp_path, SECRET) == []
        assert [each.ticket for each in store.history.payloads()] == [1, 1, 2, 2, 4, 4, 5, 5]
        await serve(store, topic, order(6, KEPT))
        assert [logged(event) for event in topic.events] == list(store.history.scan())


async def test_a_job_with_the_same_id_stays(keeps_history: Backend, tmp_path: Path) -> None:
    """An idempotency key may bring the id again, long after its first job is gone."""
    topic = Topic()
    async with opened(keeps_history, tmp_path) as store:
        await store.load()
        (old,) = await serve(store, topic, order(1, SECRET))
        await store.commit(topic.apply(topic.remove(old)))
        await serve(store, topic, order(2, KEPT)._replace(id=old.id))
        await store.erase([old.ref])
        assert files_with(tmp_path, SECRET) == []
        assert [each.ticket for each in store.history.payloads()] == [2, 2]


@pytest.mark.parametrize("backend", IN_FOLDER, ids=lambda backend: backend.name)
async def test_after_a_kill(backend: Backend, tmp_path: Path) -> None:
    """A start finds that the job is forgotten, and can erase its data then."""
    topic, data, copy = Topic(), tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    async with opened(backend, data) as store:
        await store.load()
        (ended,) = await serve(store, topic, order(1, SECRET))
        unfinished = Fact(f"forgetting:1:{ended.id}", 1)
        await store.commit(topic.apply(topic.put(ended.without_data(), unfinished)))
        shutil.copytree(data, copy)
    async with opened(backend, copy) as store:
        stored = await store.load()
        assert list(stored.facts) == [unfinished]
        assert [each.data for each in stored.jobs] == [b""]
        await store.erase([ended.ref])
        assert files_with(copy, SECRET) == []
        topic.restarted()
        await store.commit(topic.apply(topic.remove(unfinished)))
    assert not (await load_once(backend, copy)).facts
    assert files_with(copy, SECRET) == []


@pytest.mark.parametrize("backend", IN_FOLDER, ids=lambda backend: backend.name)
async def test_orders_while_a_start_erases(backend: Backend, tmp_path: Path) -> None:
    """They are there after another kill, however soon the first of them comes."""
    for turns in range(6):
        topic, data = Topic(), tmp_path / f"{turns}"
        left, again = tmp_path / f"{turns}-left", tmp_path / f"{turns}-left-again"
        data.mkdir()
        async with opened(backend, data) as store:
            await store.load()
            (ended,) = await serve(store, topic, order(1, SECRET))
            await store.commit(topic.apply(topic.put(ended.without_data())))
            shutil.copytree(data, left)
        async with opened(backend, left) as store:
            await store.load()
            topic.restarted()
            erasing = asyncio.create_task(store.erase([ended.ref]))
            for _ in range(turns):
                await asyncio.sleep(0)
            while not erasing.done():
                await store.commit(topic.apply(topic.put(order(topic.number + 2, KEPT))))
            await erasing
            shutil.copytree(left, again)
        assert (await load_once(backend, again)).jobs == topic.stored().jobs
        assert files_with(again, SECRET) == []


@pytest.mark.parametrize("backend", FILES, ids=lambda backend: backend.name)
async def test_a_kill_at_every_call(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever erasing is cut off, nothing else is lost, and the next start completes it."""
    for number in range(100):
        data, topic = tmp_path / f"{number}", Topic()
        data.mkdir()
        with monkeypatch.context() as patch:
            disk, was_killed = Disk(patch, data), False
            async with opened(backend, data) as store:
                await store.load()
                (ended,) = await serve(store, topic, order(1, SECRET))
                await serve(store, topic, order(2, KEPT))
                await store.commit(topic.apply(topic.put(ended.without_data())))
                disk.kill_at(len(disk.calls) + number)
                try:
                    await store.erase([ended.ref])
                except (Killed, StorageFailed):
                    was_killed = True
                shutil.copytree(data, tmp_path / f"{number}-killed")
                disk.heal()
        async with opened(backend, tmp_path / f"{number}-killed") as store:
            stored = await store.load()
            assert [each.data for each in stored.jobs] == [b"", order(2, KEPT).data]
            await store.erase([ended.ref])
            assert files_with(tmp_path / f"{number}-killed", SECRET) == []
            assert [each.ticket for each in store.history.payloads()] == [2, 2]
        if not was_killed:
            return
    pytest.fail("it never comes to its end")


@pytest.mark.parametrize("backend", FILES, ids=lambda backend: backend.name)
async def test_a_stop_meanwhile(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits: another service may open the folder next, and add events to the same segments."""
    begun, go = asyncio.Event(), threading.Event()
    async with opened(backend, tmp_path) as store:
        await store.load()
        (ended,) = await serve(store, Topic(), order(1, SECRET))
        real, loop = store.history.erase, asyncio.get_running_loop()

        def erase(*args: Any) -> None:
            loop.call_soon_threadsafe(begun.set)
            go.wait()
            real(*args)

        monkeypatch.setattr(store.history, "erase", erase)
        erasing = asyncio.create_task(store.erase([ended.ref]))
        await begun.wait()
        erasing.cancel()
        closing = asyncio.create_task(store.close())
        await asyncio.wait([closing], timeout=0.05)
        assert not closing.done()
        go.set()
        await closing
        assert [each.ticket for each in store.history.payloads()] == []


async def test_redis_itself(tmp_path: Path) -> None:
    """A record is replaced, and events have no data."""
    topic, backend = Topic(), both(Mode.REDIS)
    async with opened(backend, tmp_path) as store:
        await store.load()
        (ended,) = await serve(store, topic, order(1, SECRET))
        await forget(store, topic, ended)
        keys = f"{{{backend.settings(tmp_path).redis_prefix}}}:"
        jobs = shared_server().ask("HVALS", f"{keys}jobs")
        history = shared_server().ask("XRANGE", f"{keys}history", "-", "+")
    assert ended.id.encode() in jobs
    assert ended.id.encode() in history
    assert SECRET not in jobs + history


async def test_copies_in_the_free_space_of_a_database(tmp_path: Path) -> None:
    """SQLite copies rows when it balances its tree, and does not overwrite what it leaves."""
    topic, dice = Topic(), random.Random(3)
    async with opened(both(Mode.SQLITE), tmp_path) as store:
        await store.load()
        for first in range(1, 600, 20):
            names = {n: b"%b-%04d" % (SECRET, n) for n in range(first, first + 20)}
            orders = [order(n, name * dice.choice((1, 9, 90, 400))) for n, name in names.items()]
            await store.commit(topic.apply(topic.put(*orders)))
            grown = [each._replace(result=each.data, spent=("x" * 99,)) for each in orders[::3]]
            await store.commit(topic.apply(topic.put(*map(done, grown))))
        jobs = [each for each in topic.records.values() if isinstance(each, Job)]
        await store.commit(topic.apply(topic.remove(*jobs[::2])))
        await store.commit(topic.apply(topic.put(*(each.without_data() for each in jobs[1::2]))))
        await store.erase([each.ref for each in jobs])
        assert files_with(tmp_path, SECRET) == []


async def test_a_database_that_has_no_room_to_be_rewritten(tmp_path: Path) -> None:
    """It gives back what it has taken, and is rewritten once there is room."""
    topic, no_limit = Topic(), resource.getrlimit(resource.RLIMIT_FSIZE)
    async with opened(both(Mode.SQLITE), tmp_path) as store:
        await store.load()
        orders = [order(n, KEPT * 300) for n in range(1, 300)]
        await store.commit(topic.apply(topic.put(*orders)))
        await store.erase([])
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, no_limit[1]))
        try:
            with pytest.raises(StorageFailed):
                await store.erase([])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
        assert (tmp_path / "dispatch.sqlite3-wal").stat().st_size == 0
        await store.erase([])
        assert len((await store.load()).jobs) == len(orders)


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "rename", "unlink", "writev"])
@pytest.mark.parametrize("backend", FILES, ids=lambda backend: backend.name)
async def test_a_call_that_fails(
    backend: Backend, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever call fails, it can be erased later, and nothing else is lost."""
    for after in range(4):
        data, topic = tmp_path / f"{after}", Topic()
        data.mkdir()
        with monkeypatch.context() as patch:
            disk = Disk(patch, data)
            async with opened(backend, data) as store:
                await store.load()
                (ended,) = await serve(store, topic, order(1, SECRET))
                await serve(store, topic, order(2, KEPT))
                await store.commit(topic.apply(topic.put(ended.without_data())))
                disk.fail(call, after=after)
                with suppress(StorageFailed):
                    await store.erase([ended.ref])
                disk.heal()
                await store.commit(topic.apply(topic.put(Fact("paused", True))))
                await store.erase([ended.ref])
                assert files_with(data, SECRET) == []
                assert [each.ticket for each in store.history.payloads()] == [2, 2]
        assert await load_once(backend, data) == topic.stored()
