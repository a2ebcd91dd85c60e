"""A clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

START_S = 1_732_412_340.0


class FakeClock:
    """Time stands still; ``advance`` moves it and wakes whoever slept until then, in order."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self._offset_s = START_S
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now_s(self) -> float:
        return self._offset_s + self.elapsed_s

    def monotonic_s(self) -> float:
        return self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.elapsed_s + seconds, next(self._order), woken))
        await woken

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, forwards or back."""
        self._offset_s += seconds

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and everything that is due happen at its time."""
        end_s = self.elapsed_s + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            self.elapsed_s, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.elapsed_s = end_s


async def settle(turns: int = 60) -> None:
    """Let everything run that can run without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)
