"""What was pushed, and to how many: for the metrics."""

from __future__ import annotations

from collections import Counter

from sanic_dispatch.tally import QUICK_S, Histogram


class Pushed:
    """What was pushed, and to whom: clients by transport and view."""

    def __init__(self) -> None:
        self.clients: Counter[tuple[str, str]] = Counter()
        self.frames = 0
        self.cut = 0
        self.lag_s = Histogram(QUICK_S)
        """From the first event of a round until everybody was served, or is known to be full."""
