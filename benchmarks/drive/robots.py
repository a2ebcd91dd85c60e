"""Workers that register, take a job, and register again with a new callback.

All their callbacks are served on one socket, which answers as a process engine does: 200 to a PUT
on a callback that waits, 503 on any other; a GET tells whether it still waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from itertools import repeat
from typing import cast

from benchmarks.drive import wire
from benchmarks.drive.load import Connection, connect, size_of_first, status_of
from benchmarks.drive.servers import Server

Took = Callable[[int, float], None]
"""Called for each order that a robot got: its number, and when (``time.perf_counter``)."""

SLOW_S = 0.5


class Manner(Enum):
    """How a worker responds to the PUT of a job."""

    PROMPT = auto()
    SLOW = auto()
    """It responds late."""
    DEAD = auto()
    """It accepts the connection and never responds."""


class Robots:
    """The workers of one server."""

    def __init__(
        self,
        server: Server,
        took: Took,
        *,
        keyed: bool = True,
        service_s: float = 0.0,
        manners: Iterator[Manner] | None = None,
    ) -> None:
        self.server = server
        self.took = took
        self.keyed = keyed
        self.service_s = service_s
        self.manners = manners or repeat(Manner.PROMPT)
        self.host = ""
        self.done: Callable[[int], None] = lambda _: None
        """Called with the number of an order just before its robot registers again."""
        self._robots: list[Robot] = []
        self._listening: asyncio.Server | None = None

    async def listen(self) -> None:
        """Listen for callbacks."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: _Callbacks(self), "127.0.0.1", 0)
        self.host = f"127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def come(self, count: int) -> None:
        """Register ``count`` more robots."""
        for number in range(count):
            robot = Robot(self, number, await connect(self.server))
            self._robots.append(robot)
            robot.register()

    def leave(self) -> None:
        """Close all connections, without deregistering."""
        for robot in self._robots:
            robot.connection.close()
        if self._listening:
            self._listening.close()

    def called(self, method: bytes, path: str, body: bytes, reply: Callable[[int], None]) -> None:
        """Handle a request to ``/<robot>/callbacks/<id>/``, or about the robot's instance."""
        number = path.split("/")[1]
        robot = self._robots[int(number)] if self._robots else None
        if robot is None:
            self.took(wire.number_in(body) or 0, time.perf_counter())
            reply(200)
        elif method == b"PUT":
            robot.put(path, body, reply)
        else:
            reply(200 if path == robot.callback or path.endswith("state/") else 404)


class Robot:
    """One robot, with a connection of its own."""

    def __init__(self, crew: Robots, number: int, connection: Connection) -> None:
        self.connection = connection
        self.callback = ""
        self._crew = crew
        self._number = number
        self._calls = 0
        self._manner = Manner.PROMPT
        self._is_answered = self._has_job = False
        self._order = 0

    def register(self) -> None:
        """Register with a new callback."""
        self._calls += 1
        self._is_answered = self._has_job = False
        self._manner = next(self._crew.manners)
        self.callback = f"/{self._number}/callbacks/{self._calls:032x}/"
        headers = wire.instance_headers(self._crew.host, self._number) if self._crew.keyed else ""
        url = f"http://{self._crew.host}{self.callback}"
        self.connection.ask(wire.registration(url, headers), self._answered)

    def put(self, path: str, body: bytes, reply: Callable[[int], None]) -> None:
        """Handle the PUT of a job."""
        if path != self.callback:
            reply(503)
        elif self._manner is Manner.DEAD:
            # This call stays unanswered; another worker registers in its place.
            self._go_on()
        elif self._manner is Manner.SLOW:
            asyncio.get_running_loop().call_later(SLOW_S, self._take, body, reply)
        else:
            self._take(body, reply)

    def _answered(self, answer: bytes) -> None:
        self._is_answered = True
        if status_of(answer) == 200 and not self._has_job:
            self._take(answer, lambda _: None)
        elif self._has_job:
            self._work()

    def _take(self, body: bytes, reply: Callable[[int], None]) -> None:
        self._order = wire.number_in(body) or 0
        self._crew.took(self._order, time.perf_counter())
        reply(200)
        self._go_on()

    def _go_on(self) -> None:
        self.callback, self._has_job = "", True
        if self._is_answered:
            self._work()

    def _work(self) -> None:
        if self._crew.service_s:
            asyncio.get_running_loop().call_later(self._crew.service_s, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        self._crew.done(self._order)
        self.register()


class _Callbacks(asyncio.Protocol):
    def __init__(self, crew: Robots) -> None:
        self._crew = crew
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while size := size_of_first(self._rest):
            request, self._rest = self._rest[:size], self._rest[size:]
            head, _, body = request.partition(b"\r\n\r\n")
            method, path, _ = head.split(b" ", 2)
            self._crew.called(method, path.decode(), body, self._reply)

    def _reply(self, status: int) -> None:
        body = b"running" if status == 200 else b""
        head = f"HTTP/1.1 {status} Answered\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


@asynccontextmanager
async def robots(
    server: Server,
    count: int,
    took: Took,
    *,
    keyed: bool = True,
    service_s: float = 0.0,
    manners: Iterator[Manner] | None = None,
) -> AsyncIterator[Robots]:
    """Run ``count`` robots inside the block; with 0, a listener that takes any job."""
    crew = Robots(server, took, keyed=keyed, service_s=service_s, manners=manners)
    await crew.listen()
    try:
        await crew.come(count)
        yield crew
    finally:
        crew.leave()
