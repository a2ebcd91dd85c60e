"""Standing by: with a shared store, a dispatcher serves only while its process owns the topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.errors import DispatchError

OWNER_CHECK_S = 0.2
"""How often to check whether another process may own the topic by now."""

LOAD_RETRY_S = 0.5
"""How long to wait after a topic could not be loaded."""

_log = structlog.get_logger("sanic_dispatch")


class Standby:
    """Take the topic over when its owner is gone, and stand by when another process owns it."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        ownership: Ownership,
        show: Callable[[TopicSnapshot | None], None],
        set_out_of_reach: Callable[[bool], None],
    ) -> None:
        """``show`` gets a snapshot when the topic is taken over, and None when it is lost.

        ``set_out_of_reach`` is told whether what is shown may be stale.
        """
        self._dispatcher = dispatcher
        self._ownership = ownership
        self._show = show
        self._set_out_of_reach = set_out_of_reach
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take over, and to serve, the topic."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop taking over."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            if not self._dispatcher.is_open:
                self._show(None)
                await self._take_over()
            await self._until_lost()
            await self._dispatcher.stand_by()

    async def _until_lost(self) -> None:
        """Return when another process owns the topic; tell whether one may own it meanwhile."""
        is_sure = True
        while self._ownership.is_owner:
            if self._ownership.may_act() is not is_sure:
                is_sure = not is_sure
                self._set_out_of_reach(not is_sure)
            with suppress(TimeoutError):
                async with asyncio.timeout(OWNER_CHECK_S):
                    await self._ownership.until_lost()

    async def _take_over(self) -> None:
        """Acquire the topic, load it and start to serve it; retry until that works."""
        while not self._dispatcher.is_open:
            try:
                await self._ownership.acquire()
                await self._dispatcher.load()
                self._show(self._dispatcher.snapshot())
                await self._dispatcher.start()
            except DispatchError as error:
                _log.warning("ownership.not_taken", reason=str(error))
                self._show(None)
                self._ownership.lose("the queues could not be taken over")
                await self._dispatcher.stand_by()
                await asyncio.sleep(LOAD_RETRY_S)
