"""Estimate waiting times from recent service times, with a range that is right 80 % of the time.

Pure: no clock and no events. All times are in seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf, nan
from typing import NamedTuple

from sanic_dispatch.core.promise import Promise
from sanic_dispatch.live.conformal_range import (
    LEARNING_RATE,
    MIN_RATIO_SAMPLES,
    MISS_RATE,
    RATIO_SAMPLES,
    ConformalRange,
    quantile,
)
from sanic_dispatch.live.progress_estimator import ProgressEstimator, Report

SERVICE_SAMPLES = 40
"""Number of recent service times that are kept."""

MIN_SERVICE_SAMPLES = 5
"""With fewer service times no estimate is given."""

OVERDUE_SHARE = 0.3
"""Remaining time of a service that already took longer than all samples, as a share of its age."""

USUAL_SHARE, USUAL_TIMES, LONGEST_S = 0.9, 5.0, 60.0
"""A service counts as at most 5 times what 90 % of the others took, or as a minute if that is more:
a robot that was off for the night has not made one drink all the time."""

HIT_RATE_PROMISES = 200
"""Number of recent promises in the hit rate."""


@dataclass(frozen=True, slots=True)
class EstimatorParameters:
    """What an estimator can be tuned by; ``sanic-dispatch estimates --try`` tries other values.

    docs/performance.md shows what other values than these do to simulated evenings.
    """

    service_samples: int = SERVICE_SAMPLES
    min_service_samples: int = MIN_SERVICE_SAMPLES
    overdue_share: float = OVERDUE_SHARE
    ratio_samples: int = RATIO_SAMPLES
    min_ratio_samples: int = MIN_RATIO_SAMPLES
    miss_rate: float = MISS_RATE
    learning_rate: float = LEARNING_RATE


SHIPPED = EstimatorParameters()


class Load(NamedTuple):
    """The robots at work, and how long their running services will still take, the shortest first.

    ``earliest_s`` is when an order can begin that the first n robots make, by n - 1: at once while
    a robot is free.
    """

    robots: int
    remaining_s: Sequence[float]
    total_remaining_s: float
    earliest_s: Sequence[float]


class Estimator:
    """Estimates waiting times from service times, and ranges from the outcomes of its promises."""

    def __init__(self, parameters: EstimatorParameters = SHIPPED) -> None:
        self.parameters = parameters
        self.has_enough_samples = False
        """Whether there are enough service times for an estimate."""
        self.made = 0
        self.kept = 0
        self.progress = ProgressEstimator()
        self.mean_s = nan
        """The mean of the recent service times; NaN before the first."""
        self._services: deque[float] = deque(maxlen=parameters.service_samples)
        self._sorted: list[float] = []
        self._range = ConformalRange(
            parameters.ratio_samples,
            parameters.min_ratio_samples,
            parameters.miss_rate,
            parameters.learning_rate,
        )
        self._hits: deque[bool] = deque(maxlen=HIT_RATE_PROMISES)
        self._longest_s = inf
        """What a longer service counts as."""
        self._assigned_s = inf
        """When a robot was given an order last, Unix seconds; infinite if none was."""
        self._interrupted_s = -inf
        """The range learns nothing of orders that came earlier, Unix seconds."""

    @property
    def hit_rate(self) -> float | None:
        """The share of recent promises that were kept; None before the first outcome."""
        return round(sum(self._hits) / len(self._hits), 3) if self._hits else None

    def hits(self) -> list[bool]:
        """Return which of the recent promises were kept."""
        return list(self._hits)

    def restore_hits(self, hits: Iterable[bool]) -> None:
        """Go on with these as the recent ones."""
        self._hits.extend(hits)

    def observe_service(self, service_s: float) -> None:
        """Add the duration of a finished service; one that was interrupted counts as a long one."""
        self._services.append(min(max(service_s, 0.0), self._longest_s))
        self.has_enough_samples = len(self._services) >= self.parameters.min_service_samples
        self._sorted = sorted(self._services)
        self.mean_s = sum(self._sorted) / len(self._sorted)
        if self.has_enough_samples:
            usual_s = quantile(self._sorted, USUAL_SHARE)
            self._longest_s = max(USUAL_TIMES * usual_s, LONGEST_S)

    def remaining_s(self, elapsed_s: float) -> float:
        """Estimate the remaining time of a service that has run for ``elapsed_s``.

        This is the mean residual life: the mean of the samples that took longer, minus
        ``elapsed_s``.
        """
        longer = self._sorted[bisect_right(self._sorted, elapsed_s) :]
        if longer:
            return sum(longer) / len(longer) - elapsed_s
        return self.parameters.overdue_share * max(self.mean_s, elapsed_s)

    def load(self, robots: int, remaining_s: Iterable[float]) -> Load:
        """Sum up the present robots and what the services that are running will still take."""
        left = sorted(remaining_s)
        of_all = [0.0] * (robots - len(left)) + left
        begins_s = (rest_s - self._apart_s(sooner) for sooner, rest_s in enumerate(of_all))
        return Load(robots, left, sum(left), list(accumulate(begins_s, max)))

    def add_report(
        self, reports: tuple[Report, ...], percent: float, at_s: float, began_s: float
    ) -> tuple[Report, ...]:
        """Return the reports of a service that began at ``began_s``, with what its worker says."""
        if not self.has_enough_samples:
            return reports
        elapsed_s = at_s - began_s
        by_services_s = self.remaining_s(elapsed_s)
        return self.progress.add_report(reports, percent, at_s, elapsed_s, by_services_s)

    def observe_reports(
        self, reports: tuple[Report, ...], began_s: float, finished_s: float
    ) -> None:
        """Learn from the reports of a finished service, unless it was interrupted."""
        if not self._was_interrupted(began_s, finished_s):
            self.progress.observe(reports, finished_s)

    def promise(self, at_s: float, *queues: tuple[Load, int]) -> Promise | None:
        """Estimate when an order will be ready that begins once it is through all these queues.

        Each is the load of some robots, and how many orders they make before. Return None without
        robots or with too few samples.
        """
        starts_s = [self._start_s(load, ahead) for load, ahead in queues if load.robots > 0]
        if not self.has_enough_samples or not starts_s:
            return None
        return self._promise(at_s, max(starts_s) + self.mean_s)

    def promise_of_service(self, at_s: float) -> Promise | None:
        """Estimate when a service that begins at ``at_s`` will end."""
        return self._promise(at_s, self.mean_s) if self.has_enough_samples else None

    def service_window(self, began_s: float) -> tuple[float, float] | None:
        """Return between when a service that began at ``began_s`` should end, as points in time.

        The window does not depend on the present, so an overdue service is seen to be late.
        """
        if not self.has_enough_samples:
            return None
        return (
            began_s + quantile(self._sorted, self.parameters.miss_rate),
            began_s + quantile(self._sorted, 1.0 - self.parameters.miss_rate),
        )

    def observe_assignment(self, at_s: float) -> None:
        """Note that a robot is given an order.

        If none was given one for longer than a service takes, orders that waited all that time say
        nothing of estimates: the bar was paused, switched off, or without robots.
        """
        gap_s = at_s - self._assigned_s
        if gap_s > self._longest_s:
            self._interrupted_s = self._assigned_s + self._longest_s
        elif gap_s < 0.0:  # the clock was set back
            self._interrupted_s = -inf
        self._assigned_s = at_s

    def observe_outcome(self, promise: Promise, began_s: float, finished_s: float) -> bool:
        """Learn from a promise whose order was served between these times; return if it was kept.

        If the order or its service was interrupted, the range learns nothing of it.
        """
        actual_s, is_kept = promise.actual_s(finished_s), promise.is_kept(finished_s)
        was_early, was_late = actual_s < promise.low_s, actual_s > promise.high_s
        self.made += 1
        self.kept += is_kept
        self._hits.append(is_kept)
        was_in_line = promise.at_s <= self._interrupted_s
        if not (was_in_line or self._was_interrupted(began_s, finished_s)):
            ratio = actual_s / max(promise.ready_s, 1e-3)
            self._range.update(ratio, was_early=was_early, was_late=was_late)
        return is_kept

    def _was_interrupted(self, began_s: float, finished_s: float) -> bool:
        """Return whether a service took longer than any service counts."""
        return finished_s - began_s > self._longest_s

    def _promise(self, at_s: float, ready_s: float) -> Promise:
        low, high = self._range.ends
        ready_ms = ready_s * 1000
        told = round(ready_ms) / 1000, round(ready_ms * low) / 1000, round(ready_ms * high) / 1000
        return Promise(at_s, *told)

    def _start_s(self, load: Load, ahead: int) -> float:
        if ahead <= 0:
            return load.earliest_s[0]
        mean_s, robots = self.mean_s, load.robots
        work_s = load.total_remaining_s + ahead * mean_s
        for remaining_s in reversed(load.remaining_s):
            if robots == 1 or remaining_s * robots <= work_s:
                break
            robots, work_s = robots - 1, work_s - remaining_s  # without the one that takes longer
        # With one order less, fewer robots may have been left: it does not begin after this one.
        return max(work_s / robots - self._apart_s(robots), load.earliest_s[robots - 1])

    def _apart_s(self, robots: int) -> float:
        """Return how much sooner than the mean of all of them the first of some robots is free."""
        return self.mean_s * (robots - 1) / (2 * robots) if robots else 0.0
