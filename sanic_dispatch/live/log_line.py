"""Events as the views need them: those of this run, and those that the event log has kept."""

from __future__ import annotations

from typing import NamedTuple

from sanic_dispatch.core.events import Event
from sanic_dispatch.storage.event_record import LoggedEvent

LoggedOrNew = Event | LoggedEvent


class LogLine(NamedTuple):
    """An event without its records.

    ``callback`` and ``label`` are the worker's, empty if there is none; ``ticket`` is 0 and
    ``job_id`` empty if it is not about a job.
    """

    n: int
    kind: str
    at_s: float
    ticket: int
    job_id: str
    attempt: int
    callback: str
    label: str
    reason: str


def number_of(event: LoggedOrNew) -> int:
    """Return the number of an event."""
    return event.n if isinstance(event, LoggedEvent) else event.number


def line_of(event: LoggedOrNew) -> LogLine:
    """Return an event as a line."""
    if isinstance(event, LoggedEvent):
        return LogLine(
            event.n, event.event, event.at_s, event.ticket, event.job, event.attempt,
            event.callback, event.worker, event.reason,
        )  # fmt: skip
    job, worker = event.job, event.worker
    ticket, job_id, attempt = (job.ticket, job.id, job.attempt) if job else (0, "", 0)
    callback, label = (worker.callback_url, worker.label) if worker else ("", "")
    return LogLine(
        event.number, event.kind.value, event.at_s, ticket, job_id, attempt,
        callback, label, event.reason,
    )  # fmt: skip
