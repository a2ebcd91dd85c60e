"""One change to many subscribers: how long until the last of them has it.

    python -m benchmarks.fanout [--subscribers 2000] [--rounds 30]

Three ways in one process, on the same event loop, taking turns: our hub; a plain loop of
``await ws.send`` over Sanic's websockets; ``websockets.broadcast`` over those of the websockets
library. The subscribers are sockets of a second process, which says when the last one has its
frame. Ours folds a real event, composes the frame, and pushes it in slices; the other two get
their text for nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import selectors
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from statistics import median, quantiles
from typing import Any

import uvloop
from sanic import Request, Sanic
from sanic.server.websockets.impl import WebsocketImplProtocol
from websockets import broadcast
from websockets.asyncio.server import ServerConnection, serve

from sanic_dispatch.clock import SystemClock, to_rfc3339
from sanic_dispatch.events import Events, Kind, Note
from sanic_dispatch.job import Job
from sanic_dispatch.live.hub import Hub, Topic
from sanic_dispatch.web.live import live

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
PAUSE_S = 0.4
"""Between two measurements, so that nothing of the one is left in the other."""

Way = Callable[[], Awaitable[None]]


class Audience:
    """The subscribers of one way, in the second process."""

    def __init__(self, port: int, path: str, size: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._size = size
        for _ in range(size):
            self._selector.register(self._join(port, path), selectors.EVENT_READ)

    def drain(self) -> None:
        """Throw away what is there."""
        while ready := self._selector.select(0.2):
            for key, _ in ready:
                self._receive(key.fileobj)

    def last(self) -> float:
        """When the last one has got something."""
        missing = self._size
        heard: set[int] = set()
        while missing:
            for key, _ in self._selector.select():
                self._receive(key.fileobj)
                missing -= key.fd not in heard
                heard.add(key.fd)
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

    def _receive(self, sock: Any) -> None:
        with suppress(BlockingIOError):
            if not sock.recv(65536):
                raise ConnectionError("a subscriber was cut off")


def second_process(pipe: Connection, places: list[tuple[int, str]], size: int) -> None:
    """Seat all audiences, then measure as told: the number of a way in, the time out."""
    audiences = [Audience(port, path, size) for port, path in places]
    for audience in audiences:
        audience.drain()
    pipe.send(0.0)
    while (way := pipe.recv()) is not None:
        audiences[way].drain()
        pipe.send(0.0)
        pipe.send(audiences[way].last())


class Stage:
    """The three ways, in one process."""

    def __init__(self) -> None:
        self.events = Events()
        self.hub = Hub(self.events, SystemClock())
        self.sockets: list[WebsocketImplProtocol] = []
        self.connections: set[ServerConnection] = set()
        self._tickets = 0

    def app(self) -> Sanic[Any, Any]:
        """``/live`` is ours; ``/plain`` keeps Sanic's websockets in a list."""
        app: Sanic[Any, Any] = Sanic("fanout", configure_logging=False)
        app.config.update(TOUCHUP=False, AUTO_EXTEND=False, ACCESS_LOG=False)
        app.ctx.hub = self.hub
        app.blueprint(live)
        app.add_websocket_route(self.join, "/plain")
        return app

    async def join(self, _: Request, ws: WebsocketImplProtocol) -> None:
        """Wait until the client leaves."""
        self.sockets.append(ws)
        await ws.recv()

    async def connected(self, connection: ServerConnection) -> None:
        """The same for the websockets library."""
        self.connections.add(connection)
        await connection.wait_closed()

    async def ours(self) -> None:
        """An event happens: the hub does the rest."""
        self._tickets += 1
        now_s, ticket = time.time(), self._tickets
        data = b'{"drink":"Mojito","logo":"lion"}'
        job = Job(f"{ticket:032x}", ticket, data, to_rfc3339(now_s), float(ticket))
        self.events.publish(Note(Kind.JOB_SUBMITTED, now_s), job=job)

    async def plain(self) -> None:
        """One after the other."""
        text = self.text()
        for ws in self.sockets:
            await ws.send(text)

    async def broadcast(self) -> None:
        """What the websockets library has for it."""
        broadcast(self.connections, self.text())

    def text(self) -> str:
        """A frame like the last one of ours."""
        return self.hub.look(Topic("board")).json.decode()[:260]


async def seat(pipe: Connection) -> None:
    """Wait until everybody is connected, while the servers go on."""
    while not pipe.poll():  # noqa: ASYNC110 - it is a pipe
        await asyncio.sleep(0.05)
    pipe.recv()


async def measure(pipe: Connection, number: int, change: Way) -> tuple[float, float]:
    """Milliseconds until the last one has it, and microseconds of our own work for each."""
    pipe.send(number)
    await seat(pipe)
    await asyncio.sleep(PAUSE_S)
    work_s, began_s = time.process_time(), time.monotonic()
    await change()
    while not pipe.poll():  # noqa: ASYNC110 - it is a pipe
        await asyncio.sleep(0.005)
    return (pipe.recv() - began_s) * 1e3, (time.process_time() - work_s) * 1e6


async def compare(size: int, rounds: int) -> None:
    """Print the table."""
    stage = Stage()
    stage.hub.start()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        server = await stage.app().create_server(sock=sock, return_asyncio_server=True)
        assert server
        await server.startup()
        plain = sock.getsockname()[1]
        async with serve(stage.connected, "127.0.0.1", 0, compression=None) as other:
            library = next(iter(other.sockets)).getsockname()[1]
            places = [(plain, "/live"), (plain, "/plain"), (library, "/")]
            await take_turns(stage, places, size, rounds)
    server.close()


async def take_turns(
    stage: Stage, places: list[tuple[int, str]], size: int, rounds: int
) -> None:
    """Measure the three ways, one after the other, again and again."""
    pipe, end = multiprocessing.Pipe()
    process = multiprocessing.Process(target=second_process, args=(end, places, size), daemon=True)
    process.start()
    await seat(pipe)
    ways: dict[str, Way] = {
        "hub": stage.ours,
        "await ws.send": stage.plain,
        "websockets.broadcast": stage.broadcast,
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for number, (name, change) in enumerate(ways.items()):
            taken[name].append(await measure(pipe, number, change))
    pipe.send(None)
    report(taken, size)


def report(taken: dict[str, list[tuple[float, float]]], size: int) -> None:
    """The table; the first round warms up."""
    print(f"{size} subscribers, one change, {len(taken['hub']) - 1} rounds\n")  # noqa: T201
    print("| way | median | p90 | × hub |\n|---|---|---|---|")  # noqa: T201
    hub_ms = median(ms for ms, _ in taken["hub"][1:])
    for name, rounds in taken.items():
        times = [ms for ms, _ in rounds[1:]]
        p90 = quantiles(times, n=10)[-1]
        print(  # noqa: T201
            f"| {name} | {median(times):.1f} ms | {p90:.1f} ms | {median(times) / hub_ms:.2f} |"
        )


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(compare(options.subscribers, options.rounds))


if __name__ == "__main__":
    main()
