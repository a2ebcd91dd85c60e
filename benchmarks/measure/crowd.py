"""Latency of orders while thousands follow: the cost of pushing each change to everybody.

The same server runs twice, without followers and with a crowd on its board. Orders come at a fixed
rate, at one server and the other in turns; each is a change for everybody. No worker takes them.
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
from benchmarks.report.figures import Figure, quantile
from benchmarks.report.tables import Report, Table
from sanic_dispatch.server.sockets import allow_open_files

SECONDS_MORE = 5
"""Multiplies the seconds of a round: a p99 needs more orders than a median."""

PAUSE_S = 0.5
"""Pause before a round, so that nothing of the other side's is left."""


@dataclass
class Customers:
    """The customers of one server: milliseconds until each answer, by round."""

    name: str
    pool: Pool
    rounds: list[list[float]] = field(default_factory=list)

    async def order(self, per_s: float, seconds: float) -> None:
        """Run a round; latency counts from the time an order was due."""
        await asyncio.sleep(PAUSE_S)
        self.rounds.append([])
        await OpenLoop(per_s, seconds, self._send).run()

    def _send(self, number: int, due_s: float) -> None:
        times = self.rounds[-1]

        def answered(_: bytes) -> None:
            times.append((time.perf_counter() - due_s) * 1e3)

        self.pool.ask(wire.numbered_order(number), answered)


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure one side, which is started twice."""
    allow_open_files()
    with machine.receiving_apart():
        return report(plan, await measure_both(plan, sides))


async def measure_both(plan: Plan, sides: Sequence[Side]) -> list[Customers]:
    """Run all rounds, at both servers in turns."""
    async with (
        all_started([*sides, *sides]) as (alone, followed),
        subscribers_apart(followed, plan.crowd),
    ):
        both = [Customers("nobody", await connected(alone))]
        both.append(Customers(f"{plan.crowd:,}", await connected(followed)))
        for _ in range(plan.rounds + 1):
            for customers in both:
                await customers.order(plan.per_s, plan.seconds * SECONDS_MORE)
        for customers in both:
            customers.pool.close()
    return both


async def connected(server: Server) -> Pool:
    """Open a pool of connections."""
    pool = Pool(server)
    await pool.open(CONNECTIONS)
    return pool


def compared(
    both: Sequence[Customers],
) -> tuple[list[list[str]], dict[str, dict[str, list[float]]]]:
    """Return table rows (name, p99 above nobody's, p50, p99) and the numbers; skip the warm-up."""
    rows, data = [], {}
    for customers in both:
        measured = customers.rounds[1:]
        p50, p99 = ([quantile(times, share) for times in measured] for share in (0.5, 0.99))
        data[customers.name] = {"p50_ms": p50, "p99_ms": p99}
        above = Figure.of([a - b for a, b in zip(p99, data["nobody"]["p99_ms"], strict=True)])
        figures = (above, Figure.of(p50), Figure.of(p99))
        rows.append([customers.name, *(f"{figure.show(1)} ms" for figure in figures)])
    return rows, data


def report(plan: Plan, both: Sequence[Customers]) -> Report:
    """Report the differences to the server without followers by round; the first one warms up."""
    rows, data = compared(both)
    heads = ["followers", "p99 above nobody's", "p50", "p99"]
    title = f"{plan.per_s:.0f} orders/s at fixed times, until the answer, while so many follow"
    return Report("crowd", title, [Table(heads, rows)], data)
