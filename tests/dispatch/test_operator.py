"""The operator's hand, and what workers say of their jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sanic_dispatch.callbacks.outcome import InDoubt
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.events import Kind
from sanic_dispatch.core.evidence import LATE_S
from sanic_dispatch.core.job import State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key
from sanic_dispatch.errors import (
    IdempotencyMismatch,
    NotTheHolder,
    StillUnderWay,
    UnknownWorker,
    WrongState,
)
from tests.support.clock import settle
from tests.support.world import World, running_world, worker


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world() as world:
        yield world


async def test_nothing_is_handed_out_while_paused(world: World) -> None:
    """Orders and workers are taken in, and meet when it goes on."""
    control = world.dispatcher.operator
    await control.pause("lunch")
    assert await world.register(worker("c1", "i1")) is None
    assert (await world.submit("x")).position == 1
    assert await world.register(worker("c2", "i2")) is None
    assert world.delivered == []
    await control.resume("back")
    await settle()
    assert world.delivered == ["x"]


async def test_what_is_so_already_does_not_happen_again(world: World) -> None:
    """Pausing twice, also at the same moment, leaves one event; so does going on."""
    control = world.dispatcher.operator
    await control.resume("why not")
    await asyncio.gather(control.pause("lunch"), control.pause("lunch"))
    await control.pause("still")
    await asyncio.gather(control.resume("back"), control.resume("back"))
    assert [event.kind for event in world.history] == [Kind.DISPATCH_PAUSED, Kind.DISPATCH_RESUMED]


async def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    """Kept with the jobs."""
    mode = Mode.CACHED_JSON_FILE
    settings = Settings(job_queue_mode=mode, worker_queue_mode=mode, data_dir=tmp_path)
    async with running_world(settings) as world:
        await world.dispatcher.operator.pause("night")
    async with running_world(settings) as world:
        assert world.dispatcher.is_paused
        await world.register(worker("c1", "i1"))
        assert (await world.submit("x")).position == 1


async def test_put_back_gives_a_job_its_own_place(world: World) -> None:
    """An assigned job goes to somebody else, before those behind it."""
    first = await world.submit("first")
    await world.submit("second")
    assert await world.register(worker("c1", "i1")) == "first"
    await world.dispatcher.operator.put_back(first.job.id, "robot on fire")
    assert await world.register(worker("c2", "i2")) == "first"


async def test_a_robot_whose_job_was_put_back_cannot_wait_on_its_used_callback(
    world: World,
) -> None:
    """However late the repeat of its registration arrives, and whoever has the job then."""
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
async def test_a_doubtful_job_can_be_put_back_and_its_worker_is_looked_at(
    world: World, by_operator: bool
) -> None:
    """Its callback gets nothing until it was seen waiting once nothing can arrive any more."""
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
    """The next worker gets it; twice works too."""
    jobs = [(await world.submit(n)).job.id for n in range(3)]
    await world.dispatcher.operator.move_to_front(jobs[2], "vip")
    await world.dispatcher.operator.move_to_front(jobs[1], "vip")
    order = [await world.register(worker(f"c{n}", f"i{n}")) for n in range(3)]
    assert order == [1, 2, 0]


async def test_a_worker_set_aside_by_an_operator_stays_so_until_it_is_brought_back(
    world: World,
) -> None:
    """No probe brings it back, and it has its old place then."""
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
    """And an unknown one is said to be unknown."""
    await world.register(waiting := worker("c1", "i1"))
    await world.dispatcher.operator.drop(waiting.id, "scrapped")
    assert world.workers() == []
    for act in (world.dispatcher.operator.drop, world.dispatcher.operator.set_aside):
        with pytest.raises(UnknownWorker):
            await act(waiting.id, "scrapped")


async def test_a_robot_that_was_set_aside_stays_so_with_a_new_callback(world: World) -> None:
    """An operator means the robot, not its call."""
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


async def test_a_robot_that_has_a_job_is_no_unknown_one(world: World) -> None:
    """409, with the job's state: it can be set aside or dropped once it waits."""
    robot = worker("c1", "i1")
    await world.register(robot)
    await world.submit("x")
    for act in (world.dispatcher.operator.drop, world.dispatcher.operator.set_aside):
        with pytest.raises(WrongState):
            await act(robot.id, "smells burnt")


async def test_every_act_says_who_and_why(world: World) -> None:
    """The events are the audit; a job, which its submitter can read, only says why."""
    await world.dispatcher.operator.pause("ada: lunch")
    submission = await world.submit("x")
    cancelled = await world.dispatcher.operator.cancel(submission.job.id, "mistake", "ada")
    reasons = {event.kind.value: event.reason for event in world.history}
    assert reasons["dispatch.paused"] == "ada: lunch"
    assert reasons["job.cancelled"] == "ada: mistake"
    assert cancelled.reason == "mistake"


@pytest.mark.parametrize("by", ["callback", "key", "receipt"])
async def test_the_holder_can_complete_its_job(world: World, by: str) -> None:
    """By its callback, its key, or the receipt that came with the job; a repeat is fine."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    job = await world.job(submission.job.id)
    proof = {
        "callback": Proof(callback_url=worker("c1", "i1").id),
        "key": Proof(key=Key("i1", "a1")),
        "receipt": Proof(receipt=world.dispatcher.receipt_of(job)),
    }[by]
    for _ in range(2):
        done = (await world.dispatcher.complete(job.id, proof, b'{"ice":true}')).job
        assert (done.state, done.result) == (State.DONE, b'{"ice":true}')


@pytest.mark.parametrize(
    "proof",
    [Proof(), Proof(callback_url="http://x/"), Proof(key=Key("i2", "a1")), Proof(receipt="0" * 32)],
)
async def test_nobody_else_can_report(world: World, proof: Proof) -> None:
    """Who does not hold the job is told so, whatever it says."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    with pytest.raises(NotTheHolder):
        await world.dispatcher.complete(submission.job.id, proof)
    with pytest.raises(NotTheHolder):
        await world.dispatcher.fail(submission.job.id, proof, "no")
    with pytest.raises(NotTheHolder):
        await world.dispatcher.extend(submission.job.id, proof)


async def test_a_failed_job_can_be_retried_by_others(world: World) -> None:
    """``retry`` gives it back at its place."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    proof = Proof(callback_url=worker("c1", "i1").id)
    for _ in range(2):  # an engine that got no answer reports once more
        await world.dispatcher.fail(submission.job.id, proof, "no ice", retry=True)
    assert await world.register(worker("c2", "i2")) == "x"
    await world.dispatcher.fail(submission.job.id, Proof(key=Key("i2", "a1")), "no rum")
    failed = await world.job(submission.job.id)
    assert (failed.state, failed.reason) == (State.FAILED, "no rum")


async def test_a_lease_that_ends_gives_the_job_to_somebody_else() -> None:
    """And the late word of the old holder does not touch the new one's attempt."""
    async with running_world(policy=Policy(lease_s=60)) as world:
        submission = await world.submit("x")
        await world.register(worker("c1", "i1"))
        late = Proof(callback_url=worker("c1", "i1").id)
        await world.clock.advance(59)
        await world.dispatcher.extend(submission.job.id, late)
        await world.clock.advance(59)
        assert (await world.job(submission.job.id)).state is State.ASSIGNED
        await world.clock.advance(3)
        assert await world.register(worker("c2", "i2")) == "x"
        with pytest.raises(NotTheHolder):
            await world.dispatcher.complete(submission.job.id, late)


async def test_a_late_report_counts_while_nobody_else_has_the_job() -> None:
    """Mixed, if too late: not mixed again."""
    async with running_world(policy=Policy(lease_s=60)) as world:
        submission = await world.submit("x")
        await world.register(worker("c1", "i1"))
        await world.clock.advance(61)
        assert (await world.job(submission.job.id)).state is State.WAITING
        await world.register(worker("c2", "i1"))
        assert (await world.job(submission.job.id)).state is State.DONE


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


async def test_an_operator_cannot_cancel_what_is_assigned(world: World) -> None:
    """409 with the state: first put it back."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    with pytest.raises(WrongState):
        await world.dispatcher.operator.cancel(submission.job.id, "operator")


@pytest.mark.parametrize("act", ["set_aside", "bring_back", "drop"])
async def test_the_proof_that_a_job_was_lost_is_kept(world: World, act: str) -> None:
    """Whoever waits with ?lost is left alone until that job is put back, or settled: without it the
    next registration of its key would count the job as done."""
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
    """Its robot has registered with a newer one: a job sent to the older would seem to be taken."""
    older, newer = worker("c1", "i1"), worker("c2", "i1")
    world.network.pending[older.id] = None
    await world.register(older)
    await world.register(newer)
    await world.dispatcher.operator.bring_back(older.id, "clean")
    await world.submit("x")
    assert world.network.deliveries == [(newer.id, "x")]
