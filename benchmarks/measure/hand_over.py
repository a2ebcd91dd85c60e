"""How long customers wait while a dispatcher hands a long line of orders over to another.

    python -m benchmarks.measure.hand_over [--depth 100000] [--rounds 3]

starts two dispatchers on one Redis, fills the line, and stops the owner by SIGTERM while one
customer after the other orders at the other dispatcher.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from contextlib import AsyncExitStack
from time import perf_counter

from benchmarks.drive import redis_server, wire
from benchmarks.drive.load import ask, clients, connect, status_of
from benchmarks.drive.servers import Server, ours, started
from benchmarks.measure.history import say
from sanic_dispatch.config.settings import Mode

CLIENTS = 16
LONGEST_S = 60.0
SETTLE_S = 4.0
"""How long a dispatcher that joins waits for its share, at least."""

PAUSE_S = 0.01


async def measure(depth: int) -> None:
    """Print how long the hand-over and the slowest order took, and how many were refused."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(redis_server.running())
        side = ours(Mode.REDIS, "--redis-url", redis.url, "--max-jobs", str(2 * depth))
        owner = await stack.enter_async_context(started(side))
        async with clients(owner, CLIENTS) as crowd:
            await crowd.send(wire.order(), count=depth)
        other = await stack.enter_async_context(started(side))
        await asyncio.sleep(SETTLE_S)
        if await owns(other):  # the topic is its share
            owner, other = other, owner
        ordering = asyncio.create_task(order_until_owned(other))
        assert owner.process
        owner.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LONGEST_S):
            took_s, waited_s, refused = await ordering
            code = await asyncio.to_thread(owner.process.wait)
    say(
        f"{depth:,} waiting: handed over in {took_s:.2f} s, slowest order {max(waited_s):.2f} s, "
        f"{refused} of {len(waited_s)} refused, exit code {code}"
    )


async def order_until_owned(server: Server) -> tuple[float, list[float], int]:
    """Order until this dispatcher is the owner, and a little longer.

    Returns how long that took, how long each order took, and how many were refused.
    """
    began_s, waited_s, refused = perf_counter(), list[float](), 0
    connection, build, owned_s = await connect(server), wire.order(), 0.0
    while not owned_s or perf_counter() < owned_s + 1.0:
        asked_s = perf_counter()
        refused += status_of(await ask(connection, build())) != 202
        waited_s.append(perf_counter() - asked_s)
        if not owned_s and await owns(server):
            owned_s = perf_counter()
        await asyncio.sleep(PAUSE_S)
    connection.close()
    return owned_s - began_s, waited_s, refused


async def owns(server: Server) -> bool:
    """Return whether this dispatcher is the owner, and ready."""
    connection = await connect(server)
    answer = await ask(connection, wire.get("ready"))
    connection.close()
    return status_of(answer) == 200 and f':{server.port}"'.encode() in answer


def main() -> None:
    """Measure a few times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for _ in range(options.rounds):
        asyncio.run(measure(options.depth))


if __name__ == "__main__":
    main()
