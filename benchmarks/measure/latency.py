"""Latency from order to callback at a fixed rate: orders come whether or not earlier ones were
answered, and latency counts from the time an order was due.

The floor is a bare Sanic handler that parses the JSON, makes a bare aiohttp PUT, and answers.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from benchmarks.drive import wire
from benchmarks.drive.load import OpenLoop, Pool
from benchmarks.drive.plan import Plan
from benchmarks.drive.robots import Robots, robots
from benchmarks.drive.servers import Server, Side, all_started
from benchmarks.report.figures import Figure, quantile, ratio
from benchmarks.report.tables import Report, Table

ROBOTS = 20
CONNECTIONS = 16
ROUND_WAIT_S = 5.0
"""How long to wait for the last callbacks of a round."""


@dataclass
class LatencyRound:
    """One round of one side."""

    latencies_ms: list[float] = field(default_factory=list)
    missing: int = 0
    late_ms: float = 0.0
    """The largest delay of the load itself."""


class LatencyLoad:
    """A server, its robots, and the orders in flight."""

    def __init__(self, server: Server, pool: Pool) -> None:
        self.server = server
        self.pool = pool
        self.crew: Robots | None = None
        self._due_s: dict[int, float] = {}
        self._taken = LatencyRound()
        self._settled = asyncio.Event()
        self._numbers = 0

    async def round(self, per_s: float, seconds: float) -> LatencyRound:
        """Send orders at a fixed rate, and wait until all were taken."""
        self._taken = LatencyRound()
        self._settled.clear()
        load = OpenLoop(per_s, seconds, self._order)
        await load.run()
        if self._due_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), ROUND_WAIT_S)
        self._taken.missing = len(self._due_s)
        self._taken.late_ms = load.late_s * 1e3
        self._due_s.clear()
        return self._taken

    def taken_by_robot(self, number: int, at_s: float) -> None:
        """Note an order that a robot got."""
        due_s = self._due_s.pop(number, None)
        if due_s is not None:
            self._taken.latencies_ms.append((at_s - due_s) * 1e3)
        if not self._due_s:
            self._settled.set()

    def _order(self, _: int, due_s: float) -> None:
        self._numbers += 1
        self._due_s[self._numbers] = due_s
        self._settled.clear()
        self.pool.ask(self._request(self._numbers), lambda _: None)

    def _request(self, number: int) -> bytes:
        if not self.server.side.is_floor:
            return wire.numbered_order(number)
        assert self.crew
        return wire.put_order(self.crew.host, number)


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure all sides; the floor is the first one."""
    taken: dict[str, list[LatencyRound]] = defaultdict(list)
    async with all_started(sides) as servers, latency_loads(servers) as loads:
        for number in range(plan.rounds + 1):
            for load in loads:
                one = await load.round(plan.per_s, plan.seconds * 2)
                if number:
                    taken[load.server.name].append(one)
    return report(plan, taken)


@asynccontextmanager
async def latency_loads(servers: Sequence[Server]) -> AsyncIterator[list[LatencyLoad]]:
    """Start the robots and the load of each server."""
    async with AsyncExitStack() as stack:
        loads = []
        for server in servers:
            load = LatencyLoad(server, Pool(server))
            await load.pool.open(CONNECTIONS)
            stack.callback(load.pool.close)
            count = 0 if server.side.is_floor else ROBOTS
            load.crew = await stack.enter_async_context(robots(server, count, load.taken_by_robot))
            loads.append(load)
        yield loads


def report(plan: Plan, taken: dict[str, list[LatencyRound]]) -> Report:
    """Report the differences to the floor by round."""
    floor = [quantile(one.latencies_ms, 0.5) for one in next(iter(taken.values()))]
    rows = []
    for name, rounds in taken.items():
        p50 = [quantile(one.latencies_ms, 0.5) for one in rounds]
        p99 = [quantile(one.latencies_ms, 0.99) for one in rounds]
        above = Figure.of([a - b for a, b in zip(p50, floor, strict=True)])
        rows.append(
            [
                name,
                ratio(p50, floor).show(2),
                f"{above.show(2)} ms",
                f"{Figure.of(p50).show(2)} ms",
                f"{Figure.of(p99).show(1)} ms",
                str(sum(one.missing for one in rounds)),
                f"{max(one.late_ms for one in rounds):.1f} ms",
            ]
        )
    heads = ["side", "p50 × floor", "p50 above it", "p50", "p99", "never came", "load late"]
    title = f"{plan.per_s:.0f} orders/s at fixed times, {ROBOTS} robots with a key"
    data = {
        name: {
            "p50_ms": [quantile(one.latencies_ms, 0.5) for one in rounds],
            "p99_ms": [quantile(one.latencies_ms, 0.99) for one in rounds],
            "missing": [one.missing for one in rounds],
        }
        for name, rounds in taken.items()
    }
    return Report("latency", title, [Table(heads, rows)], data)
