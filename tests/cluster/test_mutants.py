"""Two dispatchers on one Redis, with and without a bug: the checker finds the bug, and nothing
else.

Both are in this process, so that a test can stop one between two steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.storage import redis
from tests.cluster.mutants import fenceless
from tests.crash.bar_in_process import Bar
from tests.crash.history import check


def order(n: int) -> bytes:
    """Return an order with data of its own."""
    return b'{"n": %d}' % n


@asynccontextmanager
async def two_bars(folder: Path) -> AsyncIterator[tuple[Bar, Bar]]:
    """Run a bar's dispatcher, and another one that has not started yet."""
    first, second = Bar(folder, Mode.REDIS), Bar(folder, Mode.REDIS)
    second.history, second.watch, second.network = first.history, first.watch, first.network
    second._callbacks, second._runs = first._callbacks, count(100)
    second.data_dir = second._new_folder()
    async with first:
        try:
            yield first, second
        finally:
            await second._stack.aclose()


def stop_before_a_commit(bar: Bar) -> tuple[asyncio.Event, Callable[[], None]]:
    """Make a dispatcher stop before its next commit, without renewing its lease.

    Returns an event that is set once it has stopped, and one that lets it go on.
    """
    store = bar.world.store
    assert isinstance(store, redis.RedisStore)
    stopped, resumed, commit = asyncio.Event(), asyncio.Event(), store.commit

    async def commit_late(batch: Any) -> None:
        stopped.set()
        await resumed.wait()
        await commit(batch)

    store.commit = commit_late  # type: ignore[method-assign]
    assert store.ownership._renewing
    store.ownership._renewing.cancel()
    return stopped, resumed.set


async def a_pause(first: Bar, second: Bar) -> None:
    """Stop the owner between reading a job and changing it, past its lease (A5).

    A robot has refused the job. The other dispatcher takes over, probes, and the robot takes the
    job after all. Then the first one goes on, and commits the refusal.
    """
    robot = first.robot(1)
    first.network.refusing[robot.id] = refuse = asyncio.Event()
    await first.register(robot)
    await first.submit(order(1))
    stopped, go_on = stop_before_a_commit(first)
    refuse.set()
    await stopped.wait()
    first.network.under_way.clear()
    first.network.pending[robot.id] = True
    await second.start()
    while not first.history.taken:
        await second.world.clock.advance(1)
        await second.world.quiet()
    go_on()
    await first.world.quiet()
    await second.crash()
    await second.start()
    await second.register(second.robot(2))
    await second.submit(order(2))
    await second.drain(robots=99)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a starting dispatcher wait for the other's lease, also on a busy machine."""
    monkeypatch.setattr(redis, "OWNER_WAIT_S", 30.0)


async def test_two_dispatchers_pass(tmp_path: Path) -> None:
    """Without a mutant C1 to C6 hold over both."""
    async with two_bars(tmp_path) as (first, second):
        await a_pause(first, second)
        assert check(first.history) == []
        assert len(first.history.taken) == 2


async def test_without_the_fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the epoch check, a paused owner's commit frees a job that a robot has (C3, A5)."""
    monkeypatch.setattr(redis, "COMMIT", fenceless())
    async with two_bars(tmp_path) as (first, second):
        await a_pause(first, second)
        assert "C3" in {violation.rule for violation in check(first.history)}
