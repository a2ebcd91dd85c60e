"""A dispatcher on standby: its answers, and when it takes over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import gethostname
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.simulation import Engine
from tests.crash.harness import Harness
from tests.crash.server import TOKEN, Server
from tests.support import commands
from tests.support.redis import RedisServer
from tests.support.server import eventually, free_port

TRY_LATER, SERVICE_RESTART = 4503, 1012
UNKNOWN_URL = ("--host", "0.0.0.0")
WORKER = {"CPEE-CALLBACK": "http://127.0.0.1:9/callbacks/1/"}


@asynccontextmanager
async def pair_of_servers(
    folder: Path, rng: random.Random, redis: RedisServer, *more: str
) -> AsyncIterator[tuple[Server, Server, aiohttp.ClientSession]]:
    """Run an owner, a standby, and an HTTP client."""
    options = ("--redis-url", redis.url, *more)
    async with Harness(folder / "bar", Mode.REDIS, rng, *options, count=2) as harness:
        for server in harness.servers:
            await server.start()
        first = await harness.settled()
        (second,) = (server for server in harness.servers if server is not first)
        yield first, second, harness._http


async def asked(
    http: aiohttp.ClientSession, method: str, url: str, **options: Any
) -> tuple[int, str, str | None]:
    """Return an answer's status, its error code, and Retry-After."""
    async with http.request(method, url, **options) as answer:
        body = await answer.json() if answer.content_type.endswith("json") else {}
        return answer.status, body.get("Error", ""), answer.headers.get("Retry-After")


async def test_a_standby_that_cannot_reach_the_owner_is_not_ready(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """Orders, robots, operators, look-ups and pages get 503 with Retry-After."""
    async with pair_of_servers(tmp_path, rng, redis, *UNKNOWN_URL) as (first, second, http):
        async with http.post(first.url + "submit-job", json=1) as answer:
            job = answer.headers["Location"]
        assert await asked(http, "GET", second.url + "health") == (200, "", None)
        not_ready = (503, "NotReady", "1")
        as_operator = {"headers": {"Authorization": f"Bearer {TOKEN}"}}
        assert await asked(http, "GET", second.url + "ready") == not_ready
        assert await asked(http, "POST", second.url + "submit-job", json=2) == not_ready
        registered = await asked(http, "POST", second.url + "register-worker", headers=WORKER)
        assert registered == not_ready
        assert await asked(http, "GET", second.url + job) == not_ready
        assert await asked(http, "DELETE", second.url + job) == not_ready
        for path in ("operator/pause", "operator/resume"):
            assert await asked(http, "POST", second.url + path, **as_operator) == not_ready
        for path in ("operator/jobs", "operator/workers", "operator/events", "operator/stats"):
            assert await asked(http, "GET", second.url + path, **as_operator) == not_ready
        status, _, retry_after = await asked(http, "GET", second.url + "state")
        assert (status, retry_after) == (503, "1")
        async with http.ws_connect(second.url + "live?view=board") as page:
            assert (await page.receive()).type is WSMsgType.CLOSE
            assert page.close_code == TRY_LATER
        assert await asked(http, "GET", first.url + job) == (200, "", None)


async def test_each_says_who_the_owner_is(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """/health, /ready and the metrics of the owner and of a standby."""
    async with pair_of_servers(tmp_path, rng, redis) as (first, second, http):
        owner = f"{gethostname()}:{first.port}"

        async def is_known(server: Server) -> bool:
            async with http.get(server.url + "health") as answer:
                return await answer.json() == {"status": "ok", "owner": owner}

        for server, is_owner in ((first, 1), (second, 0)):
            await eventually(lambda server=server: is_known(server))  # type: ignore[misc]
            async with http.get(server.url + "ready") as answer:
                assert owner in (await answer.text())
            assert f"dispatch_owner {is_owner}.0" in await metrics(http, server)
        await eventually(lambda: knows_both(http, first))


async def test_pages_stay_where_they_are(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """After a take-over the other process has all orders, also on pages."""
    async with pair_of_servers(tmp_path, rng, redis) as (first, second, http):
        async with http.post(first.url + "submit-job", json=1) as answer:
            job = answer.headers["Location"]
        async with http.ws_connect(first.url + "live?view=board") as page:
            assert (await page.receive()).type is WSMsgType.TEXT
            code, _ = await asyncio.gather(first.stop(), is_closed(page))
            assert (code, page.close_code) == (0, SERVICE_RESTART)
        await eventually(lambda: is_ready(http, second), 10)
        assert await asked(http, "GET", second.url + job) == (200, "", None)
        async with http.ws_connect(second.url + "live?view=board") as page:
            assert "order/1" in (await page.receive()).data


async def test_a_hand_over_and_back(redis: RedisServer, rng: random.Random, tmp_path: Path) -> None:
    """Each goes on with what the other has left, in the order of the queue."""
    async with pair_of_servers(tmp_path, rng, redis) as (first, second, http):
        for number in range(0, 4, 2):
            await eventually(lambda: is_ready(http, first), 10)
            assert await ordered(http, first, number) == (202, number + 1)
            assert await first.stop() == 0
            assert await ordered(http, second, number + 1) == (202, number + 2)
            await first.start()
        await eventually(lambda: is_ready(http, first), 10)
        for number in range(4):
            headers = {"CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{number}/"}
            async with http.post(first.url + "register-worker", headers=headers) as answer:
                assert answer.status == 200
                assert (await answer.json())["Job"]["data"] == number


async def ordered(http: aiohttp.ClientSession, server: Server, number: int) -> tuple[int, Any]:
    """Submit an order; return the status of the answer, and the position in the queue."""
    async with http.post(server.url + "submit-job", json=number) as answer:
        said = await answer.json()
        return answer.status, said.get("Queued", {}).get("position", said)


async def metrics(http: aiohttp.ClientSession, server: Server) -> list[str]:
    """Return the lines of a server's metrics."""
    async with http.get(server.url + "metrics") as answer:
        return (await answer.text()).splitlines()


async def knows_both(http: aiohttp.ClientSession, server: Server) -> bool:
    """Return whether a server has noticed the other one."""
    return "dispatch_members 2.0" in await metrics(http, server)


async def is_closed(page: aiohttp.ClientWebSocketResponse) -> None:
    """Return once no more frames arrive."""
    while (await page.receive()).type is WSMsgType.TEXT:
        continue


async def is_ready(http: aiohttp.ClientSession, server: Server) -> bool:
    """Return whether a server answers orders, perhaps by way of the owner."""
    return (await asked(http, "GET", server.url + "ready"))[0] == 200


async def test_stop_while_redis_is_silent() -> None:
    """The server stops at once and with 0, however long Redis does not answer."""
    asked_for, patience = asyncio.Event(), asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked_for.set()
        await patience.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        url = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0"
        port = str(free_port())
        process = await commands.start("serve", "-p", port, "-m", "Redis", "--redis-url", url)
        await asyncio.wait_for(asked_for.wait(), 30)
        process.terminate()
        done = await commands.ended(process)
        patience.set()
    assert done.err.count("\n") <= 1


async def test_a_robot_keeps_its_rule_when_the_owner_is_killed(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """The next owner gives it the order that it takes, and no other one."""
    async with pair_of_servers(tmp_path, rng, redis) as (first, second, http), Engine() as engine:
        instance = engine.start_instance()
        url = second.url + "register-worker?match.drink=mojito"
        calling = asyncio.create_task(instance.call(url))
        await instance.until(lambda: instance.waiting)
        first.kill()
        await eventually(lambda: is_ready(http, second), within_s=60)
        locations = []
        for drink in ("beer", "mojito"):
            async with http.post(second.url + "submit-job", json={"drink": drink}) as answer:
                locations.append(answer.headers["Location"])
        assert (await calling).value["Job"]["data"] == {"drink": "mojito"}
        async with http.get(second.url + locations[0]) as answer:
            job = await answer.json()
        assert (job["state"], job["why"]) == ("waiting", {"reason": "no_able_worker"})
