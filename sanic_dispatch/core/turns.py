"""Whose turn it is: when each customer was served last, by the workers of each rule."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.line import Line

MOST_RETIRED = 10_000
"""For how many customers and rules the turns of jobs that have left the table are remembered."""


class ServedBy(NamedTuple):
    """A customer who was served, and the rule of the worker that did it."""

    customer: str
    rule: str


class KeptTurn(NamedTuple):
    """A service as it can be kept: of which job, and its event.

    The job is named also if it has left the table: the customer's name is from its data.
    """

    job_id: str
    customer: str
    rule: str
    event: int
    has_left: bool


class Turns:
    """The events with which jobs were given to workers; the last ones order the line.

    What is not remembered from jobs that have left the table follows from those in it, so it is the
    same after an undo; and after a restart, but for customers none of whose jobs is kept.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._events: dict[ServedBy, list[int]] = {}
        self._noted: dict[str, tuple[ServedBy, int]] = {}
        """By job id: its service, and its event."""
        self._retired: dict[ServedBy, tuple[int, str]] = {}
        """The last event of a job that has left the table, and the job's id."""

    def note(self, job: Job) -> None:
        """Note a job's present turn; it has none if no worker has it, or had it to the end.

        A worker that gets its job again may have come back with another rule.
        """
        served = (job.turn, job.worker.rule) if job.turn and job.worker else None
        known = self._noted.get(job.id)
        if served == ((known[1], known[0].rule) if known else None):
            return  # its data may be forgotten by now
        self.forget(job.id)
        if served is not None:
            turn, rule = served
            service = ServedBy(self._line.customer_of(job), rule)
            self._noted[job.id] = service, turn
            insort(self._events.setdefault(service, []), turn)
            self._update(service)

    def retire(self, job_id: str) -> None:
        """Remember a job's turn although the job leaves the table."""
        if job_id not in self._noted:
            return
        service, turn = self._noted[job_id]
        before = self._retired.pop(service, (0, ""))
        self._retired[service] = max(before, (turn, job_id))
        self.forget(job_id)
        if len(self._retired) > MOST_RETIRED:
            oldest = next(iter(self._retired))
            del self._retired[oldest]
            self._update(oldest)

    def forget(self, job_id: str) -> None:
        """Forget a job's turn, because it was never given out."""
        if job_id not in self._noted:
            return
        service, turn = self._noted.pop(job_id)
        events = self._events[service]
        del events[bisect_left(events, turn)]
        if not events:
            del self._events[service]
        self._update(service)

    def state(self) -> list[KeptTurn]:
        """Return what ``restore`` needs."""
        noted = [
            KeptTurn(job_id, *service, turn, has_left=False)
            for job_id, (service, turn) in self._noted.items()
        ]
        retired = [
            KeptTurn(job_id, *service, turn, has_left=True)
            for service, (turn, job_id) in self._retired.items()
        ]
        return [*noted, *retired]

    def restore(self, turns: Iterable[KeptTurn]) -> None:
        """Go on with these."""
        for job_id, customer, rule, turn, has_left in turns:
            service = ServedBy(customer, rule)
            if has_left:
                self._retired[service] = turn, job_id
            else:
                self._noted[job_id] = service, turn
                insort(self._events.setdefault(service, []), turn)
            self._update(service)

    def _update(self, service: ServedBy) -> None:
        last = max(self._events.get(service, (0,))[-1], self._retired.get(service, (0, ""))[0])
        self._line.note_served(service.customer, service.rule, last)
