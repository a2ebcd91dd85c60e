"""What operators can do: pause, cancel, put back, move, set aside, bring back, drop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Refused
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.evidence import LATE_S
from sanic_dispatch.core.job import State
from sanic_dispatch.core.worker import Cause
from sanic_dispatch.errors import (
    UnknownWorker,
    WrongState,
)
from tests.support.clock import settle
from tests.support.redis import redis_values
from tests.support.world import World, running_world, worker


async def test_nothing_is_handed_out_while_paused(world: World) -> None:
    """During a pause orders and workers wait; after it they are matched."""
    control = world.dispatcher.operator
    await control.pause("lunch")
    assert await world.register(worker("c1", "i1")) is None
    assert (await world.submit("x")).position == 1
    assert await world.register(worker("c2", "i2")) is None
    assert world.delivered == []
    await control.resume("back")
    await settle()
    assert world.delivered == ["x"]


async def test_a_second_pause_or_resume_has_no_event(world: World) -> None:
    """Pausing twice, also at the same time, publishes one event; so does resuming."""
    control = world.dispatcher.operator
    await control.resume("why not")
    await asyncio.gather(control.pause("lunch"), control.pause("lunch"))
    await control.pause("still")
    await asyncio.gather(control.resume("back"), control.resume("back"))
    assert [event.kind for event in world.history] == [
        EventKind.DISPATCH_PAUSED,
        EventKind.DISPATCH_RESUMED,
    ]


async def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    """The pause is stored with the jobs."""
    mode = Mode.CACHED_JSON_FILE
    settings = Settings(job_queue_mode=mode, worker_queue_mode=mode, data_dir=tmp_path)
    async with running_world(settings) as world:
        await world.dispatcher.operator.pause("night")
    async with running_world(settings) as world:
        assert world.dispatcher.is_paused
        await world.register(worker("c1", "i1"))
        assert (await world.submit("x")).position == 1


async def test_put_back_gives_a_job_its_own_place(world: World) -> None:
    """An assigned job goes to another worker, before the jobs behind it."""
    first = await world.submit("first")
    await world.submit("second")
    assert await world.register(worker("c1", "i1")) == "first"
    await world.dispatcher.operator.put_back(first.job.id, "robot on fire")
    assert await world.register(worker("c2", "i2")) == "first"


async def test_a_robot_whose_job_was_put_back_cannot_wait_on_its_used_callback(
    world: World,
) -> None:
    """A repeat of its registration, however late, is not enqueued again."""
    used, other = worker("c1", "i1"), worker("c2", "i2")
    await world.register(used)
    job_id = (await world.submit("x")).job.id
    await world.dispatcher.operator.put_back(job_id, "robot on fire")
    assert await world.register(used) is None
    assert world.free_workers() == []
    assert await world.register(other) == "x"
    assert await world.register(used) is None
    await world.clock.advance(60)
    assert world.free_workers() == []
    assert await world.register(worker("c3", "i1")) is None
    assert [waits.id for waits in world.workers()] == [worker("c3", "i1").id]


@pytest.mark.parametrize("by_operator", [False, True])
async def test_a_job_in_doubt_can_be_put_back_and_its_worker_is_probed(
    world: World, by_operator: bool
) -> None:
    """Its callback gets no job until it was seen waiting after the last attempt can arrive."""
    unclear = worker("c1", "i1")
    await world.register(unclear)
    world.network.outcomes[unclear.id] = [InDoubt("time-out")]
    world.network.pending[unclear.id] = None
    submission = await world.submit("x")
    await world.dispatcher.operator.put_back(submission.job.id, "operator")
    assert (await world.job(submission.job.id)).state is State.WAITING
    (aside,) = world.workers()
    assert aside.aside is not None
    world.network.pending[unclear.id] = True
    await world.clock.advance(0.4 * LATE_S)
    assert await world.register(unclear) is None
    with pytest.raises(WrongState):
        await world.dispatcher.operator.drop(unclear.id, "out of order")
    if by_operator:
        await world.dispatcher.operator.set_aside(unclear.id, "cleaning")
        await world.dispatcher.operator.bring_back(unclear.id, "clean")
    await world.clock.advance(0.35 * LATE_S)
    assert world.delivered == ["x"]
    await world.clock.advance(1.25 * LATE_S)
    assert world.delivered == ["x", "x"]


async def test_a_job_can_be_moved_to_the_front(world: World) -> None:
    """The next worker gets it; a second job can be moved in front of it."""
    jobs = [(await world.submit(n)).job.id for n in range(3)]
    await world.dispatcher.operator.move_to_front(jobs[2], "vip")
    await world.dispatcher.operator.move_to_front(jobs[1], "vip")
    order = [await world.register(worker(f"c{n}", f"i{n}")) for n in range(3)]
    assert order == [1, 2, 0]


async def test_a_worker_set_aside_by_an_operator_stays_so_until_it_is_brought_back(
    world: World,
) -> None:
    """No probe brings it back; when brought back it has its old place."""
    old, new = worker("c1", "i1"), worker("c2", "i2")
    await world.register(old)
    await world.register(new)
    await world.dispatcher.operator.set_aside(old.id, "cleaning")
    await world.clock.advance(300)
    await world.submit("x")
    await world.dispatcher.operator.bring_back(old.id, "clean")
    await world.submit("y")
    assert world.network.deliveries == [(new.id, "x"), (old.id, "y")]


async def test_a_dropped_worker_is_gone(world: World) -> None:
    """After that it is unknown."""
    await world.register(waiting := worker("c1", "i1"))
    await world.dispatcher.operator.drop(waiting.id, "scrapped")
    assert world.workers() == []
    for act in (world.dispatcher.operator.drop, world.dispatcher.operator.set_aside):
        with pytest.raises(UnknownWorker):
            await act(waiting.id, "scrapped")


async def test_a_robot_that_was_set_aside_stays_so_with_a_new_callback(world: World) -> None:
    """Setting aside applies to the robot, also when it registers again."""
    old, new = worker("c1", "i1"), worker("c2", "i1")
    await world.register(old)
    await world.dispatcher.operator.set_aside(old.id, "smells burnt")
    world.network.pending[old.id] = False
    assert await world.register(new) is None
    await world.submit("x")
    assert world.delivered == []
    (waits,) = world.workers()
    assert (waits.id, waits.aside and waits.aside.reason) == (new.id, "smells burnt")
    await world.dispatcher.operator.bring_back(new.id, "cleaned")
    await settle()
    assert world.network.deliveries == [(new.id, "x")]


async def test_a_worker_with_a_job_cannot_be_set_aside_or_dropped(world: World) -> None:
    """WrongState instead of UnknownWorker: it can be set aside or dropped once it waits."""
    robot = worker("c1", "i1")
    await world.register(robot)
    await world.submit("x")
    for act in (world.dispatcher.operator.drop, world.dispatcher.operator.set_aside):
        with pytest.raises(WrongState):
            await act(robot.id, "smells burnt")


async def test_every_action_is_logged_with_name_and_reason(world: World) -> None:
    """Events have name and reason; a job, which its submitter can read, has the reason only."""
    await world.dispatcher.operator.pause("ada: lunch")
    submission = await world.submit("x")
    cancelled = await world.dispatcher.operator.cancel(submission.job.id, "mistake", "ada")
    reasons = {event.kind.value: event.reason for event in world.history}
    assert reasons["dispatch.paused"] == "ada: lunch"
    assert reasons["job.cancelled"] == "ada: mistake"
    assert cancelled.reason == "mistake"


async def test_an_assigned_job_is_to_be_cancelled_by_its_holder(world: World) -> None:
    """At an operator's word always; a customer is refused where the holder could not hear of it."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    with pytest.raises(WrongState):
        await world.dispatcher.cancel(submission.job.id)
    asked = await world.dispatcher.operator.cancel(submission.job.id, "no ice", "ada")
    assert (asked.state, asked.cancelling, asked.reason) == (State.ASSIGNED, True, "no ice")


@pytest.mark.parametrize("act", ["set_aside", "bring_back", "drop"])
async def test_a_callback_that_proves_a_lost_job_is_kept(world: World, act: str) -> None:
    """A worker that waits after ?lost cannot be changed until that job is settled: without it the
    next registration of its key would complete the job."""
    old, new = worker("c1", "i1"), worker("c2", "i1")
    world.network.outcomes[old.id] = [world.never()]
    await world.register(old)
    submitting = asyncio.create_task(world.submit("x"))
    await settle()
    await world.register(new, lost=True)
    do = getattr(world.dispatcher.operator, act)
    with pytest.raises(WrongState):
        await do(new.id, "cleaning")
    await world.clock.advance(5)
    await world.dispatcher.operator.put_back((await submitting).job.id, "by hand")
    await do(new.id, "cleaning")


async def test_an_older_callback_comes_back_only_once_it_is_seen_waiting(world: World) -> None:
    """Its robot has registered again, and a job sent to the old callback would look taken."""
    older, newer = worker("c1", "i1"), worker("c2", "i1")
    world.network.pending[older.id] = None
    await world.register(older)
    await world.register(newer)
    await world.dispatcher.operator.bring_back(older.id, "clean")
    await world.submit("x")
    assert world.network.deliveries == [(newer.id, "x")]


async def test_a_callback_that_may_have_a_job_cannot_be_brought_back() -> None:
    """Two deliveries to one callback at once lose a job: WrongState until the first one ends."""
    async with running_world() as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        outcome: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        world.network.outcomes[robot.id] = [outcome]
        asyncio.create_task(world.submit("x"))
        await settle()
        with pytest.raises(WrongState):
            await world.dispatcher.operator.bring_back(robot.id, "operator")
        outcome.set_result(Accepted())
        await settle()


async def test_an_operators_aside_is_not_undone_by_a_refusal() -> None:
    """A worker set aside during its delivery is brought back by the operator only."""
    async with running_world() as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        outcome: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        world.network.outcomes[robot.id] = [outcome]
        asyncio.create_task(world.submit("x"))
        await settle()
        await world.dispatcher.operator.set_aside(robot.id, "cleaning")
        outcome.set_result(Refused("503"))
        await world.clock.advance(300)
        (aside,) = world.workers()
        assert aside.aside is not None
        assert aside.aside.cause is Cause.OPERATOR
        assert world.delivered == ["x"]


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.is_durable])
async def test_a_job_moved_to_the_front_keeps_its_place_over_restarts(
    mode: Mode, tmp_path: Path
) -> None:
    """Also if its place is 0."""
    settings = Settings.of(mode, data_dir=tmp_path, **redis_values(mode, tmp_path))
    async with running_world(settings) as world:
        await world.submit("one")
        two = await world.submit("two")
        await world.dispatcher.operator.move_to_front(two.job.id, "vip")
    async with running_world(settings) as world:
        await world.submit("three")
    async with running_world(settings) as world:
        order = [await world.register(worker(f"c{n}", f"i{n}")) for n in range(3)]
    assert order == ["two", "one", "three"]
