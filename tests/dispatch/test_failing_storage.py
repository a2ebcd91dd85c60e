"""Storage that fails for a while strands nobody, and what it says at a restart is true."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Refused
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import State
from sanic_dispatch.core.worker import Cause
from sanic_dispatch.errors import WrongState
from tests.support.clock import settle
from tests.support.network import FakeNetwork
from tests.support.redis import redis_values
from tests.support.world import World, running_world, worker

CACHED = Mode.CACHED_JSON_FILE


def modes(folder: Path, jobs: Mode = CACHED, workers: Mode = CACHED) -> Settings:
    return Settings(
        job_queue_mode=jobs,
        worker_queue_mode=workers,
        data_dir=folder,
        **redis_values(jobs, folder),
    )


async def advance(world: World, seconds: int) -> None:
    """Let time pass slowly enough for the writes."""
    for _ in range(seconds):
        await world.clock.advance(1)
        await world.quiet()


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.is_durable])
async def test_a_job_moved_to_the_front_outlives_restarts(mode: Mode, tmp_path: Path) -> None:
    """Its place may be 0, which is a place like any other."""
    settings = modes(tmp_path, mode, mode)
    async with running_world(settings) as world:
        await world.submit("one")
        two = await world.submit("two")
        await world.dispatcher.operator.move_to_front(two.job.id, "vip")
    async with running_world(settings) as world:
        await world.submit("three")
    async with running_world(settings) as world:
        order = [await world.register(worker(f"c{n}", f"i{n}")) for n in range(3)]
    assert order == ["two", "one", "three"]


async def test_a_failed_write_at_a_refusal_strands_no_worker(tmp_path: Path) -> None:
    """The job is stored: its worker follows as soon as the storage goes along."""
    async with running_world(modes(tmp_path, jobs=Mode.IN_MEMORY)) as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        outcome: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        world.network.outcomes[robot.id] = [outcome]
        asyncio.create_task(world.submit("x"))
        await settle()
        (blocker := tmp_path / ".workers.json.new").mkdir()
        outcome.set_result(Refused("503"))
        await advance(world, 2)
        blocker.rmdir()
        await advance(world, 10)
        assert world.delivered == ["x", "x"]


async def test_a_file_that_cannot_be_read_for_a_while_ends_no_watch(tmp_path: Path) -> None:
    """An editor's half-written file: the robot that was set aside comes back all the same."""
    async with running_world(modes(tmp_path, Mode.IN_MEMORY, Mode.JSON_FILE)) as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        world.network.outcomes[robot.id] = [Refused("503")]
        world.network.pending[robot.id] = False
        world.network.states[robot.instance_url] = "stopped"
        await world.submit("x")
        await world.quiet()
        whole = (tmp_path / "workers.json").read_bytes()
        (tmp_path / "workers.json").write_bytes(whole[:10])
        await advance(world, 5)
        (tmp_path / "workers.json").write_bytes(whole)
        world.network.pending[robot.id] = True
        await advance(world, 80)
        assert world.delivered == ["x", "x"]


async def test_a_worker_that_awaits_a_job_nobody_knows_any_more_is_free(tmp_path: Path) -> None:
    """Jobs in memory, workers on disk, and a restart in between."""
    settings = modes(tmp_path, jobs=Mode.IN_MEMORY)
    network = FakeNetwork()
    old, new = worker("c1", "i1"), worker("c2", "i1")
    async with running_world(settings, network) as world:
        network.outcomes[old.id] = [InDoubt("time-out")]
        network.pending[old.id] = None
        await world.register(old)
        await world.submit("x")
        await world.register(new)
    network.pending[old.id] = False
    async with running_world(settings, network) as world:
        await advance(world, 5)
        assert all(waiting.is_free for waiting in world.workers())


async def test_storage_that_fails_keeps_no_core_busy(tmp_path: Path) -> None:
    """An outcome that cannot be stored is tried twice a second, however long that lasts."""
    async with running_world(modes(tmp_path, Mode.JSON_FILE, Mode.IN_MEMORY)) as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        outcome: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        world.network.outcomes[robot.id] = [outcome]
        asyncio.create_task(world.submit("x"))
        await world.quiet()
        (blocker := tmp_path / ".jobs.json.new").mkdir()
        outcome.set_result(Accepted())
        await advance(world, 5)
        assert 5 <= world.dispatcher.commit_stats.failures <= 12
        blocker.rmdir()
        await advance(world, 1)
        assert world.kinds()[-1] == "job.confirmed" or "job.confirmed" in world.kinds()


async def test_a_callback_that_may_have_a_job_cannot_be_brought_back() -> None:
    """Two deliveries to one callback at a time lose a job: 409 until it is settled."""
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
    """Set aside during its delivery: only the operator brings it back."""
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


async def test_one_callback_under_two_keys_gets_one_job() -> None:
    """Whatever the headers say, a callback is one registration."""
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
