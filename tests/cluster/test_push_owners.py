"""Phones of a topic whose owner is killed, or hands it over: the next one goes on telling."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.cluster.two_processes import owner_and_other
from tests.crash.server import TOKEN
from tests.support.phone_order import PhoneOrder
from tests.support.receiver import OK, running_receiver, status
from tests.support.redis import RedisServer
from tests.support.server import eventually


@pytest.mark.timeout(120)
@pytest.mark.parametrize("is_killed", [True, False], ids=["kill", "stop"])
async def test_the_next_owner_goes_on(redis: RedisServer, tmp_path: Path, is_killed: bool) -> None:
    """Subscribed at the process that does not own the topic; what the first owner left is told."""
    options = ("--allow-push", "127.0.0.0/8", "--submit-wait", "0")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        running_receiver() as receiver,
        aiohttp.ClientSession(headers=headers) as http,
        owner_and_other(redis, tmp_path, *options) as (owner, other),
    ):
        keys = [await key_of(http, each.url) for each in (owner, other)]
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


async def key_of(http: aiohttp.ClientSession, url: str) -> str:
    """Return the topic's public key."""
    async with http.get(f"{url}push/key") as answer:
        return str((await answer.json())["key"])
