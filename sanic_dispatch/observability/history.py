"""What happened to each job lately: the lines of the log, kept for whoever asks for one ticket."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from sanic_dispatch.core.events import Event
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.observability.log import log_events

MOST = 20_000
"""How many steps are kept, of all jobs together."""


class Footprint(NamedTuple):
    """One step: when, what, and the fields of its line in the log."""

    at_s: float
    kind: str
    fields: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As the log has it."""
        return {"timestamp": to_rfc3339(self.at_s), "event": self.kind, **self.fields}


class Trail:
    """The last steps of all jobs, from now on; the oldest are forgotten first."""

    def __init__(self, bus: EventBus, most: int = MOST) -> None:
        self._steps: deque[Footprint] = deque(maxlen=most)
        self._bus = bus
        bus.fold_into(self._fold)

    def of(self, ticket: int) -> list[dict[str, Any]]:
        """The steps of one job, the first one first."""
        self._bus.catch_up()
        return [step.to_dict() for step in self._steps if step.fields["ticket"] == ticket]

    def _fold(self, events: Sequence[Event]) -> None:
        """Have the lines of events written, and keep those that are about jobs."""
        for event, fields in zip(events, log_events(events), strict=True):
            if event.job is not None:
                self._steps.append(Footprint(event.at_s, event.kind.value, fields))
