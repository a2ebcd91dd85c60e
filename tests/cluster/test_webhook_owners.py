"""Webhooks of a topic whose owner is killed, or hands it over: the next one goes on."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.cluster.two_processes import owner_and_other
from tests.crash.server import TOKEN
from tests.support.receiver import OK, running_receiver, status
from tests.support.redis import RedisServer
from tests.support.server import eventually
from tests.support.told import add_webhook, events_of, faults_of

ORDERS = 20


@pytest.mark.timeout(120)
@pytest.mark.parametrize("is_killed", [True, False], ids=["kill", "stop"])
async def test_the_next_owner_goes_on(redis: RedisServer, tmp_path: Path, is_killed: bool) -> None:
    """Added at the process that does not own the topic; what the first owner had left is told."""
    options = ("--allow-webhook", "127.0.0.0/8", "--submit-wait", "0")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        running_receiver() as receiver,
        aiohttp.ClientSession(headers=headers) as http,
        owner_and_other(redis, tmp_path, *options) as (owner, other),
    ):
        await add_webhook(http, other.url, receiver)
        await order(http, other.url)

        async def are_told() -> bool:
            return len(receiver.received) >= ORDERS

        await eventually(are_told, 20)
        receiver.answer = status(500)
        await order(http, other.url)
        if is_killed:
            owner.kill()
        else:
            assert await owner.stop() == 0
        receiver.answer = OK
        await order(http, other.url)
        events = await events_of(http, other.url)

        async def are_all_told() -> bool:
            return not events.keys() - {each.n for each in receiver.received}

        await eventually(are_all_told, 30)
        assert len(events) == 3 * ORDERS
        assert faults_of(receiver, events) == []


async def order(http: aiohttp.ClientSession, url: str) -> None:
    """Order some drinks; each is accepted, if need be by the next owner."""
    for number in range(ORDERS):

        async def is_accepted(number: int = number) -> bool:
            async with http.post(url + "submit-job", json=number) as answer:
                return answer.status == 202

        await eventually(is_accepted, 20)
