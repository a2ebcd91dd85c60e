"""Workers at websockets that accept each job, report it done at once, and register again."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.drive import wire
from benchmarks.drive.robots import Took
from benchmarks.drive.servers import Server
from benchmarks.drive.subscribers import PING, PONG, TEXT, Subscriber, masked

Message = Mapping[str, Mapping[str, str]]

JOB, OK = b'{"job":', b'{"ok":'


class Tablet(Subscriber):
    """A worker at a websocket."""

    def __init__(self, name: str, took: Took) -> None:
        super().__init__()
        self.waits = asyncio.Event()
        self._took = took
        self._register = {"register": {"worker": name}}
        self._to_say: Iterator[Message] = iter(())
        self._rest = b""

    def register(self) -> None:
        """Register."""
        self.waits.clear()
        self._say(self._register)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self.joined.done():
            head, end, self._rest = self._rest.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self.joined.set_result(None)
        while frame := self._next_frame():
            self._take(frame)

    def _next_frame(self) -> bytes:
        """Remove and return the first frame; empty if it is not complete."""
        rest = self._rest
        length, begin = (rest[1], 2) if len(rest) > 1 else (0, 2)
        if length == 126 and len(rest) > 3:
            (length,), begin = struct.unpack(">H", rest[2:4]), 4
        if len(rest) < begin + length:
            return b""
        self._rest = rest[begin + length :]
        return rest[:1] + rest[begin : begin + length]

    def _take(self, frame: bytes) -> None:
        said = frame[1:]
        if frame[0] == PING[0]:
            self._transport.write(PONG)
        elif frame[0] == TEXT and said.startswith(JOB):
            self._took(wire.number_in(said) or 0, time.perf_counter())
            job = json.loads(said)["job"]
            report = {"job": job["id"], "receipt": job["receipt"]}
            self._to_say = iter([{"done": report}, self._register])
            self._say({"accept": report})
        elif said.startswith(OK):
            message = next(self._to_say, None)
            if message:
                self._say(message)
            else:
                self.waits.set()

    def _say(self, message: Message) -> None:
        self._transport.write(masked(json.dumps(message).encode()))


@asynccontextmanager
async def tablets(server: Server, count: int, took: Took) -> AsyncIterator[None]:
    """Have ``count`` of them wait, in one line; ``took`` is called as by robots."""
    loop = asyncio.get_running_loop()
    crowd = []
    try:
        for number in range(count):
            new = partial(Tablet, f"tablet-{number}", took)
            _, one = await loop.create_connection(new, server.host, server.port)
            crowd.append(one)
            one.join("work")
            await one.joined
            one.register()
            await one.waits.wait()
        yield
    finally:
        for one in crowd:
            one.leave()
