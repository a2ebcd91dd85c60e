"""Histograms."""

from __future__ import annotations

from sanic_dispatch.observability.histogram import Histogram


def test_bounds_are_inclusive() -> None:
    """Upper bounds are inclusive; larger values are in +Inf; buckets are cumulative."""
    histogram = Histogram((1, 2.5))
    for value in (0, 1, 1.1, 2.5, 99):
        histogram.observe(value)
    assert list(histogram.buckets()) == [("1", 2), ("2.5", 4), ("+Inf", 5)]
    assert (histogram.count, histogram.total) == (5, 103.6)
