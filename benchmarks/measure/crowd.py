"""Orders while thousands follow: what pushing every change costs those who order.

The same server twice, once alone and once with a crowd on its board. Orders come at a fixed rate,
at one and at the other in turns; each is a change that goes to everybody. Nobody takes them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.drive import machine, wire
from benchmarks.drive.load import OpenLoop, Pool
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Server, Side, all_started
from benchmarks.drive.subscribers import subscribers_apart
from benchmarks.measure.latency import CONNECTIONS
from benchmarks.report.figures import Figure, share
from benchmarks.report.tables import Report, Table
from sanic_dispatch.server.sockets import allow_open_files

SECONDS_MORE = 5
"""A p99 needs more orders than a median: times as many seconds for a round."""

PAUSE_S = 0.5
"""Before a round, so that nothing of the other side's is left."""


@dataclass
class Customers:
    """Those who order at one server: milliseconds until each answer, round by round."""

    name: str
    pool: Pool
    rounds: list[list[float]] = field(default_factory=list)

    async def order(self, per_s: float, seconds: float) -> None:
        """One round; the time counts from when an order should have been sent."""
        await asyncio.sleep(PAUSE_S)
        self.rounds.append([])
        await OpenLoop(per_s, seconds, self._send).run()

    def _send(self, number: int, due_s: float) -> None:
        times = self.rounds[-1]

        def answered(_: bytes) -> None:
            times.append((time.perf_counter() - due_s) * 1e3)

        self.pool.ask(wire.numbered_order(number), answered)


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """The table; ``sides`` is one, which is started twice."""
    allow_open_files()
    with machine.receiving_apart():
        return report(plan, await compared(plan, sides))


async def compared(plan: Plan, sides: Sequence[Side]) -> list[Customers]:
    """Those who order at the one and at the other, in turns."""
    async with (
        all_started([*sides, *sides]) as (alone, followed),
        subscribers_apart(followed, plan.crowd),
    ):
        both = [Customers("nobody", await opened(alone))]
        both.append(Customers(f"{plan.crowd:,}", await opened(followed)))
        for _ in range(plan.rounds + 1):
            for customers in both:
                await customers.order(plan.per_s, plan.seconds * SECONDS_MORE)
        for customers in both:
            customers.pool.close()
    return both


async def opened(server: Server) -> Pool:
    """Connections that are ready."""
    pool = Pool(server)
    await pool.open(CONNECTIONS)
    return pool


def report(plan: Plan, both: Sequence[Customers]) -> Report:
    """Differences to the side that nobody follows, round by round; the first one warms up."""
    rows, data = [], {}
    for customers in both:
        p50, p99 = ([share(times, part) for times in customers.rounds[1:]] for part in (0.5, 0.99))
        data[customers.name] = {"p50_ms": p50, "p99_ms": p99}
        above = Figure.of([a - b for a, b in zip(p99, data["nobody"]["p99_ms"], strict=True)])
        figures = (above, Figure.of(p50), Figure.of(p99))
        rows.append([customers.name, *(f"{figure.show(1)} ms" for figure in figures)])
    heads = ["followers", "p99 above nobody's", "p50", "p99"]
    title = f"{plan.per_s:.0f} orders/s at fixed times, until the answer, while so many follow"
    return Report("crowd", title, [Table(heads, rows)], data)
