"""kill -9 in the midst of telling a webhook: nothing is lost, and repeats carry the same id."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from sanic_dispatch.config.settings import Mode
from tests.crash.server import DURABLE, TOKEN, Server
from tests.support.receiver import OK, Received, running_receiver, status
from tests.support.seeds import IS_TORTURE, seed_of
from tests.support.server import eventually
from tests.support.told import add_webhook, events_of, faults_of

KILLS = 50 if IS_TORTURE else 2
TOLD_S = 300.0 if IS_TORTURE else 30.0
"""How long the messages may take that are left: after fifty kills there are some 15,000."""

SEED = seed_of("CRASH_SEED")


async def order_and_cancel(
    http: aiohttp.ClientSession, url: str, is_closing: asyncio.Event
) -> None:
    """Order drinks and cancel them, one after the other, until the bar is closing."""
    while not is_closing.is_set():
        with suppress(aiohttp.ClientError, OSError):
            async with http.post(url + "submit-job", json="mojito") as answer:
                place = answer.headers.get("Location")
            if place:
                async with http.delete(url + place):
                    pass
        await asyncio.sleep(0.01)


@pytest.mark.timeout(1800 if IS_TORTURE else 120)
@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_a_killed_server_goes_on_telling(mode: Mode, tmp_path: Path) -> None:
    """Also while the endpoint answers late, refuses, and asks for a moment."""
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(f"{SEED} {mode}")

    async def answer(writer: asyncio.StreamWriter, _message: Received) -> None:
        await asyncio.sleep(rng.choice((0, 0, 0.02)))
        writer.write(status(503, "Retry-After: 1") if rng.random() < 0.005 else OK)

    (tmp_path / "data").mkdir()
    options = ("--allow-webhook", "127.0.0.0/8", "--submit-wait", "0")
    server = Server(tmp_path / "data", mode, *options)
    headers, is_closing = {"Authorization": f"Bearer {TOKEN}"}, asyncio.Event()
    async with running_receiver() as receiver, aiohttp.ClientSession(headers=headers) as http:
        receiver.answer = answer
        try:
            await server.start()
            await add_webhook(http, server.url, receiver)
            async with asyncio.TaskGroup() as customers:
                for _ in range(4):
                    customers.create_task(order_and_cancel(http, server.url, is_closing))
                for _ in range(KILLS):
                    await asyncio.sleep(rng.uniform(0.5, 1.5))
                    server.kill()
                    await server.start()
                await asyncio.sleep(0.5)
                is_closing.set()
            receiver.answer = OK
            events = await events_of(http, server.url)

            async def is_told() -> bool:
                return not events.keys() - {each.n for each in receiver.received}

            await eventually(is_told, TOLD_S)
            assert faults_of(receiver, events) == []
            assert len(events) > 20
        finally:
            server.kill()
