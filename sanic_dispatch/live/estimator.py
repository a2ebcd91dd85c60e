"""Estimate waiting times from recent service times, with a range that is right 80 % of the time.

The range comes from conformal prediction: the quantiles of the recent ratios actual ÷ estimated
are the factors by which an estimate may be off. It is the adaptive variant (Gibbs and Candès,
"Adaptive Conformal Inference Under Distribution Shift", 2021): each outcome moves the quantile
levels, so that the share of misses stays right when service times drift.

Pure: no clock and no events. All times are in seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from sanic_dispatch.core.promise import Promise

SERVICE_SAMPLES = 40
"""Number of recent service times that are kept."""

MIN_SERVICE_SAMPLES = 5
"""With fewer service times no estimate is given."""

RATIO_SAMPLES = 60
"""Number of recent ratios actual ÷ estimated that the range is computed from."""

MIN_RATIO_SAMPLES = 20
"""With fewer ratios the range is ``INITIAL_RANGE``."""

INITIAL_RANGE = (0.6, 1.6)

MISS_RATE = 0.1
"""Target share of orders that are ready before the range begins; the same for after it ends."""

LEARNING_RATE = 0.02
"""How far one outcome moves a quantile level: the γ of adaptive conformal inference."""

MAX_EXTRAPOLATION = 0.5
"""How far a quantile level may leave 0 to 1, in distances from the least to the largest ratio."""

OVERDUE_SHARE = 0.3
"""Remaining time of a service that already took longer than all samples, as a share of its age."""

HIT_RATE_PROMISES = 200
"""Number of recent promises in the hit rate."""


class Load(NamedTuple):
    """The robots at work, and how long their running services will still take."""

    robots: int
    total_remaining_s: float
    min_remaining_s: float


class ConformalRange:
    """The factors by which an estimate may be off, learnt from past estimates.

    The quantile level of an end moves outwards after a miss on that side, inwards otherwise.
    """

    def __init__(self) -> None:
        self.low, self.high = INITIAL_RANGE
        self._ratios: deque[float] = deque(maxlen=RATIO_SAMPLES)
        self._below = self._above = MISS_RATE

    def update(self, ratio: float, *, was_early: bool, was_late: bool) -> None:
        """Add the ratio actual ÷ estimated of an outcome, and which end it missed, if any."""
        self._below = _adapted(self._below, was_early)
        self._above = _adapted(self._above, was_late)
        self._ratios.append(ratio)
        if len(self._ratios) >= MIN_RATIO_SAMPLES:
            ratios = sorted(self._ratios)
            self.low = max(quantile(ratios, self._below), 0.0)
            self.high = quantile(ratios, 1.0 - self._above)


class Estimator:
    """Estimates waiting times from service times, and ranges from the outcomes of its promises."""

    def __init__(self) -> None:
        self.has_enough_samples = False
        """Whether there are enough service times for an estimate."""
        self.made = 0
        self.kept = 0
        self._services: deque[float] = deque(maxlen=SERVICE_SAMPLES)
        self._sorted: list[float] = []
        self._range = ConformalRange()
        self._hits: deque[bool] = deque(maxlen=HIT_RATE_PROMISES)

    @property
    def mean_s(self) -> float:
        """The mean of the recent service times."""
        return sum(self._sorted) / len(self._sorted)

    @property
    def hit_rate(self) -> float | None:
        """The share of recent promises that were kept; None before the first outcome."""
        return round(sum(self._hits) / len(self._hits), 3) if self._hits else None

    def observe_service(self, service_s: float) -> None:
        """Add the duration of a finished service."""
        self._services.append(max(service_s, 0.0))
        self.has_enough_samples = len(self._services) >= MIN_SERVICE_SAMPLES
        self._sorted = sorted(self._services)

    def remaining_s(self, elapsed_s: float) -> float:
        """Estimate the remaining time of a service that has run for ``elapsed_s``.

        This is the mean residual life: the mean of the samples that took longer, minus
        ``elapsed_s``.
        """
        longer = self._sorted[bisect_right(self._sorted, elapsed_s) :]
        if longer:
            return sum(longer) / len(longer) - elapsed_s
        return OVERDUE_SHARE * max(self.mean_s, elapsed_s)

    def load(self, robots: int, elapsed_s: Iterable[float]) -> Load:
        """Sum up the present robots and the ages of the services that are running."""
        left = [self.remaining_s(elapsed) for elapsed in elapsed_s]
        least = min(left) if left and len(left) >= robots else 0.0
        return Load(robots, sum(left), least)

    def promise(self, at_s: float, load: Load, ahead: int) -> Promise | None:
        """Estimate when an order with ``ahead`` orders before it will be ready.

        Return None without robots or with too few samples.
        """
        if not self.has_enough_samples or load.robots <= 0:
            return None
        return self._promise(at_s, self._start_s(load, ahead) + self.mean_s)

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
            began_s + quantile(self._sorted, MISS_RATE),
            began_s + quantile(self._sorted, 1.0 - MISS_RATE),
        )

    def observe_outcome(self, promise: Promise, finished_s: float) -> bool:
        """Learn from a promise whose order is ready at ``finished_s``; return if it was kept."""
        actual_s, is_kept = promise.actual_s(finished_s), promise.is_kept(finished_s)
        was_early, was_late = actual_s < promise.low_s, actual_s > promise.high_s
        self.made += 1
        self.kept += is_kept
        self._hits.append(is_kept)
        ratio = actual_s / max(promise.ready_s, 1e-3)
        self._range.update(ratio, was_early=was_early, was_late=was_late)
        return is_kept

    def _promise(self, at_s: float, ready_s: float) -> Promise:
        low_s, high_s = ready_s * self._range.low, ready_s * self._range.high
        return Promise(at_s, round(ready_s, 3), round(low_s, 3), round(high_s, 3))

    def _start_s(self, load: Load, ahead: int) -> float:
        if ahead <= 0:
            return load.min_remaining_s
        mean_s, robots = self.mean_s, load.robots
        start_s = (load.total_remaining_s + ahead * mean_s) / robots
        return max(start_s - mean_s * (robots - 1) / (2 * robots), load.min_remaining_s)


def quantile(ordered: list[float], share: float) -> float:
    """Return the quantile of a sorted list, interpolated linearly.

    A share outside 0 to 1 extrapolates by that share of the distance from first to last.
    """
    inside = min(max(share, 0.0), 1.0)
    position = inside * (len(ordered) - 1)
    index = int(position)
    value, following = ordered[index], ordered[min(index + 1, len(ordered) - 1)]
    beyond = (share - inside) * (ordered[-1] - ordered[0])
    return value + (following - value) * (position - index) + beyond


def _adapted(share: float, was_missed: bool) -> float:
    return min(max(share + LEARNING_RATE * (MISS_RATE - was_missed), -MAX_EXTRAPOLATION), 0.5)
