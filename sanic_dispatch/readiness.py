"""Whether the service can do its work: its storage takes changes, and pairs are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.watchdog import Watchdog

FRESH_S = 1.0
"""How long one try at the storage counts: however many ask, it is no load."""

PATIENCE_S = 2.0
"""How long a try may take."""


class Readiness:
    """Looks when somebody asks."""

    def __init__(
        self, pairs: Pairs, watchdog: Watchdog, clock: Clock, is_open: Callable[[], bool]
    ) -> None:
        self._pairs = pairs
        self._watchdog = watchdog
        self._clock = clock
        self._is_open = is_open
        self._trying = asyncio.Lock()
        self._tried_s: float | None = None
        self._storage = ""

    async def reasons(self) -> list[str]:
        """Why it is not ready; empty where it is."""
        async with self._trying:
            if self._tried_s is None or self._clock.monotonic_s() - self._tried_s >= FRESH_S:
                self._storage = await self._try_storage()
                self._tried_s = self._clock.monotonic_s()
        found = {
            "it is shutting down": not self._is_open(),
            self._storage: bool(self._storage),
            "a job and a worker wait together": self._watchdog.is_alarmed,
        }
        return [reason for reason, holds in found.items() if holds]

    async def _try_storage(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._pairs.try_writing()
        except TimeoutError:
            return "the storage does not answer"
        except StorageFailed as error:
            return str(error)
        return ""
