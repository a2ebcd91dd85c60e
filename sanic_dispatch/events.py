"""What happened: facts in the past tense, numbered in the order in which they became durable."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.job import Job
from sanic_dispatch.request_id import REQUEST_ID
from sanic_dispatch.worker import Worker


class Kind(StrEnum):
    """Every event there is, by the noun that it changed."""

    JOB_SUBMITTED = "job.submitted"
    JOB_ASSIGNED = "job.assigned"
    JOB_CONFIRMED = "job.confirmed"
    JOB_DOUBTED = "job.doubted"
    JOB_UNCONSUMED = "job.unconsumed"
    JOB_RETURNED = "job.returned"
    JOB_BLAMED = "job.blamed"
    JOB_REPORT_REFUSED = "job.report_refused"
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

    ``is_own`` is False where another dispatcher did it; ``request`` names what began it here.
    """

    number: int
    kind: Kind
    at_s: float
    job: Job | None
    worker: Worker | None
    reason: str
    is_own: bool = True
    request: str = ""


Subscriber = Callable[[Event], None]
Fold = Callable[[Sequence[Event]], None]


class Events:
    """Numbers each event and tells it, in the order of subscription.

    Subscribers hear of it at once: they wake whoever waits for it. Folds take it in soon, together
    with all else that happens in this turn of the loop: code that has just run is quick. Neither
    may fail.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self.number = 0
        self._subscribers: dict[Kind, list[Subscriber]] = {kind: [] for kind in Kind}
        self._folds: list[Fold] = []
        self._unfolded: list[Event] = []

    def subscribe(self, subscriber: Subscriber, kinds: Iterable[Kind] = Kind) -> None:
        """From now on, tell this one too, at once, of events of these kinds."""
        for kind in kinds:
            self._subscribers[kind].append(subscriber)

    def fold_into(self, fold: Fold) -> None:
        """From now on, tell this one too, soon; ``catch_up`` before it is asked what it knows."""
        self._folds.append(fold)

    def publish(self, note: Note, *, job: Job | None = None, worker: Worker | None = None) -> None:
        """Give what happened its number and tell it."""
        if job is not None:
            worker = job.worker
        request = REQUEST_ID.get()
        self.tell(
            Event(self.number + 1, note.kind, note.at_s, job, worker, note.reason, request=request)
        )

    def tell(self, event: Event) -> None:
        """Tell an event that has its number already."""
        self.number = event.number
        for subscriber in self._subscribers[event.kind]:
            subscriber(event)
        self._unfolded.append(event)
        if len(self._unfolded) == 1:
            _soon(self.catch_up)

    def catch_up(self) -> None:
        """Let the folds take in now what has happened."""
        if self._unfolded:
            events, self._unfolded = self._unfolded, []
            for fold in self._folds:
                fold(events)


def _soon(call: Callable[[], None]) -> None:
    """After what is ready to run now; where no loop runs, at once."""
    try:
        asyncio.get_running_loop().call_soon(call)
    except RuntimeError:
        call()
