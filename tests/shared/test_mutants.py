"""Two dispatchers on one Redis, whole and with a bug put in: the checker finds each bug, and
nothing without it. Both are in this process, so that a test can stop one between two steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch import lifecycle
from sanic_dispatch.errors import Outdated
from sanic_dispatch.events import Kind, Note
from sanic_dispatch.job import Job, Way
from sanic_dispatch.queues import redis_link
from sanic_dispatch.queues.base import Enqueued, Paired
from sanic_dispatch.queues.redis_pairs import RedisPairs
from sanic_dispatch.settings import Mode
from sanic_dispatch.worker import Worker
from tests.crash.bar import Bar
from tests.crash.history import check
from tests.kit.server import eventually

RUSHES, AT_ONCE = 5, 8
FENCE = "before.version ~= asked.record.version"

Story = Callable[[Bar, Bar], Awaitable[None]]


def order(n: int) -> bytes:
    """An order that no other one is like."""
    return b'{"n": %d}' % n


@asynccontextmanager
async def two_counters(folder: Path) -> AsyncIterator[tuple[Bar, Bar]]:
    """Two dispatchers of one bar: customers and robots may go to either."""
    first, second = Bar(folder, Mode.REDIS), Bar(folder, Mode.REDIS)
    second.history, second.watch, second.network = first.history, first.watch, first.network
    second._callbacks, second._runs = first._callbacks, count(100)
    async with first, second:
        yield first, second


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is silent is taken for dead soon."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.LEASE_S", 1.0)
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.RENEW_S", 0.1)


# ---- the stories


async def rushes(first: Bar, second: Bar) -> None:
    """Orders and robots come to both at the same time, again and again (A4)."""
    for number in range(0, RUSHES * AT_ONCE, AT_ONCE):
        come = [
            coming
            for n in range(number, number + AT_ONCE, 2)
            for one, other in ((first, second), (second, first))
            for coming in (
                one.submit(order(n if one is first else n + 1)),
                other.register(other.robot(n if one is first else n + 1)),
            )
        ]
        await asyncio.gather(*come)
        for bar in (first, second):
            await bar.world.quiet()
    await first.look_for_long()
    await first.drain(robots=99)


async def a_pause(first: Bar, second: Bar) -> None:
    """One is stopped between a look at a job and its change, past its deadline (A5).

    A robot has refused the job. The other one takes over, asks, and the robot takes it after all.
    Then the first goes on, and has the refusal stored.
    """
    robot = first.robot(1)
    first.network.refusing[robot.id] = refuse = asyncio.Event()
    await first.register(robot)
    await first.submit(order(1))
    stopped, go_on = stop_before_changes(first)
    refuse.set()
    await stopped.wait()
    first.network.pending[robot.id] = True
    await told(second, "job.doubted")
    while not first.history.taken:
        await second.world.clock.advance(1)
        await second.world.quiet()
    go_on()
    for bar in (first, second):
        await bar.world.quiet()
    await second.register(second.robot(2))
    await second.submit(order(2))
    await second.drain(robots=99)


def stop_before_changes(bar: Bar) -> tuple[asyncio.Event, Callable[[], None]]:
    """From now on this dispatcher stops where it changes a job, and gives no sign of life.

    Returns what is set when it has stopped, and what lets it go on.
    """
    pairs = bar.world.pairs
    assert isinstance(pairs, RedisPairs)
    stopped, resumed, change = asyncio.Event(), asyncio.Event(), pairs.jobs.replace

    async def replace(*asked: Any) -> Any:
        stopped.set()
        await resumed.wait()
        return await change(*asked)

    def go_on() -> None:
        pairs.peers._timer = asyncio.create_task(pairs.peers._live())
        resumed.set()

    pairs.jobs.replace = replace  # type: ignore[method-assign]
    assert pairs.peers._timer
    pairs.peers._timer.cancel()
    return stopped, go_on


async def told(bar: Bar, kind: str) -> None:
    """Return once that has happened, and this dispatcher was told."""

    async def is_told() -> bool:
        return kind in bar.world.kinds()

    await eventually(is_told, 30)


# ---- without a bug, and with one


@pytest.mark.parametrize("story", [rushes, a_pause])
async def test_two_dispatchers_pass(story: Story, tmp_path: Path) -> None:
    """C1 to C6 over both: what the mutants show is their own doing."""
    async with two_counters(tmp_path) as (first, second):
        await story(first, second)
        assert check(first.history) == []
        assert len(first.history.taken) >= 2


@pytest.fixture
def no_fence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A change is stored, whatever has become of the record since it was looked at."""
    text_of = redis_link.text_of
    assert FENCE in text_of("replace")
    monkeypatch.setattr(redis_link, "text_of", lambda name: text_of(name).replace(FENCE, "false"))
    redis_link.digest_of.cache_clear()
    yield
    redis_link.digest_of.cache_clear()


async def test_without_the_fence(no_fence: None, tmp_path: Path) -> None:
    """The late word of one that was paused frees a job that a robot has: C3 finds it (A5)."""
    async with two_counters(tmp_path) as (first, second):
        await a_pause(first, second)
        assert "C3" in {violation.rule for violation in check(first.history)}


async def pair_in_steps(pairs: RedisPairs, now_s: float) -> Paired | None:
    """The oldest of both queues are looked up first, and held then."""
    [url] = await pairs._link.read("ZRANGE", "workers:free", 0, 0) or [None]
    worker = await pairs.workers.get(url.decode()) if url else None
    [job_id] = await pairs._link.read("ZRANGE", "jobs:free", 0, 0) or [None]
    job = await pairs.jobs.get(job_id.decode()) if job_id else None
    if job is None or worker is None or not job.is_free:
        return None
    step = lifecycle.assign(job, worker, Way.PUT, now_s)
    try:
        return Paired(await pairs.jobs.replace(step.job, step.note), worker)
    except Outdated:
        return None


async def offer_to_nobody(pairs: RedisPairs, job: Job, now_s: float) -> Enqueued:
    """A new job is lined up, whoever is free."""
    stored = await pairs.jobs.enqueue(job, Note(Kind.JOB_SUBMITTED, now_s))
    return Enqueued(stored, await pairs.jobs.position(stored.id))


async def ask_for_nothing(pairs: RedisPairs, worker: Worker, now_s: float) -> None:
    """A new worker is lined up, whatever waits."""
    await pairs.workers.enqueue(worker, Note(Kind.WORKER_REGISTERED, now_s))


async def test_without_the_one_step_that_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two dispatchers give one robot a job each, and a callback is used twice: C3 finds it (A4)."""
    steps = {"pair": pair_in_steps, "offer": offer_to_nobody, "ask": ask_for_nothing}
    for name, step in steps.items():
        monkeypatch.setattr(RedisPairs, name, step)
    async with two_counters(tmp_path) as (first, second):
        await rushes(first, second)
        assert "C3" in {violation.rule for violation in check(first.history)}
