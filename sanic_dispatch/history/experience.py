"""What the event log teaches the estimator at a start or a take-over.

Also the promises of orders that are not over, and the reports on them: so estimates go on where the
last run, or the last owner, ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.live.estimator import Estimator
from sanic_dispatch.live.forecast import Experience
from sanic_dispatch.live.progress_estimator import Report
from sanic_dispatch.storage.event_log import RECENT_EVENTS, EventLog


@dataclass(slots=True, eq=False)
class _UnfinishedOrder:
    """An order that is not over, or has failed and may be put back."""

    promise: Promise | None = None
    since_s: float | None = None
    """Since when a robot has it."""
    is_confirmed: bool = False
    reports: tuple[Report, ...] = ()


def experience_in(log: EventLog) -> Experience:
    """Return what follows from the newest events of a log, which are read: this blocks.

    The log does not say which robots report the end of an order: those that have confirmed one are
    taken to do so.
    """
    estimator, orders = Estimator(), dict[str, _UnfinishedOrder]()
    for event in log.newest(RECENT_EVENTS):
        kind, order = event.event, orders.get(event.job, _UnfinishedOrder())
        if kind == EventKind.JOB_SUBMITTED:
            orders[event.job] = _UnfinishedOrder(event.promise)
        elif kind == EventKind.JOB_ASSIGNED:
            estimator.observe_assignment(event.at_s)
            orders[event.job] = _UnfinishedOrder(order.promise, event.at_s)
        elif kind == EventKind.JOB_CONFIRMED:
            order.is_confirmed = True
        elif event.percent is not None and order.since_s is not None:
            said = (event.percent, event.at_s, order.since_s)
            order.reports = estimator.add_report(order.reports, *said)
        elif kind in (EventKind.JOB_RETURNED, EventKind.JOB_FAILED):
            order.since_s, order.reports = None, ()
        elif kind in (EventKind.JOB_DONE, EventKind.JOB_CANCELLED):
            orders.pop(event.job, None)
            if kind == EventKind.JOB_DONE and order.since_s is not None:
                if order.is_confirmed:
                    estimator.observe_service(event.at_s - order.since_s)
                estimator.observe_reports(order.reports, order.since_s, event.at_s)
                if order.promise is not None:
                    estimator.observe_outcome(order.promise, order.since_s, event.at_s)
    promises = {job: order.promise for job, order in orders.items() if order.promise}
    reports = {job: order.reports for job, order in orders.items() if order.reports}
    return Experience(estimator, promises, reports)
