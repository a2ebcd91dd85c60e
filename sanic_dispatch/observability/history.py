"""The recent events of each job, and the writing of all events to the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from sanic_dispatch.core.events import Event
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.log import fields_of, log_events

MAX_EVENTS = 20_000
"""Number of events kept, of all jobs together."""


class JobHistory:
    """The most recent events of all jobs; the oldest are dropped first."""

    def __init__(self, bus: EventBus, max_events: int = MAX_EVENTS) -> None:
        self._events: deque[Event] = deque(maxlen=max_events)
        self._bus = bus
        bus.subscribe(self._fold)

    def of(self, ticket: int) -> list[dict[str, Any]]:
        """Return the events of the job with this ticket as the log shows them, oldest first."""
        self._bus.catch_up()
        return [_shown(each) for each in self._events if each.job and each.job.ticket == ticket]

    def _fold(self, events: Sequence[Event]) -> None:
        """Log events, and keep those about jobs."""
        self._events.extend(event for event in events if event.job is not None)
        log_events(events)


def _shown(event: Event) -> dict[str, Any]:
    head = {"timestamp": to_rfc3339(event.at_s), "event": event.kind.value}
    return head | fields_of(event)
