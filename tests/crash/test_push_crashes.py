"""kill -9 at each step of telling a phone: nothing is lost, and repeats carry the same topic."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from sanic_dispatch.config.settings import Mode
from tests.crash.server import DURABLE, TOKEN, Server
from tests.support.leftovers import files_with
from tests.support.phone_order import PhoneOrder
from tests.support.receiver import OK, Received, running_receiver

STEPS = {
    "received": b"",
    "half answered": b"HTTP/1.1 201 Cre",
    "answered": OK,
}
"""What the push service has answered when the service is killed."""


class Killer:
    """Kills the server at the first message of a kind, once it has answered so."""

    def __init__(self, server: Server, order: PhoneOrder, answer: bytes) -> None:
        self._server, self._order, self._answer = server, order, answer
        self._kind = ""
        self._killed = asyncio.Event()

    async def answer(self, writer: asyncio.StreamWriter, message: Received) -> None:
        """Answer as a push service does."""
        if self._order.phone.read(message).kind != self._kind or self._killed.is_set():
            writer.write(OK)
            return
        writer.write(self._answer)
        await writer.drain()
        self._server.kill()
        self._killed.set()

    def wait_for(self, kind: str) -> None:
        """Let the next message of a kind be the last one of this life."""
        self._kind, self._killed = kind, asyncio.Event()

    async def start_again(self) -> None:
        """Wait for the kill, and start the server again."""
        async with asyncio.timeout(20):
            await self._killed.wait()
        await self._server.start()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", DURABLE, ids=str)
@pytest.mark.parametrize("answer", STEPS.values(), ids=STEPS)
async def test_a_killed_server_goes_on_telling(mode: Mode, answer: bytes, tmp_path: Path) -> None:
    """While each message is under way, and right after the subscription."""
    (tmp_path / "data").mkdir()
    options = ("--allow-push", "127.0.0.0/8", "--submit-wait", "0")
    server = Server(tmp_path / "data", mode, *options)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with running_receiver() as receiver, aiohttp.ClientSession(headers=headers) as http:
        order = PhoneOrder(http, receiver)
        endpoint = order.phone.endpoint.encode()
        killer = Killer(server, order, answer)
        receiver.answer = killer.answer
        try:
            await server.start()
            await order.submit(server.url)
            assert files_with(tmp_path / "data", endpoint)
            server.kill()
            await server.start()
            killer.wait_for("making")
            await order.make(server.url)
            await killer.start_again()
            killer.wait_for("ready")
            with suppress(aiohttp.ServerDisconnectedError):  # the phone may be told before
                await order.finish(server.url)
            await killer.start_again()
            await order.ended(server.url)
            assert order.faults() == []
            assert await server.stop() == 0
            assert files_with(tmp_path / "data", endpoint) == []
            assert order.phone.endpoint not in server.log.read_text()
        finally:
            server.kill()
