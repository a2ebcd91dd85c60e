"""Medians and spreads over rounds, and ratios of sides that took turns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """The median of several rounds, with the least and the most."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Summarize the values of at least one round."""
        return cls(median(values), min(values), max(values))

    def show(self, digits: int = 0) -> str:
        """Format as ``1,234 (1,100–1,300)``."""
        low, high = f"{self.low:,.{digits}f}", f"{self.high:,.{digits}f}"
        spread = "" if low == high else f" ({low}–{high})"
        return f"{self.median:,.{digits}f}{spread}"


def ratio(mine: Sequence[float], others: Sequence[float]) -> Figure:
    """Return the ratio round by round, so that a slow moment of the machine cancels out."""
    return Figure.of([a / b for a, b in zip(mine, others, strict=True)])


def quantile(values: Sequence[float], part: float) -> float:
    """Return the quantile of values, not interpolated."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
