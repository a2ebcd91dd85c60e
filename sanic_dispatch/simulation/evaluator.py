"""The engine's evaluator: one thread for the results and the code of all instances."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sanic_dispatch.clock import Clock, SystemClock
from sanic_dispatch.simulation.background_tasks import Tasks

Code = Callable[[], None]


class Evaluator:
    """Evaluates one thing at a time; those that have to wait get their turn in no order.

    ``each_s`` seconds for each evaluation; with 0, and while nothing blocks it, at once.
    """

    def __init__(
        self,
        each_s: float = 0.0,
        *,
        clock: Clock | None = None,
        pick: Callable[[int], int] = random.randrange,
    ) -> None:
        """``pick`` chooses among so many that wait, oldest first: the index of the next."""
        self.each_s = each_s
        self._clock = clock or SystemClock()
        self._pick = pick
        self._waiting: list[Code] = []
        self._blocks = 0
        self._is_at_work = False
        self._tasks = Tasks()

    def submit(self, code: Code) -> None:
        """Evaluate this as soon as the thread is free."""
        self._waiting.append(code)
        self._go_on()

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Evaluate nothing meanwhile: a model's code sleeps."""
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1
            self._go_on()

    async def close(self) -> None:
        """Evaluate nothing more."""
        self._waiting.clear()
        await self._tasks.cancel()

    def _go_on(self) -> None:
        if self._is_at_work or self._blocks or not self._waiting:
            return
        self._is_at_work = True
        if self.each_s:
            self._tasks.spawn(self._work_slowly())
            return
        while self._waiting and not self._blocks:
            self._take_next()()
        self._is_at_work = False

    async def _work_slowly(self) -> None:
        while self._waiting and not self._blocks:
            await self._clock.sleep(self.each_s)
            self._take_next()()
        self._is_at_work = False

    def _take_next(self) -> Code:
        return self._waiting.pop(self._pick(len(self._waiting)))
