"""The load: hand-written HTTP/1.1 over raw sockets, so that it costs next to nothing.

A connection has one request under way. ``Clients`` are a closed loop: each sends its next request
when it has the answer to its last. ``OpenLoop`` sends at fixed times, whatever became of the ones
before, and counts from the time at which it should have sent.
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
"""How long before its time a request is no longer left to the loop's timers, which know only
milliseconds: the loop is spun until the time has come."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


def size_of_first(data: bytes) -> int:
    """How many bytes the first message has; 0 where it is not all there yet."""
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
    """The status of a response."""
    return int(answer[9:12])


class Connection(asyncio.Protocol):
    """A connection to a server: asks, and hands each answer to whoever asked."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answered: Callable[[bytes], None] | None = None
        self._rest = b""

    @property
    def is_open(self) -> bool:
        """Whether neither side has hung up."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, answered: Callable[[bytes], None]) -> None:
        """Send; ``answered`` gets the response, or nothing at all if the connection breaks."""
        assert self._transport
        self._answered = answered
        self._transport.write(request)

    def close(self) -> None:
        """Hang up, whatever is under way."""
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
    """A new connection."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, server.host, server.port)
    return connection


async def ask(connection: Connection, request: bytes) -> bytes:
    """One request and its answer."""
    answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    connection.ask(request, answer.set_result)
    return await answer


@dataclass
class Round:
    """What came of one round of load."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    took_s: float = 0.0
    server_s: float = 0.0
    load_s: float = 0.0
    """Processor time of the server and of the load."""

    @property
    def done(self) -> int:
        """How many were answered."""
        return len(self.latencies_s)

    @property
    def per_s(self) -> float:
        """How many were answered in a second."""
        return self.done / self.took_s

    @property
    def server_us(self) -> float:
        """Processor time of the server for one of them, microseconds."""
        return self.server_s / max(self.done, 1) * 1e6

    @property
    def load_share(self) -> float:
        """How busy the load's core was with it: near 1, the load is what is measured."""
        return self.load_s / self.took_s


class Clients:
    """So many at a time, each one request after the other."""

    def __init__(self, server: Server, connections: list[Connection]) -> None:
        self._server = server
        self._connections = connections

    async def send(
        self, request: Callable[[], bytes], *, seconds: float = 1e9, count: int = 10**9
    ) -> Round:
        """Send for so many seconds, or so many in all; returns when all are answered."""
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
    """So many clients of a server, connected; gives ``Clients``."""
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
    """Calls ``send(number, due_s)`` at fixed times (``time.perf_counter``), on time or late."""

    def __init__(self, per_s: float, seconds: float, send: Callable[[int, float], None]) -> None:
        self._send = send
        self._began_s = time.perf_counter() + NEAR_S
        self._times = self._due(per_s, seconds)
        self._next = next(self._times)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.late_s = 0.0
        """How late the load itself was at most: should be far below what is measured."""

    async def run(self) -> None:
        """Returns when the last one was sent; nobody knows then what became of it."""
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
    """Connections for whoever needs one now; there are more when all are in use."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free: list[Connection] = []
        self._all: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, count: int) -> None:
        """Have so many ready."""
        for _ in range(count):
            self._free.append(await self._connect())

    def ask(self, request: bytes, answered: Callable[[bytes], None]) -> None:
        """Send at once, or as soon as there is one more connection."""
        while self._free:  # the server hangs up on those that were idle for long
            if (connection := self._free.pop()).is_open:
                self._ask(connection, request, answered)
                return
        task = asyncio.create_task(self._ask_on_a_new_one(request, answered))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Hang up on all."""
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
