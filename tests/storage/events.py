"""Events for the tests of the event log."""

from __future__ import annotations

from sanic_dispatch.storage.event_record import (
    LoggedEvent,
    Payload,
    Recorded,
    encode_event,
    recorded_again,
)

KINDS = ("worker.registered", "job.submitted", "job.assigned", "job.confirmed", "job.done")


def event(n: int) -> LoggedEvent:
    """Make the n-th event of a bar with seven robots, whose orders have five events each."""
    kind, ticket, robot = KINDS[(n - 1) % 5], (n - 1) // 5 + 1, (n - 1) // 5 % 7
    job, callback = f"{ticket:032x}", f"http://engine/callbacks/{ticket}/"
    if kind == "worker.registered":
        return LoggedEvent(n, 1000.0 + n, kind, worker=f"Robot {robot}", callback=callback)
    if kind == "job.submitted":
        return LoggedEvent(n, 1000.0 + n, kind, ticket, job, request=f"r{n}")
    reason = f"Ice {ticket}" if ticket % 10 == 0 else ""
    return LoggedEvent(n, 1000.0 + n, kind, ticket, job, f"Robot {robot}", callback, reason)


def events(first_n: int, last_n: int) -> list[LoggedEvent]:
    """Make the events with these numbers."""
    return [event(n) for n in range(first_n, last_n + 1)]


def payloads(first_n: int, last_n: int) -> list[Payload]:
    """Make what came with the jobs that these events submit."""
    return [
        Payload(each.n, each.ticket, each.job, False, b'{"order":\n %d}' % each.ticket)
        for each in events(first_n, last_n)
        if each.event == "job.submitted"
    ]


def records(first_n: int, last_n: int) -> list[Recorded]:
    """Make the same events as a store gets them, with their payloads."""
    data = {each.n: each for each in payloads(first_n, last_n)}
    return [
        recorded_again(each, encode_event(each), data.get(each.n))
        for each in events(first_n, last_n)
    ]
