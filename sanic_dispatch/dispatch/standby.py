"""Standing by: with a shared store, a dispatcher serves only while its process owns the topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import structlog

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.cluster.spreading import SETTLE_S, Turn
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.errors import DispatchError, StorageError

OWNER_CHECK_S = 0.2
"""How often to check whether another process may own the topic by now, or is to own it."""

LOAD_RETRY_S = 1.5
"""How long to wait after a topic could not be loaded.

Longer than the turn (LeaseTimes) and two polls of another process, which can perhaps load it.
"""

KEEP_S = 3.0
"""How long a topic is kept that was taken because the process whose turn it was did not come.

It may just have been restarted. Each time that it does not come again, this doubles.
"""

LONGEST_KEEP_S = 300.0

_log = structlog.get_logger("sanic_dispatch")


class Standby:
    """Take the topic over when its owner is gone, and hand it over when it is another's turn."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        ownership: Ownership,
        turn: Turn,
        show: Callable[[TopicSnapshot | None], Awaitable[None]],
        set_out_of_reach: Callable[[bool], None],
    ) -> None:
        """``show`` gets a snapshot when the topic is taken over, and None when it is lost.

        ``set_out_of_reach`` is told whether what is shown may be stale.
        """
        self._dispatcher = dispatcher
        self._ownership = ownership
        self._turn = turn
        self._show = show
        self._set_out_of_reach = set_out_of_reach
        self._keep_s = KEEP_S
        self._keep_until_s = 0.0
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take over, and to serve, the topic."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop taking over."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def leave(self, grace_s: float) -> bool:
        """Stop taking over, and hand the topic over for good; return False if nobody can have it.

        Waits for ``grace_s`` for what is under way; what takes longer will be in doubt.
        """
        successor = self._turn.owner()
        await self.stop()
        if successor is None or successor.name == self._ownership.own.name:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._prepare(successor)
        await self._release(successor)
        return True

    async def _run(self) -> None:
        try:
            await self._serve_in_turn()
        except Exception:  # a mistake of ours: what is left of its state must not act again
            _log.exception("ownership.failed")
            await self._ownership.release(None)

    async def _serve_in_turn(self) -> None:
        if not self._dispatcher.is_open:
            await self._show(None)
        while True:
            await self._take_over()
            successor = await self._serve()
            if successor is not None:
                await self._prepare(successor)
            await self._release(successor)

    async def _serve(self) -> Member | None:
        """Serve until the topic is lost (None), or it is another's turn; return whose.

        Tell whether another process may own the topic meanwhile.
        """
        is_sure = True
        while self._ownership.is_owner:
            if self._ownership.may_act() is not is_sure:
                is_sure = not is_sure
                self._set_out_of_reach(not is_sure)
            successor = self._turn.successor()
            if successor is not None and is_sure and monotonic() >= self._keep_until_s:
                return successor
            with suppress(TimeoutError):
                async with asyncio.timeout(OWNER_CHECK_S):
                    await self._ownership.until_lost()
        return None

    async def _prepare(self, successor: Member) -> None:
        """Announce the successor, and wait until nothing is under way any more."""
        if not (self._ownership.is_owner and self._dispatcher.is_open):
            return
        with suppress(StorageError):  # then it notices later that the topic is free
            await self._ownership.announce(successor)
        await self._dispatcher.drain()

    async def _release(self, successor: Member | None) -> None:
        """Drop all state, and leave the topic to a successor, unless it is lost already."""
        await self._show(None)
        await self._dispatcher.stand_by()
        if self._ownership.is_owner:
            await self._ownership.release(successor)
            to = successor.name if successor else ""
            _log.info("ownership.released", epoch=self._ownership.epoch, to=to)

    def _keep_for_a_while(self) -> None:
        """Do not hand the topic over for a while, so that it does not go back and forth.

        Its last owner may be leaving, and count as living here until the next announcement.
        """
        if self._ownership.is_out_of_turn:
            keep_s, self._keep_s = self._keep_s, min(2 * self._keep_s, LONGEST_KEEP_S)
        else:
            keep_s, self._keep_s = SETTLE_S, KEEP_S
        self._keep_until_s = monotonic() + keep_s

    async def _take_over(self) -> None:
        """Acquire the topic, load it and start to serve it; retry until that works."""
        while not self._dispatcher.is_open:
            try:
                await self._ownership.acquire(is_our_turn=self._turn.is_ours)
                self._keep_for_a_while()
                await self._dispatcher.load()
                await self._show(await asyncio.to_thread(self._dispatcher.snapshot))
                await self._dispatcher.start()
            except Exception as error:  # whatever it is: an owner that does not serve helps nobody
                is_mistake = not isinstance(error, DispatchError)
                _log.warning("ownership.not_taken", reason=str(error), exc_info=is_mistake)
                await self._release(None)
                await asyncio.sleep(LOAD_RETRY_S)
