"""Histograms, and the statistics of commits."""

from __future__ import annotations

from sanic_dispatch.observability.durations import CommitStats, Histogram


def test_bounds_are_inclusive() -> None:
    """Upper bounds are inclusive; larger values are in +Inf; buckets are cumulative."""
    histogram = Histogram((1, 2.5))
    for value in (0, 1, 1.1, 2.5, 99):
        histogram.observe(value)
    assert list(histogram.buckets()) == [("1", 2), ("2.5", 4), ("+Inf", 5)]
    assert (histogram.count, histogram.total) == (5, 103.6)


def test_a_storage_fails_until_a_write_succeeds() -> None:
    """A success ends the failing state; failures stay counted."""
    stats = CommitStats()
    stats.failed()
    assert stats.is_failing
    stats.succeeded(3, 0.01)
    assert not stats.is_failing
    assert (stats.failures, stats.changes.total) == (1, 3)
