"""Statistics of a span of events, by hour, drink or robot.

An event counts for the row of its time, of its order's drink, or of the robot that its order was
handed to. Pure: a fold of events, and of the data that was submitted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.history.quantiles import Quantiles
from sanic_dispatch.live.order import texts_of
from sanic_dispatch.observability.log import printable, without_secrets
from sanic_dispatch.storage.event_record import LoggedEvent, Payload

HOUR_S = 3600

LOOK_BACK_S = 24 * HOUR_S
"""From how long before a span events are needed, to know drinks, robots and what they were doing.

Of an order that was submitted even earlier the drink is not known.
"""


class By(StrEnum):
    """What the rows are for."""

    HOUR = "hour"
    DRINK = "drink"
    ROBOT = "robot"


MAX_SILENCE_S = 30 * 24 * HOUR_S
"""For how long at most before an event, or the end, a robot counts as having done the same.

A longer time is a clock that jumped: from 1970 on there would be a row for each hour.
"""

RowKey = str | int | None
"""The hour (its number since 1970), the drink (None: not known), or the robot's label."""


@dataclass(slots=True, eq=False)
class StatisticsRow:
    """Counts and durations of one hour, drink or robot.

    ``submitted`` is the number of orders that came; of a robot, those that were handed to it.
    ``refused`` counts hand-overs that the robot did not take, ``doubted`` those whose outcome was
    unknown for a time.
    """

    submitted: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    refused: int = 0
    doubted: int = 0
    wait_s: Quantiles = field(default_factory=Quantiles)
    """From the submission until a robot had the order."""
    service_s: Quantiles = field(default_factory=Quantiles)
    """From when a robot had the order until it was done."""
    promises: int = 0
    """How many of the orders that are done had a promise."""
    kept: int = 0
    """How many of these promises came true."""
    busy_s: float = 0.0
    """For how long robots had orders."""
    present_s: float = 0.0
    """For how long robots had orders or waited for one, and were not set aside."""


@dataclass(slots=True, eq=False)
class _OpenOrder:
    """What has to be remembered of an order that is not over."""

    submitted_s: float | None = None
    drink: str | None = None
    promise: Promise | None = None
    callback: str = ""
    robot: str = ""
    is_handed_over: bool = False
    """Whether the outcome of its last hand-over is known."""
    confirmed_s: float | None = None


@dataclass(slots=True, eq=False)
class _RobotTime:
    """What a robot does at one callback: it has an order, waits for one, or neither."""

    label: str
    since_s: float
    order: _OpenOrder | None = None
    waits: bool = False
    is_queued: bool = False
    is_aside: bool = False


class Statistics:
    """Folds events in the order of their numbers into rows.

    Events before ``from_s`` count for no row, and should go back ``LOOK_BACK_S``. ``payloads`` are
    those of the same events, and only needed by drink.
    """

    def __init__(
        self,
        by: By,
        from_s: float | None = None,
        to_s: float | None = None,
        payloads: Iterable[Payload] = (),
    ) -> None:
        self._by = by
        self._from_s = -inf if from_s is None else from_s
        self._to_s = inf if to_s is None else to_s
        self._payloads = iter(payloads)
        self._payload = next(self._payloads, None)
        self._rows: defaultdict[RowKey, StatisticsRow] = defaultdict(StatisticsRow)
        self._orders: dict[int, _OpenOrder] = {}
        self._robots: dict[str, _RobotTime] = {}
        self._present_s = 0.0
        """The sum of all robots' presence, which drinks have a share of."""

    def add(self, event: LoggedEvent) -> None:
        """Count an event."""
        if count_job := _OF_JOBS.get(event.event):
            order = self._orders.get(event.ticket)
            if order is None:
                order = self._orders[event.ticket] = _OpenOrder()
            count_job(self, event, order)
        elif count_robot := _OF_ROBOTS.get(event.event):
            count_robot(self, event)

    def rows(self, now_s: float) -> list[dict[str, Any]]:
        """Return the rows as JSON: hours in order, drinks and robots by name.

        What robots did last counts until ``now_s`` or the end of the span.
        """
        for robot in self._robots.values():
            self._account(robot, now_s)
        keys = sorted(self._rows, key=lambda key: (key is None, key))
        return [self._row_as_json(key, self._rows[key]) for key in keys]

    def utilisation(self, now_s: float) -> float | None:
        """Return the share of all robots' presence in which they had orders; by robot or hour."""
        for robot in self._robots.values():
            self._account(robot, now_s)
        present_s = sum(row.present_s for row in self._rows.values())
        busy_s = sum(row.busy_s for row in self._rows.values())
        return round(busy_s / present_s, 3) if present_s else None

    # ---- events of jobs

    def _submitted(self, event: LoggedEvent, order: _OpenOrder) -> None:
        order.submitted_s, order.drink = event.at_s, self._drink_of(event)
        order.promise = event.promise
        if self._by is not By.ROBOT and (row := self._row(event, order)):
            row.submitted += 1

    def _assigned(self, event: LoggedEvent, order: _OpenOrder) -> None:
        if order.submitted_s is None and event.waiting_s is not None:
            order.submitted_s = event.at_s - event.waiting_s
        if order.callback not in ("", event.callback):  # it is sent to its robot's new callback
            self._end_service(event, order)
        order.callback, order.robot = event.callback, _label_of(event)
        order.is_handed_over, order.confirmed_s = False, None
        if self._by is By.ROBOT and (row := self._row(event, order)):
            row.submitted += 1
        robot = self._robot(event)
        robot.order, robot.waits = order, False

    def _confirmed(self, event: LoggedEvent, order: _OpenOrder) -> None:
        self._taken(event, order)
        order.confirmed_s = event.at_s

    def _taken(self, event: LoggedEvent, order: _OpenOrder) -> None:
        """Count the waiting time once a hand-over has come to a good end."""
        submitted_s, has_ended = order.submitted_s, not order.is_handed_over and order.callback
        order.is_handed_over = True
        if has_ended and submitted_s is not None and (row := self._row(event, order)):
            row.wait_s.add(max(event.at_s - submitted_s, 0.0))

    def _doubted(self, event: LoggedEvent, order: _OpenOrder) -> None:
        order.is_handed_over = True
        if row := self._row(event, order):
            row.doubted += 1

    def _returned(self, event: LoggedEvent, order: _OpenOrder) -> None:
        self._refused(event, order)
        self._end_service(event, order, stays=True)

    def _refused(self, event: LoggedEvent, order: _OpenOrder) -> None:
        """Count a refusal if the hand-over has just come to a bad end."""
        if not order.is_handed_over and order.callback and (row := self._row(event, order)):
            row.refused += 1
        order.is_handed_over = True

    def _done(self, event: LoggedEvent, order: _OpenOrder) -> None:
        self._taken(event, order)
        if row := self._row(event, order):
            row.done += 1
            if order.promise is not None:
                row.promises += 1
                row.kept += order.promise.is_kept(event.at_s)
            if order.confirmed_s is not None:
                row.service_s.add(max(event.at_s - order.confirmed_s, 0.0))
            elif not order.callback and event.service_s is not None:  # it was handed over earlier
                row.service_s.add(event.service_s)
        self._end_service(event, order)
        self._orders.pop(event.ticket)

    def _failed(self, event: LoggedEvent, order: _OpenOrder) -> None:
        self._refused(event, order)
        if row := self._row(event, order):
            row.failed += 1
        self._end_service(event, order)

    def _cancelled(self, event: LoggedEvent, order: _OpenOrder) -> None:
        if row := self._row(event, order):
            row.cancelled += 1
        self._end_service(event, order, stays=True)
        self._orders.pop(event.ticket)

    def _end_service(self, event: LoggedEvent, order: _OpenOrder, *, stays: bool = False) -> None:
        """Take the order from the robot that had it.

        ``stays``: it waits, if it is still in the queue. Otherwise its callback is used up.
        """
        robot = self._robots.get(order.callback)
        if robot is not None and robot.order is order:
            self._account(robot, event.at_s)
            robot.order, robot.waits = None, robot.is_queued and not robot.is_aside
            if not (stays and robot.is_queued):
                del self._robots[order.callback]
        order.callback, order.confirmed_s = "", None

    # ---- events of robots

    def _registered(self, event: LoggedEvent) -> None:
        robot = self._robot(event)
        robot.is_aside = event.facts is not None and event.facts.aside is not None
        robot.waits, robot.is_queued = not robot.is_aside, True

    def _set_aside(self, event: LoggedEvent) -> None:
        robot = self._robot(event)
        robot.waits, robot.is_queued, robot.is_aside = False, True, True

    def _left(self, event: LoggedEvent) -> None:
        robot = self._robot(event)
        robot.waits = robot.is_queued = False
        if robot.order is None:
            del self._robots[event.callback]

    # ---- rows

    def _row(self, event: LoggedEvent, order: _OpenOrder) -> StatisticsRow | None:
        """Return the row that an event counts for; None outside the span, or without a robot."""
        if not self._from_s <= event.at_s < self._to_s:
            return None
        if self._by is By.HOUR:
            return self._rows[int(event.at_s // HOUR_S)]
        if self._by is By.DRINK:
            return self._rows[order.drink]
        robot = order.robot or _label_of(event)
        return self._rows[robot] if robot else None

    def _robot(self, event: LoggedEvent) -> _RobotTime:
        """Return the robot at a callback, after counting what it did until now."""
        robot = self._robots.get(event.callback)
        if robot is None:
            robot = self._robots[event.callback] = _RobotTime(_label_of(event), event.at_s)
        self._account(robot, event.at_s)
        return robot

    def _account(self, robot: _RobotTime, now_s: float) -> None:
        """Count what a robot did since the last time, within the span."""
        end_s = min(now_s, self._to_s)
        begin_s = max(robot.since_s, self._from_s, end_s - MAX_SILENCE_S)
        robot.since_s = max(robot.since_s, now_s)
        if end_s <= begin_s or not (robot.waits or robot.order):
            return
        if self._by is By.HOUR:
            while begin_s < end_s:
                hour = int(begin_s // HOUR_S)
                until_s = min(end_s, (hour + 1.0) * HOUR_S)
                self._spend(self._rows[hour], robot, until_s - begin_s)
                begin_s = until_s
        elif self._by is By.ROBOT:
            self._spend(self._rows[robot.label], robot, end_s - begin_s)
        else:
            self._present_s += end_s - begin_s
            if robot.order:
                self._rows[robot.order.drink].busy_s += end_s - begin_s

    @staticmethod
    def _spend(row: StatisticsRow, robot: _RobotTime, seconds: float) -> None:
        row.present_s += seconds
        if robot.order:
            row.busy_s += seconds

    def _drink_of(self, event: LoggedEvent) -> str | None:
        while self._payload is not None and self._payload.n < event.n:
            self._payload = next(self._payloads, None)
        if self._payload is None or self._payload.n != event.n:
            return None
        return texts_of(self._payload.json).drink

    def _row_as_json(self, key: RowKey, row: StatisticsRow) -> dict[str, Any]:
        present_s = self._present_s if self._by is By.DRINK else row.present_s
        return {
            self._by.value: _hour(key) if isinstance(key, int) else key,
            "submitted": row.submitted,
            "done": row.done,
            "failed": row.failed,
            "cancelled": row.cancelled,
            "wait_s": _percentiles(row.wait_s),
            "service_s": _percentiles(row.service_s),
            "kept": round(row.kept / row.promises, 3) if row.promises else None,
            "refused": row.refused,
            "doubted": row.doubted,
            "utilisation": round(row.busy_s / present_s, 3) if present_s else None,
        }


_OF_JOBS: dict[str, Callable[[Statistics, LoggedEvent, _OpenOrder], None]] = {
    EventKind.JOB_SUBMITTED: Statistics._submitted,
    EventKind.JOB_ASSIGNED: Statistics._assigned,
    EventKind.JOB_CONFIRMED: Statistics._confirmed,
    EventKind.JOB_DOUBTED: Statistics._doubted,
    EventKind.JOB_RETURNED: Statistics._returned,
    EventKind.JOB_DONE: Statistics._done,
    EventKind.JOB_FAILED: Statistics._failed,
    EventKind.JOB_CANCELLED: Statistics._cancelled,
}
_OF_ROBOTS: dict[str, Callable[[Statistics, LoggedEvent], None]] = {
    EventKind.WORKER_REGISTERED: Statistics._registered,
    EventKind.WORKER_CAME_BACK: Statistics._registered,
    EventKind.WORKER_SET_ASIDE: Statistics._set_aside,
    EventKind.WORKER_USED: Statistics._left,
    EventKind.WORKER_DROPPED: Statistics._left,
}


def _label_of(event: LoggedEvent) -> str:
    """Return the robot's name: its label, or its callback if it has none."""
    return printable(event.worker) or without_secrets(event.callback)


def _hour(number: int) -> str:
    return to_rfc3339(number * HOUR_S).replace(".000000", "")


def _percentiles(values: Quantiles) -> dict[str, float | None]:
    return dict(zip(_PERCENTILES, values.at(list(_PERCENTILES.values())), strict=True))


_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
