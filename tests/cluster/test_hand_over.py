"""Topics spread over processes: joins, clean ends and kills, as customers and robots see them."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.dispatch.dispatcher import DRAIN_S
from sanic_dispatch.errors import StorageFailed
from tests.cluster.services import ask, two_services
from tests.cluster.test_faults import HAND_OVER_S, SLOW_MACHINE, TAKE_OVER_S, logged
from tests.crash.harness import Harness
from tests.crash.server import Server, rightful_owners
from tests.support.redis import RedisServer
from tests.support.server import eventually

TOPICS = ("", "cellar", "roof")
PATHS = {topic: f"topics/{topic}/" if topic else "" for topic in TOPICS}
OPTIONS = ("--topic", "cellar", "--topic", "roof")
LONG = pytest.mark.timeout(240)


class Chain:
    """Several dispatchers that share three topics, and customers who find the owner of each."""

    def __init__(self, servers: list[Server], http: aiohttp.ClientSession) -> None:
        self.servers = servers
        self.http = http
        self.accepted: dict[str, list[int]] = {topic: [] for topic in TOPICS}
        self.refused: list[str] = []
        self._numbers = count()

    @property
    def running(self) -> list[Server]:
        """The dispatchers that run."""
        return [server for server in self.servers if server.is_running]

    async def owners(self) -> dict[str, Server]:
        """Return which dispatcher serves which topic."""
        found = {}
        for topic, path in PATHS.items():
            for server in self.running:
                try:
                    async with self.http.get(server.url + path + "ready") as answer:
                        owner = (await answer.json(content_type=None)).get("owner", "")
                        if answer.status == 200 and owner.endswith(f":{server.port}"):
                            found[topic] = server
                except aiohttp.ClientError:  # it has just ended
                    continue
        return found

    async def settled(self, within_s: float = 60.0) -> dict[str, Server]:
        """Wait until each topic is where it belongs, and return which one is where."""
        expected = rightful_owners(self.running, *TOPICS)

        async def is_spread() -> bool:
            return await self.owners() == expected

        await eventually(is_spread, within_s)
        return expected

    async def taken_over(self, topic: str, before: Server) -> None:
        """Wait until another one serves a topic, whether or not it is to keep it."""

        async def is_another() -> bool:
            return (await self.owners()).get(topic) not in (None, before)

        await eventually(is_another, 60.0)

    async def customer(self, topic: str) -> None:
        """Order one drink after the other; note what no dispatcher accepts."""
        at = 0
        while True:
            number, left = next(self._numbers), 3 * len(self.servers)
            while left and not await self._is_accepted(self.servers[at], topic, number):
                at, left = (at + 1) % len(self.servers), left - 1
            if not left:
                self.refused.append(f"{number} of {topic!r}")
            await asyncio.sleep(0.05)

    async def _is_accepted(self, server: Server, topic: str, number: int) -> bool:
        """Whether a dispatcher accepts an order; else it does not run, or has no such topic."""
        url, key = server.url + PATHS[topic] + "submit-job", {"Idempotency-Key": f"{number}"}
        try:
            async with self.http.post(url, json=number, headers=key) as answer:
                if answer.status == 202:
                    self.accepted[topic].append(number)
                    return True
                said = await answer.json()
        except (aiohttp.ClientError, OSError):
            return False
        if said["Error"] not in ("NotReady", "OwnerUnreachable"):
            self.refused.append(f"{number} of {topic!r}: {said}")
        return False

    async def mixed(self, topic: str) -> list[int]:
        """Register robots until nothing waits; return the orders that they got."""
        owner, found = (await self.owners())[topic], list[int]()
        while True:
            headers = {"CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{len(found)}/"}
            url = owner.url + PATHS[topic] + "register-worker"
            async with self.http.post(url, headers=headers) as answer:
                if answer.status == 202:
                    return found
                found.append((await answer.json())["Job"]["data"])


@asynccontextmanager
async def chain(folder: Path, redis: RedisServer, size: int = 3) -> AsyncIterator[Chain]:
    """Provide some dispatchers that are not started yet; none runs at the end."""
    options = (*OPTIONS, "--redis-url", redis.url)
    servers = [
        Server(folder, Mode.REDIS, *options, log=folder / f"{number}.log") for number in range(size)
    ]
    async with aiohttp.ClientSession() as http:
        try:
            yield Chain(servers, http)
        finally:
            for server in servers:
                server.kill()


@LONG
async def test_three_processes_and_three_topics(redis: RedisServer, tmp_path: Path) -> None:
    """Each has one; one leaves and comes back under load, and no order is refused or reordered."""
    async with chain(tmp_path, redis) as bars:
        await bars.servers[0].start()
        assert set(await bars.settled()) == set(TOPICS)
        customers = [asyncio.create_task(bars.customer(topic)) for topic in TOPICS]
        for server in bars.servers[1:]:
            await server.start()
        owners = await bars.settled()
        assert len(set(owners.values())) == 3
        began_s = monotonic()
        assert await owners["roof"].stop() == 0
        await bars.taken_over("roof", owners["roof"])
        assert monotonic() - began_s < HAND_OVER_S * SLOW_MACHINE
        await bars.settled()
        await owners["roof"].start()
        assert await bars.settled() == owners
        for customer in customers:
            customer.cancel()
        await asyncio.gather(*customers, return_exceptions=True)
        assert bars.refused == []
        for topic, accepted in bars.accepted.items():
            assert len(accepted) > 10
            assert [each for each in await bars.mixed(topic) if each in set(accepted)] == accepted
    assert not any(logged(server, "job.doubted") for server in bars.servers)
    assert not any(logged(server, "ownership.lost") for server in bars.servers)


@asynccontextmanager
async def silent_robot() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Provide the callback of a robot that accepts a PUT and says nothing, and when it has one."""
    called = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readline()).startswith(b"PUT "):
            called.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/callbacks/1/", called


@LONG
async def test_a_silent_robot_holds_up_no_hand_over(redis: RedisServer, tmp_path: Path) -> None:
    """The others get their orders from the next owner; only its own order is in doubt there."""
    async with chain(tmp_path, redis, size=2) as bars, silent_robot() as (callback, called):
        for server in bars.servers:
            server.add_options("--callback-timeout", "60", "--stop-grace", "60")
            await server.start()
        owner = (await bars.settled())[""]
        headers = {
            "CPEE-CALLBACK": callback, "CPEE-INSTANCE-UUID": "i1", "CPEE-ACTIVITY": "a1",
        }  # fmt: skip
        async with bars.http.post(owner.url + "register-worker", headers=headers) as answer:
            assert answer.status == 202
        hanging = asyncio.create_task(bars.http.post(owner.url + "submit-job", json="hangs"))
        await called.wait()
        async with bars.http.post(owner.url + "submit-job", json="waits") as answer:
            assert answer.status == 202
        began_s = monotonic()
        owner.signal(signal.SIGTERM)
        await bars.taken_over("", owner)
        assert monotonic() - began_s < (DRAIN_S + HAND_OVER_S) * SLOW_MACHINE
        assert await bars.mixed("") == ["waits"]
        assert await owner.ended() == 0
        assert (await hanging).status == 202
    (doubted,) = (line for server in bars.servers for line in logged(server, "job.doubted"))
    assert "restarted" in doubted["reason"]


@LONG
async def test_an_owner_of_several_topics_is_killed(redis: RedisServer, tmp_path: Path) -> None:
    """After kill -9 its topics are spread over the others, within 5 s."""
    async with chain(tmp_path, redis) as bars:
        for server in bars.servers[:2]:
            await server.start()
        owners = await bars.settled()
        busier = max(bars.running, key=list(owners.values()).count)
        await bars.servers[2].start()
        await bars.settled()
        began_s = monotonic()
        busier.kill()
        await bars.settled()
        assert monotonic() - began_s < TAKE_OVER_S * SLOW_MACHINE


@LONG
async def test_a_process_joins_and_leaves_under_load(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """C1 to C6 hold, nothing is in doubt, and each hand-over takes less than a second."""
    options = ("--redis-url", redis.url)
    async with Harness(tmp_path / "bar", Mode.REDIS, rng, *options, count=2) as harness:
        (joining,) = rightful_owners(harness.servers).values()
        (present,) = (server for server in harness.servers if server is not joining)
        await present.start()
        harness.open()
        await asyncio.sleep(1.0)
        await joining.start()
        assert await harness.settled() is joining
        await asyncio.sleep(1.0)
        joining.signal(signal.SIGTERM)
        assert await joining.ended() == 0
        assert await harness.settled() is present
        assert await harness.close() == []
    assert len(logged(present, "ownership.gained")) == 2
    assert not any(logged(server, "job.doubted") for server in harness.servers)
    assert not any(logged(server, "ownership.lost") for server in harness.servers)


async def test_a_topic_that_one_process_cannot_load(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one takes it, although it is not its turn."""

    async def fail() -> None:
        await asyncio.sleep(0.6)
        raise StorageFailed("the history cannot be read: Input/output error")

    async with two_services(redis.url, tmp_path) as two:
        dispatcher = two.owner.app.ctx.dispatcher
        monkeypatch.setattr(dispatcher, "load", fail)
        dispatcher._store.ownership.lose("Redis has lost it")

        async def is_taken() -> bool:
            return two.other.app.ctx.dispatcher.is_open

        await eventually(is_taken, 8.0)
        assert (await ask(two.other, "POST", "submit-job", json=1))[0] == 202
