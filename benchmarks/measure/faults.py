"""Bad workers: one of five registrations answers late, one of twenty never.

Orders come at fixed times. An order that no robot got in the end, while good robots wait, is
stuck.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.drive import wire
from benchmarks.drive.load import OpenLoop, Pool, status_of
from benchmarks.drive.plan import Plan
from benchmarks.drive.robots import SLOW_S, Manner, robots
from benchmarks.drive.servers import Side, started
from benchmarks.report.figures import quantile
from benchmarks.report.tables import Report, Table

ROBOTS = 40
SLOW, DEAD = 0.20, 0.05
SECONDS = 10.0
STUCK_S = 10.0
"""How long nothing may happen before what is missing counts as stuck: several times the longest
call of a worker here."""
CALLBACK_TIMEOUT_S = 2.0


@dataclass
class FaultRun:
    """The orders of one side, and what became of them."""

    sent_s: dict[int, float] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    unanswered: int = 0
    changed_s: float = 0.0

    @property
    def stuck(self) -> int:
        """Orders that no robot got."""
        return len(self.sent_s)

    def goes_on(self) -> bool:
        """Return whether something is missing and something came lately."""
        is_still = time.perf_counter() - self.changed_s > STUCK_S
        return bool(self.stuck or self.unanswered) and not is_still

    def taken_by_robot(self, number: int, at_s: float) -> None:
        """Note an order that a robot got."""
        sent_s = self.sent_s.pop(number, None)
        if sent_s is not None:
            self.latencies_ms.append((at_s - sent_s) * 1e3)
            self.changed_s = at_s

    def answered(self, answer: bytes) -> None:
        """Note an answer to a customer."""
        assert status_of(answer) in (200, 202)
        self.unanswered -= 1
        self.changed_s = time.perf_counter()


def manners(seed: int) -> Iterator[Manner]:
    """Yield the same random sequence for every side."""
    dice = random.Random(seed)
    while True:
        roll = dice.random()
        yield Manner.DEAD if roll < DEAD else Manner.SLOW if roll < DEAD + SLOW else Manner.PROMPT


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure one side after the other, since each takes long."""
    runs = {side.name: await run_side(plan, side) for side in sides}
    rows = [
        [
            name,
            str(seen.stuck),
            str(seen.unanswered),
            f"{quantile(seen.latencies_ms, 0.5):.1f} ms",
            f"{quantile(seen.latencies_ms, 0.99):.0f} ms",
            str(len(seen.latencies_ms)),
        ]
        for name, seen in runs.items()
    ]
    heads = ["side", "stuck for ever", "customers never answered", "p50", "p99", "taken"]
    title = (
        f"{plan.per_s:.0f} orders/s, {ROBOTS} robots without a key; {SLOW:.0%} of the "
        f"registrations answer after {SLOW_S} s, {DEAD:.0%} never; ours has --callback-timeout "
        f"{CALLBACK_TIMEOUT_S:.0f}"
    )
    data = {
        name: {"stuck": seen.stuck, "unanswered": seen.unanswered, "taken": len(seen.latencies_ms)}
        for name, seen in runs.items()
    }
    return Report("faults", title, [Table(heads, rows)], data)


async def run_side(plan: Plan, side: Side) -> FaultRun:
    """Send the orders of one side, and wait until nothing happens any more."""
    seen = FaultRun()
    async with (
        started(side) as server,
        robots(server, ROBOTS, seen.taken_by_robot, keyed=False, manners=manners(seed=1)),
    ):
        pool = Pool(server)
        await pool.open(ROBOTS)

        def order(number: int, due_s: float) -> None:
            seen.sent_s[number] = due_s
            seen.unanswered += 1
            pool.ask(wire.numbered_order(number), seen.answered)

        await OpenLoop(plan.per_s, SECONDS * min(plan.seconds, 1.0), order).run()
        seen.changed_s = time.perf_counter()
        while seen.goes_on():  # noqa: ASYNC110 - it also ends when nothing happens any more
            await asyncio.sleep(0.1)
        pool.close()
    return seen
