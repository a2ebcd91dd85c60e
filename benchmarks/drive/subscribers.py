"""Websocket subscribers that only count the bytes they receive."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from benchmarks.drive.servers import Server

HANDSHAKE = (
    "GET /{path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
TEXT, MASK = 0x81, 0x80
PING = b"\x89\x00"
PONG = b"\x8a\x80\x00\x00\x00\x00"
"""Masked with zeros, as a client has to mask."""


def masked(data: bytes) -> bytes:
    """Return the frame of a text, masked with zeros; it has at most 64 KiB."""
    size = len(data)
    head = bytes([MASK | size]) if size < 126 else bytes([MASK | 126]) + size.to_bytes(2, "big")
    return bytes([TEXT]) + head + bytes(4) + data


class Subscriber(asyncio.Protocol):
    """A subscriber of a view."""

    def __init__(self) -> None:
        self.received = 0
        self.is_cut = False
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def join(self, path: str) -> None:
        """Send the handshake."""
        self._transport.write(HANDSHAKE.format(path=path).encode())

    async def ask(self, message: str) -> None:
        """Send a message, and return once something has come after that: the reply."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(masked(message.encode()))
        await self._answered

    def leave(self) -> None:
        """Abort the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self.joined.done():
            self.joined.set_result(None)
            return
        if PING in data:
            self._transport.write(PONG)
        if data != PING and self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        self.is_cut = True


@asynccontextmanager
async def subscribers(
    server: Server, count: int, path: str = "live"
) -> AsyncIterator[list[Subscriber]]:
    """Connect ``count`` subscribers to a view."""
    loop = asyncio.get_running_loop()
    crowd = []
    for _ in range(count):
        _, one = await loop.create_connection(Subscriber, server.host, server.port)
        one.join(path)
        await one.joined
        crowd.append(one)
    try:
        yield crowd
    finally:
        for one in crowd:
            one.leave()


@asynccontextmanager
async def subscribers_apart(server: Server, count: int) -> AsyncIterator[None]:
    """Connect them in another process with the lowest priority.

    Their reading should not delay the measuring process.
    """
    pipe, end = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_follow, args=(server, count, end), daemon=True)
    process.start()
    await asyncio.to_thread(pipe.recv)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _follow(server: Server, count: int, pipe: Connection) -> None:
    os.nice(19)

    async def follow() -> None:
        async with subscribers(server, count):
            pipe.send("all have joined")
            await asyncio.Event().wait()

    uvloop.run(follow())
