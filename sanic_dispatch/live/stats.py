"""Counters of the live channel for the metrics."""

from __future__ import annotations

from collections import Counter

from sanic_dispatch.observability.durations import QUICK_S, Histogram


class PushStats:
    """Connected clients by transport and view, frames sent, clients dropped, and push lag."""

    def __init__(self) -> None:
        self.clients: Counter[tuple[str, str]] = Counter()
        self.frames = 0
        self.dropped = 0
        self.lag_s = Histogram(QUICK_S)
        """From the first unpushed event of a round until every client was sent to or found full."""
