"""What happened: facts in the past tense, numbered in the order in which they became durable."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.job import Job
from sanic_dispatch.worker import Worker


class Kind(StrEnum):
    """Every event there is, by the noun that it changed."""

    JOB_SUBMITTED = "job.submitted"
    JOB_ASSIGNED = "job.assigned"
    JOB_CONFIRMED = "job.confirmed"
    JOB_DOUBTED = "job.doubted"
    JOB_RETURNED = "job.returned"
    JOB_BLAMED = "job.blamed"
    JOB_EXTENDED = "job.extended"
    JOB_MOVED = "job.moved"
    JOB_DONE = "job.done"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    WORKER_REGISTERED = "worker.registered"
    WORKER_SET_ASIDE = "worker.set_aside"
    WORKER_CAME_BACK = "worker.came_back"
    WORKER_DROPPED = "worker.dropped"
    WORKER_USED = "worker.used"
    DISPATCH_PAUSED = "dispatch.paused"
    DISPATCH_RESUMED = "dispatch.resumed"


class Note(NamedTuple):
    """What is to be said of a change once it is durable; ``at_s`` is Unix seconds."""

    kind: Kind
    at_s: float
    reason: str = ""


class Event(NamedTuple):
    """One thing that happened, with the record as it was right after it.

    ``is_own`` is False where another dispatcher did it.
    """

    number: int
    kind: Kind
    at_s: float
    job: Job | None
    worker: Worker | None
    reason: str
    is_own: bool = True


Subscriber = Callable[[Event], None]


class Events:
    """Numbers each event and tells every subscriber at once, in the order of subscription.

    Subscribers must be quick and must not fail: they fold, count, note or wake, no more.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self.number = 0
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """From now on, tell this one too."""
        self._subscribers.append(subscriber)

    def publish(self, note: Note, *, job: Job | None = None, worker: Worker | None = None) -> None:
        """Give what happened its number and tell all subscribers."""
        if job is not None:
            worker = job.worker
        self.tell(Event(self.number + 1, note.kind, note.at_s, job, worker, note.reason))

    def tell(self, event: Event) -> None:
        """Tell all subscribers of an event that has its number already."""
        self.number = event.number
        for subscriber in self._subscribers:
            subscriber(event)
