"""A dispatcher on Redis, alone or with one that stands by.

What an order costs, beside a dispatcher that keeps all in memory; and how soon somebody has taken
over what one had under way when it was killed.

All run at the same time and take turns. A side is what one order takes from its submission to the
next registration of its robot, over all its dispatchers; those of one side share a core with Redis
here, so its cycles per second say nothing about more machines, and its processor time does.
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
from benchmarks.measure.cycles import AT_A_TIME, Circle
from benchmarks.measure.take_over import take_over_s
from benchmarks.report.figures import Figure, ratio
from benchmarks.report.tables import Report, Table
from sanic_dispatch.config.settings import Mode

COUNTS = (1, 2)
"""How many dispatchers are on one Redis: the first one owns the queues, the others stand by."""

ROBOTS = 18
ROUNDS_EACH = 3
"""How many times as many rounds as elsewhere: they are short, and Redis waits for the disk."""


@dataclass
class Crowd:
    """One side: its dispatchers, the first of which is asked, and their Redis."""

    circle: Circle
    redis: RedisServer | None
    per_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    redis_s: list[float] = field(default_factory=list)
    """Processor time for 1,000 orders: of all dispatchers, and of Redis."""
    take_over_s: list[float] = field(default_factory=list)

    @property
    def all_s(self) -> list[float]:
        """Processor time of everything."""
        return [mine + its for mine, its in zip(self.cpu_s, self.redis_s, strict=True)]

    async def round(self, seconds: float) -> None:
        """One turn."""
        before_s = self.redis.cpu_s() if self.redis else 0.0
        taken = await self.circle.round(seconds)
        redis_s = self.redis.cpu_s() - before_s if self.redis else 0.0
        self.per_s.append(taken.per_s)
        self.cpu_s.append(taken.server_s / taken.cycles * 1e3)
        self.redis_s.append(redis_s / taken.cycles * 1e3)

    def forget(self) -> None:
        """What was measured was for warming up."""
        for values in (self.per_s, self.cpu_s, self.redis_s):
            values.clear()


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """The table; ratios to the first side."""
    if not redis_server.is_installed():
        return Report("sharing", "Not measured: redis-server is not installed", [])
    async with AsyncExitStack() as stack:
        crowds = {"InMemory": await stack.enter_async_context(opened("InMemory", 0))}
        for count in COUNTS:
            name = "Redis" if count == 1 else "Redis, one stands by"
            crowds[name] = await stack.enter_async_context(opened(name, count))
        await take_turns(plan, list(crowds.values()))
    for count, crowd in zip(COUNTS, list(crowds.values())[1:], strict=True):
        crowd.take_over_s += [await take_over_s(count) for _ in range(plan.rounds)]
    return report(crowds)


async def take_turns(plan: Plan, crowds: Sequence[Crowd]) -> None:
    """All rounds; the first one warms up."""
    for number in range(plan.rounds * ROUNDS_EACH + 1):
        for crowd in crowds:
            await crowd.round(plan.seconds)
            if not number:
                crowd.forget()


@asynccontextmanager
async def opened(name: str, count: int) -> AsyncIterator[Crowd]:
    """So many dispatchers on a Redis of their own, or one without; and their robots."""
    async with AsyncExitStack() as stack:
        redis, side = None, ours(Mode.IN_MEMORY)
        if count:
            redis = stack.enter_context(redis_server.running())
            side = ours(Mode.REDIS, "--redis-url", redis.url)
        servers = await stack.enter_async_context(all_started([side] * (count or 1)))
        pool = Pool(servers[0])
        await pool.open(AT_A_TIME)
        stack.callback(pool.close)
        circle = Circle(name, pool.ask, lambda: sum(server.cpu_s() for server in servers))
        await stack.enter_async_context(robots(servers[0], ROBOTS, circle.took))
        yield Crowd(circle, redis)


def report(crowds: dict[str, Crowd]) -> Report:
    """One row a side."""
    first = next(iter(crowds.values()))
    rows = [
        [
            name,
            Figure.of(crowd.cpu_s).show(2),
            Figure.of(crowd.redis_s).show(2) if crowd.redis else "none",
            ratio(crowd.all_s, first.all_s).show(2),
            Figure.of(crowd.per_s).show(),
            f"{Figure.of(crowd.take_over_s).show(1)} s" if crowd.take_over_s else "all is lost",
        ]
        for name, crowd in crowds.items()
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
            "cpu_s": crowd.cpu_s,
            "redis_s": crowd.redis_s,
            "per_s": crowd.per_s,
            "take_over_s": crowd.take_over_s,
        }
        for name, crowd in crowds.items()
    }
    return Report("sharing", title, [Table(heads, rows)], data)
