"""The load: hand-written HTTP/1.1 on raw sockets, so that it costs next to nothing.

A connection has one request in flight. ``Clients`` are a closed loop: each sends its next request
when it has the answer to its last. ``OpenLoop`` sends at fixed times regardless of earlier answers,
and measures from the time a request was due, so that a stall counts for every request it delays.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from benchmarks.drive.servers import Server

NEAR_S = 0.002
"""How long before its time a request is busy-waited for: the loop's timers have a resolution of
only a millisecond."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


def size_of_first(data: bytes) -> int:
    """Return the size of the first complete message in the data, or 0 if there is none."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    if length := _LENGTH.search(data, 0, head):
        size = head + 4 + int(length[1])
        return size if len(data) >= size else 0
    if data.find(b"chunked", 0, head) < 0:
        return head + 4
    end = data.find(_LAST_CHUNK, head)
    return 0 if end < 0 else end + len(_LAST_CHUNK)


def status_of(answer: bytes) -> int:
    """Return the status of a response."""
    return int(answer[9:12])


class Connection(asyncio.Protocol):
    """A connection to a server that passes each response to the request's callback."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: Callable[[bytes], None] | None = None
        self._rest = b""

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed the connection."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, answered: Callable[[bytes], None]) -> None:
        """Send a request; ``answered`` gets the response.

        It is never called if the connection breaks.
        """
        assert self._transport
        self._answered = answered
        self._transport.write(request)

    def close(self) -> None:
        """Abort the connection, with any request in flight."""
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not size_of_first(data):
            self._rest = data
        elif self._answered:
            self._answered(data)


async def connect(server: Server) -> Connection:
    """Open a connection."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, server.host, server.port)
    return connection


async def ask(connection: Connection, request: bytes) -> bytes:
    """Send one request and return its response."""
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    connection.ask(request, answer.set_result)
    return await answer


@dataclass
class Round:
    """The results of one round of load."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    took_s: float = 0.0
    server_s: float = 0.0
    load_s: float = 0.0
    """CPU time of the server and of the load."""

    @property
    def done(self) -> int:
        """The number of responses."""
        return len(self.latencies_s)

    @property
    def per_s(self) -> float:
        """Responses per second."""
        return self.done / self.took_s

    @property
    def server_us(self) -> float:
        """CPU time of the server per response, microseconds."""
        return self.server_s / max(self.done, 1) * 1e6

    @property
    def load_share(self) -> float:
        """How busy the load's own core was: near 1, the load is the bottleneck."""
        return self.load_s / self.took_s


class Clients:
    """A closed loop: each client sends one request after the other."""

    def __init__(self, server: Server, connections: list[Connection]) -> None:
        self._server = server
        self._connections = connections

    async def send(
        self, request: Callable[[], bytes], *, seconds: float = 1e9, count: int = 10**9
    ) -> Round:
        """Send for a time or a number of requests; return when all are answered."""
        for at, connection in enumerate(self._connections):
            if not connection.is_open:  # the server closes idle connections
                self._connections[at] = await connect(self._server)
        pump = _Pump(request, time.perf_counter() + seconds, count)
        server_s, load_s = self._server.cpu_s(), time.process_time()
        began_s = time.perf_counter()
        await pump.run(self._connections)
        pump.round.took_s = time.perf_counter() - began_s
        pump.round.server_s = self._server.cpu_s() - server_s
        pump.round.load_s = time.process_time() - load_s
        return pump.round


@asynccontextmanager
async def clients(server: Server, count: int) -> Any:
    """Connect ``count`` clients to a server, and yield ``Clients``."""
    connections = [await connect(server) for _ in range(count)]
    try:
        yield Clients(server, connections)
    finally:
        for connection in connections:
            connection.close()


class _Pump:
    def __init__(self, request: Callable[[], bytes], until_s: float, count: int) -> None:
        self.round = Round()
        self._request = request
        self._until_s = until_s
        self._left = count
        self._under_way = 0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, connections: list[Connection]) -> None:
        for connection in connections:
            self._next(connection)
        if self._under_way:
            await self._over

    def _next(self, connection: Connection) -> None:
        now_s = time.perf_counter()
        if not self._left or now_s >= self._until_s:
            return
        self._left -= 1
        self._under_way += 1
        connection.ask(self._request(), lambda answer: self._answered(connection, now_s, answer))

    def _answered(self, connection: Connection, sent_s: float, answer: bytes) -> None:
        self.round.latencies_s.append(time.perf_counter() - sent_s)
        self.round.statuses[status_of(answer)] += 1
        self._under_way -= 1
        self._next(connection)
        if not self._under_way and not self._over.done():
            self._over.set_result(None)


class OpenLoop:
    """Calls ``send(number, due_s)`` at fixed times of ``time.perf_counter``, on time or late."""

    def __init__(self, per_s: float, seconds: float, send: Callable[[int, float], None]) -> None:
        self._send = send
        self._began_s = time.perf_counter() + NEAR_S
        self._times = self._due(per_s, seconds)
        self._next = next(self._times)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.late_s = 0.0
        """The longest delay in sending a request, in seconds; far below what is measured."""

    async def run(self) -> None:
        """Return when the last request was sent, answered or not."""
        self._spin()
        await self._over

    def _due(self, per_s: float, seconds: float) -> Iterator[tuple[int, float]]:
        for number in range(int(per_s * seconds)):
            yield number, self._began_s + number / per_s

    def _spin(self) -> None:
        loop = asyncio.get_running_loop()
        number, due_s = self._next
        wait_s = due_s - time.perf_counter()
        if wait_s > NEAR_S:
            loop.call_later(wait_s - NEAR_S, self._spin)
            return
        if wait_s <= 0:
            self.late_s = max(self.late_s, -wait_s)
            self._send(number, due_s)
            following = next(self._times, None)
            if following is None:
                self._over.set_result(None)
                return
            self._next = following
        loop.call_soon(self._spin)


class Pool:
    """Connections that grow in number when all are in use."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free: list[Connection] = []
        self._all: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, count: int) -> None:
        """Open ``count`` connections in advance."""
        for _ in range(count):
            self._free.append(await self._connect())

    def ask(self, request: bytes, answered: Callable[[bytes], None]) -> None:
        """Send on a free connection, or on a new one if there is none."""
        while self._free:  # the server closes idle connections
            if (connection := self._free.pop()).is_open:
                self._ask(connection, request, answered)
                return
        task = asyncio.create_task(self._ask_on_a_new_one(request, answered))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Abort all connections."""
        for connection in self._all:
            connection.close()

    async def _ask_on_a_new_one(self, request: bytes, answered: Callable[[bytes], None]) -> None:
        self._ask(await self._connect(), request, answered)

    def _ask(
        self, connection: Connection, request: bytes, answered: Callable[[bytes], None]
    ) -> None:
        def returned(answer: bytes) -> None:
            self._free.append(connection)
            answered(answer)

        connection.ask(request, returned)

    async def _connect(self) -> Connection:
        connection = await connect(self._server)
        self._all.append(connection)
        return connection
