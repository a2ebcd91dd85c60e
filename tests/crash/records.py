"""A history: what customers, workers and operators saw of one run.

It is written down from outside: each operation with the moment before it was sent and the
moment after its answer came. One order is one ``data``, which no other order has; a repeat of an
order (the same Idempotency-Key) is another submission of the same data.

What the dispatcher itself says counts in one place only: a hand-over that it began and that
nobody saw arrive (``cut_off``) has begun all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What whoever asked knows of it."""

    OK = "ok"
    FAILED = "failed"
    """It did not happen."""
    UNKNOWN = "unknown"
    """It may have happened: no answer, or one that does not say."""


class Submission(NamedTuple):
    """An order that was sent; OK means that it was acknowledged with 2xx."""

    data: bytes
    began_s: float
    ended_s: float
    outcome: Outcome
    job_id: str = ""


class Registration(NamedTuple):
    """A worker's call; OK means that it waits, or that a job came with the answer."""

    callback: str
    worker: str
    began_s: float
    ended_s: float
    outcome: Outcome


class Delivery(NamedTuple):
    """A job that arrived at a worker, by PUT or in an answer; OK means that the worker took it."""

    data: bytes
    job_id: str
    worker: str
    callback: str
    began_s: float
    ended_s: float
    outcome: Outcome = Outcome.OK


class Mark(NamedTuple):
    """Something about one order, and when."""

    data: bytes
    at_s: float


class Look(NamedTuple):
    """The jobs that could be taken and the workers that could be used, at one moment."""

    at_s: float
    jobs: frozenset[str]
    workers: frozenset[str]


@dataclass
class History:
    """Everything that happened in one run, up to the drain."""

    submissions: list[Submission] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    cut_off: list[Mark] = field(default_factory=list)
    """Hand-overs of which the dispatcher says that they had begun."""
    allowed: list[Mark] = field(default_factory=list)
    """From then on the order may go to another worker: an operator, a lease, or ``resend``."""
    cancelled: set[bytes] = field(default_factory=set)
    looks: list[Look] = field(default_factory=list)
    restarts_s: list[float] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    """Ids of the jobs that still wait, or are held, at the drain."""
    slack_s: float = 0.0
    """How much later than the dispatcher whoever wrote this down can have seen something."""

    @property
    def acknowledged(self) -> list[Submission]:
        """What was taken in, and its submitter knows it."""
        return [each for each in self.submissions if each.outcome is Outcome.OK]

    @property
    def taken(self) -> list[Delivery]:
        """What workers have, in the order in which it came."""
        took = (each for each in self.deliveries if each.outcome is Outcome.OK)
        return sorted(took, key=lambda each: each.began_s)
