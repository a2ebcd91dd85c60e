"""What fails while several dispatchers are busy: one of them, the network, or Redis itself."""

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

from sanic_dispatch.queues.redis_peers import LEASE_S, RENEW_S
from sanic_dispatch.settings import Mode
from tests.crash.harness import Harness
from tests.crash.server import Server
from tests.kit.faulty_link import FaultyLink
from tests.kit.redis import RedisServer
from tests.kit.server import eventually

IS_TORTURE = "TORTURE" in os.environ
KILLS = int(os.environ.get("TORTURE_KILLS", "50")) if IS_TORTURE else 2
PAUSES = 10 if IS_TORTURE else 1
LONG = pytest.mark.timeout(3600 if IS_TORTURE else 240)

SLOW_MACHINE = 3.0
"""How much longer anything may take where the tests share their machine with others."""


@asynccontextmanager
async def bar(
    folder: Path, rng: random.Random, url: str, count: int = 2, pause_s: float = 0.04
) -> AsyncIterator[Harness]:
    """Dispatchers, customers and robots; the history is right at the end."""
    options = ("--redis-url", url)
    async with Harness(folder / "bar", Mode.REDIS, rng, *options, count=count) as harness:
        for server in harness.servers:
            await server.start()
        harness.open(pause_s)
        yield harness
        assert await harness.close() == []


def said(server: Server, event: str) -> list[dict[str, Any]]:
    """Its log's lines of that event."""
    return [line for line in server.lines() if line.get("event") == event]


@LONG
async def test_a_dispatcher_is_killed(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """kill -9 under load, again and again: C1 to C6, and the others take over what it had."""
    async with bar(tmp_path, rng, redis.url, count=2) as harness:
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.5, 2.0))
            victim = rng.choice(harness.servers)
            # before, not after: a process takes a while to be gone, and what it had is cut off now
            harness.history.restarts_s.append(monotonic())
            victim.kill()
            await asyncio.sleep(LEASE_S + 2 * RENEW_S)
            await victim.start()


@LONG
async def test_a_dispatcher_is_paused_past_its_deadline(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """SIGSTOP, and SIGCONT after others have taken over: its late word is fenced off (A5)."""
    async with bar(tmp_path, rng, redis.url, count=2) as harness:
        for _ in range(PAUSES):
            await asyncio.sleep(rng.uniform(0.5, 2.0))
            victim = rng.choice(harness.servers)
            harness.history.restarts_s.append(monotonic())
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(LEASE_S + 3 * RENEW_S)
            victim.signal(signal.SIGCONT)
            harness.history.restarts_s.append(monotonic())


@LONG
async def test_redis_is_killed(redis: RedisServer, rng: random.Random, tmp_path: Path) -> None:
    """kill -9 of Redis that syncs always, again and again: C1 to C6 (R1)."""
    async with bar(tmp_path, rng, redis.url) as harness:
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.3, 1.5))
            redis.kill()
            harness.history.restarts_s.append(monotonic())
            await asyncio.sleep(rng.uniform(0.0, 1.0))
            redis.start()
            harness.history.restarts_s.append(monotonic())


@LONG
async def test_a_network_that_is_slow_and_breaks(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """200 ± 100 ms, one answer in twenty cut off in the middle, and silence: C1 to C6 (R2)."""
    async with FaultyLink(redis.port, rng) as link:
        url = f"redis://127.0.0.1:{link.port}/0"
        async with bar(tmp_path, rng, url, pause_s=0.3) as harness:
            link.latency_s, link.resets = (0.1, 0.3), 0.05
            await asyncio.sleep(60.0 if IS_TORTURE else 6.0)
            link.black_hole = True
            await asyncio.sleep(30.0 if IS_TORTURE else 6.0)
            harness.history.restarts_s.append(monotonic())
            link.black_hole = False
            link.latency_s, link.resets = (0.0, 0.0), 0.0
        assert link.broken


async def test_the_take_over_is_soon(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """What a killed dispatcher had under way is in another's hands a deadline later."""
    options = ("--redis-url", redis.url)
    async with Harness(tmp_path / "bar", Mode.REDIS, rng, *options, count=2) as harness:
        dead, alive = harness.servers
        for server in harness.servers:
            await server.start()
        silent = await asyncio.start_server(_never, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        callback = f"http://127.0.0.1:{port}/callbacks/1/"
        headers = {"CPEE-CALLBACK": callback, "CPEE-INSTANCE-UUID": "i", "CPEE-ACTIVITY": "a"}
        async with harness._http.post(dead.url + "register-worker", headers=headers) as answer:
            assert answer.status == 202
        async with harness._http.post(dead.url + "submit-job", json=1) as answer:
            assert answer.status == 202
        dead.kill()
        began_s = monotonic()

        async def is_taken_over() -> bool:
            return bool(said(alive, "job.doubted"))

        await eventually(is_taken_over, 60)
        took_s = monotonic() - began_s
        print(f"taken over after {took_s:.1f} s")  # noqa: T201
        assert took_s < (LEASE_S + 2 * RENEW_S) * SLOW_MACHINE
        silent.close()


async def _never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes what comes, and does not answer."""
    await reader.read()
    writer.close()
