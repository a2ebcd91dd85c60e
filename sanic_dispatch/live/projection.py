"""The projection of events to orders: waiting in order, being served, finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from sortedcontainers import SortedDict

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.queries import EARLIER_EVENTS, NO_EARLIER_RUNS, EarlierRuns
from sanic_dispatch.live.delta_view import Version
from sanic_dispatch.live.finished import KEEP_FAILED_S, FinishedOrders
from sanic_dispatch.live.forecast import Experience, Forecast
from sanic_dispatch.live.last_hour import LastHour
from sanic_dispatch.live.log_line import LoggedOrNew
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.tracked_robots import Robots

STATE_CHANGES = (
    EventKind.JOB_ASSIGNED,
    EventKind.JOB_RETURNED,
    EventKind.JOB_DONE,
    EventKind.JOB_FAILED,
    EventKind.JOB_CANCELLED,
)
"""The events with which an order's state, or its attempt, changes."""


class QueueCounts(NamedTuple):
    """The counts in the bar of every view."""

    robots: int
    waiting: int
    assigned: int
    paused: bool


class Projection:
    """All orders. A change costs O(log n), and so does finding a place in the queue.

    ``version`` grows with each event, and with each expiration of something that was shown.
    """

    def __init__(self, keep_failed_s: float = KEEP_FAILED_S) -> None:
        self.version = Version(0)
        self.robots = Robots()
        self.last_hour = LastHour()
        self.log: deque[LoggedOrNew] = deque(maxlen=EARLIER_EVENTS)
        self.earlier = NO_EARLIER_RUNS
        self.waiting: SortedDict[float, Order] = SortedDict()
        self.finished = FinishedOrders(keep_failed_s)
        self._assigned: dict[float, Order] = {}
        self.forecast = Forecast(self.robots, self._assigned.values())
        self._orders: dict[str, Order] = {}
        self._paused = False

    def seed(
        self,
        jobs: Sequence[Job],
        finished: Iterable[Job],
        workers: Iterable[Worker],
        *,
        paused: bool = False,
        earlier: EarlierRuns = NO_EARLIER_RUNS,
        number: int = 0,
        now_s: float = 0.0,
    ) -> None:
        """Load the tables as of event ``number``; later events are folded on top.

        Of the unfinished jobs only those submitted in the hour before ``now_s`` count as arrivals.
        """
        self._paused = paused
        self.earlier = earlier
        self.log.extend(earlier.events)
        changed_s = {each.job: each.at_s for each in earlier.events if each.event in STATE_CHANGES}
        for worker in workers:
            self.robots.fold(EventKind.WORKER_REGISTERED, worker)
        for job in finished:
            self._apply(job, job.finished_s or 0.0)
            self.last_hour.seed(job)
            if job.hold:
                self.forecast.learn(job, job.hold.since_s)
        waiting: dict[float, Order] = {}
        for job in jobs:
            if job.is_waiting:
                returned_s = changed_s.get(job.id) if job.attempt else None
                waiting[job.place] = self._orders[job.id] = Order(job, returned_s)
            else:
                held_s = job.hold.since_s if job.hold else job.submitted_s
                self._apply(job, changed_s.get(job.id, held_s))
        self.last_hour.seed_unfinished(jobs, now_s)
        self.waiting.update(waiting)  # in one go: a quarter of the time of inserting one by one
        self.expire(now_s)
        self.version = Version(number)

    def go_on(self, experience: Experience) -> None:
        """Take over what was learnt and promised before the tables were loaded.

        Where that is too little for an estimate, the finished jobs have told more.
        """
        if experience.estimator.has_enough_samples:
            self.forecast.estimator = experience.estimator
        for job_id, promise in experience.promises.items():
            if order := self._orders.get(job_id):
                order.promise = promise

    def fold(self, event: Event) -> None:
        """Apply an event."""
        self.version = Version(event.number)
        self.log.append(event)
        if event.kind is EventKind.JOB_FORGOTTEN:
            self._forget_data(event.job)
        elif event.job is not None:
            self.last_hour.fold(event)
            order = self._apply(event.job, event.at_s)
            if event.kind is EventKind.JOB_SUBMITTED and not self._paused:
                # A new order is the last in the queue: no lookup of its place.
                self.forecast.promise(order, len(self.waiting) - 1, event.at_s)
        elif event.worker is not None:
            self.robots.fold(event.kind, event.worker)
        else:
            self._paused = event.kind is EventKind.DISPATCH_PAUSED

    def expire(self, now_s: float) -> None:
        """Remove what is no longer shown."""
        changed = self.robots.expire(now_s) | self.last_hour.expire(now_s)
        gone = self.finished.expire(now_s)
        self._forget(gone)
        if changed or gone:
            self.version = self.version._replace(age=self.version.age + 1)

    @property
    def assigned(self) -> list[Order]:
        """The orders that are being served, sorted by place when asked for: they are few."""
        return [self._assigned[place] for place in sorted(self._assigned)]

    def get(self, job_id: str) -> Order | None:
        """Return the order with this secret id, if it is shown."""
        return self._orders.get(job_id)

    def next_pair(self) -> tuple[int, str] | None:
        """Return the ticket and the callback that are next in line; None if not both, or paused."""
        worker = next(iter(self.robots.free), None)
        if self._paused or not self.waiting or worker is None:
            return None
        return self.first(1)[0].job.ticket, worker

    def first(self, count: int) -> list[Order]:
        """Return the first waiting orders, at most ``count``."""
        return list(islice(self.waiting.values(), count))

    def ahead(self, order: Order) -> int:
        """Return the number of orders that wait before this one."""
        return int(self.waiting.bisect_left(order.job.place))

    def window(self, order: Order, now_s: float) -> tuple[float, float] | None:
        """Return between when an order will be ready, Unix seconds; None if that is unknown."""
        if order.job.state.is_final or (self._paused and order.job.state is State.WAITING):
            return None
        return self.forecast.window(order, self.ahead(order), now_s)

    def window_of_next(self, now_s: float) -> tuple[float, float] | None:
        """Return between when an order submitted now would be ready."""
        if self._paused:
            return None
        promise = self.forecast.promise_behind(len(self.waiting), now_s)
        return promise.window() if promise else None

    def counts(self) -> QueueCounts:
        """Return the counts for the bar."""
        return QueueCounts(
            self.robots.present, len(self.waiting), len(self._assigned), self._paused
        )

    def _forget_data(self, job: Job | None) -> None:
        """Show an order without its data, if it is shown at all."""
        if job is not None and (order := self._orders.get(job.id)):
            order.replace(job)

    def _apply(self, job: Job, at_s: float) -> Order:
        order = self._orders.get(job.id)
        if order is None:
            is_new = job.state is State.WAITING and not job.attempt
            order = self._orders[job.id] = Order(job, None if is_new else at_s)
        else:
            before, order.job = order.job, job
            self._withdraw(before, job, at_s)
            if job.state is not before.state or job.attempt > before.attempt:
                if job.state is State.DONE and before.state is State.ASSIGNED:
                    self.forecast.done(order, order.since_s)
                order.changed_s = at_s
        self._insert(order)
        return order

    def _insert(self, order: Order) -> None:
        job = order.job
        if job.state is State.WAITING:
            self.waiting[job.place] = order
        elif job.state is State.ASSIGNED:
            self._assigned[job.place] = order
            self.robots.assign(job)
            self.forecast.has_changed = True
        else:
            self._forget(self.finished.add(order))

    def _withdraw(self, before: Job, now: Job, at_s: float) -> None:
        if before.state is State.WAITING:
            self.waiting.pop(before.place, None)
        elif before.state is State.ASSIGNED:
            self._assigned.pop(before.place, None)
            self.robots.release(before, now, at_s)
            self.forecast.has_changed = True
        else:
            self.finished.remove(before.id)

    def _forget(self, orders: Iterable[Order]) -> None:
        for order in orders:
            del self._orders[order.job.id]
