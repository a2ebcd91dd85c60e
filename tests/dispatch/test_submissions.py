"""Submissions of one turn of the loop are applied together; each request gets its own answer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import state_machine
from sanic_dispatch.core.job import State
from sanic_dispatch.core.state_machine import Placed, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.errors import DispatchError, IdempotencyMismatch, ShuttingDown, StillUnderWay
from sanic_dispatch.observability.request_id import begin
from tests.support.clock import settle
from tests.support.world import World, running_world, worker


@pytest.fixture(params=[Mode.IN_MEMORY, Mode.SQLITE])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(Settings.of(request.param, data_dir=tmp_path)) as world:
        yield world


def submit_at_once(world: World, *data: Any) -> list[asyncio.Task[Placed]]:
    """Submit these in one turn; return the requests."""
    return [asyncio.create_task(world.submit(each)) for each in data]


async def waiting_data(world: World) -> list[bytes]:
    """Return the data of the waiting jobs, in order."""
    await world.quiet()
    return [job.data for job in world.jobs()]


async def test_first_come_first_served(world: World) -> None:
    """Tickets, places and positions are in the order of the requests."""
    submissions = await asyncio.gather(*submit_at_once(world, *range(5)))
    said = [(each.job.ticket, each.job.data, each.position) for each in submissions]
    assert said == [(n + 1, b"%d" % n, n + 1) for n in range(5)]
    assert await waiting_data(world) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_cancelled_request_is_carried_out(world: World) -> None:
    """A submission that has begun goes on after its request was cancelled."""
    one, two = submit_at_once(world, 1, 2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # all are applied, and in Sqlite their commit has begun
    one.cancel()
    await asyncio.wait([one, two])
    assert await waiting_data(world) == [b"1", b"2"]


async def test_an_error_affects_its_own_request_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception is the answer to one request; the others succeed."""
    submit = StateMachine._on_submit

    def faulty(machine: StateMachine, command: c.Submit) -> Placed:
        placed = submit(machine, command)
        if command.data == b"2":
            raise RuntimeError("a fault")
        return placed

    monkeypatch.setitem(state_machine._HANDLERS, c.Submit, faulty)
    _, two, _ = requests = submit_at_once(world, 1, 2, 3)
    await asyncio.wait(requests)
    assert str(two.exception()) == "a fault"
    assert await waiting_data(world) == [b"1", b"3"]


@pytest.mark.parametrize("key", ["a key", None])
async def test_a_refusal_leaves_no_garbage(world: World, key: str | None) -> None:
    """The data of a refused submission is freed at once, without the garbage collector."""
    await world.dispatcher.submit(b"1", key)
    world.dispatcher._machine.policy = Policy(max_jobs=1)
    gc.disable()
    try:
        for _ in range(2):  # the first one may create objects that are kept
            gc.collect()
            with suppress(DispatchError):
                await world.dispatcher.submit(b"2", key)
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_the_same_key_twice_is_one_job(world: World) -> None:
    """Also within one turn: the second waits for the first, or gets StillUnderWay."""
    submit = world.dispatcher.submit
    one, two = await asyncio.gather(submit(b"1", "a key"), submit(b"1", "a key"))
    assert one.job.id == two.job.id
    assert await waiting_data(world) == [b"1"]


async def test_each_event_names_its_own_request(world: World) -> None:
    """Each event has the id of its own request, also within a batch."""

    async def request(name: str) -> None:
        begin(name)
        await world.submit(name)

    await asyncio.gather(request("one"), request("two"))
    assert [event.request for event in world.history] == ["one", "two"]


async def test_submissions_are_refused_at_the_end(world: World) -> None:
    """A submission that arrives while the service closes gets ShuttingDown, and is not stored."""
    requests = submit_at_once(world, 1, 2)
    await asyncio.sleep(0)
    await world.dispatcher.batches.close()
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ShuttingDown] * 2
    assert await waiting_data(world) == []


async def test_a_stop_waits_for_earlier_submissions(world: World) -> None:
    """Submissions before the stop are stored and answered."""
    requests = submit_at_once(world, 1, 2)
    await asyncio.sleep(0)
    await world.dispatcher.stop(grace_s=5.0)
    assert [each.position for each in await asyncio.gather(*requests)] == [1, 2]


async def test_an_idempotency_key_makes_one_job(world: World) -> None:
    """Same key and body: the same job; another body is refused."""
    first = await world.dispatcher.submit(b"1", "key")
    again = await world.dispatcher.submit(b"1", "key")
    assert (again.job.id, again.position) == (first.job.id, 1)
    with pytest.raises(IdempotencyMismatch):
        await world.dispatcher.submit(b"2", "key")
    await world.dispatcher.cancel(first.job.id)
    assert (await world.dispatcher.submit(b"1", "key")).job.state is State.CANCELLED


async def test_a_key_whose_first_request_is_under_way_has_to_wait(world: World) -> None:
    """While the first request is not answered, a repeat gets StillUnderWay."""
    slow = worker("c1", "i1")
    await world.register(slow)
    world.network.outcomes[slow.id] = [world.never()]
    first = asyncio.create_task(world.dispatcher.submit(b"1", "key"))
    await settle()
    with pytest.raises(StillUnderWay):
        await world.dispatcher.submit(b"1", "key")
    await world.clock.advance(3)
    assert (await first).position == 1
