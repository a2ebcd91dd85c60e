"""From the order to the callback, at a fixed rate: orders come whether or not those before were
answered, and the time counts from the moment at which an order should have been sent.

The floor is a bare Sanic handler that reads the JSON, makes a bare aiohttp PUT, and answers.
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
from benchmarks.report.figures import Figure, ratio, share
from benchmarks.report.tables import Report, Table

ROBOTS = 20
CONNECTIONS = 16
PATIENCE_S = 5.0
"""How long to wait for the last callbacks of a round."""


@dataclass
class Taken:
    """One round of one side."""

    latencies_ms: list[float] = field(default_factory=list)
    missing: int = 0
    late_ms: float = 0.0
    """How late the load itself was at most."""


class Bar:
    """A server, its robots, and the orders that are on their way."""

    def __init__(self, server: Server, pool: Pool) -> None:
        self.server = server
        self.pool = pool
        self.crew: Robots | None = None
        self._due_s: dict[int, float] = {}
        self._taken = Taken()
        self._settled = asyncio.Event()
        self._numbers = 0

    async def round(self, per_s: float, seconds: float) -> Taken:
        """Orders at a fixed rate, until all were taken."""
        self._taken = Taken()
        self._settled.clear()
        load = OpenLoop(per_s, seconds, self._order)
        await load.run()
        if self._due_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), PATIENCE_S)
        self._taken.missing = len(self._due_s)
        self._taken.late_ms = load.late_s * 1e3
        self._due_s.clear()
        return self._taken

    def took(self, number: int, at_s: float) -> None:
        """A robot got an order."""
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
    """The table; the floor is the first side."""
    taken: dict[str, list[Taken]] = defaultdict(list)
    async with all_started(sides) as servers, opened(servers) as bars:
        for number in range(plan.rounds + 1):
            for bar in bars:
                one = await bar.round(plan.per_s, plan.seconds * 2)
                if number:
                    taken[bar.server.name].append(one)
    return report(plan, taken)


@asynccontextmanager
async def opened(servers: Sequence[Server]) -> AsyncIterator[list[Bar]]:
    """A bar for each, with robots that wait."""
    async with AsyncExitStack() as stack:
        bars = []
        for server in servers:
            bar = Bar(server, Pool(server))
            await bar.pool.open(CONNECTIONS)
            stack.callback(bar.pool.close)
            count = 0 if server.side.is_floor else ROBOTS
            bar.crew = await stack.enter_async_context(robots(server, count, bar.took))
            bars.append(bar)
        yield bars


def report(plan: Plan, taken: dict[str, list[Taken]]) -> Report:
    """Differences to the floor, round by round."""
    floor = [share(one.latencies_ms, 0.5) for one in next(iter(taken.values()))]
    rows = []
    for name, rounds in taken.items():
        p50 = [share(one.latencies_ms, 0.5) for one in rounds]
        p99 = [share(one.latencies_ms, 0.99) for one in rounds]
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
            "p50_ms": [share(one.latencies_ms, 0.5) for one in rounds],
            "p99_ms": [share(one.latencies_ms, 0.99) for one in rounds],
            "missing": [one.missing for one in rounds],
        }
        for name, rounds in taken.items()
    }
    return Report("latency", title, [Table(heads, rows)], data)
