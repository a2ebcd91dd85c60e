"""The three outcomes of a delivery, and which status means which."""

from __future__ import annotations

from dataclasses import dataclass

_DOUBTFUL_STATUSES = (502, 504)

_NOT_ABOUT_THE_JOB = (401, 403, 404, 405, 407, 408, 409, 410, 421, 425, 426, 429, 503)
"""Statuses that say nothing about the job: any other job would have got them too."""


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
    """The request was sent, but no answer of the worker came: a timeout, or a broken connection.

    Or a 502 or 504, which is a proxy's.
    """

    reason: str


Outcome = Accepted | Refused | InDoubt


def outcome_of(status: int) -> Outcome:
    """Return the outcome of a delivery that was answered with this status.

    A 4xx or 5xx blames the job, also a 500, unless any other job would have got it too. A 3xx
    blames nobody: redirects are not followed.
    """
    if 200 <= status < 300:
        return Accepted()
    if status in _DOUBTFUL_STATUSES:
        return InDoubt(f"answered {status}")
    blames_job = status >= 400 and status not in _NOT_ABOUT_THE_JOB
    return Refused(f"answered {status}", blames_job=blames_job)
