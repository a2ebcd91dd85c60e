"""A dispatcher on standby or losing ownership: what requests get, and disconnected pages."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.dispatch import standby
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.dispatch.standby import Standby
from sanic_dispatch.errors import OutcomeUnknown, StandingBy, StorageFailed
from tests.support.server import eventually
from tests.support.world import running_world, worker


class FakeOwnership:
    """Ownership that a test grants, doubts and takes away."""

    def __init__(self) -> None:
        self.is_owner = self.is_sure = True
        self.owner = "ada"
        self.answers = asyncio.Event()
        self.answers.set()
        self._lost = asyncio.Event()

    def may_act(self) -> bool:
        return self.is_owner and self.is_sure

    async def confirm(self) -> None:
        await self.answers.wait()
        if not self.may_act():
            raise StorageFailed("it cannot be asked")

    async def until_lost(self) -> None:
        await self._lost.wait()

    async def acquire(self, patience_s: float | None = None) -> bool:
        await asyncio.Event().wait()
        return True

    def lose(self) -> None:
        self.is_owner = False
        self._lost.set()


async def test_an_order_that_waits_for_its_worker_is_acknowledged() -> None:
    """It is durable, so it is accepted, whichever process owns the queues by then."""
    async with running_world() as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        world.network.outcomes[robot.id] = [world.never()]
        submitting = asyncio.create_task(world.submit("x"))
        await world.quiet()
        world.store.ownership = cast(Ownership, FakeOwnership())
        await world.dispatcher.stand_by()
        placed = await submitting
        assert placed.position == 1
        for act in (
            lambda: world.submit("y"),
            lambda: world.job(placed.job.id),
            lambda: world.dispatcher.cancel(placed.job.id),
            lambda: world.dispatcher.operator.pause(""),
            lambda: world.dispatcher.queries.workers(),
        ):
            with pytest.raises(StandingBy):
                await act()


async def test_an_order_accepted_just_before_the_loss_is_acknowledged() -> None:
    """It is durable, although nothing can be looked up any more."""
    async with running_world() as world:
        robots = [worker(f"c{n}", f"i{n}") for n in (1, 2)]
        submitting = []
        for robot in robots:
            await world.register(robot)
            world.network.outcomes[robot.id] = [world.never()]
            submitting.append(asyncio.create_task(world.submit(robot.id)))
            await world.clock.advance(0.5)
        ownership = FakeOwnership()
        ownership.is_sure, ownership.answers = False, asyncio.Event()
        world.store.ownership = cast(Ownership, ownership)
        await world.clock.advance(2)
        assert not any(each.done() for each in submitting)
        await world.dispatcher.stand_by()
        assert [(await each).position for each in submitting] == [1, 1]


async def test_an_order_whose_commit_is_broken_off() -> None:
    """Its fate is unknown, so it gets 503 instead of waiting for ever."""
    async with running_world() as world:

        async def commit(_: Any) -> None:
            raise OutcomeUnknown("no answer")

        world.store.lasts = True
        world.store.commit = commit  # type: ignore[method-assign]
        submitting = asyncio.create_task(world.submit("x"))
        await world.quiet()
        await world.dispatcher.stand_by()
        with pytest.raises(StorageFailed, match="it may have been stored"):
            await submitting


async def test_a_look_up_that_may_be_stale_is_refused() -> None:
    """If the store cannot confirm ownership, look-ups are refused."""
    async with running_world() as world:
        job_id = (await world.submit("x")).job.id
        ownership = FakeOwnership()
        world.store.ownership = cast(Ownership, ownership)
        assert (await world.job(job_id)).id == job_id
        ownership.is_sure = False
        with pytest.raises(StorageFailed):
            await world.job(job_id)


async def test_pages_are_disconnected_while_ownership_is_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Past the deadline views may be stale; they come back once ownership is confirmed."""
    monkeypatch.setattr(standby, "OWNER_CHECK_S", 0.001)
    ownership, said = FakeOwnership(), list[Any]()

    def show(snapshot: TopicSnapshot | None) -> None:
        said.append(snapshot)

    async with running_world() as world:
        standing_by = Standby(world.dispatcher, cast(Ownership, ownership), show, said.append)
        standing_by.start()
        for is_sure, expected in ((False, [True]), (True, [True, False])):
            ownership.is_sure = is_sure
            await eventually(lambda expected=expected: is_equal(said, expected))  # type: ignore[misc]
        ownership.lose()
        await eventually(lambda: is_equal(said, [True, False, None]))
        assert not world.dispatcher.is_open
        await standing_by.stop()


async def is_equal(one: Any, other: Any) -> bool:
    return bool(one == other)
