"""How often the promised waiting time is kept, in simulated bars.

Each bar feeds real events to the real projection: orders come, robots take them, and the promise
made to each order when it came is compared with its outcome. Eight of ten promises should be
kept. The last column shows how often a fixed range of ±25 % of the same estimate would have been
right, for comparison.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from statistics import median
from typing import Literal

import ujson

from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side
from benchmarks.report.tables import Report, Table
from sanic_dispatch.core import lifecycle, matching
from sanic_dispatch.core.events import Event, EventKind, Note
from sanic_dispatch.core.job import DEFAULT_PRIORITY, Job, Progress, Way
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import Step
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.live.estimator import SHIPPED, Estimator, EstimatorParameters
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.projection import Projection

START_S = 1_732_412_340.0
SERVICE_S = 90.0
SEED = 1
REPORT_EVERY_S = 7.0
SETTLED = 200
"""How many reports do not count at first: each tenth of the way needs some services."""

WARM_UP = 25
"""The first promises do not count: the estimator has few samples yet."""


Arrivals = Literal["steady", "bursty"]
Change = Literal["none", "slower"]
Line = Literal["by arrival", "skills", "priorities", "turns", "all of these"]
LINES: tuple[Line, ...] = ("skills", "priorities", "turns", "all of these")
DRINKS = ("mojito", "mojito", "beer", "gin-tonic", "water")
SPECIALIST = "match.drink=beer|gin-tonic"
"""What every second robot makes, where robots differ; the others make everything."""

ARRIVALS: tuple[Arrivals, ...] = ("steady", "bursty")
CHANGES: tuple[Change, ...] = ("none", "slower")


@dataclass(frozen=True)
class Scenario:
    """A bar: number of robots, pattern of arrivals, a change midway, and what orders the line."""

    robots: int
    arrivals: Arrivals
    change: Change
    orders: int = 2000
    load: float = 0.6
    spread: float = 0.25
    line: Line = "by arrival"
    says_progress: bool = False

    def has(self, feature: Line) -> bool:
        """Whether the line is ordered so."""
        return self.line in (feature, "all of these")

    @property
    def policy(self) -> Policy:
        """The rules of the topic."""
        fair_by = "/name" if self.has("turns") else None
        return Policy(priorities=self.has("priorities"), fair_by=fair_by)

    def rule(self, number: int) -> str:
        """Return what a robot takes."""
        return SPECIALIST if self.has("skills") and number % 2 else ANYTHING

    def job(self, rng: random.Random, ticket: int, now_s: float) -> Job:
        """Return an order: of few customers who order much, or of one who comes once."""
        name = f"group {rng.randrange(3)}" if rng.random() < 0.4 else f"guest {ticket}"
        data = ujson.dumps({"drink": rng.choice(DRINKS), "name": name}).encode()
        priority = 0 if rng.random() < 0.1 else DEFAULT_PRIORITY
        number = f"{ticket:032x}"
        return Job(number, ticket, data, to_rfc3339(now_s), float(ticket), priority=priority)

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

    def reports(self, rng: random.Random, service_s: float) -> Iterator[tuple[float, float]]:
        """Yield after how long a robot says how far it is, and what: some are too optimistic."""
        optimism = rng.lognormvariate(0.0, 0.25)
        for number in range(1, int(service_s / REPORT_EVERY_S) + 1):
            elapsed_s = number * REPORT_EVERY_S
            yield elapsed_s, 100 * (elapsed_s / service_s) ** optimism


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


@dataclass(frozen=True)
class ServiceOutcome:
    """When a service should end, as known when its robot says how far it is, and when it did."""

    window: tuple[float, float]
    finished_s: float

    @property
    def is_kept(self) -> bool:
        """Whether it ended within the window."""
        return self.window[0] <= self.finished_s <= self.window[1]

    @property
    def width_s(self) -> float:
        """The width of the window."""
        return self.window[1] - self.window[0]


class SimulatedBar:
    """Robots that take the first order in line that they can make, and return when it is done."""

    def __init__(
        self, scenario: Scenario, seed: int, parameters: EstimatorParameters = SHIPPED
    ) -> None:
        self._policy = scenario.policy
        self.projection = Projection(ordering=self._policy.ordering)
        self.projection.forecast.estimator = Estimator(parameters)
        self.outcomes: list[PromiseOutcome] = []
        self.with_progress: list[ServiceOutcome] = []
        self.without_progress: list[ServiceOutcome] = []
        """The same services and moments, by the service times alone."""
        self._scenario = scenario
        self._rng, self._report_rng = random.Random(seed), random.Random(seed)
        self._numbers = count(1)
        self._tables = Tables(self._policy.ordering)
        robots = [robot(n, scenario.rule(n)) for n in range(scenario.robots)]
        self._due: list[tuple[float, int, str, Worker, float | None]] = []
        """A heap: when a robot says something, a number, the order and its robot, and how far it
        is; None if it is done."""
        self._service_numbers, self._due_numbers = count(), count()
        for worker in robots:
            self._come(worker, START_S)

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
        job = self._scenario.job(self._rng, ticket, now_s)
        self._fold(Note(EventKind.JOB_SUBMITTED, now_s), job=job)
        self._tables.put_job(job)
        self._match(now_s)

    def _come(self, worker: Worker, now_s: float) -> None:
        worker = worker._replace(place=self._tables.workers.last_place + 1)
        self._tables.put_worker(worker)
        self._fold(Note(EventKind.WORKER_REGISTERED, now_s), worker=worker)

    def _match(self, now_s: float) -> None:
        self._tables.jobs.line.advance(now_s)
        while pair := matching.next_pair(self._tables):
            waiting, worker = pair
            self._tables.remove_worker(worker.id)
            step = lifecycle.assign(waiting, worker, Way.PUT, now_s)
            if self._policy.fair_by is not None:
                step = step._replace(job=step.job._replace(turn=next(self._numbers)))
            self._tables.put_job(step.job)
            job = self._fold_step(step)
            job = self._fold_step(lifecycle.accept(job, self._policy, now_s))
            self._begin(job, worker, now_s)

    def _begin(self, job: Job, worker: Worker, now_s: float) -> None:
        service_s = self._scenario.service_s(self._rng, next(self._service_numbers))
        self._plan(now_s + service_s, job, worker, None)
        if self._scenario.says_progress:
            for elapsed_s, percent in self._scenario.reports(self._report_rng, service_s):
                self._plan(now_s + elapsed_s, job, worker, percent)

    def _plan(self, at_s: float, job: Job, worker: Worker, percent: float | None) -> None:
        heapq.heappush(self._due, (at_s, next(self._due_numbers), job.id, worker, percent))

    def _work_until(self, end_s: float) -> None:
        while self._due and self._due[0][0] <= end_s:
            now_s, _, job_id, worker, percent = heapq.heappop(self._due)
            order = self.projection.get(job_id)
            assert order
            if percent is not None:
                self._fold_step(lifecycle.make_progress(order.job, now_s, Progress(percent)))
                continue
            self._record_outcome(order, now_s)
            self._tables.put_job(self._fold_step(lifecycle.finish(order.job, now_s)))
            self._come(worker, now_s)
            self._match(now_s)

    def _record_outcome(self, order: Order, now_s: float) -> None:
        if order.promise is not None:
            self.outcomes.append(PromiseOutcome(order.promise, now_s - order.promise.at_s))
        without = self.projection.forecast.estimator.service_window(order.since_s)
        for report in order.reports:
            assert without
            self.with_progress.append(ServiceOutcome(report.window(), now_s))
            self.without_progress.append(ServiceOutcome(without, now_s))

    def _fold_step(self, step: Step) -> Job:
        self._fold(step.note, job=step.job)
        return step.job

    def _fold(self, note: Note, *, job: Job | None = None, worker: Worker | None = None) -> None:
        holder = job.worker if job else worker
        number = next(self._numbers)
        event = Event(number, note.kind, note.at_s, job, holder, note.reason)
        self.projection.fold(*self.projection.promised([event]))


def robot(number: int, rule: str) -> Worker:
    """Return a robot with a key: without one its job would be done as soon as it is accepted."""
    url = f"http://engine.example/{number}/callbacks/1/"
    return Worker(url, to_rfc3339(START_S), Key(str(number), "a1"), rule=rule)


def scenarios(orders: int) -> list[Scenario]:
    """Return one and three robots, steady and bursty arrivals, with and without a slowdown.

    Besides, four robots whose line is not by arrival alone.
    """
    by_arrival = product((1, 3), ARRIVALS, CHANGES)
    others = product(ARRIVALS, LINES)
    return [
        *(Scenario(robots, arrivals, change, orders) for robots, arrivals, change in by_arrival),
        *(Scenario(4, arrivals, "none", orders, line=line) for arrivals, line in others),
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
        bar = [str(scenario.robots), scenario.arrivals, scenario.change, scenario.line]
        rows.append(
            [*bar, str(len(outcomes)), f"{kept:.0f} %", f"{width_min:.1f} min", f"{fixed:.0f} %"]
        )
        data[" ".join(bar)] = {"kept": kept, "width_min": width_min, "fixed": fixed}
    heads = ["robots", "arrivals", "midway", "line", "promises", "kept", "median range", "±25 %"]
    tables = [Table(heads, rows), with_progress(plan.orders)]
    return Report("eta", "How often the promised waiting time is kept", tables, data)


def with_progress(orders: int) -> Table:
    """Return what it changes that robots say how far they are.

    That is the range promised with the order, and the range of the rest of a service, each time
    that a robot has said how far it is.
    """
    rows = []
    for robots, arrivals, change in product((1, 3), ARRIVALS, CHANGES):
        scenario = Scenario(robots, arrivals, change, orders)
        silent = SimulatedBar(scenario, SEED)
        talking = SimulatedBar(replace(scenario, says_progress=True), SEED)
        row = [str(robots), arrivals, change]
        for outcomes in (silent.run(), talking.run()):
            row.append(f"{percent_true([o.is_kept for o in outcomes]):.0f} %")
            row.append(f"{median(o.width_min for o in outcomes):.1f} min")
        for services in (talking.without_progress, talking.with_progress):
            settled = services[SETTLED:]
            row.append(f"{percent_true([o.is_kept for o in settled]):.0f} %")
            row.append(f"{median(o.width_s for o in settled):.0f} s")
        rows.append(row)
    kinds = ("promise, silent", "promise, with progress", "rest, silent", "rest, with progress")
    heads = [f"{kind}: {what}" for kind in kinds for what in ("kept", "range")]
    return Table(["robots", "arrivals", "midway", *heads], rows)
