"""Orders of one turn of the loop are lined up together, and each is its own request's affair."""

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


def begun(world: World, *data: Any) -> list[asyncio.Task[Placed]]:
    """Requests that come in one turn."""
    return [asyncio.create_task(world.submit(each)) for each in data]


async def waiting(world: World) -> list[bytes]:
    """What waits, in order."""
    await world.quiet()
    return [job.data for job in world.jobs()]


async def test_they_keep_their_order(world: World) -> None:
    """First come, first served: tickets, places and positions count up."""
    submissions = await asyncio.gather(*begun(world, *range(5)))
    said = [(each.job.ticket, each.job.data, each.position) for each in submissions]
    assert said == [(n + 1, b"%d" % n, n + 1) for n in range(5)]
    assert await waiting(world) == [b"0", b"1", b"2", b"3", b"4"]


async def test_one_that_is_cut_off_is_taken_all_the_same(world: World) -> None:
    """What has begun goes on, whoever waits for it."""
    one, two = begun(world, 1, 2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # all are applied, and in Sqlite on their way to the disk
    one.cancel()
    await asyncio.wait([one, two])
    assert await waiting(world) == [b"1", b"2"]


async def test_one_that_fails_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is the answer to one request only."""
    submit = StateMachine._submit

    def faulty(machine: StateMachine, command: c.Submit) -> Placed:
        placed = submit(machine, command)
        if command.data == b"2":
            raise RuntimeError("a fault")
        return placed

    monkeypatch.setitem(state_machine._HANDLERS, c.Submit, faulty)
    _, two, _ = requests = begun(world, 1, 2, 3)
    await asyncio.wait(requests)
    assert str(two.exception()) == "a fault"
    assert await waiting(world) == [b"1", b"3"]


@pytest.mark.parametrize("key", ["a key", None])
async def test_a_refusal_leaves_no_garbage(world: World, key: str | None) -> None:
    """What was sent is let go of at once: the garbage collector comes by seldom."""
    await world.dispatcher.submit(b"1", key)
    world.dispatcher._machine.policy = Policy(max_jobs=1)
    for _ in range(2):  # the first one may leave what is made only once
        gc.collect()
        gc.disable()
        with suppress(DispatchError):
            await world.dispatcher.submit(b"2", key)
        garbage = gc.collect()
        gc.enable()
    assert garbage == 0


async def test_the_same_key_twice_is_one_job(world: World) -> None:
    """Also where both come in one turn: the second waits for the first, or is told to."""
    submit = world.dispatcher.submit
    one, two = await asyncio.gather(submit(b"1", "a key"), submit(b"1", "a key"))
    assert one.job.id == two.job.id
    assert await waiting(world) == [b"1"]


async def test_each_event_names_its_own_request(world: World) -> None:
    """Whatever else was lined up with it."""

    async def request(name: str) -> None:
        begin(name)
        await world.submit(name)

    await asyncio.gather(request("one"), request("two"))
    assert [event.request for event in world.history] == ["one", "two"]


async def test_the_end_of_the_service_is_an_answer(world: World) -> None:
    """Whoever has just come when it ends for good hears of it, and is not taken."""
    requests = begun(world, 1, 2)
    await asyncio.sleep(0)
    await world.dispatcher.batches.close()
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ShuttingDown] * 2
    assert await waiting(world) == []


async def test_a_stop_waits_for_those_that_have_come(world: World) -> None:
    """They are lined up, stored and answered before nothing is under way any more."""
    requests = begun(world, 1, 2)
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
    """409 while running: who asks too early is told to ask again."""
    slow = worker("c1", "i1")
    await world.register(slow)
    world.network.outcomes[slow.id] = [world.never()]
    first = asyncio.create_task(world.dispatcher.submit(b"1", "key"))
    await settle()
    with pytest.raises(StillUnderWay):
        await world.dispatcher.submit(b"1", "key")
    await world.clock.advance(3)
    assert (await first).position == 1
