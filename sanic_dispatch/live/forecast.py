"""When orders will be ready: what the estimator needs to know of the line, kept at hand."""

from __future__ import annotations

from collections.abc import Mapping

from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.live.estimator import Estimator, Load, Promise
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.robots import Robots

FRESH_S = 1.0
"""How long one look at the robots serves, as long as none of them began or ended anything."""

PER_ROBOT_S = 0.001
"""For how long per busy robot a look serves whatever they did: so it takes a share of the time that
does not grow with the robots. A look at 20 takes 50 µs, at each order 5 % of a cycle."""


class Forecast:
    """Estimates for orders that wait or are being served, and what became of the first ones."""

    def __init__(self, robots: Robots, assigned: Mapping[float, Order]) -> None:
        self.estimator = Estimator()
        self._robots = robots
        self._assigned = assigned
        self._load = Load(0, 0.0, 0.0)
        self._looked_s = 0.0
        self.has_changed = True
        """Whether a robot began or ended something since the last look."""

    def promise(self, order: Order, ahead: int, now_s: float) -> Promise | None:
        """What can be said now of an order that was not served yet; the first time counts."""
        if not self.estimator.knows_enough:
            return None
        if order.job.state is State.ASSIGNED:
            promise = self.estimator.promise_of_service(now_s)
        else:
            promise = self.promise_behind(ahead, now_s)
        order.promise = order.promise or promise
        return promise

    def promise_behind(self, ahead: int, now_s: float) -> Promise | None:
        """What can be said now of whoever has so many before them."""
        if not self.estimator.knows_enough:
            return None
        return self.estimator.promise(now_s, self._load_at(now_s), ahead)

    def window(self, order: Order, ahead: int, now_s: float) -> tuple[float, float] | None:
        """Between when and when it will be ready, Unix seconds."""
        if order.job.state is State.ASSIGNED:
            return self.estimator.service_window(order.since_s)
        promise = self.promise(order, ahead, now_s)
        return promise.window() if promise else None

    def done(self, order: Order, began_s: float) -> None:
        """It was served."""
        self.learn(order.job, began_s)
        if order.promise and order.job.finished_s:
            self.estimator.settle(order.promise, order.job.finished_s)

    def learn(self, job: Job, began_s: float) -> None:
        """How long a service took; a worker without a key that has no lease does not tell."""
        hold = job.hold
        if hold and job.finished_s and (hold.worker.key or hold.stage is Stage.CONFIRMED):
            self.estimator.served(job.finished_s - began_s)

    def _load_at(self, now_s: float) -> Load:
        age_s, busy = now_s - self._looked_s, len(self._assigned)
        fresh_s = FRESH_S if not self.has_changed else busy * PER_ROBOT_S
        if not 0 <= age_s < fresh_s or self._load.robots != self._robots.present:
            elapsed = (now_s - order.since_s for order in self._assigned.values())
            self._load = self.estimator.load(self._robots.present, elapsed)
            self._looked_s, self.has_changed = now_s, False
        return self._load
