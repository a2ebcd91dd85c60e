"""Memory of a waiting job, a waiting worker with a callback or a websocket, and a subscriber.

Each is measured in a server of its own: the growth of the process with many of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.drive import wire
from benchmarks.drive.load import clients
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Server, Side, started
from benchmarks.drive.subscribers import Subscriber, subscribers
from benchmarks.measure.depth import CLIENTS
from benchmarks.report.tables import Report, Table

WARM_UP = 200
SETTLE_S = 0.5

MOST_OF = {"original, CachedJsonFile": 2_000}
"""The most jobs or workers of a side that takes a minute for the first few thousand."""

Bring = Callable[[Server, int], Awaitable[None]]


async def jobs(server: Server, count: int) -> None:
    """Submit ``count`` orders."""
    async with clients(server, CLIENTS) as crowd:
        await crowd.send(wire.order(), count=count)


async def workers(server: Server, count: int) -> None:
    """Register ``count`` workers."""
    async with clients(server, CLIENTS) as crowd:
        await crowd.send(_register, count=count)


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure the sides that are started here."""
    mine = [side for side in sides if not side.url]
    rows, data = [], {}
    for side in mine:
        many = min(plan.many, plan.deepest(side), MOST_OF.get(side.name, plan.many))
        cost = {
            "job": await each(side, jobs, many),
            "worker": await each(side, workers, many),
        }
        if not side.name.startswith("original"):
            cost["subscriber"] = await each_subscriber(side, plan.crowd)
            cost["worker at a websocket"] = await each_connected(side, plan.crowd)
        data[side.name] = cost
        shown = [f"{cost[kind]:,.0f} B" if kind in cost else "has none" for kind in KINDS]
        rows.append([side.name, *shown])
    heads = ["side", *(f"one {kind}" for kind in KINDS)]
    title = (
        f"Memory of {plan.many:,} waiting jobs or workers, {plan.crowd:,} subscribers or workers' "
        "websockets, for one"
    )
    return Report("memory", title, [Table(heads, rows)], data)


KINDS = ("job", "worker", "subscriber", "worker at a websocket")


async def each(side: Side, bring: Bring, count: int) -> float:
    """Return the bytes for one of ``count``."""
    async with started(side) as server:
        await bring(server, WARM_UP)
        before = server.rss()
        await bring(server, count)
        await asyncio.sleep(SETTLE_S)
        return (server.rss() - before) / count


async def each_subscriber(side: Side, count: int) -> float:
    """Return the bytes for one subscriber of the wall board."""
    async with started(side) as server, subscribers(server, 10):
        before = server.rss()
        async with subscribers(server, count):
            await asyncio.sleep(SETTLE_S)
            return (server.rss() - before) / count


async def each_connected(side: Side, count: int) -> float:
    """Return the bytes for one worker that waits at a websocket."""
    async with started(side) as server, subscribers(server, WARM_UP, "work") as first:
        await _register_all(first, "first")
        before = server.rss()
        async with subscribers(server, count, "work") as crowd:
            await _register_all(crowd, "next")
            await asyncio.sleep(SETTLE_S)
            return (server.rss() - before) / count


async def _register_all(crowd: Sequence[Subscriber], name: str) -> None:
    for number, one in enumerate(crowd):
        await one.ask(f'{{"register":{{"worker":"{name}-{number}"}}}}')


_register = wire.registrations()
