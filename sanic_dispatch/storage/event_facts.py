"""What the event log keeps of a record besides an event's line, so that a view can be rewound.

Most follows from the events themselves: an assigned job is assigned, since the time of the event.
What does not is here, by name, and only where it is not what it usually is. So most events have
nothing. ``live/past_events.py`` makes records of it again.
"""

from __future__ import annotations

from typing import Any

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import DEFAULT_PRIORITY, Job, Way
from sanic_dispatch.core.worker import Worker

Facts = dict[str, Any]
"""JSON values by name."""

_OF_WORKERS = (
    EventKind.WORKER_REGISTERED,
    EventKind.WORKER_SET_ASIDE,
    EventKind.WORKER_CAME_BACK,
)
_ENDS = (EventKind.JOB_DONE, EventKind.JOB_FAILED, EventKind.JOB_CANCELLED)


def facts_of(event: Event) -> Facts | None:
    """Return the facts of an event; None if there are none."""
    kind, job, worker = event.kind, event.job, event.worker
    if job is None:
        return _of_worker(worker) if worker is not None and kind in _OF_WORKERS else None
    if kind is EventKind.JOB_ASSIGNED:
        hold = job.hold
        if hold is None or hold.way is Way.PUT:
            return None  # to a worker that has waited, so its registration has said the rest
        return {"way": hold.way.value, **_of_worker(hold.worker)}
    if kind is EventKind.JOB_SUBMITTED:
        return _of_new(job, event) or None
    if kind is EventKind.JOB_MOVED:
        return {"place": job.place, "priority": job.priority, "reason": job.reason}
    if kind in _ENDS and worker is not None:
        if job.hold is None:
            return {"held": False}
        if job.hold.refused_report:
            return {"refused": job.hold.refused_report}
    return None


def _of_new(job: Job, event: Event) -> Facts:
    facts: Facts = {}
    if job.priority != DEFAULT_PRIORITY:
        facts["priority"] = job.priority
    if job.place != job.ticket:
        facts["place"] = job.place
    if event.reason:  # it was in an edited file
        facts["submitted_at"] = job.submitted_at
    return facts


def _of_worker(worker: Worker) -> Facts:
    facts: Facts = {"registered_at": worker.registered_at}
    if worker.key:
        facts["key"] = list(worker.key)
    if worker.instance_url:
        facts["instance_url"] = worker.instance_url
    if worker.rule:
        facts["rule"] = worker.rule
    if worker.refusals:
        facts["refusals"] = worker.refusals
    if worker.aside:
        facts["aside"] = [worker.aside.since_s, worker.aside.reason]
    return facts
