"""A job that one dispatcher has answered with, and its worker that comes back to the other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.job import Stage, State
from tests.shared.test_mutants import order, two_counters


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the note of an answer waits until it comes."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.ANSWER_S", 60.0)


async def test_a_late_note_is_waited_for(tmp_path: Path) -> None:
    """The job is done then, and not given again, however busy the one is that has answered."""
    async with two_counters(tmp_path) as (first, second):
        await first.submit(order(1))
        job = await first.world.dispatcher.register(first.robot(1))
        assert job is not None
        coming_back = asyncio.create_task(second.world.dispatcher.register(second.robot(1)))
        await second.world.quiet()
        assert not coming_back.done()
        first.world.dispatcher.answered(job)
        assert await asyncio.wait_for(coming_back, 20) is None
        assert (await second.world.job(job.id)).state is State.DONE


async def test_a_lost_answer_is_not_waited_for(tmp_path: Path) -> None:
    """A worker that says that it never got it has the same job at once; the note comes too late."""
    async with two_counters(tmp_path) as (first, second):
        await first.submit(order(1))
        job = await first.world.dispatcher.register(first.robot(1))
        assert job is not None
        coming_back = second.world.dispatcher.register(second.robot(1), lost=True)
        again = await asyncio.wait_for(coming_back, 20)
        assert again is not None
        assert (again.id, again.attempt) == (job.id, 2)
        first.world.dispatcher.answered(job)
        await first.world.quiet()
        now = await first.world.job(job.id)
        assert now.hold
        assert (now.attempt, now.hold.stage) == (2, Stage.UNDER_WAY)
