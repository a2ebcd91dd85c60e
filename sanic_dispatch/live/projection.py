"""The fold of events to orders: who waits in which place, who is being served, who was served."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from sortedcontainers import SortedDict

from sanic_dispatch.core.events import Event, Kind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.live.finished import KEEP_FAILED_S, Over
from sanic_dispatch.live.forecast import Forecast
from sanic_dispatch.live.last_hour import History
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.robots import Robots
from sanic_dispatch.live.view import Moment

LOG = 200
"""How many of the last events the log shows."""


class Bar(NamedTuple):
    """The counts."""

    robots: int
    waiting: int
    assigned: int
    paused: bool


class Line:
    """All orders. A change costs O(log n), and so does a place in the line.

    ``moment`` moves with each change: an event, or something that is shown no longer.
    """

    def __init__(self, keep_failed_s: float = KEEP_FAILED_S) -> None:
        self.moment = Moment(0)
        self.robots = Robots()
        self.history = History()
        self.log: deque[Event] = deque(maxlen=LOG)
        self.waiting: SortedDict[float, Order] = SortedDict()
        self.assigned: SortedDict[float, Order] = SortedDict()
        self.over = Over(keep_failed_s)
        self.forecast = Forecast(self.robots, self.assigned)
        self._orders: dict[str, Order] = {}
        self._paused = False

    def seed(
        self,
        jobs: Sequence[Job],
        finished: Iterable[Job],
        workers: Iterable[Worker],
        *,
        paused: bool = False,
        number: int = 0,
        now_s: float = 0.0,
    ) -> None:
        """Begin with what the queues hold; from then on, fold every event after that number.

        Of those that wait only the ones that came in the hour before ``now_s`` count as arrived.
        """
        self.moment = Moment(number)
        self._paused = paused
        for worker in workers:
            self.robots.fold(Kind.WORKER_REGISTERED, worker)
        for job in finished:
            self._put(job, job.finished_s or 0.0)
            self.history.seed(job)
            if job.hold:
                self.forecast.learn(job, job.hold.since_s)
        waiting: dict[float, Order] = {}
        for job in jobs:
            if job.is_free:
                waiting[job.place] = self._orders[job.id] = Order(job)
            else:
                self._put(job, job.hold.since_s if job.hold else job.submitted_s)
        self.history.seed_unfinished(jobs, now_s)
        self.waiting.update(waiting)  # all at once: one by one takes four times as long

    def fold(self, event: Event) -> None:
        """Take in what happened."""
        self.moment = Moment(event.number)
        self.log.append(event)
        if event.job is not None:
            self.history.fold(event)
            order = self._put(event.job, event.at_s)
            if event.kind is Kind.JOB_SUBMITTED and not self._paused:
                # It is the last in the line, so that its place need not be looked up.
                self.forecast.promise(order, len(self.waiting) - 1, event.at_s)
        elif event.worker is not None:
            self.robots.fold(event.kind, event.worker)
        else:
            self._paused = event.kind is Kind.DISPATCH_PAUSED

    def expire(self, now_s: float) -> None:
        """Let go of what is shown no longer."""
        changed = self.robots.expire(now_s) | self.history.expire(now_s)
        gone = self.over.expire(now_s)
        self._forget(gone)
        if changed or gone:
            self.moment = self.moment._replace(age=self.moment.age + 1)

    def get(self, job_id: str) -> Order | None:
        """The order of that secret id."""
        return self._orders.get(job_id)

    def first(self, count: int) -> list[Order]:
        """The first ones that wait."""
        return list(islice(self.waiting.values(), count))

    def ahead(self, order: Order) -> int:
        """How many wait before it."""
        return int(self.waiting.bisect_left(order.job.place))

    def window(self, order: Order, now_s: float) -> tuple[float, float] | None:
        """Between when and when it will be ready, Unix seconds; None where nobody can tell."""
        if order.job.state.is_final or (self._paused and order.job.state is State.WAITING):
            return None
        return self.forecast.window(order, self.ahead(order), now_s)

    def window_of_next(self, now_s: float) -> tuple[float, float] | None:
        """The same for an order that would come now."""
        if self._paused:
            return None
        promise = self.forecast.promise_behind(len(self.waiting), now_s)
        return promise.window() if promise else None

    def bar(self) -> Bar:
        """The counts."""
        return Bar(self.robots.present, len(self.waiting), len(self.assigned), self._paused)

    def _put(self, job: Job, at_s: float) -> Order:
        order = self._orders.get(job.id)
        if order is None:
            order = self._orders[job.id] = Order(job, at_s)
        else:
            before, order.job = order.job, job
            self._step_out(before, job, at_s)
            if job.state is not before.state or job.attempt > before.attempt:
                self._begin(order, before, at_s)
        self._stand(order)
        return order

    def _begin(self, order: Order, before: Job, at_s: float) -> None:
        """Its state is a new one."""
        if order.job.state is State.DONE and before.state is State.ASSIGNED:
            self.forecast.done(order, order.since_s)
        order.changed_s = at_s

    def _stand(self, order: Order) -> None:
        job = order.job
        if job.state is State.WAITING:
            self.waiting[job.place] = order
        elif job.state is State.ASSIGNED:
            self.assigned[job.place] = order
            self.robots.hold(job)
            self.forecast.has_changed = True
        else:
            self._forget(self.over.add(order))

    def _step_out(self, before: Job, now: Job, at_s: float) -> None:
        if before.state is State.WAITING:
            self.waiting.pop(before.place, None)
        elif before.state is State.ASSIGNED:
            self.assigned.pop(before.place, None)
            self.robots.let_go(before, now, at_s)
            self.forecast.has_changed = True
        else:
            self.over.remove(before.id)

    def _forget(self, orders: Iterable[Order]) -> None:
        for order in orders:
            del self._orders[order.job.id]
