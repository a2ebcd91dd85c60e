"""The watchdog: a job and a free worker must not wait side by side for long.

It looks at the projection of the events and not at the tables, so it does not trust the code that
it watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sanic_dispatch.clock import Clock
from sanic_dispatch.live.projection import Projection

LOOK_S = 0.25
STUCK_S = 1.0
"""How long the same job and worker may wait side by side: an assignment takes one commit."""

_log = structlog.get_logger("sanic_dispatch")


class Watchdog:
    """Raise an alarm when the same job and worker stay next in line for STUCK_S."""

    def __init__(
        self, line: Callable[[], Projection], clock: Clock, is_open: Callable[[], bool]
    ) -> None:
        """``is_open`` says whether jobs are assigned at all; a stopping service does not."""
        self._line = line
        self._clock = clock
        self._is_open = is_open
        self._next: tuple[str, str] | None = None
        self._since_s = 0.0
        self._is_said = False
        self._watching: asyncio.Task[None] | None = None

    @property
    def stuck_s(self) -> float:
        """How many seconds the same job and worker have waited side by side; 0 if none do."""
        return self._clock.monotonic_s() - self._since_s if self._next else 0.0

    @property
    def is_alarmed(self) -> bool:
        """Whether a job and a worker have waited side by side for too long."""
        return self.stuck_s > STUCK_S

    def start(self) -> None:
        """Start watching."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def look(self) -> None:
        """Check once, and log an error when the alarm begins."""
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
        """Return the job and the worker to be assigned next; None if there are not both."""
        line = self._line()
        if line.counts().paused or not self._is_open():
            return None
        jobs, worker = line.first(1), next(iter(line.robots.free), None)
        if not jobs or worker is None:
            return None
        return jobs[0].job.id, worker
