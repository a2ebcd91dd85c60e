"""Statistics of commits."""

from __future__ import annotations

from sanic_dispatch.observability.commit_stats import CommitStats


def test_a_storage_fails_until_a_write_succeeds() -> None:
    """A success ends the failing state; failures stay counted."""
    stats = CommitStats()
    stats.failed()
    assert stats.is_failing
    stats.succeeded(3, 0.01)
    assert not stats.is_failing
    assert (stats.failures, stats.changes.total) == (1, 3)
