"""Dispatchers on one Redis, of which the first owns the topic and the others forward to it.

Measures the cost of an order that goes through the last of them, beside a dispatcher in memory, and
how soon the deliveries of a killed dispatcher are taken over.

All sides run at the same time and take turns. The cost of an order runs from its submission to
the next registration of its robot, summed over all dispatchers of a side. They share a core with
Redis here: the CPU time carries over to more machines, the cycles per second do not.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.drive import redis_server
from benchmarks.drive.load import Pool
from benchmarks.drive.plan import Plan
from benchmarks.drive.redis_server import RedisServer
from benchmarks.drive.robots import robots
from benchmarks.drive.servers import Side, all_started, ours
from benchmarks.measure.cycles import AT_A_TIME, CycleLoad
from benchmarks.measure.take_over import take_over_s
from benchmarks.report.figures import Figure, ratio
from benchmarks.report.tables import Report, Table
from sanic_dispatch.config.settings import Mode

COUNTS = (1, 2, 3)
"""Numbers of dispatchers on one Redis."""

ROBOTS = 18
ROUNDS_EACH = 3
"""Multiplies the number of rounds: they are short, and Redis waits for the disk."""


@dataclass
class RedisSide:
    """One side: its dispatchers, the last of which gets the requests, and their Redis."""

    load: CycleLoad
    redis: RedisServer | None
    per_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    redis_s: list[float] = field(default_factory=list)
    """CPU time for 1,000 orders: of all dispatchers, and of Redis."""
    take_over_s: list[float] = field(default_factory=list)

    @property
    def all_s(self) -> list[float]:
        """CPU time of dispatchers and Redis."""
        return [mine + its for mine, its in zip(self.cpu_s, self.redis_s, strict=True)]

    async def round(self, seconds: float) -> None:
        """Run one round."""
        before_s = self.redis.cpu_s() if self.redis else 0.0
        taken = await self.load.round(seconds)
        redis_s = self.redis.cpu_s() - before_s if self.redis else 0.0
        self.per_s.append(taken.per_s)
        self.cpu_s.append(taken.server_s / taken.cycles * 1e3)
        self.redis_s.append(redis_s / taken.cycles * 1e3)

    def clear(self) -> None:
        """Discard the results of the warm-up."""
        for values in (self.per_s, self.cpu_s, self.redis_s):
            values.clear()


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """Measure; ratios are to the first side."""
    if not redis_server.is_installed():
        return Report("sharing", "Not measured: redis-server is not installed", [])
    async with AsyncExitStack() as stack:
        sides = {"InMemory": await stack.enter_async_context(redis_side_of("InMemory", 0))}
        for count in COUNTS:
            name = "Redis" if count == 1 else f"Redis, {count} dispatchers, forwarded"
            sides[name] = await stack.enter_async_context(redis_side_of(name, count))
        await take_turns(plan, list(sides.values()))
    for count, side in zip(COUNTS, list(sides.values())[1:], strict=True):
        side.take_over_s += [await take_over_s(count) for _ in range(plan.rounds)]
    return report(sides)


async def take_turns(plan: Plan, sides: Sequence[RedisSide]) -> None:
    """Run all rounds; the first one warms up."""
    for number in range(plan.rounds * ROUNDS_EACH + 1):
        for side in sides:
            await side.round(plan.seconds)
            if not number:
                side.clear()


@asynccontextmanager
async def redis_side_of(name: str, count: int) -> AsyncIterator[RedisSide]:
    """Start ``count`` dispatchers on a Redis, or one in memory for 0, and their robots."""
    async with AsyncExitStack() as stack:
        redis, side = None, ours(Mode.IN_MEMORY)
        if count:
            redis = stack.enter_context(redis_server.running())
            side = ours(Mode.REDIS, "--redis-url", redis.url)
        servers = await stack.enter_async_context(all_started([side] * (count or 1)))
        pool = Pool(servers[-1])
        await pool.open(AT_A_TIME)
        stack.callback(pool.close)
        load = CycleLoad(name, pool.ask, lambda: sum(server.cpu_s() for server in servers))
        await stack.enter_async_context(robots(servers[-1], ROBOTS, load.taken_by_robot))
        yield RedisSide(load, redis)


def report(sides: dict[str, RedisSide]) -> Report:
    """Report one row per side."""
    first = next(iter(sides.values()))
    rows = [
        [
            name,
            Figure.of(side.cpu_s).show(2),
            Figure.of(side.redis_s).show(2) if side.redis else "none",
            ratio(side.all_s, first.all_s).show(2),
            Figure.of(side.per_s).show(),
            f"{Figure.of(side.take_over_s).show(1)} s" if side.take_over_s else "all is lost",
        ]
        for name, side in sides.items()
    ]
    heads = [
        "side", "CPU s of the dispatchers, 1,000 orders", "CPU s of Redis", "all × InMemory",
        "orders/s, all on one core", "taken over after",
    ]  # fmt: skip
    title = (
        f"{AT_A_TIME} orders at a time, {ROBOTS} robots with a key; Redis syncs always; "
        f"the machine's load average was {os.getloadavg()[1]:.1f} meanwhile"
    )
    data = {
        name: {
            "cpu_s": side.cpu_s,
            "redis_s": side.redis_s,
            "per_s": side.per_s,
            "take_over_s": side.take_over_s,
        }
        for name, side in sides.items()
    }
    return Report("sharing", title, [Table(heads, rows)], data)
