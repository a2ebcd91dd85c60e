"""Faults that the torture has found, each with a small test."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.callbacks.outcome import InDoubt
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.job import State
from tests.crash.bar_in_process import Bar
from tests.crash.history import check
from tests.support.world import running_world, worker

MODE = Mode.CACHED_JSON_FILE


async def test_a_worker_that_refused_while_the_disk_was_full_comes_back(tmp_path: Path) -> None:
    """C5: it is set aside and probed as soon as that can be stored."""
    async with Bar(tmp_path, MODE) as bar:
        robot = bar.robot(1)
        await bar.register(robot)
        bar.network.refusing[robot.id] = refuse = asyncio.Event()
        await bar.submit(b"1")
        bar.fill_disk()
        refuse.set()
        await bar.world.quiet()
        bar.free_disk()
        bar.network.pending[robot.id] = True
        for _ in range(10):
            await bar.world.clock.advance(60)
            await bar.world.quiet()
        await bar.look_for_long()
        bar.history.left = {bar.history.submissions[0].job_id} - {
            delivery.job_id for delivery in bar.history.taken
        }
        assert check(bar.history) == []
        assert bar.history.left == set()


@pytest.mark.parametrize("asks_again_s", [0, 30])
async def test_an_answer_that_a_crash_kept_back_is_given_again(
    asks_again_s: int, tmp_path: Path
) -> None:
    """C1: the process died after the job was held, and before a byte of the answer was written.

    The call failed, so the instance stopped; once it is continued it registers again.
    """
    async with Bar(tmp_path, MODE) as bar:
        await bar.submit(b"1")
        robot = bar.robot(1)
        await bar.world.dispatcher.register(robot)
        await bar.crash()
        bar.network.pending[robot.id] = False
        bar.network.states[robot.instance_url] = "stopped"
        await bar.start()
        for _ in range(asks_again_s):
            await bar.world.clock.advance(1)
            await bar.world.quiet()
        await bar.register(bar.robot(1))
        await bar.drain(robots=2)
        assert check(bar.history) == []


@pytest.mark.parametrize(
    ("state", "end"),
    [("gone", State.FAILED), ("abandoned", State.FAILED), ("finished", State.DONE)],
)
async def test_a_doubt_ends_with_its_process_instance(state: str, end: State) -> None:
    """A job in doubt is settled when its instance has ended."""
    async with running_world() as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        world.network.outcomes[robot.id] = [InDoubt("no answer in time")]
        world.network.pending[robot.id] = False
        world.network.states[robot.instance_url] = state
        submitting = asyncio.create_task(world.submit(1))
        await world.quiet()
        for _ in range(10):
            await world.clock.advance(60)
            await world.quiet()
        assert (await world.job((await submitting).job.id)).state is end
