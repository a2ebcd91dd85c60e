"""Promises and time windows for orders, from the estimator and the load on the robots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sanic_dispatch.core.job import Job, Stage
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.live.estimator import Estimator, Load
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.progress_estimator import Report
from sanic_dispatch.live.tracked_robots import Robots

LOAD_MAX_AGE_S = 1.0
"""How long a computed load is reused while no robot began or ended a job."""

MAX_AGE_PER_ROBOT_S = 0.001
"""How long, per busy robot, a computed load is reused although jobs began or ended: it bounds
the share of time that computing takes. For 20 robots it takes 50 µs, 5 % of a cycle."""

MAX_LOADS = 1000
"""For how many different crews the load is kept."""


class Competition(NamedTuple):
    """Which robots an order competes for, and how many competing orders only its own can make.

    ``able`` are the rules of its own robots, those that can make it; ``everyone`` those of robots
    that can make it or any competing order before it. ``own`` is how many of these orders only its
    own robots can make.
    """

    able: frozenset[str]
    everyone: frozenset[str]
    own: int


class _CachedLoad(NamedTuple):
    """A load, when it was computed, and after how many changes."""

    load: Load
    at_s: float
    changes: int


class Experience(NamedTuple):
    """What a forecast has learnt, and of orders that are not over its promises and the reports.

    By job id.
    """

    estimator: Estimator
    promises: Mapping[str, Promise]
    reports: Mapping[str, tuple[Report, ...]]


NO_EXPERIENCE = Experience(Estimator(), {}, {})


class Forecast:
    """Estimates for orders that wait or are served; learns from what became of them.

    ``robots`` and ``assigned`` are read for each estimate.
    """

    def __init__(self, robots: Robots, assigned: Collection[Order]) -> None:
        self.estimator = Estimator()
        self._robots = robots
        self._assigned = assigned
        self._loads: dict[frozenset[str] | None, _CachedLoad] = {}
        """By the rules of the robots whose load it is; None for all robots."""
        self.changes = 0
        """How often a job began or ended."""

    def promise_behind(
        self, ahead: int, competition: Competition | None, now_s: float
    ) -> Promise | None:
        """Estimate when an order with ``ahead`` orders before it will be ready.

        Where robots differ in what they make, it begins when the robots that can make it have made
        what only they can, and when all the orders before it are made by all the robots that can:
        whichever is later. ``competition`` is None where they do not differ.
        """
        if not self.estimator.has_enough_samples:
            return None
        able = competition.able if competition else None
        if ahead <= 0 and self._robots.is_any_free(able):  # at once: the load does not matter
            return self.estimator.promise_of_service(now_s)
        if competition is None or able is None:
            return self.estimator.promise(now_s, (self._load_at(now_s, None), ahead))
        everyone = self._load_at(now_s, competition.everyone)
        return self.estimator.promise(
            now_s, (self._load_at(now_s, able), competition.own), (everyone, ahead)
        )

    def window_of_service(self, order: Order) -> tuple[float, float] | None:
        """Return between when an order that a robot has will be ready, Unix seconds."""
        if order.reports:
            return order.reports[-1].window()
        return self.estimator.service_window(order.since_s)

    def add_report(self, order: Order, percent: float, at_s: float) -> None:
        """Note how far the robot is that has an order."""
        since_s = order.since_s
        order.reports = self.estimator.add_report(order.reports, percent, at_s, since_s)
        self.changes += 1

    def done(self, order: Order, began_s: float) -> None:
        """Learn from an order that was served from ``began_s`` on."""
        self.learn(order.job, began_s)
        finished_s = order.job.finished_s
        if finished_s and order.reports:
            self.estimator.observe_reports(order.reports, began_s, finished_s)
        if finished_s and order.promise:
            self.estimator.observe_outcome(order.promise, began_s, finished_s)

    def learn(self, job: Job, began_s: float) -> None:
        """Add the service time of a finished job, if it is one.

        A worker without a key and without a lease does not report its end: it is skipped.
        """
        hold = job.hold
        if hold and job.finished_s and (hold.worker.key or hold.stage is Stage.CONFIRMED):
            self.estimator.observe_service(job.finished_s - began_s)

    def _load_at(self, now_s: float, rules: frozenset[str] | None) -> Load:
        known = self._loads.get(rules)
        robots = self._robots.count(rules)
        if known is not None and known.load.robots == robots:
            is_changed = known.changes != self.changes
            busy = len(self._assigned)
            fresh_s = busy * MAX_AGE_PER_ROBOT_S if is_changed else LOAD_MAX_AGE_S
            if 0 <= now_s - known.at_s < fresh_s:
                return known.load
        served = self._assigned
        counted = (it for it in served if rules is None or it.rule in rules)
        load = self.estimator.load(robots, (self._remaining_s(it, now_s) for it in counted))
        if len(self._loads) >= MAX_LOADS:
            self._loads.clear()
        self._loads[rules] = _CachedLoad(load, now_s, self.changes)
        return load

    def _remaining_s(self, served: Order, now_s: float) -> float:
        if not served.reports:
            return self.estimator.remaining_s(now_s - served.since_s)
        since_s = now_s - served.reports[-1].at_s
        overdue_s = self.estimator.parameters.overdue_share * since_s
        return max(served.reports[-1].rest_s - since_s, overdue_s)
