"""Patches for clients of an earlier run: which keys of a view may have changed since.

A start begins with new views, and empty rings of their patches. But the number of the last event
that a client has seen says what it has: what is shown now, but for what the events since have
changed, and the event log has those. A key that may have changed is sent; one too many does no
harm.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Container, Iterable, Iterator
from itertools import accumulate, islice
from math import inf

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import FINAL, State
from sanic_dispatch.core.rules import EVERY_ROBOT
from sanic_dispatch.live.delta_view import SKEW_S
from sanic_dispatch.live.finished import RECENT_S
from sanic_dispatch.live.last_hour import HOUR_S, MINUTE_S
from sanic_dispatch.live.log_line import LogLine, line_of
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.projection import STATE_CHANGES, Projection, is_listed
from sanic_dispatch.live.tracked_robots import RETURN_GRACE_S

ENTRY_BYTES = 2048
"""What an entry that an earlier run may have shown is taken to need; most need a tenth."""

SHOWN_S = RECENT_S + SKEW_S
"""Up to how long after its end a done or cancelled order may have been shown."""

_PAUSES = (EventKind.DISPATCH_PAUSED, EventKind.DISPATCH_RESUMED)
_ENDS = tuple(f"job.{state}" for state in FINAL)


class Changes:
    """What the last events have changed.

    All events from ``first_n`` on are known. ``orders`` and ``workers`` are the numbers of the last
    event of each, the newest first. Events up to ``unnamed_n`` may have changed other workers.
    """

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._lines = [line_of(event) for event in projection.log]
        self.listed = [line.n for line in self._lines if is_listed(line.kind)]
        """The numbers of the events that the monitor lists."""
        self._times_s = list(accumulate((line.at_s for line in self._lines), max))
        last_n = projection.version.number
        self.first_n = self._lines[0].n if self._lines else last_n + 1
        self.never = last_n + 1
        """A number that no client of an earlier run can have."""
        self.orders: dict[int, int] = {}
        for line in reversed(self._lines):
            if line.ticket:
                self.orders.setdefault(line.ticket, line.n)
        self.workers, self.unnamed_n = _workers_of(self._lines)
        self._dated = {line.ticket for line in self._lines if line.kind in STATE_CHANGES}

    def number_after(self, time_s: float) -> int:
        """Return the number of the first event after a point in time, or ``never``."""
        at = bisect_right(self._times_s, time_s)
        return self._lines[at].n if at < len(self._lines) else self.never

    def is_dated(self, order: Order) -> bool:
        """Whether this run knows as well as an earlier one since when an order is in its state."""
        job = order.job
        is_new = job.state is State.WAITING and not job.attempt
        return is_new or job.state in FINAL or job.ticket in self._dated

    def is_gone(self, job_id: str) -> bool:
        """Whether an order is not shown any more, in any view."""
        return self._projection.get(job_id) is None

    def gone_after(self, is_failed: bool, ended_s: float) -> int:
        """Return with which event an order that is gone was certainly not shown any more."""
        return self.never if is_failed else self.number_after(ended_s + SHOWN_S)

    def robots_changed(self) -> int:
        """Return with which event robots last came or went, or the topic was paused or resumed.

        That is ``never`` where robots have rules: there is no event when one has been matched.
        """
        if not (self._lines and self._projection.robots.rules <= EVERY_ROBOT):
            return self.never
        # A robot that is done counts for a while, also one that was done before the known events.
        lines, first = self._lines, self._lines[: self.first_n > 1]
        done = [*first, *(line for line in lines if line.kind == EventKind.JOB_DONE)]
        gone = [self.number_after(line.at_s + RETURN_GRACE_S + SKEW_S) for line in done]
        changes = [line.n for line in lines if line.callback or line.kind in _PAUSES]
        return max(*gone, *changes, 0, 0)

    def ends(self) -> Iterator[LogLine]:
        """Yield the events with which orders have ended."""
        return (line for line in self._lines if line.kind in _ENDS)

    def last_end_of_earlier_runs(self) -> int:
        """Return the number of the last event before the start with which an order ended."""
        events = reversed(self._projection.earlier.events)
        return next((event.n for event in events if event.event in _ENDS), 0)

    def minutes(self) -> Iterable[int]:
        """Return the minutes of which an earlier run may have shown something."""
        if self.first_n <= 1 or not self._lines:
            return {int(line.at_s // MINUTE_S) for line in self._lines}
        first_s, last_s = self._lines[0].at_s - HOUR_S - MINUTE_S, self._times_s[-1]
        return range(int(first_s // MINUTE_S), int(last_s // MINUTE_S) + 1)


class ChangedKeys:
    """The keys of a view, each with the number of the last event that may have changed it.

    A client with a lower number is sent the key; one with a number below ``least`` the whole state.
    """

    def __init__(self, projection: Projection) -> None:
        self.changes = Changes(projection)
        self.least = self.changes.first_n - 1
        self._numbers = dict[str, int]()
        self.add_undated(("bar",))
        for ticket, number in self.changes.orders.items():
            self._add(f"order/{ticket}", number)
        self._forgotten_until_s = projection.earlier.forgotten_until_s
        self._add_ended()

    def since(self, number: int) -> list[str] | None:
        """Return the keys that may have changed after an event; None if any may have."""
        if number < self.least:
            return None
        return [key for key, changed in self._numbers.items() if changed > number]

    def add_undated(self, keys: Iterable[str]) -> None:
        """Add keys of which the events do not say when they changed."""
        for key in keys:
            self._add(key, self.changes.never)

    def add_with_robots(self, keys: Iterable[str]) -> None:
        """Add keys of what depends on the robots that are here, such as why an order waits."""
        number = self.changes.robots_changed()
        for key in keys:
            self._add(key, number)

    def add_orders(self, orders: Iterable[Order], limit: int) -> None:
        """Add orders of which the first ``limit`` are shown, unless they are gone.

        Where n places lie between an order and the limit, it was on the other side of it only if
        more than n orders have changed since.
        """
        changes, changed = self.changes, list(self.changes.orders.values())
        for place, order in enumerate(islice(orders, limit + len(changed))):
            is_within = place < limit
            between = limit - 1 - place if is_within else place - limit
            crossed = changed[between] if between < len(changed) else 0
            if changes.is_gone(order.job.id):
                gone = changes.gone_after(order.job.state is State.FAILED, order.since_s)
                number = gone if is_within else min(gone, crossed)
            else:
                number = crossed if not is_within or changes.is_dated(order) else changes.never
            self._add(f"order/{order.job.ticket}", number)

    def add_workers(self, shown: int, limit: int) -> None:
        """Add the workers; ``shown`` of at most ``limit`` are shown now.

        They have no order that lasts, so it is known what was shown only if that was all of them.
        """
        for callback, number in self.changes.workers.items():
            self._add(f"worker/{callback}", number)
        self.need(self.changes.unnamed_n)
        self.need_room_for_workers(limit - shown)

    def add_log(self, shown: Container[str], limit: int) -> None:
        """Add the lines of the log: ``limit`` at most, the last ones, are shown at any time.

        Lines of events that are not known any more are shown until as many known ones came.
        """
        listed, never = self.changes.listed, self.changes.never
        gone = [*listed[limit:], *[never] * limit]
        for n, gone_n in zip(listed, gone, strict=False):
            key = f"log/{n}"
            self._add(key, n if key in shown else gone_n)
        if self.changes.first_n > 1:
            self.need(listed[limit - 1] if len(listed) >= limit else never)

    def add_minutes(self, shown: Collection[int]) -> None:
        """Add the minutes of the last hour, of which a start knows a little less."""
        changes = self.changes
        for minute in shown:
            self._add(f"minute/{minute}", changes.never)
        for minute in changes.minutes():
            end_s = (minute + 1) * MINUTE_S + HOUR_S
            self._add(f"minute/{minute}", changes.number_after(end_s + SKEW_S))

    def need_room_for_orders(self, room: int) -> None:
        """Send the state to those for whom too many orders have changed to fit in.

        An order that has changed since may have been shown, and another one in its place.
        """
        self._need_room(room // 2, self.changes.orders.values())

    def need_room_for_workers(self, room: int) -> None:
        """Send the state to those for whom more than ``room`` workers have changed."""
        self._need_room(room, self.changes.workers.values())

    def need_failed(self) -> None:
        """Send the state to those who may have a failed order that was removed meanwhile.

        Orders are removed when others end.
        """
        if self._forgotten_until_s > -inf:
            self.need(self.changes.last_end_of_earlier_runs())

    def _need_room(self, room: int, changed: Collection[int]) -> None:
        if room < 0:
            self.need_state()
        elif room < len(changed):
            self.need(next(islice(changed, room, None)))

    def need_state(self) -> None:
        """Send the state to all clients of earlier runs."""
        self.need(self.changes.never)

    def need(self, number: int) -> None:
        """Send the state, not a patch, to clients whose cursor is before this event."""
        self.least = max(self.least, number)

    def _add_ended(self) -> None:
        """Add the orders that have ended and are gone; some may not be kept any more."""
        for line in self.changes.ends():
            if self.changes.is_gone(line.job_id):
                is_failed = line.kind == EventKind.JOB_FAILED
                number = self.changes.gone_after(is_failed, line.at_s)
                self._add(f"order/{line.ticket}", number)
        if self._forgotten_until_s > -inf:
            self.need(self.changes.number_after(self._forgotten_until_s + SHOWN_S))

    def _add(self, key: str, number: int) -> None:
        self._numbers[key] = max(number, self._numbers.get(key, 0))


def _workers_of(lines: Iterable[LogLine]) -> tuple[dict[str, int], int]:
    """Return the number of the last event of each worker, and where one may be missing.

    With a job that is assigned again it may leave another worker, which only an earlier event of
    the job names. The second number is that of the last event for which there is none.
    """
    numbers, holders, unnamed_n = dict[str, int](), dict[int, str](), 0
    for line in lines:
        callbacks = {line.callback}
        if line.ticket:
            holder = holders.get(line.ticket)
            if holder is None and _may_leave_unnamed(line):
                unnamed_n = line.n
            callbacks.add(holder or "")
            holders[line.ticket] = "" if line.kind in _ENDS else line.callback
        for callback in callbacks - {""}:
            numbers.pop(callback, None)
            numbers[callback] = line.n
    return dict(reversed(numbers.items())), unnamed_n


def _may_leave_unnamed(line: LogLine) -> bool:
    """Whether a job may leave a worker with this event that it does not name."""
    return line.kind == EventKind.JOB_ASSIGNED and line.attempt > 1
