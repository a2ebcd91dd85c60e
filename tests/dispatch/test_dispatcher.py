"""The dispatcher's rules, without sockets, on a clock that stands still."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Stage, State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.errors import ShuttingDown, UnknownJob, WrongState
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.store import Batch
from tests.support.clock import settle
from tests.support.network import FakeNetwork
from tests.support.world import World, running_world, worker


async def test_a_job_waits_at_the_end_of_the_queue(world: World) -> None:
    """Without workers each job gets the next position."""
    assert [(await world.submit(n)).position for n in range(3)] == [1, 2, 3]


async def test_workers_get_the_oldest_job_first(world: World) -> None:
    """FIFO if workers register later; the original's file queues gave the newest."""
    for n in range(3):
        await world.submit(n)
    assert [await world.register(worker(str(n))) for n in range(4)] == [0, 1, 2, None]


async def test_jobs_go_to_the_oldest_worker_first(world: World) -> None:
    """FIFO if jobs are submitted later."""
    workers = [worker(str(n)) for n in range(3)]
    for each in workers:
        await world.register(each)
    for n in range(3):
        assert (await world.submit(n)).position is None
    assert world.network.deliveries == [(w.id, n) for n, w in enumerate(workers)]


async def test_a_submission_is_assigned_once_the_worker_has_accepted(world: World) -> None:
    """Only then it is answered as assigned."""
    await world.register(worker("c", "i"))
    submission = await world.submit("x")
    assert submission.position is None
    assert (await world.job(submission.job.id)).state is State.ASSIGNED


async def test_a_refused_job_goes_to_the_next_worker_within_the_wait(world: World) -> None:
    """If the next worker takes it, the submission is still answered as assigned."""
    bad, good = worker("bad", "i1"), worker("good", "i2")
    await world.register(bad)
    await world.register(good)
    world.network.outcomes[bad.id] = [Refused("503")]
    assert (await world.submit("x")).position is None
    assert [url for url, _ in world.network.deliveries] == [bad.id, good.id]


async def test_requests_before_the_start_are_refused() -> None:
    """Until the records are loaded, requests and operators' actions are refused."""
    world = World(InMemoryStore(), FakeNetwork(), Policy())
    with pytest.raises(ShuttingDown):
        await world.dispatcher.operator.pause("a break")
    with pytest.raises(ShuttingDown):
        await world.dispatcher.queries.workers()
    await world.start()
    await world.dispatcher.operator.pause("a break")
    await world.dispatcher.stop(0)


async def test_a_refused_job_keeps_its_own_place(world: World) -> None:
    """It is not put at the tail, as in the original."""
    bad = worker("bad", "i1")
    await world.register(bad)
    outcome: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
    world.network.outcomes[bad.id] = [outcome]
    first = asyncio.create_task(world.submit("first"))
    await settle()
    await world.submit("second")
    outcome.set_result(Refused("503"))
    assert (await first).position == 1
    assert await world.register(worker("c", "i2")) == "first"


async def test_the_answer_does_not_wait_for_a_slow_worker(world: World) -> None:
    """After submit_wait_s the answer is position 1, and the delivery goes on."""
    slow = worker("slow", "i1")
    await world.register(slow)
    outcome: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
    world.network.outcomes[slow.id] = [outcome]
    submitting = asyncio.create_task(world.submit("x"))
    await world.clock.advance(2.0)
    submission = await submitting
    assert submission.position == 1
    outcome.set_result(Accepted())
    await settle()
    assert await world.stage(submission.job.id) is Stage.CONFIRMED


class SlowStore(InMemoryStore):
    """A store whose commits end while ``is_quick`` is set."""

    lasts = True

    def __init__(self) -> None:
        super().__init__()
        self.is_quick = asyncio.Event()
        self.is_quick.set()

    async def commit(self, batch: Batch) -> None:
        await self.is_quick.wait()


async def world_with(store: SlowStore) -> World:
    """Return a running world with a worker that does not answer."""
    world, slow = World(store, FakeNetwork(), Policy()), worker("slow", "i1")
    await world.start()
    await world.register(slow)
    world.network.outcomes[slow.id] = [world.never()]
    return world


async def test_a_slow_store_and_a_slow_worker_do_not_add_up() -> None:
    """The wait for the worker is over submit_wait_s after the request."""
    world = await world_with(store := SlowStore())
    store.is_quick.clear()
    submitting = asyncio.create_task(world.submit("x"))
    await world.clock.advance(1.5)
    store.is_quick.set()
    await settle()
    assert not submitting.done()
    await world.clock.advance(0.5)
    await settle()
    assert submitting.done()
    assert (await submitting).position == 1
    await world.dispatcher.stop(0)


async def test_a_store_that_hangs_later_does_not_delay_the_answer() -> None:
    """The job is durable, and its position is not waited for."""
    world = await world_with(store := SlowStore())
    submitting = asyncio.create_task(world.submit("x"))
    await settle()
    store.is_quick.clear()
    other = asyncio.create_task(world.submit("y"))
    await world.clock.advance(2.25)
    await settle()
    assert submitting.done()
    assert (await submitting).position == 1
    store.is_quick.set()
    assert (await other).position == 1
    await world.dispatcher.stop(0)


async def test_a_slow_worker_delays_no_others(world: World) -> None:
    """Deliveries to different workers run in parallel."""
    slow, quick = worker("slow", "i1"), worker("quick", "i2")
    await world.register(slow)
    await world.register(quick)
    world.network.outcomes[slow.id] = [asyncio.get_running_loop().create_future()]
    asyncio.create_task(world.submit("slow one"))
    await settle()
    assert (await world.submit("quick one")).position is None


async def test_a_cancelled_submission_is_delivered(world: World) -> None:
    """A request that is cancelled is carried out as a whole."""
    slow = worker("slow", "i1")
    await world.register(slow)
    outcome: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
    world.network.outcomes[slow.id] = [outcome]
    request = asyncio.create_task(world.submit("x"))
    await settle()
    request.cancel()
    outcome.set_result(Accepted())
    await settle()
    (job,) = world.jobs()
    assert job.hold is not None
    assert job.hold.stage is Stage.CONFIRMED


async def test_a_new_worker_does_not_overtake_one_that_waits(world: World) -> None:
    """A job goes to the worker that has waited longest."""
    old, new = worker("old", "i1"), worker("new", "i2")
    await world.register(old)
    await world.register(new)
    await world.submit("x")
    assert [url for url, _ in world.network.deliveries] == [old.id]


async def test_registration_is_idempotent_by_callback(world: World) -> None:
    """The same callback is enqueued once."""
    again = worker("c", "i1")
    await world.register(again)
    await world.register(again)
    assert len(world.free_workers()) == 1


async def test_a_used_callback_is_never_enqueued_again(world: World) -> None:
    """A late repeat of a registration that got its job by PUT is not enqueued."""
    used = worker("c", "i1")
    await world.register(used)
    await world.submit("x")
    await world.register(used)
    assert world.workers() == []


async def test_a_repeat_of_an_answered_registration_gets_the_same_job(world: World) -> None:
    """A lost answer is given again, also after it was noted as written."""
    await world.submit("x")
    await world.submit("y")
    asking = worker("c", "i1")
    assert await world.register(asking) == "x"
    assert await world.register(asking) == "x"
    assert await world.register(worker("d", "i2")) == "y"


async def test_the_next_registration_of_the_key_means_done(world: World) -> None:
    """A robot that registers again has finished its last job."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    assert await world.register(worker("c2", "i1")) is None
    assert (await world.job(submission.job.id)).state is State.DONE


async def test_lost_gives_the_same_job_to_the_new_callback(world: World) -> None:
    """With ?lost the last answer never arrived."""
    await world.submit("x")
    assert await world.register(worker("c1", "i1")) == "x"
    assert await world.register(worker("c2", "i1"), lost=True) == "x"


@pytest.mark.parametrize("outcome", [Accepted(), InDoubt("time-out"), Refused("503")])
async def test_lost_while_the_job_is_on_its_way_gives_it_again(
    world: World, outcome: Outcome
) -> None:
    """The old callback is gone as after a job was taken, but with ?lost it was not."""
    old, new = worker("c1", "i1"), worker("c2", "i1")
    under_way = world.never()
    world.network.outcomes[old.id] = [under_way]
    await world.register(old)
    submitting = asyncio.create_task(world.submit("x"))
    await settle()
    assert await world.register(new, lost=True) is None
    world.network.pending[old.id] = False
    under_way.set_result(outcome)
    await world.clock.advance(120)
    assert world.network.deliveries[-1] == (new.id, "x")
    assert (await world.job((await submitting).job.id)).state is State.ASSIGNED


async def test_a_late_repeat_of_a_robot_that_gave_its_job_back_gets_nothing(world: World) -> None:
    """Otherwise its next registration would complete a job that was never mixed."""
    submission = await world.submit("x")
    asked = worker("c1", "i1")
    assert await world.register(asked) == "x"
    proof = Proof(callback_url=asked.id)
    await world.dispatcher.fail(submission.job.id, proof, "no ice", retry=True)
    assert await world.register(asked) is None
    assert (await world.job(submission.job.id)).state is State.WAITING
    assert world.workers() == []


async def test_a_repeat_gets_no_job_that_was_cancelled_or_failed(world: World) -> None:
    """Only a job whose answer the worker may have missed is given again."""
    submission = await world.submit("x")
    asked = worker("c1", "i1")
    assert await world.register(asked) == "x"
    await world.dispatcher.fail(submission.job.id, Proof(callback_url=asked.id), "no ice")
    assert await world.register(asked) is None


async def test_a_silent_engine_costs_an_order_no_delivery(world: World) -> None:
    """A worker that waited long and does not answer the probe is skipped for the next one."""
    silent, awake = worker("c1", "i1"), worker("c2", "i2")
    await world.register(silent)
    await world.register(awake)
    world.network.silent.add(silent.id)
    await world.clock.advance(100)
    await world.submit("x")
    assert world.network.deliveries == [(awake.id, "x")]


async def test_a_poison_job_sets_few_robots_aside(world: World) -> None:
    """Answers that blame the job fail it after max_attempts, at once."""
    robots = [worker(f"c{n}", f"i{n}") for n in range(9)]
    for robot in robots:
        world.network.outcomes[robot.id] = [Refused("answered 500", blames_job=True)]
        await world.register(robot)
    submission = await world.submit("poison")
    assert (await world.job(submission.job.id)).state is State.FAILED
    assert [w.aside is None for w in world.workers()] == [False] * 3 + [True] * 6
    await world.clock.advance(3)
    assert all(w.aside is None for w in world.workers())


async def test_a_former_holder_gets_nothing_while_the_service_is_paused() -> None:
    """It waits like the others during a pause."""
    async with running_world(policy=Policy(lease_s=10)) as world:
        await world.submit("x")
        assert await world.register(worker("c1", "i1")) == "x"
        await world.clock.advance(20)
        await world.dispatcher.operator.pause("lunch")
        for _ in range(2):
            assert await world.register(worker("c2", "i1"), lost=True) is None
        await world.dispatcher.operator.resume("back")
        await settle()
        assert world.network.deliveries == [(worker("c2", "i1").id, "x")]


@pytest.mark.parametrize("lost", [True, False])
async def test_a_former_holder_that_registers_during_a_pause_completes_only_its_next_job(
    lost: bool,
) -> None:
    """It gets another job first, and its next registration completes that one only."""
    async with running_world(policy=Policy(lease_s=10)) as world:
        first = (await world.submit("x")).job.id
        assert await world.register(worker("c1", "i1")) == "x"
        await world.clock.advance(20)
        await world.dispatcher.operator.pause("lunch")
        await world.register(worker("c2" if lost else "c1", "i1"), lost=lost)
        second = (await world.submit("y")).job.id
        await world.dispatcher.operator.move_to_front(second, "vip")
        await world.dispatcher.operator.resume("back")
        await world.quiet()
        assert world.delivered == ["y"]
        assert await world.register(worker("c3", "i1")) == "x"
        assert (await world.job(first)).state is State.ASSIGNED


async def test_a_repeat_after_its_job_was_cancelled_waits() -> None:
    """The answer was lost, the lease ended, and the job was cancelled: the robot is enqueued."""
    async with running_world(policy=Policy(lease_s=10)) as world:
        first = (await world.submit("x")).job.id
        asked = worker("c1", "i1")
        assert await world.register(asked) == "x"
        await world.clock.advance(20)
        await world.dispatcher.cancel(first)
        assert await world.register(asked) is None
        assert await world.register(asked) is None
        assert [waits.id for waits in world.workers()] == [asked.id]
        await world.submit("y")
        assert world.delivered == ["y"]
        await world.register(worker("c2", "i1"))
        assert (await world.job(first)).state is State.CANCELLED


async def test_a_repeat_after_its_job_went_to_another_robot_waits() -> None:
    """The answer was lost, the lease ended, another robot has the job: the robot is enqueued."""
    async with running_world(policy=Policy(lease_s=10)) as world:
        await world.submit("x")
        asked = worker("c1", "i1")
        assert await world.register(asked) == "x"
        await world.clock.advance(20)
        assert await world.register(worker("c2", "i2")) == "x"
        assert await world.register(asked) is None
        assert await world.register(asked) is None
        assert [waits.id for waits in world.workers()] == [asked.id]
        await world.submit("y")
        assert world.network.deliveries == [(asked.id, "y")]


async def test_a_repeat_during_a_pause_waits_once() -> None:
    """However often it comes, also from the callback that had the job until its lease ended."""
    async with running_world(policy=Policy(lease_s=10)) as world:
        await world.submit("x")
        asked = worker("c1", "i1")
        assert await world.register(asked) == "x"
        await world.clock.advance(20)
        await world.dispatcher.operator.pause("lunch")
        for _ in range(2):
            assert await world.register(asked) is None
        assert [waits.id for waits in world.workers()] == [asked.id]


async def test_an_answer_cut_off_before_it_was_written_frees_the_job(world: World) -> None:
    """No byte was sent: the job returns to its place, and the next worker gets it."""
    await world.submit("x")
    job = await world.dispatcher.register(worker("c1", "i1"))
    assert job is not None
    world.dispatcher.answer_lost(job, began=False)
    await settle()
    assert await world.register(worker("c2", "i2")) == "x"


async def test_an_answer_that_broke_is_in_doubt_and_given_again_to_its_callback(
    world: World,
) -> None:
    """After an error while writing, a repeat of the registration gets the same job."""
    submission = await world.submit("x")
    asking = worker("c1", "i1")
    world.network.pending[asking.id] = None
    job = await world.dispatcher.register(asking)
    assert job is not None
    world.dispatcher.answer_lost(job, began=True)
    await settle()
    assert await world.stage(submission.job.id) is Stage.IN_DOUBT
    assert await world.register(asking) == "x"


async def test_a_job_in_doubt_stays_with_its_worker(world: World) -> None:
    """No other worker gets it while this one may have it."""
    unclear = worker("c", "i1")
    await world.register(unclear)
    world.network.outcomes[unclear.id] = [InDoubt("time-out")]
    world.network.pending[unclear.id] = None
    submission = await world.submit("x")
    assert submission.position == 1
    assert await world.register(worker("d", "i2")) is None
    await world.submit("y")
    assert world.delivered == ["x", "y"]


async def test_doubt_is_cleared_up_when_the_callback_still_waits(world: World) -> None:
    """200 to GET: the job was not used, so it is sent to the same callback again."""
    unclear = worker("c", "i1")
    await world.register(unclear)
    world.network.outcomes[unclear.id] = [InDoubt("time-out")]
    submission = await world.submit("x")
    await world.clock.advance(2)
    assert world.network.deliveries == [(unclear.id, "x"), (unclear.id, "x")]
    assert await world.stage(submission.job.id) is Stage.CONFIRMED


async def test_doubt_is_cleared_up_when_the_callback_was_consumed(world: World) -> None:
    """404 to GET and a running instance: the worker has it, and it is not sent again."""
    unclear = worker("c", "i1")
    await world.register(unclear)
    world.network.outcomes[unclear.id] = [InDoubt("time-out")]
    world.network.pending[unclear.id] = False
    submission = await world.submit("x")
    await world.clock.advance(2)
    assert world.delivered == ["x"]
    assert await world.stage(submission.job.id) is Stage.CONFIRMED


async def test_a_robot_that_comes_back_during_its_delivery_has_done_it(world: World) -> None:
    """A new callback of the key during the PUT: once accepted, the job is done."""
    old = worker("c1", "i1")
    outcome: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
    world.network.outcomes[old.id] = [outcome]
    await world.register(old)
    submitting = asyncio.create_task(world.submit("x"))
    await settle()
    assert await world.register(worker("c2", "i1")) is None
    assert len(world.free_workers()) == 0
    outcome.set_result(Accepted())
    submission = await submitting
    await settle()
    assert (await world.job(submission.job.id)).state is State.DONE
    assert len(world.free_workers()) == 1


async def test_a_robot_that_comes_back_unserved_gets_the_same_job(world: World) -> None:
    """A job that is in doubt for long goes to the new callback of its key."""
    old, new = worker("c1", "i1"), worker("c2", "i1")
    world.network.outcomes[old.id] = [InDoubt("time-out")]
    world.network.pending[old.id] = None
    await world.register(old)
    await world.submit("x")
    assert await world.register(new) is None
    await world.clock.advance(50)
    assert world.delivered == ["x"]
    await world.clock.advance(120)
    assert world.network.deliveries == [(old.id, "x"), (new.id, "x")]
    assert world.workers() == []


async def test_a_worker_that_refused_is_probed_and_gets_its_old_place(world: World) -> None:
    """A stopped robot is back after it was continued: one failed PUT does not drop it."""
    stopped, other = worker("c1", "i1"), worker("c2", "i2")
    await world.register(stopped)
    world.network.outcomes[stopped.id] = [Refused("503")]
    world.network.pending[stopped.id] = False
    world.network.states[stopped.instance_url] = "stopped"
    await world.submit("x")
    await world.register(other)
    await world.clock.advance(100)
    assert (world.workers())[0].aside is not None
    world.network.pending[stopped.id] = True
    await world.clock.advance(100)
    await world.register(worker("c3", "i3"))
    await world.submit("y")
    assert world.network.deliveries[-1] == (stopped.id, "y")


async def test_a_worker_whose_instance_is_gone_is_dropped(world: World) -> None:
    """Abandoned, finished or deleted: its callback will not be back."""
    gone = worker("c1", "i1")
    await world.register(gone)
    world.network.outcomes[gone.id] = [Refused("404")]
    world.network.pending[gone.id] = False
    world.network.states[gone.instance_url] = "gone"
    await world.submit("x")
    await world.clock.advance(3)
    assert world.workers() == []


async def test_a_poison_job_does_not_circle_for_ever(world: World) -> None:
    """A job refused again and again by workers that wait fails after max_attempts."""
    robot = worker("c1", "i1")
    await world.register(robot)
    world.network.outcomes[robot.id] = [Refused("500")] * 10
    submission = await world.submit("poison")
    await world.clock.advance(200)
    assert (await world.job(submission.job.id)).state is State.FAILED
    assert len(world.network.deliveries) <= 4


async def test_a_worker_without_an_instance_is_dropped_after_a_few_refusals(
    world: World,
) -> None:
    """It is tried again only when no other worker is free, then dropped."""
    nameless = worker("c1")
    await world.register(nameless)
    world.network.outcomes[nameless.id] = [Refused("500")] * 10
    await world.submit("x")
    await world.clock.advance(200)
    assert world.workers() == []
    assert len(world.network.deliveries) == 3


async def test_a_job_of_a_worker_without_a_key_is_done_once_confirmed(world: World) -> None:
    """Such a worker never registers its completion."""
    await world.register(worker("c1"))
    submission = await world.submit("x")
    assert (await world.job(submission.job.id)).state is State.DONE


async def test_a_waiting_job_can_be_cancelled_and_is_never_delivered(world: World) -> None:
    """Cancelling takes it out of the queue."""
    submission = await world.submit("x")
    await world.dispatcher.cancel(submission.job.id)
    assert await world.register(worker("c1", "i1")) is None
    assert (await world.job(submission.job.id)).state is State.CANCELLED


async def test_an_assigned_job_cannot_be_cancelled(world: World) -> None:
    """It raises WrongState."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    with pytest.raises(WrongState, match="assigned"):
        await world.dispatcher.cancel(submission.job.id)


async def test_an_unknown_job(world: World) -> None:
    """Unknown ids raise UnknownJob."""
    with pytest.raises(UnknownJob):
        await world.dispatcher.look_up("nope")


async def test_submissions_are_refused_while_stopping(world: World) -> None:
    """After stop a submission is refused."""
    await world.dispatcher.stop(grace_s=5)
    with pytest.raises(ShuttingDown):
        await world.submit("x")


async def test_a_replaced_callback_that_is_not_pending_is_dropped(world: World) -> None:
    """A key has a new callback, and the older one does not wait."""
    old, new = worker("c1", "i1"), worker("c2", "i1")
    await world.register(old)
    world.network.pending[old.id] = False
    await world.register(new)
    assert [w.id for w in world.workers()] == [new.id]


async def test_parallel_branches_of_one_activity_both_wait(world: World) -> None:
    """A key has a new callback, and the older one still waits."""
    await world.register(worker("c1", "i1"))
    await world.register(worker("c2", "i1"))
    assert len(world.free_workers()) == 2


async def test_a_robot_that_asks_again_at_once_does_not_get_the_same_job(tmp_path: Path) -> None:
    """That its answer was written is stored before its next registration is applied."""
    mode = Mode.CACHED_JSON_FILE
    settings = Settings(job_queue_mode=mode, worker_queue_mode=mode, data_dir=tmp_path)
    async with running_world(settings) as world:
        for n in range(5):
            await world.submit(n)
        for n in range(5):
            job = await world.dispatcher.register(worker(f"c{n}", "i1"))
            assert job is not None
            assert job.data == b"%d" % n
            world.dispatcher.answer_written(job)


async def test_a_worker_that_has_waited_long_is_probed_before_it_gets_a_job(world: World) -> None:
    """If it has left, the next worker gets the job, and no PUT is sent to it."""
    left, there = worker("c1", "i1"), worker("c2", "i2")
    await world.register(left)
    await world.register(there)
    world.network.pending[left.id] = False
    world.network.states[left.instance_url] = "stopped"
    await world.clock.advance(120)
    assert (await world.submit("x")).position is None
    assert world.network.deliveries == [(there.id, "x")]


async def test_a_second_refusal_does_not_settle_a_doubt(world: World) -> None:
    """Resent because the callback seemed to wait, then 503: the first attempt may have arrived."""
    unclear = worker("c", "i1")
    await world.register(unclear)
    world.network.outcomes[unclear.id] = [InDoubt("broken"), Refused("503")]
    submission = await world.submit("x")
    await world.clock.advance(1.5)
    doubtful = await world.job(submission.job.id)
    assert doubtful.hold is not None
    assert doubtful.hold.stage is Stage.IN_DOUBT
    assert await world.register(worker("d", "i2")) is None
    world.network.pending[unclear.id] = False
    await world.clock.advance(10)
    assert world.delivered == ["x", "x"]
    assert (await world.job(submission.job.id)).worker == doubtful.worker


async def test_a_robot_that_came_back_while_stopped_has_done_its_job_in_doubt(
    world: World,
) -> None:
    """Its old callback does not wait and it has a new one: it went on, whatever its state now."""
    old = worker("c1", "i1")
    world.network.outcomes[old.id] = [InDoubt("broken")]
    world.network.pending[old.id] = False
    world.network.states[old.instance_url] = "stopped"
    await world.register(old)
    submission = await world.submit("x")
    await world.register(worker("c2", "i1"))
    await settle()
    assert (await world.job(submission.job.id)).state is State.DONE
    assert world.delivered == ["x"]


async def test_answers_of_different_moments_prove_nothing(world: World) -> None:
    """Stopped when the callback is probed, running when the state is requested."""
    robot = worker("c1", "i1")
    await world.register(robot)
    world.network.outcomes[robot.id] = [InDoubt("lost")]
    world.network.pending[robot.id] = False
    world.network.states_once[robot.instance_url] = ["stopped"]
    await world.submit("x")
    await world.clock.advance(1.5)
    hold = (world.jobs())[0].hold
    assert hold is not None
    assert hold.stage is Stage.IN_DOUBT


async def test_a_job_in_doubt_is_not_resent_in_a_loop(world: World) -> None:
    """Each probe waits for its time, whatever the callbacks answer."""
    old, new = worker("c1", "i1"), worker("c2", "i1")
    await world.register(old)
    world.network.outcomes[old.id] = [InDoubt("lost")] * 50
    world.network.outcomes[new.id] = [InDoubt("lost")] * 50
    await world.submit("x")
    await world.register(new)
    await settle()
    assert len(world.network.deliveries) <= 2


async def test_one_callback_under_two_keys_gets_one_job() -> None:
    """A callback is one registration, whatever its headers."""
    async with running_world() as world:
        for n in range(3):
            await world.submit(n)
        same = [worker("c1", "i1"), worker("c1", "i1", "a2"), worker("c1", "i1", "a3")]
        jobs = await asyncio.gather(*(world.dispatcher.register(each) for each in same))
        assert {job.data for job in jobs if job} == {b"0"}
        waiting = [worker("c2", "i2", f"a{n}") for n in range(3)]
        for _ in range(2):
            await world.register(worker(f"d{_}", f"j{_}"))
        answers = await asyncio.gather(*(world.dispatcher.register(each) for each in waiting))
        assert answers == [None, None, None]
        held = [job for job in world.jobs() if job.state is State.ASSIGNED]
        assert len(held) == 3
