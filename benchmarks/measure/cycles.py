"""Whole cycles: an order is submitted and delivered, and its robot registers again.

A fixed number of orders is in flight; when one was taken, the next is submitted. The floor of a
cycle is two requests to a bare Sanic handler and one bare aiohttp PUT: the first request is
answered after its PUT, and the second one follows.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf

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

ROUND_WAIT_S = 10.0
"""How long a round waits for orders in flight before they count as missing."""

Ask = Callable[[bytes, Callable[[bytes], None]], None]
"""Sends a request, and calls the function with the response."""


@dataclass
class CycleRound:
    """One round of one side."""

    cycles: int
    took_s: float
    server_s: float
    missing: int
    """Orders that no robot got."""

    @property
    def per_s(self) -> float:
        """Cycles per second."""
        return self.cycles / self.took_s

    @property
    def server_us(self) -> float:
        """CPU time of the server per cycle, microseconds."""
        return self.server_s / max(self.cycles, 1) * 1e6


class CycleLoad:
    """Keeps a fixed number of orders in flight while a round runs."""

    def __init__(
        self, name: str, ask: Ask, cpu_s: Callable[[], float], at_a_time: int = AT_A_TIME
    ) -> None:
        self.name = name
        self._at_a_time = at_a_time
        self._ask = ask
        self._cpu_s = cpu_s
        self._number = self._cycles = 0
        self._to_come = 0.0
        """How many orders may still be submitted."""
        self._in_flight: set[int] = set()
        self._is_empty = asyncio.Event()
        self._last_s = 0.0

    async def round(self, seconds: float) -> CycleRound:
        """Run cycles for a time."""
        self._cycles = 0
        began_s, server_s = time.perf_counter(), self._cpu_s()
        self._begin(inf)
        await asyncio.sleep(seconds)
        self._to_come = 0
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), ROUND_WAIT_S)
        missing = len(self._in_flight)
        self._in_flight.clear()
        return CycleRound(self._cycles, self._last_s - began_s, self._cpu_s() - server_s, missing)

    async def run(self, count: int) -> None:
        """Run a number of cycles, at least as many as are in flight at a time."""
        self._begin(count)
        await self._is_empty.wait()

    def _begin(self, count: float) -> None:
        self._to_come = count
        self._is_empty.clear()
        for _ in range(self._at_a_time):
            self._order()

    def taken_by_robot(self, number: int, _: float) -> None:
        """Count an order that a robot got, and submit the next."""
        if number not in self._in_flight:
            return
        self._in_flight.discard(number)
        self._cycles += 1
        self._last_s = time.perf_counter()
        if self._to_come:
            self._order()
        elif not self._in_flight:
            self._is_empty.set()

    def _order(self) -> None:
        self._to_come -= 1
        self._number += 1
        self._in_flight.add(self._number)
        self._ask(self._request(self._number), lambda _: None)

    def _request(self, number: int) -> bytes:
        return wire.numbered_order(number)


class BareCycleLoad(CycleLoad):
    """The same load for the floor, which PUTs an order as it comes."""

    host = ""
    """Where the orders are PUT."""

    def taken_by_robot(self, number: int, at_s: float) -> None:
        """Count an order, and send the request that stands for a registration."""
        self._ask(_REGISTRATION(), lambda _: None)
        super().taken_by_robot(number, at_s)

    def _request(self, number: int) -> bytes:
        return wire.put_order(self.host, number)


_REGISTRATION = wire.order()
"""To a floor every request is the same."""


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure all sides; ratios are to the first one."""
    taken: dict[str, list[CycleRound]] = defaultdict(list)
    async with all_started(sides) as servers, cycle_loads(servers) as loads:
        for number in range(plan.rounds + 1):
            for load in loads:
                one = await load.round(plan.seconds)
                if number:
                    taken[load.name].append(one)
    return report(taken)


@asynccontextmanager
async def cycle_loads(
    servers: Sequence[Server], at_a_time: int = AT_A_TIME
) -> AsyncIterator[list[CycleLoad]]:
    """Start the robots and the load of each server, with so many orders in flight."""
    async with AsyncExitStack() as stack:
        loads = []
        for server in servers:
            pool = Pool(server)
            await pool.open(at_a_time)
            stack.callback(pool.close)
            kind = BareCycleLoad if server.side.is_floor else CycleLoad
            load = kind(server.name, pool.ask, server.cpu_s, at_a_time)
            count = 0 if server.side.is_floor else ROBOTS
            crew = await stack.enter_async_context(robots(server, count, load.taken_by_robot))
            if isinstance(load, BareCycleLoad):
                load.host = crew.host
            loads.append(load)
        yield loads


def report(taken: dict[str, list[CycleRound]]) -> Report:
    """Report one row per side."""
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
