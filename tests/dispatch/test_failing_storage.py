"""Storage that fails for a while: no worker is forgotten, and the stored state is right."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Refused
from sanic_dispatch.config.settings import Mode, Settings
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
    """Let time pass in seconds, so that the writes keep up."""
    for _ in range(seconds):
        await world.clock.advance(1)
        await world.quiet()


async def test_a_failed_write_at_a_refusal_forgets_no_worker(tmp_path: Path) -> None:
    """The worker gets a job again once its refusal can be stored."""
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


async def test_an_unreadable_file_does_not_end_probing(tmp_path: Path) -> None:
    """While an editor's half-written file cannot be read, a robot set aside still comes back."""
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


async def test_a_worker_whose_job_is_unknown_after_a_restart_is_free(tmp_path: Path) -> None:
    """With jobs in memory and workers on disk, a worker that held a job is free after a restart."""
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
        assert all(waiting.aside is None for waiting in world.workers())


async def test_storage_that_fails_keeps_no_core_busy(tmp_path: Path) -> None:
    """An outcome that cannot be stored is tried twice a second."""
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
        assert "job.confirmed" in world.kinds()
