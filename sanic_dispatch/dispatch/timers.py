"""Timers: commands to be applied later."""

from __future__ import annotations

import random
from collections.abc import Callable

from sanic_dispatch.clock import Clock, Timer
from sanic_dispatch.core.commands import Command
from sanic_dispatch.core.effects import StartTimer

SPREAD = 0.2
"""The jitter of a timer as a share of its time, so that not all fire together."""


class Timers:
    """Report commands when their time has come, on the monotonic clock."""

    def __init__(self, clock: Clock, report: Callable[[Command], None]) -> None:
        self._clock = clock
        self._tell = report
        self._running: dict[int, Timer] = {}
        self._last = 0

    def start(self, effect: StartTimer) -> None:
        """Report the effect's command after its time."""
        after_s = effect.after_s
        if effect.is_spread:
            after_s *= random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret
        self._last = number = self._last + 1
        self._running[number] = self._clock.call_later(after_s, self._fire, number, effect.command)

    def stop(self) -> None:
        """Cancel all timers; recovery derives them from the records again."""
        for timer in self._running.values():
            timer.cancel()
        self._running.clear()

    def _fire(self, number: int, command: Command) -> None:
        del self._running[number]
        self._tell(command)
