"""How late the event loop is: what is due now has to wait for what runs before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sanic_dispatch.live.pacer import Loop
from sanic_dispatch.observability.histogram import QUICK_S, Histogram

EVERY_S = 0.25


class LoopLag:
    """Sets a timer again and again, and looks how late it is."""

    def __init__(self, loop: Loop, monotonic_s: Callable[[], float]) -> None:
        self.seconds = Histogram(QUICK_S)
        self._loop = loop
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._timer: Any = None

    def start(self) -> None:
        """From now on."""
        self._due_s = self._monotonic_s() + EVERY_S
        self._timer = self._loop.call_later(EVERY_S, self._tick)

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self.seconds.observe(max(self._monotonic_s() - self._due_s, 0.0))
        self.start()
