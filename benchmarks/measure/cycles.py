"""Whole cycles: an order is submitted, called back, and its robot registers again.

So many orders are on their way at a time; when one was taken, the next one is submitted. The floor
of a cycle is two requests to a bare Sanic handler and one bare aiohttp PUT: the first request is
answered when its PUT was, and the second one follows.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from benchmarks.drive import wire
from benchmarks.drive.load import Pool
from benchmarks.drive.plan import Plan
from benchmarks.drive.robots import robots
from benchmarks.drive.servers import Server, Side, all_started
from benchmarks.measure.depth import costs
from benchmarks.report.figures import Figure, ratio
from benchmarks.report.tables import Report, Table

ROBOTS = 20
AT_A_TIME = 32

PATIENCE_S = 10.0
"""How long a round waits for what is still on its way; what has not come by then never does."""

Ask = Callable[[bytes, Callable[[bytes], None]], None]
"""Sends a request; what it is given is called with the answer."""


@dataclass
class Taken:
    """One round of one side."""

    cycles: int
    took_s: float
    server_s: float
    missing: int
    """Orders that no robot ever got."""

    @property
    def per_s(self) -> float:
        """Cycles in a second."""
        return self.cycles / self.took_s

    @property
    def server_us(self) -> float:
        """Processor time of the server for one."""
        return self.server_s / max(self.cycles, 1) * 1e6


class Circle:
    """Orders that go round, as long as it is on."""

    def __init__(self, name: str, ask: Ask, cpu_s: Callable[[], float]) -> None:
        self.name = name
        self._ask = ask
        self._cpu_s = cpu_s
        self._number = self._cycles = 0
        self._is_on = False
        self._under_way: set[int] = set()
        self._is_empty = asyncio.Event()
        self._last_s = 0.0

    async def round(self, seconds: float) -> Taken:
        """As many cycles as there are in that time."""
        self._is_on, self._cycles = True, 0
        self._is_empty.clear()
        began_s, server_s = time.perf_counter(), self._cpu_s()
        for _ in range(AT_A_TIME):
            self._order()
        await asyncio.sleep(seconds)
        self._is_on = False
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), PATIENCE_S)
        missing = len(self._under_way)
        self._under_way.clear()
        return Taken(self._cycles, self._last_s - began_s, self._cpu_s() - server_s, missing)

    def took(self, number: int, _: float) -> None:
        """A robot got an order: on to the next."""
        if number not in self._under_way:
            return
        self._under_way.discard(number)
        self._cycles += 1
        self._last_s = time.perf_counter()
        if self._is_on:
            self._order()
        elif not self._under_way:
            self._is_empty.set()

    def _order(self) -> None:
        self._number += 1
        self._under_way.add(self._number)
        self._ask(self._request(self._number), lambda _: None)

    def _request(self, number: int) -> bytes:
        return wire.numbered_order(number)


class Floor(Circle):
    """Orders that are put as they come, each followed by what a registration is elsewhere."""

    host = ""
    """Where they are put."""

    def took(self, number: int, at_s: float) -> None:
        """Somebody got an order, and registers again."""
        self._ask(_REGISTRATION(), lambda _: None)
        super().took(number, at_s)

    def _request(self, number: int) -> bytes:
        return wire.put_order(self.host, number)


_REGISTRATION = wire.order()
"""To a floor, which has one handler for everything."""


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """The table; ratios to the first side."""
    taken: dict[str, list[Taken]] = defaultdict(list)
    async with all_started(sides) as servers, opened(servers) as circles:
        for number in range(plan.rounds + 1):
            for circle in circles:
                one = await circle.round(plan.seconds)
                if number:
                    taken[circle.name].append(one)
    return report(taken)


@asynccontextmanager
async def opened(servers: Sequence[Server]) -> AsyncIterator[list[Circle]]:
    """Robots for each."""
    async with AsyncExitStack() as stack:
        circles = []
        for server in servers:
            pool = Pool(server)
            await pool.open(AT_A_TIME)
            stack.callback(pool.close)
            kind = Floor if server.side.is_floor else Circle
            circle = kind(server.name, pool.ask, server.cpu_s)
            count = 0 if server.side.is_floor else ROBOTS
            crew = await stack.enter_async_context(robots(server, count, circle.took))
            if isinstance(circle, Floor):
                circle.host = crew.host
            circles.append(circle)
        yield circles


def report(taken: dict[str, list[Taken]]) -> Report:
    """One row a side."""
    first = next(iter(taken))
    per_s = {name: [one.per_s for one in rounds] for name, rounds in taken.items()}
    cost = {name: [one.server_us for one in rounds] for name, rounds in taken.items()}
    missing = {name: [one.missing for one in rounds] for name, rounds in taken.items()}
    rows = [
        [
            name,
            ratio(per_s[name], per_s[first]).show(2),
            Figure.of(per_s[name]).show(),
            *costs(cost[name], cost[first]),
            f"{sum(missing[name])}",
        ]
        for name in taken
    ]
    heads = ["side", f"× {first}", "cycles/s", "CPU each", f"× {first}", "never came"]
    table = Table(heads, rows)
    title = f"{AT_A_TIME} orders at a time, {ROBOTS} robots with a key"
    data = {
        name: {"per_s": per_s[name], "server_us": cost[name], "missing": missing[name]}
        for name in taken
    }
    return Report("cycles", title, [table], data)
