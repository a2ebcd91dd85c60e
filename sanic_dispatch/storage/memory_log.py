"""The event log of this run, for a store that keeps nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import JobRef
from sanic_dispatch.storage.event_log import (
    Epoch,
    EventLog,
    EventWithPayload,
    Page,
    Question,
    Rest,
    Retention,
    is_in_span,
    page_of,
    unnamed,
)
from sanic_dispatch.storage.event_record import LoggedEvent, Payload, logged, payload_of, recorded
from sanic_dispatch.storage.segment_log import SegmentLog

MAX_EVENTS = 20_000
"""How many events are kept; the oldest are dropped first."""


class MemoryEventLog(EventLog):
    """The newest published events; they are encoded when they are asked for."""

    lasts = False

    def __init__(self, max_events: int = MAX_EVENTS, *, payloads: bool = True) -> None:
        """Without ``payloads``, a copy has no data and no results of jobs."""
        super().__init__()
        self._retention = Retention(payloads=payloads)
        self._events: deque[Event] = deque(maxlen=max_events)
        self._epochs: list[Epoch] = []

    @property
    def last_number(self) -> int:
        return self._events[-1].number if self._events else 0

    @property
    def epochs(self) -> Sequence[Epoch]:
        return self._epochs

    def begin_epoch(self, name: str, at_s: float) -> None:
        self._epochs.append(Epoch(name, self.last_number + 1, at_s))

    def invalidate_cursors(self) -> None:
        self._epochs = unnamed(self._epochs)

    def note(self, events: Sequence[Event]) -> None:
        """Take in published events."""
        self._events.extend(events)

    def find(self, question: Question) -> Page:
        return page_of(map(logged, self._likely(question)), question)

    def scan(self, from_s: float | None = None, to_s: float | None = None) -> Iterator[LoggedEvent]:
        return map(logged, self._in_span(from_s, to_s))

    def payloads(self, from_s: float | None = None, to_s: float | None = None) -> Iterator[Payload]:
        for event in self._in_span(from_s, to_s):
            payload = payload_of(event.number, event.kind.value, event.job)
            if payload is not None:
                yield payload

    def events_with_payloads(self, after: int) -> Iterator[EventWithPayload]:
        for event in list(self._events):
            if event.number > after:
                payload = payload_of(event.number, event.kind.value, event.job)
                yield EventWithPayload(logged(event), payload)

    @property
    def settled_n(self) -> int:
        return self.last_number

    def erase(self, jobs: Collection[JobRef]) -> None:
        for at, event in enumerate(self._events):
            if event.job is not None and event.job.ref in jobs:
                self._events[at] = event._replace(job=event.job.without_data())
        self.snapshots.erase(jobs)

    def copy_to(self, folder: Path, last_n: int, rest: Rest) -> int:
        events = [event for event in list(self._events) if event.number <= last_n]
        copy = SegmentLog(folder, retention=self._retention)
        copy.write_epochs(unnamed(self._epochs))
        if events and events[0].number > 1:
            copy.write_dropped(events[0].number - 1)
        for event in events:
            copy.add([recorded(event)])
            rest()
        copy.flush(rest)
        return len(events)

    def _likely(self, question: Question) -> Iterator[Event]:
        """Yield the events that may match."""
        for event in self._in_span(question.from_s, question.to_s):
            ticket = event.job.ticket if event.job else 0
            if question.ticket in (None, ticket) and question.kind in (None, event.kind):
                yield event

    def _in_span(self, from_s: float | None, to_s: float | None) -> Iterator[Event]:
        events = list(self._events)
        return (event for event in events if is_in_span(event.at_s, from_s, to_s))
