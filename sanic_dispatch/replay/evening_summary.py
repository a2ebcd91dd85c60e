"""What matters of an evening: how long guests waited, the longest line, how busy robots were."""

from __future__ import annotations

from statistics import fmean
from typing import Any, NamedTuple

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.history.statistics import By, Statistics
from sanic_dispatch.live.conformal_range import quantile
from sanic_dispatch.storage.event_record import LoggedEvent

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class EveningSummary(NamedTuple):
    """An evening in figures, of the orders that came in it; times are in seconds.

    An order waited from its submission until the robot had it that ended it. ``kept`` is the share
    of promises that came true, ``utilisation`` that of the robots' presence in which they had
    orders. ``unserved`` are orders that were neither made nor cancelled.
    """

    orders: int
    waits_s: list[float]
    longest_line: int
    utilisation: float | None
    kept: float | None
    unserved: int
    line: list[tuple[float, int]]
    """When the line's length changed (Unix seconds), and its length from then on."""

    @property
    def wait_s(self) -> dict[str, float | None]:
        """The mean and the percentiles of the waits."""
        if not self.waits_s:
            return {"mean": None, **dict.fromkeys(SHARES)}
        percentiles = {name: quantile(self.waits_s, share) for name, share in SHARES.items()}
        found = {"mean": fmean(self.waits_s), **percentiles}
        return {name: round(wait_s, 3) for name, wait_s in found.items()}

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "orders": self.orders,
            "wait_s": self.wait_s,
            "longest_line": self.longest_line,
            "utilisation": self.utilisation,
            "kept": self.kept,
        }


class _OpenWait:
    """An order that is not over."""

    __slots__ = ("has_failed", "is_waiting", "promise", "submitted_s", "taken_s")

    def __init__(self, submitted_s: float, promise: Promise | None) -> None:
        self.submitted_s = submitted_s
        self.promise = promise
        self.is_waiting = True
        self.has_failed = False
        self.taken_s: float | None = None


class SummaryFold:
    """Folds events, in order, into the summary of a span (Unix seconds)."""

    def __init__(self, begin_s: float, end_s: float) -> None:
        self._begin_s, self._end_s = begin_s, end_s
        self._busy = Statistics(By.ROBOT, begin_s, end_s)
        self._open: dict[int, _OpenWait] = {}
        self._orders = 0
        self._waits_s: list[float] = []
        self._promises = self._kept = 0
        self._length = self._longest = 0
        self._line: list[tuple[float, int]] = []
        self._newest = 0
        """The ticket of the last event if that was its submission."""
        self._newest_s = 0.0
        self._last_s = begin_s

    def add(self, event: LoggedEvent) -> None:
        """Take in an event."""
        self._busy.add(event)
        kind, at_s = event.event, event.at_s
        self._last_s = max(self._last_s, at_s)
        if self._newest and (kind != EventKind.JOB_ASSIGNED or event.ticket != self._newest):
            self._note_length(self._newest_s)  # no robot took the new order at once
        self._newest = 0
        if kind == EventKind.JOB_SUBMITTED:
            self._open[event.ticket] = _OpenWait(at_s, event.promise)
            self._orders += self._begin_s <= at_s < self._end_s
            self._length += 1
            self._newest, self._newest_s = event.ticket, at_s
            return
        order = self._open.get(event.ticket) if event.ticket else None
        if order is None:
            return
        if kind == EventKind.JOB_ASSIGNED:
            self._leave(order, at_s)
        elif kind == EventKind.JOB_CONFIRMED:
            order.taken_s = at_s
        elif kind == EventKind.JOB_RETURNED:
            self._length += not order.is_waiting
            order.is_waiting, order.has_failed, order.taken_s = True, False, None
            self._note_length(at_s)
        elif kind in _OVER:
            self._leave(order, at_s)
            self._end(event, order)

    def summary(self) -> EveningSummary:
        """Return the summary of the events so far."""
        if self._newest:
            self._note_length(self._newest_s)
        begin_s, end_s = self._begin_s, self._end_s
        still = [
            each
            for each in self._open.values()
            if begin_s <= each.submitted_s < end_s and not each.has_failed
        ]
        held = [each.taken_s - each.submitted_s for each in still if each.taken_s is not None]
        return EveningSummary(
            self._orders,
            sorted([*self._waits_s, *held]),
            self._longest,
            self._busy.utilisation(min(self._last_s, end_s)),
            round(self._kept / self._promises, 3) if self._promises else None,
            len(still) - len(held),
            self._line,
        )

    def _leave(self, order: _OpenWait, at_s: float) -> None:
        """Note that an order does not wait any more."""
        if order.is_waiting:
            order.is_waiting = False
            self._length -= 1
            self._note_length(at_s)

    def _note_length(self, at_s: float) -> None:
        if self._begin_s <= at_s < self._end_s:
            self._longest = max(self._longest, self._length)
            if not self._line or self._line[-1][1] != self._length:
                self._line.append((at_s, self._length))

    def _end(self, event: LoggedEvent, order: _OpenWait) -> None:
        kind, at_s = event.event, event.at_s
        if kind != EventKind.JOB_FAILED:
            del self._open[event.ticket]
        if not self._begin_s <= order.submitted_s < self._end_s:
            return
        if kind == EventKind.JOB_DONE:
            taken_s = at_s if order.taken_s is None else order.taken_s
            self._waits_s.append(taken_s - order.submitted_s)
            if order.promise is not None:
                self._promises += 1
                self._kept += order.promise.is_kept(at_s)
        order.has_failed, order.taken_s = True, None


_OVER = (EventKind.JOB_DONE, EventKind.JOB_FAILED, EventKind.JOB_CANCELLED)
