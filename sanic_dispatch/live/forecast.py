"""Promises and time windows for orders, from the estimator and the load on the robots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.live.estimator import Estimator, Load, Promise
from sanic_dispatch.live.order import Order

LOAD_MAX_AGE_S = 1.0
"""How long a computed load is reused while no robot began or ended a job."""

MAX_AGE_PER_ROBOT_S = 0.001
"""How long, per busy robot, a computed load is reused although jobs began or ended: it bounds
the share of time that computing takes. For 20 robots it takes 50 µs, 5 % of a cycle."""


class Crew(Protocol):
    """The robots, as far as an estimate depends on them: which are free, how many are at work."""

    @property
    def free(self) -> Collection[str]: ...

    @property
    def present(self) -> int: ...


class Served(Protocol):
    """An order that a robot has, since ``since_s``."""

    @property
    def since_s(self) -> float: ...


class Experience(NamedTuple):
    """What a forecast has learnt, and its promises to orders that are not over, by job id."""

    estimator: Estimator
    promises: Mapping[str, Promise]


NO_EXPERIENCE = Experience(Estimator(), {})


class Forecast:
    """Estimates for orders that wait or are served; learns from what became of them.

    ``robots`` and ``assigned`` are looked at anew for each estimate.
    """

    def __init__(self, robots: Crew, assigned: Collection[Served]) -> None:
        self.estimator = Estimator()
        self._robots = robots
        self._assigned = assigned
        self._load = Load(0, 0.0, 0.0)
        self._load_at_s = 0.0
        self.has_changed = True
        """Whether a job began or ended since the load was computed."""

    def promise(self, order: Order, ahead: int, now_s: float) -> Promise | None:
        """Estimate when an unfinished order will be ready.

        The first estimate of an order becomes its promise.
        """
        if not self.estimator.has_enough_samples:
            return None
        if order.job.state is State.ASSIGNED:
            promise = self.estimator.promise_of_service(now_s)
        else:
            promise = self.promise_behind(ahead, now_s)
        order.promise = order.promise or promise
        return promise

    def promise_behind(self, ahead: int, now_s: float) -> Promise | None:
        """Estimate when an order with ``ahead`` orders before it will be ready."""
        if not self.estimator.has_enough_samples:
            return None
        if ahead <= 0 and self._robots.free:  # it begins at once: the load makes no difference
            return self.estimator.promise_of_service(now_s)
        return self.estimator.promise(now_s, self._load_at(now_s), ahead)

    def window(self, order: Order, ahead: int, now_s: float) -> tuple[float, float] | None:
        """Return between when an unfinished order will be ready, Unix seconds."""
        if order.job.state is State.ASSIGNED:
            return self.estimator.service_window(order.since_s)
        promise = self.promise(order, ahead, now_s)
        return promise.window() if promise else None

    def done(self, order: Order, began_s: float) -> None:
        """Learn from an order that was served from ``began_s`` on."""
        self.learn(order.job, began_s)
        if order.promise and order.job.finished_s:
            self.estimator.observe_outcome(order.promise, order.job.finished_s)

    def learn(self, job: Job, began_s: float) -> None:
        """Add the service time of a finished job, if it is one.

        A worker without a key and without a lease does not report its end: it is skipped.
        """
        hold = job.hold
        if hold and job.finished_s and (hold.worker.key or hold.stage is Stage.CONFIRMED):
            self.estimator.observe_service(job.finished_s - began_s)

    def _load_at(self, now_s: float) -> Load:
        age_s, busy = now_s - self._load_at_s, len(self._assigned)
        fresh_s = LOAD_MAX_AGE_S if not self.has_changed else busy * MAX_AGE_PER_ROBOT_S
        if not 0 <= age_s < fresh_s or self._load.robots != self._robots.present:
            elapsed = (now_s - order.since_s for order in self._assigned)
            self._load = self.estimator.load(self._robots.present, elapsed)
            self._load_at_s, self.has_changed = now_s, False
        return self._load
