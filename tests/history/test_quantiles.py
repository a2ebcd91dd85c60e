"""Quantiles: exact of few values, within one percent of many."""

from __future__ import annotations

import random
from statistics import quantiles

import pytest

from sanic_dispatch.history.quantiles import ACCURACY, MAX_EXACT, Quantiles

SHARES = [0.5, 0.9, 0.99]


def collected(values: list[float]) -> Quantiles:
    found = Quantiles()
    for value in values:
        found.add(value)
    return found


def test_of_nothing() -> None:
    """Of no values there is no quantile."""
    assert Quantiles().at(SHARES) == [None, None, None]


def test_few_values_are_exact() -> None:
    """Interpolated linearly between the two nearest."""
    assert collected([3.0]).at(SHARES) == [3.0, 3.0, 3.0]
    assert collected([4.0, 1.0, 2.0, 3.0]).at([0.0, 0.5, 1.0]) == [1.0, 2.5, 4.0]
    dice = random.Random(1)
    values = [dice.expovariate(0.02) for _ in range(MAX_EXACT)]
    hundredths = quantiles(values, n=100, method="inclusive")
    expected = [hundredths[at] for at in (49, 89, 98)]
    assert collected(values).at(SHARES) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("scale", [0.05, 60.0, 86400.0])
def test_many_values(scale: float) -> None:
    """The error is one percent at most, and memory does not grow with them."""
    dice = random.Random(2)
    values = [dice.expovariate(1 / scale) + 0.01 for _ in range(10 * MAX_EXACT)]
    found = collected(values)
    ordered = sorted(values)
    for share, estimate in zip(SHARES, found.at(SHARES), strict=True):
        assert estimate == pytest.approx(
            ordered[int(share * (len(ordered) - 1))], rel=ACCURACY, abs=1e-3
        )
    assert len(found._buckets) < 2000
    assert not found._values


def test_no_time_at_all() -> None:
    """Durations of 0 count as a millisecond among many."""
    assert collected([0.0] * 5).at([0.5]) == [0.0]
    assert collected([0.0] * (MAX_EXACT + 1)).at([0.5]) == [0.001]
