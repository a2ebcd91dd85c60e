"""Counters of the live channel for the metrics."""

from __future__ import annotations

from collections import Counter

from sanic_dispatch.observability.histogram import QUICK_S, Histogram


class PushStats:
    """Connected clients by transport and view, frames sent, clients dropped, and push lag."""

    def __init__(self) -> None:
        self.clients: Counter[tuple[str, str]] = Counter()
        self.frames = 0
        self.cut = 0
        self.lag_s = Histogram(QUICK_S)
        """From the first unpushed event of a round until every client was sent to or found full."""
        self._since_s: float | None = None

    def mark_pending(self, now_s: float) -> None:
        """Start the lag timer, unless it is running."""
        if self._since_s is None:
            self._since_s = now_s

    def begin_round(self) -> float | None:
        """Stop the lag timer, and return when it was started."""
        since_s, self._since_s = self._since_s, None
        return since_s

    def end_round(self, since_s: float | None, now_s: float) -> None:
        """Observe the lag of a round that began with ``since_s`` from ``begin_round``."""
        if since_s is not None:
            self.lag_s.observe(now_s - since_s)
