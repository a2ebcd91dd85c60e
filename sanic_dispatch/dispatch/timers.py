"""Timers: commands to be applied later."""

from __future__ import annotations

import random
from collections.abc import Callable

from sanic_dispatch.clock import Clock, Timer
from sanic_dispatch.core.commands import Command, EndRegistration, LookAtJob
from sanic_dispatch.core.effects import JITTER, StartTimer


class Timers:
    """Report commands when their time has come, on the monotonic clock.

    A job has one timer for its checks, and a worker one for the end of its registration: a newer
    one takes its place, since what the one before would find has changed.
    """

    def __init__(self, clock: Clock, report: Callable[[Command], None]) -> None:
        self._clock = clock
        self._tell = report
        self._running: dict[str | int, Timer] = {}
        """By the id of their job or worker; those of neither by a running number."""
        self._last = 0

    def __len__(self) -> int:
        return len(self._running)

    def start(self, effect: StartTimer) -> None:
        """Report the effect's command after its time."""
        command, after_s = effect.command, effect.after_s
        if effect.is_spread:
            after_s *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        name: str | int
        if isinstance(command, LookAtJob):
            self.cancel(name := command.job_id)
        elif isinstance(command, EndRegistration):
            self.cancel(name := command.worker_id)
        else:
            self._last = name = self._last + 1
        self._running[name] = self._clock.call_later(after_s, self._fire, name, command)

    def cancel(self, name: str) -> None:
        """Cancel the timer of a job or a worker, if it has one."""
        timer = self._running.pop(name, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Cancel all timers; recovery derives them from the records again."""
        for timer in self._running.values():
            timer.cancel()
        self._running.clear()

    def _fire(self, name: str | int, command: Command) -> None:
        del self._running[name]
        self._tell(command)
