"""Events: what happened, in the past tense."""

from __future__ import annotations

from enum import StrEnum

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Worker


class EventKind(StrEnum):
    """The kinds of events; the part before the dot is the record that changed."""

    JOB_SUBMITTED = "job.submitted"
    JOB_ASSIGNED = "job.assigned"
    JOB_CONFIRMED = "job.confirmed"
    JOB_DOUBTED = "job.doubted"
    JOB_UNCONSUMED = "job.unconsumed"
    JOB_RETURNED = "job.returned"
    JOB_BLAMED = "job.blamed"
    JOB_REPORT_REFUSED = "job.report_refused"
    JOB_EXTENDED = "job.extended"
    JOB_PROGRESSED = "job.progressed"
    """Its holder said how far it is; the reason is the text of that."""
    JOB_CANCELLING = "job.cancelling"
    """Its holder is asked to stop; ``job.cancelled``, ``job.done`` or another end follows."""
    JOB_MOVED = "job.moved"
    JOB_DONE = "job.done"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_FORGOTTEN = "job.forgotten"
    """Its data and result are erased, also from the event log; its other events stay."""
    WORKER_REGISTERED = "worker.registered"
    """A worker began to wait; one that gets a job at once has ``job.assigned`` and not this."""
    WORKER_SET_ASIDE = "worker.set_aside"
    WORKER_CAME_BACK = "worker.came_back"
    WORKER_DROPPED = "worker.dropped"
    WORKER_USED = "worker.used"
    DISPATCH_PAUSED = "dispatch.paused"
    DISPATCH_RESUMED = "dispatch.resumed"


class Note(Value, frozen=True):
    """The part of an event that a transition decides: its kind, time (Unix seconds) and reason."""

    kind: EventKind
    at_s: float
    reason: str = ""


class Event(Value, frozen=True):
    """A change of the topic, with the record as it was right after it.

    A job that a worker gets at once is submitted (waiting, attempt 0) and then assigned, in one
    batch: what is folded from the events never shows it as waiting.
    ``number`` counts the topic's events without gaps; ``at_s`` is Unix seconds; ``request`` is the
    id of the request that caused it, empty if a timer did. ``promise`` is the waiting time that the
    customer of a new job is told; it is added just before the commit. ``ordering`` says what orders
    the line, as ``Policy.ordering_text``; it is there after a start, and then now and again.
    """

    number: int
    kind: EventKind
    at_s: float
    job: Job | None
    worker: Worker | None
    reason: str
    request: str = ""
    promise: Promise | None = None
    ordering: str = ""


def with_actor(who: str, why: str) -> str:
    """Return the reason of an operator's act, with who it was if known: ``ada: out of ice``."""
    return ": ".join(part for part in (who, why) if part)
