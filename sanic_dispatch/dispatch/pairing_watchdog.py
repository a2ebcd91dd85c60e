"""The watchdog: a job and a free worker must not wait side by side for long.

It looks at the projection of the events and not at the tables, so it does not trust the code that
it watches. Only whether a connected worker is reached it has from the tables: no event tells that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sanic_dispatch.clock import Clock

CHECK_S = 0.25
"""How often to check."""

LONGEST_STEP_S = 2 * CHECK_S
"""How much of the time since the last check counts at most: a process that was suspended, or whose
event loop was busy, could not assign anything."""

STUCK_S = 1.0
"""How long the same job and worker may wait side by side: an assignment takes one commit."""

_log = structlog.get_logger("sanic_dispatch")


Pair = tuple[int, str]
"""A job's ticket and a worker's callback."""


class Watchdog:
    """Raise an alarm when the same job and worker stay next in line for STUCK_S."""

    def __init__(
        self, next_pair: Callable[[], Pair | None], clock: Clock, is_open: Callable[[], bool]
    ) -> None:
        """``next_pair`` returns the ticket and the callback that are next in line, if any.

        ``is_open`` says whether jobs are assigned at all; a stopping service does not.
        """
        self._next_pair = next_pair
        self._clock = clock
        self._is_open = is_open
        self._next: Pair | None = None
        self._checked_s = 0.0
        self.stuck_s = 0.0
        """How many seconds the same job and worker have been seen side by side; 0 if none are."""
        self._is_said = False
        self._watching: asyncio.Task[None] | None = None

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
        coming = self._next_pair() if self._is_open() else None
        now_s = self._clock.monotonic_s()
        step_s, self._checked_s = now_s - self._checked_s, now_s
        if coming is None or coming != self._next:
            self._next, self.stuck_s, self._is_said = coming, 0.0, False
        else:
            self.stuck_s += min(step_s, LONGEST_STEP_S)
        if coming is not None and self.is_alarmed and not self._is_said:
            self._is_said = True
            _log.error("pairing.stuck", ticket=coming[0], stuck_s=round(self.stuck_s, 3))

    async def _watch(self) -> None:
        while True:
            self.look()
            await self._clock.sleep(CHECK_S)
