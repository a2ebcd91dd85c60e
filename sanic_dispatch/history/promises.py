"""Promises to customers, worked out again from logged events.

Events do not say what was promised. But a promise follows from the events before it, and what the
estimator learns from those after it. So the service's own estimator, told the same events, comes to
the same promises: those of statistics, and those with which a start or a take-over goes on.

What the log does not have is taken from what it has: a robot that is to come back is known by its
label (one without is not awaited), and one that has confirmed an order is taken to report its end.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import State
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.live.estimator import Promise
from sanic_dispatch.live.forecast import Experience, Forecast
from sanic_dispatch.live.tracked_robots import RETURN_GRACE_S
from sanic_dispatch.storage.event_log import RECENT_EVENTS, EventLog
from sanic_dispatch.storage.event_record import LoggedEvent


@dataclass(slots=True, eq=False)
class _PromisedOrder:
    """An order that is not over, or has failed and may be put back."""

    state: State | None = None
    promise: Promise | None = None
    callback: str = ""
    since_s: float = 0.0
    """Since when a robot has it."""
    is_confirmed: bool = False
    rule: str = ANYTHING
    """The log does not say what a robot makes."""


class Promises:
    """Folds events in the order of their numbers, and tells which promises were kept.

    Only an order that got an estimate when it was submitted has a promise.
    """

    def __init__(self) -> None:
        self._crew = _RobotsByCallback()
        self._orders: dict[str, _PromisedOrder] = {}
        self._assigned: dict[str, _PromisedOrder] = {}
        self._waiting = 0
        self._is_paused = False
        self._forecast = Forecast(self._crew, self._assigned.values())

    def add(self, event: LoggedEvent) -> bool | None:
        """Take in the next event; return whether the promise of the order that is done was kept.

        Return None if none is done, or if it had no promise.
        """
        kind = event.event
        if state := _STATES.get(kind):
            return self._enter(event, state)
        if kind == EventKind.JOB_CONFIRMED:
            if order := self._assigned.get(event.job):
                order.is_confirmed = True
        elif kind in _WAITS:
            self._crew.note(event, waits=_WAITS[kind])
        elif kind in _LEFT:
            self._crew.leave(event.callback)
        elif kind in (EventKind.DISPATCH_PAUSED, EventKind.DISPATCH_RESUMED):
            self._is_paused = kind == EventKind.DISPATCH_PAUSED
        return None

    @property
    def experience(self) -> Experience:
        """What the service has learnt, and what it has promised to orders that are not over."""
        promises = {job: order.promise for job, order in self._orders.items() if order.promise}
        return Experience(self._forecast.estimator, promises)

    def _enter(self, event: LoggedEvent, state: State) -> bool | None:
        """Take the order of an event to its new state."""
        order = self._orders.pop(event.job, None) or _PromisedOrder()
        was_kept = self._leave(order, event, is_done=state is State.DONE)
        order.state = state
        if state is State.WAITING:
            self._waiting += 1
            if event.event == EventKind.JOB_SUBMITTED and not self._is_paused:
                self._crew.expire(event.at_s)
                order.promise = self._forecast.promise_behind(self._waiting - 1, None, event.at_s)
        elif state is State.ASSIGNED:
            order.callback, order.since_s, order.is_confirmed = event.callback, event.at_s, False
            self._assigned[event.job] = order
            self._crew.assign(event)
            self._forecast.changes += 1
        if state not in (State.DONE, State.CANCELLED):
            self._orders[event.job] = order
        return was_kept

    def _leave(self, order: _PromisedOrder, event: LoggedEvent, *, is_done: bool) -> bool | None:
        """Take an order out of its state; learn from it if a robot has done it."""
        if order.state is State.WAITING:
            self._waiting -= 1
        if self._assigned.pop(event.job, None) is None:
            return None
        self._forecast.changes += 1
        reports = is_done and order.is_confirmed
        self._crew.release(order.callback, event.at_s, returns=reports)
        if reports:
            self._forecast.estimator.observe_service(event.at_s - order.since_s)
        if is_done and order.promise:
            return self._forecast.estimator.observe_outcome(order.promise, event.at_s)
        return None


def experience_in(log: EventLog) -> Experience:
    """Return what follows from the newest events of a log, which are read: this blocks."""
    promises = Promises()
    for event in log.newest(RECENT_EVENTS):
        promises.add(event)
    return promises.experience


class _RobotsByCallback:
    """The robots by callback: free, busy, or between two jobs, from which most return at once."""

    def __init__(self) -> None:
        self.free: set[str] = set()
        self._waiting: set[str] = set()
        """Those in the queue that are not set aside; some of them are busy."""
        self._busy: dict[str, str] = {}
        """Their labels, by callback."""
        self._between_jobs: list[tuple[str, float]] = []

    def is_any_free(self, _: Set[str] | None) -> bool:
        """Return whether a robot is free."""
        return bool(self.free)

    def count(self, _: Set[str] | None) -> int:
        """Return how many robots are at work."""
        return len(self._busy) + len(self.free) + len(self._between_jobs)

    def note(self, event: LoggedEvent, *, waits: bool) -> None:
        """Note that a robot is in the queue, and whether it may get an order."""
        self._came_back(event.worker)
        (self._waiting.add if waits else self._waiting.discard)(event.callback)
        self._update(event.callback)

    def leave(self, callback: str) -> None:
        """Note that a robot has left the queue."""
        self._waiting.discard(callback)
        self._update(callback)

    def assign(self, event: LoggedEvent) -> None:
        """Note that a robot has an order."""
        self._came_back(event.worker)
        self._busy[event.callback] = event.worker
        self._update(event.callback)

    def release(self, callback: str, at_s: float, *, returns: bool) -> None:
        """Note that a robot no longer has its order; with ``returns`` it is to come back."""
        label = self._busy.pop(callback, "")
        if returns and label:
            self._between_jobs.append((label, at_s))
        self._update(callback)

    def expire(self, now_s: float) -> None:
        """Forget robots that did not come back in time."""
        if self._between_jobs:
            self._between_jobs = [
                each for each in self._between_jobs if abs(now_s - each[1]) < RETURN_GRACE_S
            ]

    def _came_back(self, name: str) -> None:
        for at, (each, _) in enumerate(self._between_jobs):
            if each == name:
                del self._between_jobs[at]
                return

    def _update(self, callback: str) -> None:
        is_free = callback in self._waiting and callback not in self._busy
        (self.free.add if is_free else self.free.discard)(callback)


_STATES: dict[str, State] = {
    EventKind.JOB_SUBMITTED: State.WAITING,
    EventKind.JOB_RETURNED: State.WAITING,
    EventKind.JOB_ASSIGNED: State.ASSIGNED,
    EventKind.JOB_DONE: State.DONE,
    EventKind.JOB_FAILED: State.FAILED,
    EventKind.JOB_CANCELLED: State.CANCELLED,
}
"""The state of an order after an event; after other events it is what it was."""

_WAITS: dict[str, bool] = {
    EventKind.WORKER_REGISTERED: True,
    EventKind.WORKER_CAME_BACK: True,
    EventKind.WORKER_SET_ASIDE: False,
}
"""Whether a robot in the queue may get an order after an event."""

_LEFT = (EventKind.WORKER_DROPPED, EventKind.WORKER_USED)
