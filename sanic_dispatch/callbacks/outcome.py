"""The three outcomes of a delivery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The worker answered with a 2xx status line: it has the job."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker did not take the job: no connection, or any answer but 2xx, 502 and 504.

    ``blames_job``: the answer says that the job is at fault, not the worker.
    """

    reason: str
    blames_job: bool = False


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The request was sent, but no answer came: timeout, broken connection, 502 or 504."""

    reason: str


Outcome = Accepted | Refused | InDoubt
