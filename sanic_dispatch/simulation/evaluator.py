"""The engine's evaluator: one thread that runs the code of all instances."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sanic_dispatch.clock import Clock, SystemClock
from sanic_dispatch.simulation.background_tasks import Tasks

Code = Callable[[], None]


class Evaluator:
    """Runs one piece of code at a time; waiting ones are picked at random.

    Each evaluation takes ``each_s`` seconds. With 0 it happens at once, unless blocked.
    """

    def __init__(
        self,
        each_s: float = 0.0,
        *,
        clock: Clock | None = None,
        pick: Callable[[int], int] = random.randrange,
    ) -> None:
        """``pick`` gets how many wait and returns the index of the next; the oldest has index 0."""
        self.each_s = each_s
        self._clock = clock or SystemClock()
        self._pick = pick
        self._waiting: list[Code] = []
        self._blocks = 0
        self._is_running = False
        self._tasks = Tasks()

    def submit(self, code: Code) -> None:
        """Run code as soon as the evaluator is free."""
        self._waiting.append(code)
        self._evaluate_waiting()

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Block the evaluator in this context, like a model whose code sleeps."""
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1
            self._evaluate_waiting()

    async def close(self) -> None:
        """Drop waiting code and stop."""
        self._waiting.clear()
        await self._tasks.cancel()

    def _evaluate_waiting(self) -> None:
        if self._is_running or self._blocks or not self._waiting:
            return
        self._is_running = True
        if self.each_s:
            self._tasks.spawn(self._evaluate_slowly())
            return
        while self._waiting and not self._blocks:
            self._pop_next()()
        self._is_running = False

    async def _evaluate_slowly(self) -> None:
        while self._waiting and not self._blocks:
            await self._clock.sleep(self.each_s)
            self._pop_next()()
        self._is_running = False

    def _pop_next(self) -> Code:
        return self._waiting.pop(self._pick(len(self._waiting)))
