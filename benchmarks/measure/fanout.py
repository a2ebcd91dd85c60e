"""One change to many subscribers: the time until the last of them has it.

Four ways in one process, on one event loop, take turns: our hub; a plain loop of
``await ws.send`` over Sanic's websockets; ``websockets.broadcast`` of the websockets library; and
the floor, a bare loop of ``transport.write`` with ready bytes. The subscribers are sockets of a
second process, which reports when the last one has its frame. Only ours folds a real event and
composes and paces the frame; the others send a ready text.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import select
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from statistics import median, quantiles
from typing import Any

from sanic import Request, Sanic
from sanic.server.websockets.impl import WebsocketImplProtocol
from websockets import broadcast
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.drive import machine
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side
from benchmarks.drive.subscribers import HANDSHAKE
from benchmarks.report.tables import Report, Table
from sanic_dispatch.app import new_context
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.live.connection import ViewKey
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.server.sockets import allow_open_files
from sanic_dispatch.web.context import Context
from sanic_dispatch.web.routes.live_channel import live

PAUSE_S = 0.4
"""Pause between two measurements, so that nothing of the one is left in the other."""

Way = Callable[[], Awaitable[None]]
Timings = dict[str, list[tuple[float, float]]]
"""By way: milliseconds until the last subscriber has it, and microseconds of CPU time."""


class Audience:
    """The subscribers of one way, in the second process."""

    def __init__(self, port: int, path: str, size: int) -> None:
        self._sockets = [self._join(port, path) for _ in range(size)]
        # Edge-triggered: each socket reports once, and is not read while others still wait.
        self._arrivals = select.epoll()
        for sock in self._sockets:
            self._arrivals.register(sock, select.EPOLLIN | select.EPOLLET)

    def drain(self) -> None:
        """Discard what has been received."""
        while self._arrivals.poll(0.2):
            for sock in self._sockets:
                self._receive(sock)

    def last(self) -> float:
        """Return when the last subscriber has received something."""
        heard: set[int] = set()
        while len(heard) < len(self._sockets):
            heard.update(fd for fd, _ in self._arrivals.poll())
        return time.monotonic()

    def _join(self, port: int, path: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(HANDSHAKE.format(path=path).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(65536)
        assert b" 101 " in answer
        sock.setblocking(False)
        return sock

    def _receive(self, sock: socket.socket) -> None:
        with suppress(BlockingIOError):
            if not sock.recv(65536):
                raise ConnectionError("a subscriber was cut off")


def second_process(pipe: Connection, places: list[tuple[int, str]], size: int) -> None:
    """Connect all audiences, then measure on command: a number of one in, its time out."""
    machine.stay_off_the_servers_core()
    audiences = [Audience(port, path, size) for port, path in places]
    for audience in audiences:
        audience.drain()
    pipe.send(0.0)
    while (number := pipe.recv()) is not None:
        audiences[number].drain()
        pipe.send(0.0)
        pipe.send(audiences[number].last())


class FanoutServer:
    """A server for all four ways of sending, in one process."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.hub = Hub(self.bus, SystemClock())
        self.sockets: list[WebsocketImplProtocol] = []
        self.connections: set[ServerConnection] = set()
        self._tickets = 0

    def app(self) -> Sanic[Any, Context]:
        """Serve ``/live`` by the hub; ``/plain`` keeps Sanic's websockets in a list."""
        app: Sanic[Any, Context] = Sanic(
            f"fanout-{id(self)}",
            ctx=new_context(Settings().with_operator_token()),
            configure_logging=False,
        )
        # The subscribers would not answer a ping.
        app.config.update(ACCESS_LOG=False, AUTO_EXTEND=False, TOUCHUP=False)
        app.config.WEBSOCKET_PING_INTERVAL = None
        app.ctx.hub = self.hub
        app.blueprint(live.copy(live.name))  # others may be made in this process
        app.add_websocket_route(self.join, "/plain")
        return app

    async def join(self, _: Request, ws: WebsocketImplProtocol) -> None:
        """Wait until the client leaves."""
        self.sockets.append(ws)
        await ws.recv()

    async def connected(self, connection: ServerConnection) -> None:
        """Wait until the client of the websockets library leaves."""
        self.connections.add(connection)
        await connection.wait_closed()

    async def push_by_hub(self) -> None:
        """Publish an event."""
        self._tickets += 1
        now_s, ticket = time.time(), self._tickets
        data = b'{"drink":"Mojito","logo":"lion"}'
        job = Job(f"{ticket:032x}", ticket, data, to_rfc3339(now_s), float(ticket))
        self.bus.publish([Event(ticket, EventKind.JOB_SUBMITTED, now_s, job, None, "")])

    async def push_by_loop(self) -> None:
        """Send to one after the other."""
        text = self.text()
        for ws in self.sockets:
            await ws.send(text)

    async def broadcast(self) -> None:
        """Send by ``websockets.broadcast``."""
        broadcast(self.connections, self.text())

    async def floor(self) -> None:
        """Only make the system calls, to the clients of the plain loop."""
        data = self.text().encode()
        frame = b"\x81\x7e" + len(data).to_bytes(2, "big") + data
        for ws in self.sockets:
            assert ws.io_proto
            assert ws.io_proto.transport
            ws.io_proto.transport.write(frame)

    def text(self) -> str:
        """Return a text as long as a frame of ours."""
        return self.hub.state_frame(ViewKey("board")).json.decode()[:260]


async def seat(pipe: Connection) -> None:
    """Wait until everybody is connected, while the servers go on."""
    while not pipe.poll():  # noqa: ASYNC110 - it is a pipe
        await asyncio.sleep(0.05)
    pipe.recv()


async def one_change(pipe: Connection, number: int, change: Way) -> tuple[float, float]:
    """Return milliseconds until the last subscriber has it, and microseconds of CPU time."""
    pipe.send(number)
    await seat(pipe)
    await asyncio.sleep(PAUSE_S)
    work_s, began_s = time.process_time(), time.monotonic()
    await change()
    while not pipe.poll():  # noqa: ASYNC110 - it is a pipe
        await asyncio.sleep(0.005)
    return (pipe.recv() - began_s) * 1e3, (time.process_time() - work_s) * 1e6


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure all audience sizes."""
    allow_open_files()
    with machine.on(machine.server_cores()), machine.receiving_apart() as is_apart:
        taken = {size: await compare(size, plan.rounds * 3) for size in plan.crowds}
    return report(taken, "the load's core" if is_apart else "the sender's core")


async def compare(size: int, rounds: int) -> Timings:
    """Run all ways on one loop."""
    server_side = FanoutServer()
    server_side.hub.start()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        server = await server_side.app().create_server(sock=sock, return_asyncio_server=True)
        assert server
        await server.startup()  # type: ignore[no-untyped-call]
        plain = sock.getsockname()[1]
        async with serve(
            server_side.connected, "127.0.0.1", 0, compression=None, ping_interval=None
        ) as other:
            library = next(iter(other.sockets)).getsockname()[1]
            places = [(plain, "live"), (plain, "plain"), (library, "")]
            taken = await take_turns(server_side, places, size, rounds)
    server.close()  # type: ignore[no-untyped-call]
    server_side.hub.stop()
    return taken


async def take_turns(
    server_side: FanoutServer, places: list[tuple[int, str]], size: int, rounds: int
) -> Timings:
    """Measure all ways in turns."""
    pipe, end = multiprocessing.Pipe()
    process = multiprocessing.Process(target=second_process, args=(end, places, size), daemon=True)
    process.start()
    await seat(pipe)
    ways: list[tuple[str, int, Way]] = [
        ("hub", 0, server_side.push_by_hub),
        ("await ws.send", 1, server_side.push_by_loop),
        ("websockets.broadcast", 2, server_side.broadcast),
        ("bare transport.write", 1, server_side.floor),
    ]
    taken: Timings = {name: [] for name, _, _ in ways}
    for _ in range(rounds + 1):
        for name, audience, change in ways:
            taken[name].append(await one_change(pipe, audience, change))
    pipe.send(None)
    process.join()
    return {name: times[1:] for name, times in taken.items()}


def report(taken: Mapping[int, Timings], where: str) -> Report:
    """Report a table per audience size."""
    title = f"One change to all subscribers, until the last one has it; received on {where}"
    tables = [table(size, ways) for size, ways in taken.items()]
    return Report("fanout", title, tables, {str(size): data(taken[size], size) for size in taken})


def table(size: int, ways: Timings) -> Table:
    """Return the medians and their ratios to the hub's."""
    hub_ms, hub_us = (median(values) for values in zip(*ways["hub"], strict=True))
    rows = []
    for name, rounds in ways.items():
        times, work = zip(*rounds, strict=True)
        rows.append(
            [
                name,
                f"{median(times) / hub_ms:.2f}",
                f"{median(times):.1f} ms",
                f"{quantiles(times, n=10)[-1]:.1f} ms",
                f"{median(work) / size:.1f} µs",
                f"{median(work) / hub_us:.2f}",
            ]
        )
    heads = ["way", "× hub", "median", "p90", "CPU each", "× hub"]
    return Table(heads, rows, f"{size:,} subscribers")


def data(ways: Timings, size: int) -> dict[str, Any]:
    """Return the numbers by round."""
    return {
        name: {"ms": [ms for ms, _ in rounds], "us_each": [us / size for _, us in rounds]}
        for name, rounds in ways.items()
    }
