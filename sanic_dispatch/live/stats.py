"""What was pushed, and to how many: for the metrics."""

from __future__ import annotations

from collections import Counter

from sanic_dispatch.observability.histogram import QUICK_S, Histogram


class Pushed:
    """What was pushed, and to whom: clients by transport and view."""

    def __init__(self) -> None:
        self.clients: Counter[tuple[str, str]] = Counter()
        self.frames = 0
        self.cut = 0
        self.lag_s = Histogram(QUICK_S)
        """From the first event of a round until everybody was served, or is known to be full."""
        self._since_s: float | None = None

    def wait(self, now_s: float) -> None:
        """There is something to be pushed from now on, if there was nothing."""
        if self._since_s is None:
            self._since_s = now_s

    def begin(self) -> float | None:
        """A round begins: since when there is something to be pushed."""
        since_s, self._since_s = self._since_s, None
        return since_s

    def end(self, since_s: float | None, now_s: float) -> None:
        """That round is over."""
        if since_s is not None:
            self.lag_s.observe(now_s - since_s)
