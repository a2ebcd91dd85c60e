"""A history: what customers, workers and operators saw of one run.

It is recorded from outside: each operation with the time before it was sent and the time after its
answer came. One order is one ``data``, which no other order has; a repeat of an order (with the
same Idempotency-Key) is another submission of the same data.

The dispatcher's own word counts in one place only: a hand-over that it began and that no worker
reported (``cut_off``) has begun all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What the sender knows of an operation."""

    OK = "ok"
    FAILED = "failed"
    """It did not happen."""
    UNKNOWN = "unknown"
    """It may have happened: there was no answer, or an unclear one."""


class Submission(NamedTuple):
    """An order that was sent; OK: acknowledged with 2xx."""

    data: bytes
    began_s: float
    ended_s: float
    outcome: Outcome
    job_id: str = ""


class Registration(NamedTuple):
    """A worker's call; OK: the worker waits, or a job came with the answer."""

    callback: str
    worker: str
    began_s: float
    ended_s: float
    outcome: Outcome


class Delivery(NamedTuple):
    """A job that arrived at a worker, by PUT or in an answer; OK: the worker took it."""

    data: bytes
    job_id: str
    worker: str
    callback: str
    began_s: float
    ended_s: float
    outcome: Outcome = Outcome.OK


class Mark(NamedTuple):
    """An event of one order, and its time."""

    data: bytes
    at_s: float


class Look(NamedTuple):
    """The free jobs and the usable workers at one moment, from ``at_s`` to ``took_s`` later."""

    at_s: float
    jobs: frozenset[str]
    workers: frozenset[str]
    took_s: float = 0.0


@dataclass
class History:
    """The events of one run, up to the drain."""

    submissions: list[Submission] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    cut_off: list[Mark] = field(default_factory=list)
    """Hand-overs that had begun, according to the dispatcher."""
    allowed: list[Mark] = field(default_factory=list)
    """When an order may go to another worker: by an operator, a lease, or ``resend``."""
    cancelled: set[bytes] = field(default_factory=set)
    looks: list[Look] = field(default_factory=list)
    restarts_s: list[float] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    """Ids of the jobs that still wait, or are held, at the drain."""
    slack_s: float = 0.0
    """By how much a recorded time can be later than the dispatcher's."""

    @property
    def acknowledged(self) -> list[Submission]:
        """The submissions that were acknowledged."""
        return [each for each in self.submissions if each.outcome is Outcome.OK]

    @property
    def taken(self) -> list[Delivery]:
        """The deliveries that workers took, in order."""
        took = (each for each in self.deliveries if each.outcome is Outcome.OK)
        return sorted(took, key=lambda each: each.began_s)

    def go_back(self, at_s: float, killed_s: float, ready_s: float) -> None:
        """Note that a killed service went back to what it had at ``at_s``, and was ready then.

        Orders that were acknowledged in between may be lost, and what was handed out in between may
        be handed out again: a busy engine may read a last PUT after the kill. So may what a worker
        had at that moment: if its call was cut off in the end, it says that it lost its job, which
        for the service is that one.
        """
        self.submissions = [
            each._replace(outcome=Outcome.UNKNOWN, job_id="")
            if each.outcome is Outcome.OK and at_s < each.ended_s and each.began_s < killed_s
            else each
            for each in self.submissions
        ]
        again = [each for each in self.deliveries if at_s < each.ended_s and each.began_s < ready_s]
        had = {each.worker: each.data for each in self.taken if each.ended_s <= at_s}
        self.allowed += [Mark(each.data, max(killed_s, each.began_s)) for each in again]
        self.allowed += [Mark(data, killed_s) for data in had.values()]
