"""An order: a job as it is shown to people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView
from typing import Any, NamedTuple

import ujson
from msgspec import Struct

from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.live.progress_estimator import Report

MAX_TEXT_CHARS = 80
"""Most characters of a name, logo or drink; a longer one is not shown."""

MAX_DATA_BYTES = 65536
"""Larger job data is not parsed for texts: that would block the event loop."""


class OrderTexts(NamedTuple):
    """The texts in a job's data; None for a text that is missing or cannot be shown."""

    name: str | None = None
    logo: str | None = None
    drink: str | None = None


class Order(Struct, eq=False, gc=False):
    """A job, with the promise made when it was submitted.

    The garbage collector ignores it, which is right for what cannot refer to itself.
    """

    job: Job
    changed_s: float | None = None
    """When its state last changed, Unix seconds; None if it never has, or that is not known."""
    promise: Promise | None = None
    reports: tuple[Report, ...] = ()
    """The reports of its robot's progress, each with the estimate that was made from it."""
    _texts: OrderTexts | None = None

    def replace(self, job: Job) -> None:
        """Take over a newer record of the job."""
        self.job = job
        if job.forgotten:
            self._texts = None

    @property
    def since_s(self) -> float:
        """When its present state began; the job's submission time is parsed only on demand."""
        return self.job.submitted_s if self.changed_s is None else self.changed_s

    @property
    def rule(self) -> str:
        """The rule of the robot that has it."""
        worker = self.job.worker
        return worker.rule if worker else ANYTHING

    @property
    def texts(self) -> OrderTexts:
        """The texts to show, parsed on first use."""
        if self._texts is None:
            self._texts = texts_of(self.job.data)
        return self._texts

    def is_late(self, now_s: float) -> bool:
        """Whether the order is unfinished past the end of its promise."""
        if self.promise is None or self.job.state.is_final:
            return False
        return now_s > self.promise.window()[1]

    @property
    def is_in_doubt(self) -> bool:
        """Whether it is unknown if the worker received the job."""
        job = self.job
        if job.state is not State.ASSIGNED or job.hold is None:
            return False
        return job.hold.stage is Stage.IN_DOUBT


class Orders:
    """Orders by secret id, in the order in which they came.

    Of one that nobody has looked at only the job is kept while nothing else is known of it: that
    is 64 B less for each waiting order, a twelfth, until there are estimates.
    """

    def __init__(self) -> None:
        self._orders: dict[str, Order | Job] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._orders

    def __iter__(self) -> Iterator[Order]:
        """Iterate over them in order, only to read."""
        return (Order(it) if isinstance(it, Job) else it for it in self._orders.values())

    @property
    def ids(self) -> KeysView[str]:
        """Their ids, in order."""
        return self._orders.keys()

    def get(self, job_id: str) -> Order | None:
        """Return an order, if it is here."""
        found = self._orders.get(job_id)
        return self.add(Order(found)) if isinstance(found, Job) else found

    def of(self, jobs: Iterable[Job]) -> Iterator[Order]:
        """Iterate over the orders of jobs that are here: the monitor reads hundreds for a frame."""
        for job in jobs:
            found = self._orders[job.id]
            yield found if isinstance(found, Order) else self.add(Order(found))

    def job(self, job_id: str) -> Job | None:
        """Return the job of an order, if it is here."""
        found = self._orders.get(job_id)
        return found.job if isinstance(found, Order) else found

    def add(self, order: Order) -> Order:
        """Add an order, and return it."""
        self._orders[order.job.id] = order
        return order

    def add_new(self, job: Job) -> None:
        """Add an order of which only the job is known."""
        self._orders[job.id] = job

    def remove(self, job_id: str) -> None:
        """Remove an order. Raises KeyError."""
        del self._orders[job_id]


def texts_of(data: bytes) -> OrderTexts:
    """Extract the texts from a job's data, which may be any JSON."""
    if len(data) > MAX_DATA_BYTES or not data.lstrip().startswith(b"{"):
        return OrderTexts()
    try:
        values: dict[str, Any] = ujson.loads(data)
    except ValueError:
        return OrderTexts()
    return OrderTexts(*(_short(values.get(name)) for name in OrderTexts._fields))


def _short(value: object) -> str | None:
    is_text = isinstance(value, str) and len(value) <= MAX_TEXT_CHARS and any(map(_is_seen, value))
    return str(value) if is_text else None


def _is_seen(character: str) -> bool:
    return character.isprintable() and not character.isspace()
