"""What the event log keeps of a record besides an event's line, so that a view can be rewound.

Most follows from the events themselves: an assigned job is assigned, since the time of the event.
What does not is here, by name, and only where it is not what it usually is. So most events have
nothing. ``live/past_events.py`` makes records of it again.
"""

from __future__ import annotations

from typing import NamedTuple

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import DEFAULT_PRIORITY, Job, Way
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Key, Worker

_ASSIGNED, _MOVED, _SUBMITTED = (
    EventKind.JOB_ASSIGNED,
    EventKind.JOB_MOVED,
    EventKind.JOB_SUBMITTED,
)
_OF_WORKERS = (
    EventKind.WORKER_REGISTERED,
    EventKind.WORKER_SET_ASIDE,
    EventKind.WORKER_CAME_BACK,
)
_ENDS = (EventKind.JOB_DONE, EventKind.JOB_FAILED, EventKind.JOB_CANCELLED)
_OF_OPERATORS = (EventKind.JOB_CANCELLED, EventKind.JOB_CANCELLING, EventKind.JOB_RETURNED)
_PUT = Way.PUT


class AsideFacts(NamedTuple):
    """Since when a worker is set aside (Unix seconds), and why."""

    since_s: float
    reason: str


class EventFacts(Value, frozen=True, omit_defaults=True):
    """The facts of one event; in JSON an object with those that are not the default.

    The first ones are of a job: by which way it is handed over, and where it stands in line.
    ``reason`` is the job's where the event's is another one, or has who it was, too. ``is_held`` is
    False if its holder has it no more, and ``refused`` why a report of the holder was refused. The
    others are of the worker that the event names.
    """

    way: str = Way.PUT.value
    priority: int = DEFAULT_PRIORITY
    place: float | None = None
    submitted_at: str = ""
    reason: str | None = None
    is_held: bool = True
    refused: str = ""
    registered_at: str = ""
    key: Key | None = None
    instance_url: str = ""
    rule: str = ""
    refusals: int = 0
    aside: AsideFacts | None = None


def facts_of(event: Event) -> EventFacts | None:
    """Return the facts of an event; None if there are none."""
    kind, job, worker = event.kind, event.job, event.worker
    if job is None:
        return _of_worker(worker) if worker is not None and kind in _OF_WORKERS else None
    if kind is _ASSIGNED:
        hold = job.hold
        if hold is None or hold.way is _PUT:
            return None  # to a worker that has waited, so its registration has said the rest
        return _of_worker(hold.worker, hold.way)
    if kind is _SUBMITTED:
        return _of_new(job, event)
    if kind is _MOVED:
        return EventFacts(priority=job.priority, place=job.place, reason=job.reason)
    is_other = kind in _OF_OPERATORS and job.reason != event.reason
    reason = job.reason if is_other else None
    if kind in _ENDS and worker is not None:
        if job.hold is None:
            return EventFacts(is_held=False, reason=reason)
        if job.hold.refused_report:
            return EventFacts(refused=job.hold.refused_report, reason=reason)
    return EventFacts(reason=reason) if is_other else None


def _of_new(job: Job, event: Event) -> EventFacts | None:
    if job.priority == DEFAULT_PRIORITY and job.place == job.ticket and not event.reason:
        return None
    submitted_at = job.submitted_at if event.reason else ""  # it was in an edited file
    return EventFacts(priority=job.priority, place=job.place, submitted_at=submitted_at)


def _of_worker(worker: Worker, way: str = Way.PUT.value) -> EventFacts:
    aside = worker.aside
    return EventFacts(
        way=way,
        registered_at=worker.registered_at,
        key=worker.key,
        instance_url=worker.instance_url,
        rule=worker.rule,
        refusals=worker.refusals,
        aside=AsideFacts(aside.since_s, aside.reason) if aside else None,
    )
