"""Statistics of a store's commits, as plain numbers."""

from __future__ import annotations

from sanic_dispatch.observability.histogram import QUICK_S, Histogram


class CommitStats:
    """Durations, sizes and failures of one store's commits; ``is_failing``: the last one failed."""

    def __init__(self) -> None:
        self.seconds = Histogram(QUICK_S)
        self.changes = Histogram((1, 2, 5, 10, 20, 50, 100, 200, 500))
        self.failures = 0
        self.is_failing = False

    def succeeded(self, changes: int, took_s: float) -> None:
        """Count a commit of ``changes`` changes."""
        self.seconds.observe(took_s)
        self.changes.observe(changes)
        self.is_failing = False

    def failed(self) -> None:
        """Count a commit that failed."""
        self.failures += 1
        self.is_failing = True
