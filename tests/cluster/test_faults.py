"""Faults under load with one dispatcher on standby: a dispatcher, the network or Redis fails."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from tests.crash.harness import PAUSE_S, Harness
from tests.crash.server import Server
from tests.support.faulty_link import FaultyLink
from tests.support.redis import RedisServer
from tests.support.server import eventually

IS_TORTURE = "TORTURE" in os.environ
KILLS = int(os.environ.get("TORTURE_KILLS", "50")) if IS_TORTURE else 1
PAUSES = 10 if IS_TORTURE else 1
LONG = pytest.mark.timeout(3600 if IS_TORTURE else 240)

TAKE_OVER_S = 5.0
"""The longest time from the end of an owner until the other accepts orders."""

HAND_OVER_S = 1.0
"""The longest time from SIGTERM until the other accepts orders."""

SLOW_MACHINE = 1.0 if IS_TORTURE else 3.0
"""The factor for limits on a machine that the tests share with others."""


@asynccontextmanager
async def bar(
    folder: Path, rng: random.Random, url: str, count: int = 2, pause_s: float = PAUSE_S
) -> AsyncIterator[Harness]:
    """Run dispatchers, customers and robots; check the history at the end."""
    options = ("--redis-url", url)
    async with Harness(folder / "bar", Mode.REDIS, rng, *options, count=count) as harness:
        for server in harness.servers:
            await server.start()
        harness.open(pause_s)
        yield harness
        assert await harness.close() == []


def logged(server: Server, event: str) -> list[dict[str, Any]]:
    """Return a server's log lines of this event."""
    return [line for line in server.lines() if line.get("event") == event]


async def taken_over(harness: Harness, before: Server) -> float:
    """Wait until another server owns the queues; return the seconds it took."""
    began_s = monotonic()

    async def is_another() -> bool:
        return await harness.owner() not in (None, before)

    await eventually(is_another, 60)
    return monotonic() - began_s


@LONG
async def test_the_owner_is_killed(redis: RedisServer, rng: random.Random, tmp_path: Path) -> None:
    """kill -9 under load: C1 to C6 hold, and the standby takes over within 5 s."""
    took_s = []
    async with bar(tmp_path, rng, redis.url) as harness:
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.5, 2.0))
            victim = await harness.settled()
            # before the kill: a process ends only later, and its hand-overs are interrupted now
            harness.history.restarts_s.append(monotonic())
            victim.kill()
            took_s.append(await taken_over(harness, victim))
            await victim.start()
    print(f"taken over after {max(took_s):.1f} s at most")  # noqa: T201
    assert max(took_s) < TAKE_OVER_S * SLOW_MACHINE


@LONG
async def test_the_standby_is_killed(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """kill -9 of the standby has no effect."""
    async with bar(tmp_path, rng, redis.url) as harness:
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.0, 1.0))
            owner = await harness.settled()
            (other,) = (server for server in harness.servers if server is not owner)
            other.kill()
            await other.start()
            assert await harness.settled() is owner
    assert not any(logged(server, "ownership.lost") for server in harness.servers)


@LONG
async def test_the_owner_is_stopped_cleanly(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """It hands over and has ended within a second, nothing is in doubt, and it gets all back."""
    took_s = []
    async with bar(tmp_path, rng, redis.url) as harness:
        for _ in range(PAUSES):
            await asyncio.sleep(rng.uniform(0.5, 2.0))
            victim = await harness.settled()
            victim.signal(signal.SIGTERM)
            took_s.append(await taken_over(harness, victim))
            assert await victim.ended() == 0
            await victim.start()
            assert await harness.settled() is victim
    print(f"handed over after {max(took_s):.2f} s at most")  # noqa: T201
    assert max(took_s) < HAND_OVER_S * SLOW_MACHINE
    doubts = [line for server in harness.servers for line in logged(server, "job.doubted")]
    assert not [line for line in doubts if "restarted" in line["reason"]]


@LONG
async def test_the_owner_is_paused_past_its_lease(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """After SIGSTOP, a take-over and SIGCONT the old owner's commits are refused (A5)."""
    async with bar(tmp_path, rng, redis.url) as harness:
        for _ in range(PAUSES):
            await asyncio.sleep(rng.uniform(0.5, 2.0))
            victim = await harness.settled()
            harness.history.restarts_s.append(monotonic())
            victim.signal(signal.SIGSTOP)
            await taken_over(harness, victim)
            victim.signal(signal.SIGCONT)
            harness.history.restarts_s.append(monotonic())
            await eventually(lambda victim=victim: stands_by(victim), 30)  # type: ignore[misc]


async def stands_by(server: Server) -> bool:
    """Return whether a server has noticed that it lost ownership."""
    return bool(logged(server, "ownership.lost"))


@LONG
async def test_redis_is_killed(redis: RedisServer, rng: random.Random, tmp_path: Path) -> None:
    """kill -9 of a Redis that syncs every write: C1 to C6 hold (R1)."""
    async with bar(tmp_path, rng, redis.url) as harness:
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.3, 1.5))
            redis.kill()
            harness.history.restarts_s.append(monotonic())
            await asyncio.sleep(rng.uniform(0.0, 1.0))
            redis.start()
            harness.history.restarts_s.append(monotonic())


@LONG
async def test_links_that_are_slow_and_break(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """Between the dispatchers answers are late, cut off, or never come: C1 to C6 hold."""
    options = ("--redis-url", redis.url)
    async with Harness(tmp_path / "bar", Mode.REDIS, rng, *options, count=2) as harness:
        first, second = harness.servers
        async with (
            FaultyLink(first.port, rng) as to_first,
            FaultyLink(second.port, rng) as to_other,
        ):
            for server, link in ((first, to_first), (second, to_other)):
                server.add_options("--advertise", f"http://127.0.0.1:{link.port}/")
                await server.start()
                link.latency_s, link.resets = (0.0, 0.05), 0.05
            harness.open(0.2)
            for _ in range(10 if IS_TORTURE else 2):
                await asyncio.sleep(3.0)
                to_first.black_hole = to_other.black_hole = True
                await asyncio.sleep(rng.uniform(0.5, 3.0))
                to_first.black_hole = to_other.black_hole = False
            to_first.resets = to_other.resets = 0.0
            assert await harness.close() == []
        assert to_first.broken


@LONG
async def test_a_network_that_is_slow_and_breaks(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """200 ± 100 ms, one answer in twenty or in five cut off, and silence: C1 to C6 hold (R2)."""
    async with FaultyLink(redis.port, rng) as link:
        url = f"redis://127.0.0.1:{link.port}/0"
        async with bar(tmp_path, rng, url, pause_s=0.3) as harness:
            link.latency_s, link.resets = (0.1, 0.3), 0.05 if IS_TORTURE else 0.2
            await asyncio.sleep(60.0 if IS_TORTURE else 6.0)
            link.black_hole = True
            await asyncio.sleep(30.0 if IS_TORTURE else 6.0)
            harness.history.restarts_s.append(monotonic())
            link.black_hole = False
            link.latency_s, link.resets = (0.0, 0.0), 0.0
        assert link.broken
