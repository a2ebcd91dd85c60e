"""The lag of the event loop: how late its timers run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sanic_dispatch.live.pacer import Loop
from sanic_dispatch.observability.durations import QUICK_S, Histogram

INTERVAL_S = 0.25


class LoopLag:
    """Measures how late a periodic timer is."""

    def __init__(self, loop: Loop, monotonic_s: Callable[[], float]) -> None:
        self.seconds = Histogram(QUICK_S)
        self._loop = loop
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._timer: Any = None

    def start(self) -> None:
        """Start the timer."""
        self._due_s = self._monotonic_s() + INTERVAL_S
        self._timer = self._loop.call_later(INTERVAL_S, self._tick)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self.seconds.observe(max(self._monotonic_s() - self._due_s, 0.0))
        self.start()
