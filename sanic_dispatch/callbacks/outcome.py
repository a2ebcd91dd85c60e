"""A delivery's three outcomes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The worker answered with a 2xx status line: it has the job."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken: no connection, or any answer but 2xx, 502 and 504.

    ``blames_job`` where the answer is about what was sent, not about the worker.
    """

    reason: str
    blames_job: bool = False


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The request was sent, then no answer came (time-out, broken connection, 502, 504)."""

    reason: str


Outcome = Accepted | Refused | InDoubt
