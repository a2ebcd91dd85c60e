"""Two services, one of which has no fast path: the same bytes, and what came of them both ways.

Both are in the loop of the test, so it knows when a service has done all that it can. The time that
connections are closed by is a clock of the test, and commits can be held back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from typing import Any
from unittest import mock

from sanic.http import Stage
from sanic.server.protocols import http_protocol

from sanic_dispatch import app
from sanic_dispatch.core.events import Event
from sanic_dispatch.server import runner
from sanic_dispatch.web import fast_path, request_body
from tests.support.clock import FakeClock
from tests.support.http_requests import address_of
from tests.support.server import Service, running_service

STILL_TURNS = 6
"""After how many turns of the loop in which nothing has changed nothing will by itself."""

SETTLED_WITHIN_S = 20.0
SWITCHED = b"HTTP/1.1 101"

JOB_ID, RECEIPT = b"{job}", b"{receipt}"
"""What stands in requests for the job that was handed out last, and its receipt."""

_HANDED_OUT = re.compile(rb'job-receipt: (\w+).*?\{"Job":\{"id":"(\w+)"', re.DOTALL | re.IGNORECASE)


class Differs(AssertionError):
    """The two ways do not give the same."""


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Gate:
    """Holds back commits while it is closed."""

    def __init__(self, service: Service) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.waiting = 0
        for context in (service.app.ctx, *service.app.ctx.topics.values()):
            store = context.dispatcher._store
            store.commit = self._commit
            store.lasts = True  # or there is nothing to commit

    async def _commit(self, _: Any) -> None:
        self.waiting += 1
        await self.is_open.wait()
        self.waiting -= 1


class Client(asyncio.Protocol):
    """A connection that keeps all that it receives, also if it is reset."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.sent_bytes = 0
        self.is_over = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, _: Exception | None) -> None:
        self.is_over = True

    def send(self, data: bytes) -> None:
        """Send, if the server has not closed the connection."""
        if not self.is_over:
            self.sent_bytes += len(data)
            self.transport.write(data)


class Way:
    """A service, its connections, and what came of the requests to it."""

    def __init__(self, service: Service, made: dict[Any, Any]) -> None:
        self.service = service
        self.gate = Gate(service)
        self.clients: list[Client] = []
        self._protocols = made
        self._events: list[Event] = []
        self._contexts = (service.app.ctx, *service.app.ctx.topics.values())
        for context in self._contexts:
            context.dispatcher._bus.subscribe(self._events.extend)

    async def connect(self) -> None:
        """Open one more connection."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(Client, *address_of(self.service))
        self.clients.append(client)
        await self.settle(client)

    async def send(self, number: int, data: bytes) -> None:
        """Send bytes on the connection of this number, until all that comes of them has come."""
        client = self.clients[number]
        job_id, receipt = self._handed_out()
        client.send(data.replace(JOB_ID, job_id).replace(RECEIPT, receipt))
        await self.settle(client)

    def _handed_out(self) -> tuple[bytes, bytes]:
        """Return the job that was handed out last, and its receipt."""
        found = [_HANDED_OUT.findall(client.got) for client in self.clients]
        return next((pairs[-1][::-1] for pairs in reversed(found) if pairs), (b"0f1e", b"0f1e2d"))

    async def look_at_times(self) -> None:
        """Let each connection look whether its time is over, as its own timer does."""
        for client in self.clients:
            if not client.is_over:
                protocol = self._protocols[client.transport.get_extra_info("sockname")]
                protocol.check_timeouts()
                await self.settle(client)

    async def settle(self, client: Client) -> None:
        """Wait until nothing more happens on a connection by itself. Raises TimeoutError."""
        name = client.transport.get_extra_info("sockname")
        still, before = 0, None
        async with asyncio.timeout(SETTLED_WITHIN_S):
            while still < STILL_TURNS:
                await asyncio.sleep(0)
                protocol = self._protocols.get(name)
                now = len(client.got), client.is_over, self.gate.waiting
                is_still = now == before and self._is_done(client, protocol)
                still, before = still + 1 if is_still else 0, now

    def _is_done(self, client: Client, protocol: Any) -> bool:
        """Whether the server has all bytes, and does nothing but wait for more, or for a commit."""
        if client.is_over or client.got.startswith(SWITCHED):
            return True
        if protocol is None or protocol.received_bytes < client.sent_bytes:
            return False
        http = protocol.http
        if self.gate.waiting and http is not None and http.stage is Stage.HANDLER:
            return not self.gate.is_open.is_set()
        is_busy = protocol._task is not None and not protocol.waits_for_bytes
        return not is_busy and getattr(protocol, "_in_progress", None) is None

    def state(self) -> dict[str, Any]:
        """Return answers, connections, jobs, workers and events, which must be the same both ways.

        Random ids, times and numbers are masked.
        """
        state: dict[str, Any] = {}
        for number, client in enumerate(self.clients):
            state[f"connection {number}"] = masked(_until_switched(bytes(client.got)))
            state[f"connection {number} is over"] = client.is_over
        for context in self._contexts:
            topic, tables = context.settings.topic, context.dispatcher._machine.tables
            state[f"jobs {topic}"] = list(map(_shown, tables.jobs.unordered()))
            state[f"workers {topic}"] = list(map(_shown, tables.workers.unordered()))
        state["events"] = list(map(_shown, self._events))
        state["answers"] = dict(self.service.app.ctx.responses)
        return state


@lru_cache(5000)
def masked(answer: bytes) -> bytes:
    """Return the answer without random values: ids, receipts, request ids, times."""
    answer = re.sub(rb"[0-9a-f]{14,}", b"#", answer)
    answer = re.sub(rb"Date: [^\r]*", b"Date: @", answer)
    answer = re.sub(rb'"eta":\[[^]]*\]', b'"eta":@', answer)
    return re.sub(rb"\d{4}-\d\d-\d\dT[0-9:.]+", b"@", answer)


def _shown(record: Any) -> bytes:
    return masked(repr(record).encode())


def _until_switched(got: bytes) -> bytes:
    """Return what came in HTTP: frames of a websocket come as the time allows."""
    before, switched, after = got.partition(SWITCHED)
    return before + switched + after.partition(b"\r\n\r\n")[0]


class BothWays:
    """Two services to which the same happens."""

    def __init__(self, ways: tuple[Way, Way], clock: Clock) -> None:
        self._ways = ways
        self._clock = clock
        self.story: list[str] = []
        """What has happened, for people."""

    async def connect(self) -> int:
        """Open a connection to both; return its number."""
        await self._do("connect", Way.connect)
        return len(self._ways[0].clients) - 1

    async def send(self, number: int, data: bytes) -> bool:
        """Send on a connection. Return whether it still is one for HTTP; raise Differs."""
        await self._do(f"on {number} {data!r}", lambda way: way.send(number, data))
        client = self._ways[0].clients[number]
        return not client.is_over and SWITCHED not in client.got

    async def let_pass(self, time_s: float) -> None:
        """Let time pass, and connections close whose time is over. Raises Differs."""
        self._clock.now_s += time_s
        await self._do(f"{time_s:g} s", Way.look_at_times)

    def hold_commits(self) -> None:
        """From here on nothing is durable."""
        self.story.append("hold commits")
        for way in self._ways:
            way.gate.is_open.clear()

    async def release_commits(self) -> None:
        """Let all commits go on. Raises Differs."""
        for way in self._ways:
            way.gate.is_open.set()

        async def settle(way: Way) -> None:
            for client in way.clients:
                await way.settle(client)

        await self._do("release commits", settle)

    async def _do(self, what: str, act: Callable[[Way], Any]) -> None:
        self.story.append(what)
        await asyncio.gather(*map(act, self._ways))
        fast, plain = (way.state() for way in self._ways)
        for name, value in plain.items():
            if fast[name] != value:
                story = "\n  ".join(self.story)
                raise Differs(f"{story}\n{name}:\n{fast[name]!r}\nand from Sanic\n{value!r}")


@asynccontextmanager
async def both_ways(module: Any = fast_path, **settings: Any) -> AsyncIterator[BothWays]:
    """Run a service with the fast path of this module, and one without any.

    Within the block the clock of the test counts for connections of all services.
    """
    clock = Clock()
    async with AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(http_protocol, "current_time", clock))
        stack.enter_context(mock.patch.object(module, "monotonic", clock))
        stack.enter_context(mock.patch.object(request_body, "DRAIN_S", SETTLED_WITHIN_S))
        fast = await _running(stack, module.FastPathProtocol, settings)
        plain = await _running(stack, fast_path.PunctualProtocol, settings)
        yield BothWays((fast, plain), clock)


async def _running(stack: AsyncExitStack, protocol: Any, settings: dict[str, Any]) -> Way:
    made: dict[Any, Any] = {}

    class Watched(protocol):
        """Tells what it has received, and whether it waits for more."""

        __slots__ = ("received_bytes", "waits_for_bytes")

        def connection_made(self, transport: Any) -> None:
            self.received_bytes, self.waits_for_bytes = 0, False
            super().connection_made(transport)
            made[transport.get_extra_info("peername")] = self

        def data_received(self, data: bytes) -> None:
            self.received_bytes += len(data)
            super().data_received(data)

        async def _wait(self) -> None:
            self.waits_for_bytes = True
            try:
                await super()._wait()
            finally:
                self.waits_for_bytes = False

    with (
        mock.patch.object(runner, "FastPathProtocol", Watched),
        mock.patch.object(app, "SystemClock", FakeClock),
    ):
        service = await stack.enter_async_context(running_service(**settings))
    way = Way(service, made)
    stack.callback(_leave, way)
    return way


def _leave(way: Way) -> None:
    way.gate.is_open.set()
    for client in way.clients:
        client.transport.abort()
