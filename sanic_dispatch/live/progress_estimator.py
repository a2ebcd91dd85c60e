"""Estimate the rest of a service from how far its worker says that it is.

At a share p of the way after t seconds the rest is about t·(1−p)/p. What is known of other services
says something else. Both are combined, each weighted by the inverse of its mean squared error in
recent services, and the range is learnt as in ``estimator.py``. Errors and range depend on how far
the service is, so each tenth of the way has its own. The first report in a tenth is the one that
counts: so at most ten estimates are made of a service, and what is learnt is what is used.

Pure: no clock and no events. All times are in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from sanic_dispatch.live.conformal_range import ConformalRange

TENTHS = 10

LEAST_SHARE, MOST_SHARE = 0.01, 0.98
"""A smaller share of the way says nothing yet; a larger one counts as this: it is not over."""

ERROR_SAMPLES = 40
"""From how many recent services the weights are computed."""

MIN_ERROR_SAMPLES = 5
"""With fewer services progress counts as much as the share of the way that it says."""


class Report(NamedTuple):
    """How far a service was at ``at_s``, and how long it was estimated to take from there.

    ``by_progress_s`` and ``by_services_s`` are the two estimates, ``rest_s`` is what became of
    them, and ``low_s`` to ``high_s`` its range.
    """

    at_s: float
    tenth: int
    by_progress_s: float
    by_services_s: float
    rest_s: float
    low_s: float
    high_s: float

    def window(self) -> tuple[float, float]:
        """Return the start and the end of the range as points in time."""
        return self.at_s + self.low_s, self.at_s + self.high_s


class _Tenth:
    """Learns from services in one tenth of the work: how far off each kind of estimate was."""

    def __init__(self) -> None:
        self.range = ConformalRange()
        self._by_progress: deque[float] = deque(maxlen=ERROR_SAMPLES)
        self._by_services: deque[float] = deque(maxlen=ERROR_SAMPLES)

    def weight(self, share: float) -> float:
        """Return the weight of what the worker says, 0 to 1."""
        if len(self._by_progress) < MIN_ERROR_SAMPLES:
            return share
        by_progress, by_services = fmean(self._by_progress), fmean(self._by_services)
        return (by_services + 1e-6) / (by_progress + by_services + 2e-6)

    def observe(self, report: Report, actual_s: float) -> None:
        """Learn from a report, when the service is over."""
        self._by_progress.append((report.by_progress_s - actual_s) ** 2)
        self._by_services.append((report.by_services_s - actual_s) ** 2)
        self.range.update(
            actual_s / max(report.rest_s, 1e-3),
            was_early=actual_s < report.low_s,
            was_late=actual_s > report.high_s,
        )


class ProgressEstimator:
    """Estimates the rest of services, and learns from what became of them."""

    def __init__(self) -> None:
        self._tenths = [_Tenth() for _ in range(TENTHS)]

    def add_report(
        self,
        reports: Sequence[Report],
        percent: float,
        at_s: float,
        elapsed_s: float,
        by_services_s: float,
    ) -> tuple[Report, ...]:
        """Return the reports of a service, with a new one if it has come to another tenth.

        A worker that falls back has begun again: what it said of later tenths is dropped.
        """
        share = min(percent / 100, MOST_SHARE)
        tenth = int(share * TENTHS)
        if share < LEAST_SHARE or (reports and reports[-1].tenth == tenth):
            return tuple(reports)
        earlier = tuple(each for each in reports if each.tenth < tenth)
        known = self._tenths[tenth]
        by_progress_s = elapsed_s * (1 - share) / share
        weight = known.weight(share)
        rest_s = weight * by_progress_s + (1 - weight) * by_services_s
        low, high = known.range.ends
        report = Report(
            at_s, tenth, by_progress_s, by_services_s, rest_s, rest_s * low, rest_s * high
        )
        return (*earlier, report)

    def observe(self, reports: Sequence[Report], finished_s: float) -> None:
        """Learn from the reports of a service that is over."""
        for report in reports:
            self._tenths[report.tenth].observe(report, max(finished_s - report.at_s, 0.0))
