"""Quantiles of any number of durations in little memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import ceil, log

from sanic_dispatch.live.conformal_range import quantile

MAX_EXACT = 10_000
"""Up to so many values the quantiles are exact (interpolated linearly)."""

ACCURACY = 0.01
"""Relative error of the quantiles of more values."""

LEAST_S = 0.001
"""Shorter durations count as this one: records have milliseconds."""

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = log(_GAMMA)


class Quantiles:
    """Collects durations in seconds.

    Many values are counted in buckets whose ends grow by a constant factor: a DDSketch (Masson, Rim
    and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
    2019).
    """

    __slots__ = ("_buckets", "_values")

    def __init__(self) -> None:
        self._values = array("d")
        self._buckets: Counter[int] = Counter()

    def add(self, value_s: float) -> None:
        """Add a duration."""
        if self._buckets:
            self._buckets[_bucket_of(value_s)] += 1
            return
        self._values.append(value_s)
        if len(self._values) > MAX_EXACT:
            self._buckets.update(map(_bucket_of, self._values))
            self._values = array("d")

    def at(self, shares: Sequence[float]) -> list[float | None]:
        """Return the quantiles for some shares; None for each if there are no values."""
        if self._buckets:
            return [self._estimate(share) for share in shares]
        ordered = sorted(self._values)
        return [round(quantile(ordered, share), 3) if ordered else None for share in shares]

    def _estimate(self, share: float) -> float:
        indexes = sorted(self._buckets)
        rank = share * (self._buckets.total() - 1)
        counts = accumulate(self._buckets[index] for index in indexes)
        index = next(each for each, count in zip(indexes, counts, strict=True) if count > rank)
        return float(round(2 * _GAMMA**index / (_GAMMA + 1), 3))


def _bucket_of(value_s: float) -> int:
    return ceil(log(max(value_s, LEAST_S)) / _LOG_GAMMA)
