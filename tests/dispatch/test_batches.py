"""Batches: every request gets an answer, and what is remembered besides the tables stays small."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.callbacks.outcome import Refused
from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.tables import Change, Table
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.dispatch.batches import Batches
from sanic_dispatch.errors import LostOwnership, ShuttingDown, StorageFailed
from sanic_dispatch.observability.histogram import CommitStats
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.split import SplitStore
from sanic_dispatch.storage.store import Batch, Edit, EditedMeanwhile, Store
from tests.support.clock import START_S, FakeClock, settle
from tests.support.world import running_world, worker


class Lasting(InMemoryStore):
    """A store that remembers the ids in its batches, and can do something else first."""

    lasts = True

    def __init__(self, before: Callable[[], Any] = lambda: None) -> None:
        self.ids: list[str] = []
        self._before = before

    async def commit(self, batch: Batch) -> None:
        self._before()
        self.ids += [change.id for change in batch.changes]


def job(number: int) -> Job:
    return Job(f"j{number}", number, b"1", to_rfc3339(START_S), number)


def batch(number: int, *jobs: Job) -> Batch:
    return Batch(number, [Change(Table.JOBS, each.id, None, each) for each in jobs], [])


async def begun(store: Store) -> tuple[Batches, list[Event]]:
    """Batches over a store, with a topic that is open; and what was told."""
    told: list[Event] = []
    machine = StateMachine(Policy())
    tally, clock = CommitStats(), FakeClock()
    batches = Batches(machine, store, clock, tally, told.extend, lambda effect: None)
    await batches.execute(c.Recover("00" * 32))
    return batches, told


async def test_a_request_after_the_end_hears_of_it() -> None:
    """It does not wait for an answer that never comes."""
    batches, _ = await begun(InMemoryStore())
    await batches.close()
    with pytest.raises(ShuttingDown):
        await batches.execute(c.LookUp("x"))


async def test_a_commit_that_has_not_begun_is_answered_at_the_end() -> None:
    """Its task is ended before its first step; its requests hear that all the same."""
    batches, _ = await begun(Lasting())
    reply = batches.execute(c.Submit("x", b"1"))
    batches._apply_all()
    await batches.close()
    with pytest.raises(StorageFailed):
        await asyncio.wait_for(reply, 1)


async def test_lost_ownership_is_an_answer_in_every_store() -> None:
    """Also in one that is read before each batch."""
    store = Lasting()
    batches, _ = await begun(store)
    store.rereads = True

    def lose() -> None:
        raise LostOwnership("another")

    store._before = lose
    with pytest.raises(LostOwnership):
        await asyncio.wait_for(batches.execute(c.Submit("x", b"1")), 1)


async def test_of_two_edits_the_later_one_counts() -> None:
    """A file that is saved twice quickly: what the second save added is not cancelled."""
    edits = [Edit([job(1)], None, START_S), Edit([job(1), job(2)], None, START_S)]

    def edited_once() -> None:
        if edits:
            raise EditedMeanwhile

    store = Lasting(edited_once)

    async def refresh() -> Edit | None:
        return edits.pop(0) if edits else None

    batches, told = await begun(Lasting())
    batches._store = store
    store.rereads = True
    store.refresh = refresh  # type: ignore[method-assign]
    await batches.execute(c.Submit("x", b"1"))
    assert [event.job.id for event in told if event.job] == ["j1", "j2", "x"]


async def test_a_registration_cut_off_in_the_turn_of_its_reply_loses_no_job() -> None:
    """Nobody will write the answer: the job is back at its place."""
    async with running_world() as world:
        await world.submit("x")
        asking = asyncio.create_task(world.dispatcher.register(worker("c1")))
        while not world.jobs()[0].hold:  # noqa: ASYNC110 - the very turn of it
            await asyncio.sleep(0)
        asking.cancel()
        await settle()
        assert asking.cancelled()
        assert [each.data for each in world.waiting_jobs()] == [b'"x"']


async def test_what_is_remembered_besides_the_tables_goes_with_its_subject() -> None:
    """Leases of jobs that are done, and looks at workers that were dropped, are forgotten."""
    async with running_world(policy=Policy(lease_s=600)) as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        world.network.outcomes[robot.id] = [Refused("503")]
        world.network.pending[robot.id] = False
        world.network.states[robot.instance_url] = "gone"
        await world.submit("x")
        await world.clock.advance(5)
        assert world.workers() == []
        await world.register(worker("c2", "i2"))
        await world.register(worker("c3", "i2"))
        machine = world.dispatcher._machine
        assert (machine._leases, machine.probed) == ({}, {})


async def test_a_store_that_is_loaded_again_takes_batches_from_one_on(tmp_path: Path) -> None:
    """As at a take-over in the same process: the next owner counts its batches anew."""
    store = SplitStore(CachedJsonFileStore(tmp_path, workers=False, fsync=False), InMemoryStore())
    await store.load()
    for number in (1, 2, 3):
        await store.commit(batch(number, job(number)))
    await store.load()
    for number in (1, 2, 3):
        await store.commit(batch(number, job(10 + number)))
    stored = {each.id for each in (await store.load()).jobs}
    await store.close()
    assert stored == {"j1", "j2", "j3", "j11", "j12", "j13"}
