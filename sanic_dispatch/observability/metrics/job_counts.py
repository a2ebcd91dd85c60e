"""The fold of events to numbers: how many came and went, and how long they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sanic_dispatch.core.events import Event, Kind
from sanic_dispatch.core.job import Job, Stage, State, Way
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.histogram import Histogram

LONG_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Ends of buckets for what people wait for."""

_ENDS = {Kind.JOB_DONE, Kind.JOB_FAILED, Kind.JOB_CANCELLED}
_TAKEN = {Kind.JOB_CONFIRMED, Kind.JOB_DONE}
_OUTCOMES = {
    Kind.JOB_CONFIRMED: "accepted",
    Kind.JOB_DONE: "accepted",
    Kind.JOB_DOUBTED: "in_doubt",
    Kind.JOB_RETURNED: "refused",
    Kind.JOB_FAILED: "refused",
}


class JobTally:
    """Counts events by kind, jobs by how they ended, answers by what became of them."""

    def __init__(self, bus: EventBus) -> None:
        self.events: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
        self.finished: Counter[str] = Counter(
            dict.fromkeys((state.value for state in State if state.is_final), 0)
        )
        self.answers: Counter[str] = Counter(dict.fromkeys(_OUTCOMES.values(), 0))
        self.wait_s = Histogram(LONG_S)
        """From the submission until a worker had it."""
        self.service_s = Histogram(LONG_S)
        """From then, or from the last word that it goes on, until it was done."""
        self._under_way: dict[str, Way] = {}
        self.catch_up = bus.catch_up
        """Before it is read: count also what has only just happened."""
        bus.fold_into(self._fold)

    def _fold(self, events: Sequence[Event]) -> None:
        for event in events:
            self._count(event)

    def _count(self, event: Event) -> None:
        kind, job = event.kind, event.job
        self.events[kind] += 1
        if job is None:
            return
        if kind is Kind.JOB_ASSIGNED:
            assert job.hold
            self._under_way[job.id] = job.hold.way
        elif kind in _OUTCOMES and (way := self._under_way.pop(job.id, None)):
            self._settled(kind, job, way, event.at_s)
        elif kind is Kind.JOB_DONE and job.hold and job.hold.stage is Stage.CONFIRMED:
            self.service_s.observe(max(event.at_s - job.hold.since_s, 0.0))
        if kind in _ENDS:
            self.finished[job.state.value] += 1

    def _settled(self, kind: Kind, job: Job, way: Way, at_s: float) -> None:
        """A hand-over has an outcome; one by PUT is counted where it was made."""
        if way is Way.ANSWER:
            self.answers[_OUTCOMES[kind]] += 1
        if kind in _TAKEN:
            self.wait_s.observe(max(at_s - from_rfc3339(job.submitted_at), 0.0))
