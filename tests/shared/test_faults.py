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

ANSWER_S, BACK_S = 5.0, 2.0
"""How long an answer may take at most, and how soon all is well again once Redis is."""

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


class Timed:
    """One order, or one look: its status, and how long it took."""

    def __init__(self, harness: Harness) -> None:
        self._http, self._url = harness._http, harness.server.url
        self._number = 0

    async def order(self) -> tuple[int, float, str | None]:
        """Status, seconds, and when to come back."""
        self._number += 1
        began_s = monotonic()
        data = {"timed": self._number}
        async with self._http.post(self._url + "submit-job", json=data) as answer:
            await answer.read()
            return answer.status, monotonic() - began_s, answer.headers.get("Retry-After")

    async def state(self) -> int:
        """The status of a look at the board."""
        async with self._http.get(self._url + "state") as answer:
            return answer.status

    async def is_taken(self) -> bool:
        """Whether an order is taken in."""
        return (await self.order())[0] in (200, 202)

    async def back_after_s(self) -> float:
        """How long it takes from now on until orders are taken in, and pages are told."""
        began_s = monotonic()
        await eventually(self.is_taken, 30)

        async def is_live() -> bool:
            return await self.state() == 200

        await eventually(is_live, 30)
        return monotonic() - began_s


@asynccontextmanager
async def quiet(folder: Path, rng: random.Random, url: str) -> AsyncIterator[Timed]:
    """One dispatcher without any load."""
    options = ("--redis-url", url)
    async with Harness(folder / "bar", Mode.REDIS, rng, *options) as harness:
        await harness.server.start()
        timed = Timed(harness)
        assert await timed.is_taken()
        yield timed


async def refused(timed: Timed) -> None:
    """An order is refused in time, with a word on when to come back; and pages say so too."""
    status, took_s, retry_after = await timed.order()
    assert (status, retry_after) == (503, "1")
    assert took_s < ANSWER_S


@pytest.mark.parametrize("fault", ["gone", "stopped", "black hole"])
async def test_redis_is_out_of_reach(
    fault: str, redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """Answers within 5 s, pages that say that they are stale, and back within 2 s (R2)."""
    async with (
        FaultyLink(redis.port, rng) as link,
        quiet(tmp_path, rng, f"redis://127.0.0.1:{link.port}/0") as timed,
    ):
        if fault == "gone":
            redis.kill()
        elif fault == "stopped":
            redis.signal(signal.SIGSTOP)
        else:
            link.black_hole = True
        for _ in range(2):
            await refused(timed)

        async def is_stale() -> bool:
            return await timed.state() == 503

        await eventually(is_stale, 20)
        if fault == "gone":
            redis.start()
        elif fault == "stopped":
            redis.signal(signal.SIGCONT)
        else:
            link.black_hole = False
        assert await timed.back_after_s() < BACK_S * SLOW_MACHINE


@pytest.mark.parametrize("fault", ["full", "read-only", "wrong type"])
async def test_redis_refuses(
    fault: str, redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """Full, a replica, a key of another type: 503, nothing is taken in; then it goes on (R4)."""
    key = "{sanic-dispatch}:jobs:line"
    begin, end = {
        "full": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        "read-only": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        "wrong type": (f"RENAME {key} x\r\nSET {key} mine", f"RENAME x {key}"),
    }[fault]
    async with quiet(tmp_path, rng, redis.url) as timed:
        if fault == "full":
            redis.ask("CONFIG SET maxmemory-policy noeviction")
        redis.ask(begin)
        for _ in range(2):
            await refused(timed)
        redis.ask(end)
        assert await timed.back_after_s() < BACK_S * SLOW_MACHINE


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
