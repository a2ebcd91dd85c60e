"""A TCP proxy with a network's faults: latency, broken connections, and silence."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from tests.support.relay import Relay

CHUNK = 65536


class FaultyLink(Relay):
    """Forwards connections inside ``async with``.

    ``latency_s`` is the least and the most time that each piece takes; ``resets`` is the share of
    answers in the middle of which the connection breaks. Answers that come within ``gathers_s``
    of the first one are passed on together. A ``black_hole`` swallows everything. At
    the next answer that contains ``loses`` the connection breaks, or with ``falls_silent`` becomes
    half-open: nothing arrives any more, and nobody is told.
    """

    def __init__(self, server_port: int, rng: random.Random) -> None:
        super().__init__()
        self.latency_s = (0.0, 0.0)
        self.resets = 0.0
        self.gathers_s = 0.0
        self.black_hole = False
        self.loses = b""
        self.falls_silent = False
        self.has_lost = asyncio.Event()
        """Set once an answer with ``loses`` is lost."""
        self.broken = 0
        """How many connections were reset."""
        self._server_port, self._random = server_port, rng

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        ways = [
            asyncio.create_task(self._pass(reader, to_server, resets=False)),
            asyncio.create_task(self._pass(from_server, writer, resets=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_server.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, resets: bool
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await asyncio.sleep(self._random.uniform(*self.latency_s))
                if resets and self.gathers_s:
                    chunk += await self._gather(reader)
                if self.black_hole:
                    await asyncio.Event().wait()
                if resets and self.loses and self.loses in chunk:
                    self.loses = b""
                    self.has_lost.set()
                    if self.falls_silent:
                        await asyncio.Event().wait()
                    return
                if resets and self._random.random() < self.resets:
                    self.broken += 1
                    writer.write(chunk[: len(chunk) // 2])
                    await writer.drain()
                    return
                writer.write(chunk)
                await writer.drain()

    async def _gather(self, reader: asyncio.StreamReader) -> bytes:
        gathered = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.gathers_s):
                while chunk := await reader.read(CHUNK):
                    gathered += chunk
        return gathered
