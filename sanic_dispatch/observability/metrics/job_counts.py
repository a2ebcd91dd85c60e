"""The projection of events to counts, waiting times and service times."""

from __future__ import annotations

from collections.abc import Sequence

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, Stage, State, Way
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.observability.durations import Histogram
from sanic_dispatch.observability.event_bus import EventBus

WAIT_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Upper bounds of buckets for waiting times of people."""

_FINISHING = {EventKind.JOB_DONE, EventKind.JOB_FAILED, EventKind.JOB_CANCELLED}
_TAKEN = {EventKind.JOB_CONFIRMED, EventKind.JOB_DONE}
_OUTCOMES = {
    EventKind.JOB_CONFIRMED: "accepted",
    EventKind.JOB_DONE: "accepted",
    EventKind.JOB_DOUBTED: "in_doubt",
    EventKind.JOB_RETURNED: "refused",
    EventKind.JOB_FAILED: "refused",
}


class JobCounts:
    """Counts of events by kind, of jobs by final state, of hand-overs by way and outcome."""

    def __init__(self, bus: EventBus) -> None:
        self.events = dict.fromkeys(EventKind, 0)
        self.finished = {state.value: 0 for state in State if state.is_final}
        self.hand_overs = {
            way: dict.fromkeys(_OUTCOMES.values(), 0) for way in (Way.ANSWER, Way.OFFER)
        }
        """By way and outcome; ``DeliveryStats`` counts those by PUT."""
        self.wait_s = Histogram(WAIT_BUCKETS_S)
        """From the submission until a worker had the job."""
        self.service_s = Histogram(WAIT_BUCKETS_S)
        """From the confirmation until the job was done."""
        self._handing_over: dict[str, Way] = {}
        self.catch_up = bus.catch_up
        """Count the events that were just published; call it before reading."""
        bus.subscribe(self._fold)

    def _fold(self, events: Sequence[Event]) -> None:
        for event in events:
            kind, job = event.kind, event.job
            self.events[kind] += 1
            if job is None:
                continue
            if kind is EventKind.JOB_ASSIGNED:
                assert job.hold
                self._handing_over[job.id] = job.hold.way
            elif kind in _OUTCOMES and (way := self._handing_over.pop(job.id, None)):
                self._settled(kind, job, way, event.at_s)
            elif kind is EventKind.JOB_DONE and job.hold and job.hold.stage is Stage.CONFIRMED:
                self.service_s.observe(max(event.at_s - job.hold.since_s, 0.0))
            if kind in _FINISHING:
                self._handing_over.pop(job.id, None)
                self.finished[job.state.value] += 1

    def _settled(self, kind: EventKind, job: Job, way: Way, at_s: float) -> None:
        """Count the outcome of a hand-over."""
        if way in self.hand_overs:
            self.hand_overs[way][_OUTCOMES[kind]] += 1
        if kind in _TAKEN:
            self.wait_s.observe(max(at_s - from_rfc3339(job.submitted_at), 0.0))
