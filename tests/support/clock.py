"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

START_S = 1_732_412_340.0

IDLE_TURNS = 3
"""After how many idle turns of the loop nothing will be done without time passing."""

_settling = 0
"""How many tasks are in ``settle``."""


class FakeTimer:
    """A timer that fires when the clock is advanced far enough, unless it is cancelled."""

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.call, self.args = call, args
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


def wake(sleeper: asyncio.Future[None]) -> None:
    """End a sleep that was not cancelled."""
    if not sleeper.done():
        sleeper.set_result(None)


class FakeClock:
    """Time stands still; ``advance`` moves it and wakes the sleepers in order."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self._offset_s = START_S
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = count()

    def now_s(self) -> float:
        return self._offset_s + self.elapsed_s

    def monotonic_s(self) -> float:
        return self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.call_later(seconds, wake, woken)
        await woken

    def call_later(self, seconds: float, call: Callable[..., object], *args: Any) -> FakeTimer:
        timer = FakeTimer(call, args)
        heapq.heappush(self._timers, (self.elapsed_s + seconds, next(self._order), timer))
        return timer

    def jump(self, seconds: float) -> None:
        """Set the wall clock, forwards or back."""
        self._offset_s += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass, and run each timer at its time."""
        end_s = self.elapsed_s + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end_s:
            at_s, _, timer = heapq.heappop(self._timers)
            if not timer.is_cancelled:
                self.elapsed_s = at_s
                timer.call(*timer.args)
                await settle()
        self.elapsed_s = end_s


async def settle() -> None:
    """Run all that can run without time passing; what is ready to be read or written counts too.

    Others that wait here, too, are always ready, and do not count.
    """
    global _settling
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    idle_turns = 0
    _settling += 1
    try:
        while idle_turns < IDLE_TURNS:
            await asyncio.sleep(0)
            idle_turns = 0 if len(ready) >= _settling else idle_turns + 1
    finally:
        _settling -= 1
