"""A worker that took its job and lost it: its callback still waits, and gets the same job again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Hold, Job, Stage, State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from tests.support.network import FakeNetwork
from tests.support.redis import redis_values
from tests.support.world import World, running_world, worker

AFTER_S = Policy().unconsumed_after_s


@dataclass
class MortalEngine(FakeNetwork):
    """An engine of which some processes were killed: they accept each job and lose it."""

    dead: set[str] = field(default_factory=set)

    async def _outcome(self, callback_url: str) -> Outcome:
        outcome = await super()._outcome(callback_url)
        if callback_url in self.dead and isinstance(outcome, Accepted):
            self.pending[callback_url] = True
        return outcome

    def stop(self, robot: Worker) -> None:
        """Stop an instance: its callback no longer waits."""
        self.states[robot.instance_url] = "stopped"
        self.pending[robot.id] = False

    def repair(self, robot: Worker) -> None:
        """Continue an instance: it waits on the same callback, with a process again."""
        self.states[robot.instance_url] = "running"
        self.pending[robot.id] = True
        self.dead.discard(robot.id)


ROBOT = worker("c1", "i1")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_world(network=MortalEngine()) as world:
        yield world


def engine_of(world: World) -> MortalEngine:
    assert isinstance(world.network, MortalEngine)
    return world.network


async def lose(world: World, robot: Worker = ROBOT) -> str:
    """Deliver an order to a robot whose process is dead; return the job's id."""
    await world.register(robot)
    engine_of(world).dead.add(robot.id)
    job_id = (await world.submit("x")).job.id
    assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED
    return job_id


def hold_of(job: Job) -> Hold:
    """Return a job's hold."""
    assert job.state is State.ASSIGNED
    assert job.hold
    return job.hold


async def test_a_job_that_was_taken_and_not_used_is_in_doubt(world: World) -> None:
    """If its callback still waits after --unconsumed-after, and not before."""
    job_id = await lose(world)
    await world.clock.advance(AFTER_S - 1)
    assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED
    await world.clock.advance(1)
    hold = hold_of(await world.job(job_id))
    assert (hold.stage, hold.times_unused, hold.is_unused) == (Stage.IN_DOUBT, 1, True)
    assert world.kinds().count("job.unconsumed") == 1


async def test_it_is_resent_until_a_repaired_robot_has_it(world: World) -> None:
    """The same job goes to the same callback until that is used; then nothing more is sent."""
    job_id = await lose(world)
    await world.clock.advance(600)
    assert set(world.delivered) == {"x"}
    assert {url for url, _ in world.network.deliveries} == {ROBOT.id}
    engine_of(world).stop(ROBOT)
    await world.clock.advance(300)
    sent = len(world.delivered)
    engine_of(world).repair(ROBOT)
    await world.clock.advance(120)
    assert len(world.delivered) == sent + 1
    hold = hold_of(await world.job(job_id))
    assert (hold.stage, hold.times_unused) == (Stage.CONFIRMED, 0)
    await world.clock.advance(3600)
    assert len(world.delivered) == sent + 1
    await world.register(worker("c2", "i1"))
    assert (await world.job(job_id)).state is State.DONE


async def test_it_is_resent_at_growing_intervals(world: World) -> None:
    """Between half a minute and a minute and a half."""
    await lose(world)
    times: list[float] = []
    for _ in range(1200):
        before = len(world.delivered)
        await world.clock.advance(1)
        if len(world.delivered) > before:
            times.append(world.clock.elapsed_s)
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert AFTER_S <= gaps[0] < AFTER_S + 10
    assert gaps[-1] > 1.5 * gaps[0]
    assert max(gaps) < AFTER_S + 80


async def test_a_used_callback_is_probed_once(world: World) -> None:
    """A job that is being mixed costs one probe of its callback, however long that takes."""
    looks: list[str] = []
    ask = world.network.is_pending

    async def counted(url: str, if_silent: bool | None = None) -> bool | None:
        looks.append(url)
        return await ask(url, if_silent)

    world.network.is_pending = counted
    await world.register(ROBOT)
    job_id = (await world.submit("x")).job.id
    await world.clock.advance(3600)
    assert looks == [ROBOT.id]
    assert world.delivered == ["x"]
    assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED


async def test_a_stopped_robot_is_probed_until_it_runs(world: World) -> None:
    """The callback of a stopped instance does not wait, which proves nothing."""
    job_id = await lose(world)
    engine_of(world).stop(ROBOT)
    await world.clock.advance(600)
    assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED
    engine_of(world).repair(ROBOT)
    await world.clock.advance(120)
    assert world.delivered == ["x", "x"]
    assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED


async def test_a_robot_with_a_slow_evaluator_gets_it_once(world: World) -> None:
    """It used the callback after --unconsumed-after, and before the job was resent."""
    job_id = await lose(world)
    await world.clock.advance(AFTER_S)
    assert hold_of(await world.job(job_id)).is_unused
    world.network.pending[ROBOT.id] = False
    await world.clock.advance(5)
    hold = hold_of(await world.job(job_id))
    assert (hold.stage, hold.times_unused) == (Stage.CONFIRMED, 0)
    assert world.delivered == ["x"]


@pytest.mark.parametrize("state", ["ready", "simulating", "stopping", None])
async def test_only_a_running_instance_has_lost_what_it_took(
    world: World, state: str | None
) -> None:
    """A waiting callback proves nothing unless the engine says that the instance runs."""
    job_id = await lose(world)
    world.network.states[ROBOT.instance_url] = state
    await world.clock.advance(600)
    assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED


async def test_a_worker_without_a_key_is_not_probed() -> None:
    """Its job is done, or its lease ends, whatever its callback answers."""
    nameless = worker("c9")
    async with running_world(network=MortalEngine(), policy=Policy(lease_s=300)) as world:
        await world.register(nameless)
        engine_of(world).dead.add(nameless.id)
        job_id = (await world.submit("x")).job.id
        await world.clock.advance(200)
        assert world.delivered == ["x"]
        assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED


async def test_a_repeat_of_the_registration_changes_nothing(world: World) -> None:
    """The same callback gets 202 at any time, without a second place or another job."""
    await lose(world)
    for seconds in (1, AFTER_S, 2, 40):
        await world.clock.advance(seconds)
        sent = len(world.delivered)
        assert await world.register(ROBOT) is None
        await world.submit("y")
        assert len(world.delivered) == sent
        assert world.workers() == []


async def test_a_robot_that_comes_back_with_a_new_callback_gets_the_same_job(world: World) -> None:
    """Its position was set again: it never had the job, so the job is not done."""
    job_id = await lose(world)
    await world.clock.advance(AFTER_S)
    engine_of(world).stop(ROBOT)
    world.network.states[ROBOT.instance_url] = "running"
    again = worker("c2", "i1")
    assert await world.register(again) is None
    assert world.network.deliveries[-1] == (again.id, "x")
    assert hold_of(await world.job(job_id)).worker.id == again.id
    await world.register(worker("c3", "i1"))
    assert (await world.job(job_id)).state is State.DONE


async def test_the_lease_ends_and_the_robot_is_not_forgotten() -> None:
    """The job goes to another robot; this one is enqueued, and gets a job once it is repaired."""
    async with running_world(network=MortalEngine(), policy=Policy(lease_s=100)) as world:
        job_id = await lose(world)
        await world.clock.advance(99)
        assert (await world.job(job_id)).state is State.ASSIGNED
        await world.register(other := worker("c5", "i5"))
        await world.clock.advance(1)
        assert hold_of(await world.job(job_id)).worker.id == other.id
        waiting = world.workers()
        assert [each.id for each in waiting] == [ROBOT.id]
        engine_of(world).repair(ROBOT)
        await world.clock.advance(65)
        await world.submit("y")
        assert world.network.deliveries[-1] == (ROBOT.id, "y")


async def test_an_extended_lease_means_that_the_robot_has_its_job() -> None:
    """A repaired robot extends the lease, which proves that it used the lost attempt."""
    async with running_world(network=MortalEngine(), policy=Policy(lease_s=60)) as world:
        job_id = await lose(world)
        await world.clock.advance(AFTER_S)
        engine_of(world).repair(ROBOT)
        engine_of(world).silent.add(ROBOT.id)
        await world.clock.advance(2)
        await world.dispatcher.extend(job_id, Proof(callback_url=ROBOT.id))
        await world.clock.advance(50)
        assert hold_of(await world.job(job_id)).times_unused == 0
        await world.clock.advance(20)
        assert (await world.job(job_id)).state is State.WAITING


async def test_a_robot_whose_lost_job_is_put_back_is_not_forgotten(world: World) -> None:
    """Put back before the loss was noticed; once repaired, the robot waits at its old place."""
    job_id = await lose(world)
    await world.dispatcher.operator.put_back(job_id, "it was killed")
    engine_of(world).stop(ROBOT)
    await world.clock.advance(60)
    assert (await world.job(job_id)).state is State.WAITING
    engine_of(world).repair(ROBOT)
    await world.clock.advance(60)
    assert hold_of(await world.job(job_id)).worker.id == ROBOT.id


async def test_a_short_lease_forgets_no_robot() -> None:
    """The callback is probed before the lease ends, and a robot that still waits is set aside."""
    async with running_world(network=MortalEngine(), policy=Policy(lease_s=10)) as world:
        job_id = await lose(world)
        await world.register(other := worker("c5", "i5"))
        await world.clock.advance(10)
        assert hold_of(await world.job(job_id)).worker.id == other.id
        assert [each.id for each in world.workers()] == [ROBOT.id]
        assert ROBOT.id not in (await world.job(job_id)).callbacks


async def test_a_new_callback_after_the_lease_does_not_complete_a_lost_job() -> None:
    """The robot never had the job."""
    async with running_world(network=MortalEngine(), policy=Policy(lease_s=60)) as world:
        job_id = await lose(world)
        await world.dispatcher.operator.pause("no ice")
        await world.clock.advance(61)
        await world.register(worker("c2", "i1"))
        assert (await world.job(job_id)).state is State.WAITING


async def test_an_operator_puts_it_back(world: World) -> None:
    """It goes to another robot; this one is enqueued, and set aside."""
    job_id = await lose(world)
    await world.clock.advance(AFTER_S)
    await world.register(other := worker("c5", "i5"))
    await world.dispatcher.operator.put_back(job_id, "its process is dead")
    await world.quiet()
    assert hold_of(await world.job(job_id)).worker.id == other.id
    waiting = world.workers()
    assert [(each.id, each.aside is None) for each in waiting] == [(ROBOT.id, False)]


@pytest.mark.parametrize("outcome", [Refused("answered 503"), InDoubt("no answer in time")])
async def test_a_resend_that_does_not_arrive_leaves_it_in_doubt(
    world: World, outcome: Outcome
) -> None:
    """The job stays with its robot, which gets it the next time."""
    job_id = await lose(world)
    world.network.outcomes[ROBOT.id] = [outcome]
    await world.clock.advance(AFTER_S + 2)
    hold = hold_of(await world.job(job_id))
    assert (hold.worker.id, hold.stage, hold.times_unused) == (ROBOT.id, Stage.IN_DOUBT, 1)
    engine_of(world).repair(ROBOT)
    await world.clock.advance(180)
    assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED


@pytest.mark.parametrize("word", ["gone", "abandoned"])
async def test_a_job_that_its_instance_never_used_goes_to_another_robot(
    world: World, word: str
) -> None:
    """After its instance was deleted the unused job returns to its place."""
    job_id = await lose(world)
    await world.clock.advance(AFTER_S)
    world.network.states[ROBOT.instance_url] = word
    world.network.pending[ROBOT.id] = False
    await world.clock.advance(120)
    assert (await world.job(job_id)).state is State.WAITING
    assert world.workers() == []


async def pass_time(world: World, seconds: float) -> None:
    """Let time pass in small steps, so that storage keeps up."""
    await world.quiet()
    for _ in range(int(seconds / 5)):
        await world.clock.advance(5)
        await world.quiet()


@pytest.mark.parametrize("mode", [Mode.CACHED_JSON_FILE, Mode.SQLITE, Mode.REDIS])
@pytest.mark.parametrize("seconds", [5.0, AFTER_S, AFTER_S + 5])
async def test_a_restart_forgets_nothing(tmp_path: Path, mode: Mode, seconds: float) -> None:
    """Confirmed, lost or resent, the job is handled as before the restart."""
    values = {"data_dir": tmp_path, **redis_values(mode, tmp_path)}
    settings, network = Settings.of(mode, **values), MortalEngine()
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running_world(settings, network))
        job_id = await lose(world)
        await pass_time(world, seconds)
    async with running_world(settings, network) as world:
        await pass_time(world, AFTER_S + 5)
        assert hold_of(await world.job(job_id)).times_unused
        network.repair(ROBOT)
        await pass_time(world, 200)
        assert hold_of(await world.job(job_id)).stage is Stage.CONFIRMED
        assert set(world.delivered) == {"x"}
