"""What happened to each job lately: the lines of the log, kept for whoever asks for one ticket."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from sanic_dispatch.core.events import Event
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.log import fields_of, log_events

MOST = 20_000
"""How many events are kept, of all jobs together."""


class JobHistory:
    """The last events of all jobs, from now on; the oldest are forgotten first."""

    def __init__(self, bus: EventBus, most: int = MOST) -> None:
        self._events: deque[Event] = deque(maxlen=most)
        self._bus = bus
        bus.fold_into(self._fold)

    def of(self, ticket: int) -> list[dict[str, Any]]:
        """Return the events of one job as the log has them, the first one first."""
        self._bus.catch_up()
        return [_shown(each) for each in self._events if each.job and each.job.ticket == ticket]

    def _fold(self, events: Sequence[Event]) -> None:
        """Have the lines of events written, and keep those that are about jobs."""
        self._events.extend(event for event in events if event.job is not None)
        log_events(events)


def _shown(event: Event) -> dict[str, Any]:
    head = {"timestamp": to_rfc3339(event.at_s), "event": event.kind.value}
    return head | fields_of(event)
