"""How often the promised waiting time is kept, in simulated bars.

Each bar feeds real events to the real projection: orders come, robots take them, and the promise
made to each order when it came is compared with its outcome. Eight of ten promises should be
kept. The last column shows how often a fixed range of ±25 % of the same estimate would have been
right, for comparison.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product
from statistics import median
from typing import Literal

from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side
from benchmarks.report.tables import Report, Table
from sanic_dispatch.core import lifecycle
from sanic_dispatch.core.events import Event, EventKind, Note
from sanic_dispatch.core.job import Job, Way
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import Step
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.live.estimator import Promise
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.projection import Projection

START_S = 1_732_412_340.0
SERVICE_S = 90.0
SEED = 1
WARM_UP = 25
"""The first promises do not count: the estimator has few samples yet."""


Arrivals = Literal["steady", "bursty"]
Change = Literal["none", "slower"]
ARRIVALS: tuple[Arrivals, ...] = ("steady", "bursty")
CHANGES: tuple[Change, ...] = ("none", "slower")


@dataclass(frozen=True)
class Scenario:
    """A bar: number of robots, pattern of arrivals, and a change midway."""

    robots: int
    arrivals: Arrivals
    change: Change
    orders: int = 2000
    load: float = 0.6
    spread: float = 0.25

    def arrivals_s(self, rng: random.Random) -> Iterator[float]:
        """Yield the times of orders, Unix seconds."""
        rate = self.load * self.robots / SERVICE_S
        # Bursty: groups of 1 to 15 orders (8 on average), 2 s apart; their rate is the same.
        size = 1 if self.arrivals == "steady" else 8
        now_s = START_S
        while True:
            now_s += rng.expovariate(rate / size)
            yield from (now_s + 2.0 * i for i in range(rng.randint(1, 2 * size - 1)))

    def service_s(self, rng: random.Random, served: int) -> float:
        """Return the service time of an order."""
        slowdown = 1.6 if self.change == "slower" and served >= self.orders // 2 else 1.0
        return SERVICE_S * slowdown * rng.lognormvariate(-(self.spread**2) / 2, self.spread)


@dataclass(frozen=True)
class PromiseOutcome:
    """A promise, and how long the order took."""

    promise: Promise
    actual_s: float

    @property
    def is_kept(self) -> bool:
        """Whether it was ready within the promised range."""
        return self.promise.low_s <= self.actual_s <= self.promise.high_s

    @property
    def is_within_a_quarter(self) -> bool:
        """Whether it was ready within ±25 % of the estimate."""
        return 0.75 <= self.actual_s / self.promise.ready_s <= 1.25

    @property
    def width_min(self) -> float:
        """The width of the range, minutes."""
        return (self.promise.high_s - self.promise.low_s) / 60


class SimulatedBar:
    """Robots that take the oldest order and return when it is done."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.projection = Projection()
        self.outcomes: list[PromiseOutcome] = []
        self._scenario = scenario
        self._rng = random.Random(seed)
        self._numbers = count(1)
        self._policy = Policy()
        self._waiting: deque[Job] = deque()
        self._free = deque(robot(n) for n in range(scenario.robots))
        self._busy: list[tuple[float, int, Job, Worker]] = []
        """A heap: end of the service, its number, the job and its robot."""
        self._service_numbers = count()
        for worker in self._free:
            self._fold(Note(EventKind.WORKER_REGISTERED, START_S), worker=worker)

    def run(self) -> list[PromiseOutcome]:
        """Simulate all orders."""
        arrivals = self._scenario.arrivals_s(self._rng)
        for ticket in range(1, self._scenario.orders + 1):
            now_s = next(arrivals)
            self._work_until(now_s)
            self._order(ticket, now_s)
        self._work_until(float("inf"))
        return self.outcomes[WARM_UP:]

    def _order(self, ticket: int, now_s: float) -> None:
        job = Job(f"{ticket:032x}", ticket, b"{}", to_rfc3339(now_s), float(ticket))
        self._fold(Note(EventKind.JOB_SUBMITTED, now_s), job=job)
        self._waiting.append(job)
        self._match(now_s)

    def _match(self, now_s: float) -> None:
        while self._waiting and self._free:
            worker = self._free.popleft()
            job = self._fold_step(lifecycle.assign(self._waiting.popleft(), worker, Way.PUT, now_s))
            job = self._fold_step(lifecycle.accept(job, self._policy, now_s))
            served = next(self._service_numbers)
            done_s = now_s + self._scenario.service_s(self._rng, served)
            heapq.heappush(self._busy, (done_s, served, job, worker))

    def _work_until(self, end_s: float) -> None:
        while self._busy and self._busy[0][0] <= end_s:
            now_s, _, job, worker = heapq.heappop(self._busy)
            self._record_outcome(self.projection.get(job.id), now_s)
            self._fold_step(lifecycle.finish(job, now_s))
            self._fold(Note(EventKind.WORKER_REGISTERED, now_s), worker=worker)
            self._free.append(worker)
            self._match(now_s)

    def _record_outcome(self, order: Order | None, now_s: float) -> None:
        promise = order.promise if order else None
        if promise is not None:
            self.outcomes.append(PromiseOutcome(promise, now_s - promise.at_s))

    def _fold_step(self, step: Step) -> Job:
        self._fold(step.note, job=step.job)
        return step.job

    def _fold(self, note: Note, *, job: Job | None = None, worker: Worker | None = None) -> None:
        holder = job.worker if job else worker
        number = next(self._numbers)
        self.projection.fold(Event(number, note.kind, note.at_s, job, holder, note.reason))


def robot(number: int) -> Worker:
    """Return a robot with a key: without one its job would be done as soon as it is accepted."""
    url = f"http://engine.example/{number}/callbacks/1/"
    return Worker(url, to_rfc3339(START_S), Key(str(number), "a1"))


def scenarios(orders: int) -> list[Scenario]:
    """Return one and three robots, steady and bursty arrivals, with and without a slowdown."""
    return [
        Scenario(robots, arrivals, change, orders)
        for robots, arrivals, change in product((1, 3), ARRIVALS, CHANGES)
    ]


def percent_true(values: list[bool]) -> float:
    """Return the percentage of True."""
    return 100 * sum(values) / len(values)


async def measure(plan: Plan, _: Sequence[Side]) -> Report:
    """Return how often promises were kept in each scenario, and how wide they were."""
    rows, data = [], {}
    for scenario in scenarios(plan.orders):
        outcomes = SimulatedBar(scenario, SEED).run()
        kept = percent_true([o.is_kept for o in outcomes])
        width_min = median(o.width_min for o in outcomes)
        fixed = percent_true([o.is_within_a_quarter for o in outcomes])
        bar = [str(scenario.robots), scenario.arrivals, scenario.change]
        rows.append(
            [*bar, str(len(outcomes)), f"{kept:.0f} %", f"{width_min:.1f} min", f"{fixed:.0f} %"]
        )
        data[" ".join(bar)] = {"kept": kept, "width_min": width_min, "fixed": fixed}
    heads = ["robots", "arrivals", "midway", "promises", "kept", "median range", "±25 %"]
    return Report("eta", "How often the promised waiting time is kept", [Table(heads, rows)], data)
