"""A range that is right 80 % of the time, for estimates that are off by a factor.

The range comes from conformal prediction: the quantiles of the recent ratios actual ÷ estimated
are the factors by which an estimate may be off. It is the adaptive variant (Gibbs and Candès,
"Adaptive Conformal Inference Under Distribution Shift", 2021): each outcome moves the quantile
levels, so that the share of misses stays right when service times drift.
"""

from __future__ import annotations

from collections import deque

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


class ConformalRange:
    """The factors by which an estimate may be off, learnt from past estimates.

    The quantile level of an end moves outwards after a miss on that side, inwards otherwise.
    """

    def __init__(
        self,
        ratio_samples: int = RATIO_SAMPLES,
        min_ratio_samples: int = MIN_RATIO_SAMPLES,
        miss_rate: float = MISS_RATE,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        self._ends: tuple[float, float] | None = INITIAL_RANGE
        """None if they have to be computed again."""
        self._ratios: deque[float] = deque(maxlen=ratio_samples)
        self._min_ratio_samples = min_ratio_samples
        self._miss_rate = miss_rate
        self._learning_rate = learning_rate
        self._below = self._above = miss_rate

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest factor."""
        if self._ends is None:
            ratios = sorted(self._ratios)
            low = max(quantile(ratios, self._below), 0.0)
            self._ends = low, quantile(ratios, 1.0 - self._above)
        return self._ends

    def update(self, ratio: float, *, was_early: bool, was_late: bool) -> None:
        """Add the ratio actual ÷ estimated of an outcome, and which end it missed, if any."""
        self._below = self._adapted(self._below, was_early)
        self._above = self._adapted(self._above, was_late)
        self._ratios.append(ratio)
        if len(self._ratios) >= self._min_ratio_samples:
            self._ends = None

    def _adapted(self, share: float, was_missed: bool) -> float:
        moved = share + self._learning_rate * (self._miss_rate - was_missed)
        return min(max(moved, -MAX_EXTRAPOLATION), 0.5)


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
