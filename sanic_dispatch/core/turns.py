"""Whose turn it is: when each customer was served last."""

from __future__ import annotations

from bisect import bisect_left, insort

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.line import Line

MOST_RETIRED = 10_000
"""How many customers without a job in the table are remembered."""


class Turns:
    """By customer, the events with which jobs were given to workers; the last one orders the line.

    What is not remembered from jobs that have left the table follows from those in it, so it is the
    same after an undo; and after a restart, but for customers none of whose jobs is kept.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._events: dict[str, list[int]] = {}
        self._noted: dict[str, tuple[str, int]] = {}
        """By job id: its customer, and its event."""
        self._retired: dict[str, int] = {}
        """By customer: the last event of a job that has left the table."""

    def note(self, job: Job) -> None:
        """Note a job's present turn; 0 if it never was given to a worker."""
        known = self._noted.get(job.id)
        if job.turn == (known[1] if known else 0):
            return  # its data may be forgotten by now
        self.forget(job.id)
        if job.turn:
            customer = self._line.customer_of(job)
            self._noted[job.id] = customer, job.turn
            insort(self._events.setdefault(customer, []), job.turn)
            self._update(customer)

    def retire(self, job_id: str) -> None:
        """Remember a job's turn although the job leaves the table."""
        customer, turn = self._noted.get(job_id, ("", 0))
        if turn:
            before = self._retired.pop(customer, 0)
            self._retired[customer] = max(before, turn)
            self.forget(job_id)
            if len(self._retired) > MOST_RETIRED:
                oldest = next(iter(self._retired))
                del self._retired[oldest]
                self._update(oldest)

    def forget(self, job_id: str) -> None:
        """Forget a job's turn, because it was never given out."""
        customer, turn = self._noted.pop(job_id, ("", 0))
        if turn:
            events = self._events[customer]
            del events[bisect_left(events, turn)]
            if not events:
                del self._events[customer]
            self._update(customer)

    def _update(self, customer: str) -> None:
        events = self._events.get(customer, (0,))
        self._line.note_served(customer, max(events[-1], self._retired.get(customer, 0)))
