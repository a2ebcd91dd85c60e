"""How soon the deliveries of a killed dispatcher are taken over.

A standby takes over when the owner's lease has lapsed. Without one, the killed dispatcher is
started again at once, as systemd or compose would, and waits for the lease too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.drive import redis_server, wire
from benchmarks.drive.load import ask, connect
from benchmarks.drive.servers import TOKEN, Server, all_started, ours, started
from sanic_dispatch.config.settings import Mode

LOOK_S = 0.02
LONGEST_S = 60.0


@dataclass
class Silent:
    """A robot that accepts the connection of a PUT and never responds."""

    host: str = ""
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read until the caller hangs up."""
        if (await reader.readline()).startswith(b"PUT "):
            self.called.set()
        await reader.read()
        writer.close()


@asynccontextmanager
async def silent() -> AsyncIterator[Silent]:
    """Run a silent robot inside the block."""
    robot = Silent()
    listening = await asyncio.start_server(robot.take, "127.0.0.1", 0)
    robot.host = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield robot
    listening.close()


async def take_over_s(count: int) -> float:
    """Return the seconds from the kill of the first dispatcher to another one noting the doubt."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(redis_server.running())
        side = ours(Mode.REDIS, "--redis-url", redis.url)
        victim, *others = await stack.enter_async_context(all_started([side] * count))
        robot = await stack.enter_async_context(silent())
        async with asyncio.timeout(LONGEST_S):
            await begin_delivery(victim, robot)
            assert victim.process
            victim.process.kill()
            began_s = time.perf_counter()
            if not others:
                others = [await stack.enter_async_context(started(side))]
            await in_doubt(others[0])
        return time.perf_counter() - began_s


async def begin_delivery(server: Server, robot: Silent) -> None:
    """Return when an order is being delivered from this dispatcher to the robot."""
    headers = wire.instance_headers(robot.host, 0)
    url = f"http://{robot.host}/0/callbacks/1/"
    connection = await connect(server)
    await ask(connection, wire.registration(url, headers))
    connection.ask(wire.numbered_order(1), lambda _: None)
    await robot.called.wait()
    connection.close()


async def in_doubt(server: Server) -> None:
    """Return when this dispatcher reports a job as in doubt."""
    look = wire.get("operator/jobs?state=assigned", f"Authorization: Bearer {TOKEN}\r\n")
    connection = await connect(server)
    while b'"in doubt"' not in await ask(connection, look):  # noqa: ASYNC110 - over HTTP
        await asyncio.sleep(LOOK_S)
    connection.close()
