"""Two dispatchers as processes, with and without a bug: each test sees the bug, and only then."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import ujson

from sanic_dispatch.config.settings import Mode
from tests.crash.server import TOKEN, Server, rightful_owners
from tests.support.faulty_link import FaultyLink
from tests.support.redis import RedisServer
from tests.support.server import eventually

pytestmark = pytest.mark.skipif("TORTURE" not in os.environ, reason="it takes a minute")

AS_OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
JOBS = "{sanic-dispatch}:jobs"


class Pair(NamedTuple):
    """The first owner and the other process, with the networks between them and to Redis."""

    owner: Server
    other: Server
    link: FaultyLink
    to_redis: FaultyLink
    http: aiohttp.ClientSession

    async def ask(self, server: Server, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Return the status and the JSON of an answer, as the operator."""
        headers = AS_OPERATOR | options.pop("headers", {})
        async with self.http.request(method, server.url + path, headers=headers, **options) as got:
            return got.status, await got.json(content_type=None)

    async def submit(self, server: Server, data: Any) -> str:
        """Submit an order; return its path, which is empty if it was not accepted."""
        async with self.http.post(server.url + "submit-job", json=data) as got:
            return got.headers.get("Location", "")

    async def is_owner(self, server: Server) -> bool:
        """Return whether a process says of itself that it owns the topic."""
        _, said = await self.ask(server, "GET", "ready")
        return str(said.get("owner", "")).endswith(f":{server.port}")


@asynccontextmanager
async def pair(
    folder: Path, redis: RedisServer, owner_has: str, both_have: str
) -> AsyncIterator[Pair]:
    """Run a dispatcher with bugs, which is reached, and reaches Redis, over faulty links.

    The other one is not started yet.
    """
    rng = random.Random(1)
    servers = [Server(folder, Mode.REDIS, log=folder / f"{number}.log") for number in range(2)]
    (owner,) = rightful_owners(servers).values()
    (other,) = (server for server in servers if server is not owner)
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(FaultyLink(owner.port, rng))
        to_redis = await stack.enter_async_context(FaultyLink(redis.port, rng))
        url = f"redis://127.0.0.1:{to_redis.port}/0"
        owner.add_options("--advertise", f"http://127.0.0.1:{link.port}/", "--redis-url", url)
        other.add_options("--redis-url", redis.url)
        names = {owner: ",".join(filter(None, (owner_has, both_have))), other: both_have}
        for server in (owner, other):
            server.program = ("tests.cluster.mutants", names[server])
            stack.callback(server.kill)
        await owner.start()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Pair(owner, other, link, to_redis, http)


async def an_order_at_a_former_owner(pair: Pair) -> bool:
    """Return whether the former owner accepts an order of which the new one does not know."""
    await pair.other.start()
    await eventually(lambda: pair.is_owner(pair.other), 10)
    job = await pair.submit(pair.owner, 1)
    return bool(job) and (await pair.ask(pair.other, "GET", job))[0] == 404


async def a_look_at_a_former_owner(pair: Pair) -> bool:
    """Return whether the former owner still shows an order that was cancelled at the new one."""
    job = await pair.submit(pair.owner, 1)
    await pair.other.start()
    await eventually(lambda: pair.is_owner(pair.other), 10)
    assert (await pair.ask(pair.other, "DELETE", job))[0] == 204
    return (await pair.ask(pair.owner, "GET", job))[1].get("state") == "waiting"


async def an_act_whose_reply_gets_lost(pair: Pair) -> bool:
    """Return whether a job is put back twice: also from the next worker, which has it by then."""
    await pair.other.start()
    job = await pair.submit(pair.other, 1)

    async def register(number: int) -> None:
        headers = {
            "CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{number}/",
            "CPEE-INSTANCE-UUID": f"i{number}",
            "CPEE-ACTIVITY": "a1",
        }
        await pair.ask(pair.owner, "POST", "register-worker", headers=headers)

    await register(1)
    pair.link.falls_silent, pair.link.loses = True, b'"ok"'
    body = {"reason": "wrong"}
    act = asyncio.create_task(pair.ask(pair.other, "POST", f"operator/{job}/put-back", json=body))
    await pair.link.has_lost.wait()
    await register(2)
    await act
    _, history = await pair.ask(pair.owner, "GET", "operator/history/1")
    return [event["event"] for event in history["events"]].count("job.returned") > 1


async def a_frame_of_an_order_that_is_never_stored(pair: Pair) -> bool:
    """Return whether a page at the other process shows an order that Redis never gets."""
    await pair.other.start()
    async with pair.http.ws_connect(pair.other.url.replace("http", "ws") + "live") as page:
        await page.receive_json()
        shown: set[str] = set()

        async def look() -> None:
            async for message in page:
                shown.update(ujson.loads(message.data).get("patch", ()))

        looking = asyncio.create_task(look())
        pair.to_redis.black_hole = True
        assert not await pair.submit(pair.owner, 1)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    return "order/1" in shown


CONTROLS = {
    "no fence": (an_order_at_a_former_owner, "no renewal", "short lease"),
    "no deadline": (a_look_at_a_former_owner, "no renewal", "short lease"),
    "no memory": (an_act_whose_reply_gets_lost, "", ""),
    "early frames": (a_frame_of_an_order_that_is_never_stored, "", ""),
}
"""By bug: what shows it, and what else the owner, and what both, have."""


@pytest.mark.parametrize("has_bug", [False, True], ids=["sound", "bug"])
@pytest.mark.parametrize("bug", CONTROLS)
async def test_a_bug_is_seen(bug: str, has_bug: bool, redis: RedisServer, tmp_path: Path) -> None:
    """With it the wrong thing happens, and without it does not."""
    is_shown, owner_has, both_have = CONTROLS[bug]
    owner_has = ",".join(filter(None, (owner_has, bug if has_bug else "")))
    async with pair(tmp_path, redis, owner_has, both_have) as processes:
        assert await is_shown(processes) is has_bug
