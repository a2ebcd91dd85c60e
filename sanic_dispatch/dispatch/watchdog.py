"""The watchdog: whether a free job and a usable worker wait together, which must not last.

It looks at the fold of events and not at the queues, so that it does not believe those whom it
watches, and costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sanic_dispatch.clock import Clock
from sanic_dispatch.live.projection import Line

LOOK_S = 0.25
STUCK_S = 1.0
"""For how long the same two may wait together: a hand-over takes as long as its commit."""

_log = structlog.get_logger("sanic_dispatch")


class Watchdog:
    """Looks again and again whether the job and the worker that come next are the same two."""

    def __init__(self, line: Callable[[], Line], clock: Clock, is_open: Callable[[], bool]) -> None:
        """``is_open``: whether pairs are to be made; while the service stops they are not."""
        self._line = line
        self._clock = clock
        self._is_open = is_open
        self._next: tuple[str, str] | None = None
        self._since_s = 0.0
        self._is_said = False
        self._watching: asyncio.Task[None] | None = None

    @property
    def stuck_s(self) -> float:
        """For how many seconds the same two have waited together; 0 where none do."""
        return self._clock.monotonic_s() - self._since_s if self._next else 0.0

    @property
    def is_alarmed(self) -> bool:
        """Whether that is too long."""
        return self.stuck_s > STUCK_S

    def start(self) -> None:
        """From now on."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """No more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def look(self) -> None:
        """Look now."""
        coming = self._coming()
        if coming != self._next:
            self._next, self._since_s, self._is_said = coming, self._clock.monotonic_s(), False
        if self.is_alarmed and not self._is_said:
            self._is_said = True
            ticket = self._line().first(1)[0].job.ticket
            _log.error("pairing.stuck", ticket=ticket, stuck_s=round(self.stuck_s, 3))

    async def _watch(self) -> None:
        while True:
            self.look()
            await self._clock.sleep(LOOK_S)

    def _coming(self) -> tuple[str, str] | None:
        """The job and the worker that should be paired next; None where there are not both."""
        line = self._line()
        if line.bar().paused or not self._is_open():
            return None
        jobs, worker = line.first(1), next(iter(line.robots.free), None)
        if not jobs or worker is None:
            return None
        return jobs[0].job.id, worker
