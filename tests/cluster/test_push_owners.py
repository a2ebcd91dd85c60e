"""Phones of a topic whose owner is killed, or hands it over: the next one goes on telling."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from sanic_dispatch.config.settings import Mode
from tests.crash.server import TOKEN, Server, rightful_owners
from tests.support.phone_order import PhoneOrder
from tests.support.receiver import OK, running_receiver, status
from tests.support.redis import RedisServer
from tests.support.server import eventually


@pytest.mark.timeout(120)
@pytest.mark.parametrize("is_killed", [True, False], ids=["kill", "stop"])
async def test_the_next_owner_goes_on(redis: RedisServer, tmp_path: Path, is_killed: bool) -> None:
    """Subscribed at the process that does not own the topic; what the first owner left is told."""
    options = ("--redis-url", redis.url, "--allow-push", "127.0.0.0/8", "--submit-wait", "0")
    servers = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        servers.append(Server(tmp_path / name, Mode.REDIS, *options))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with running_receiver() as receiver, aiohttp.ClientSession(headers=headers) as http:
        try:
            for server in servers:
                await server.start()
            owner = rightful_owners(servers)[""]
            (other,) = (each for each in servers if each is not owner)

            async def is_owned() -> bool:
                async with http.get(other.url + "ready") as answer:
                    said = await answer.json(content_type=None)
                    return str(said.get("owner", "")).endswith(f":{owner.port}")

            await eventually(is_owned, 20)
            keys = [await key_of(http, each.url) for each in servers]
            assert keys[0] == keys[1]
            order = PhoneOrder(http, receiver)
            await order.submit(other.url)
            await order.make(other.url)
            await order.told("making")
            receiver.answer = status(500)
            await order.finish(other.url)
            await order.told("ready")
            if is_killed:
                owner.kill()
            else:
                assert await owner.stop() == 0
            tried, receiver.answer = len(receiver.received), OK

            async def is_told_again() -> bool:
                return len(receiver.received) > tried

            await eventually(is_told_again, 20)
            await order.ended(other.url)
            assert order.faults() == []
            assert await key_of(http, other.url) == keys[0]
        finally:
            for server in servers:
                server.kill()


async def key_of(http: aiohttp.ClientSession, url: str) -> str:
    """Return the topic's public key."""
    async with http.get(f"{url}push/key") as answer:
        return str((await answer.json())["key"])
