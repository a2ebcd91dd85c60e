"""Readiness: does the storage take changes, and are jobs assigned?"""

from __future__ import annotations

import asyncio

from sanic_dispatch.clock import Clock
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.pairing_watchdog import Watchdog
from sanic_dispatch.errors import StorageError
from sanic_dispatch.storage.store import Store

FRESH_S = 1.0
"""How long the result of a test write is reused, so that frequent probes cost little."""

TEST_WRITE_TIMEOUT_S = 2.0
"""The timeout of a test write."""


class Readiness:
    """Find out, when asked, whether the service is ready."""

    def __init__(
        self, store: Store, watchdog: Watchdog, clock: Clock, dispatcher: Dispatcher
    ) -> None:
        self._store = store
        self._watchdog = watchdog
        self._clock = clock
        self._dispatcher = dispatcher
        self._trying = asyncio.Lock()
        self._tried_s: float | None = None
        self._storage = ""

    async def reasons(self) -> list[str]:
        """Return why the service is not ready; empty if it is. Raises StandingBy, ShuttingDown."""
        self._dispatcher.check_open()
        await self._look_at_storage()
        found = {
            self._storage: bool(self._storage),
            "a job and a worker wait together": self._watchdog.is_alarmed,
        }
        return [reason for reason, holds in found.items() if holds]

    async def look_again(self) -> None:
        """Try to write if the last commit failed: there may be no other one for hours."""
        if self._dispatcher.commit_stats.is_failing:
            await self._look_at_storage()

    async def _look_at_storage(self) -> None:
        async with self._trying:
            if self._tried_s is None or self._clock.monotonic_s() - self._tried_s >= FRESH_S:
                self._storage = await self._try_storage()
                self._tried_s = self._clock.monotonic_s()

    async def _try_storage(self) -> str:
        try:
            async with asyncio.timeout(TEST_WRITE_TIMEOUT_S):
                await self._store.try_writing()
        except TimeoutError:
            return "the storage does not answer"
        except StorageError as error:
            return str(error)
        self._dispatcher.commit_stats.is_failing = False
        return ""
