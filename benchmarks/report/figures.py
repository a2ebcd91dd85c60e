"""Numbers: medians and spreads over rounds, and ratios of sides that took turns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """The median of several rounds, and how far they went apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of at least one round."""
        return cls(median(values), min(values), max(values))

    def show(self, digits: int = 0) -> str:
        """``1,234 (1,100–1,300)``."""
        low, high = f"{self.low:,.{digits}f}", f"{self.high:,.{digits}f}"
        spread = "" if low == high else f" ({low}–{high})"
        return f"{self.median:,.{digits}f}{spread}"


def ratio(mine: Sequence[float], others: Sequence[float]) -> Figure:
    """Round by round, so that what slowed both down does not count."""
    return Figure.of([a / b for a, b in zip(mine, others, strict=True)])


def share(values: Sequence[float], part: float) -> float:
    """The value below which that part of all values lies."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
