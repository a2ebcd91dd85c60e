"""Work that goes on whether or not the request that began it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sanic_dispatch.errors import ShuttingDown

T = TypeVar("T")


class Tasks:
    """What one owner has under way: never forgotten, ended together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start it and go on."""
        task = asyncio.create_task(work)
        self.watch(task)
        return task

    def watch(self, work: asyncio.Future[Any]) -> None:
        """Count it as under way until it is done."""
        self._running.add(work)
        work.add_done_callback(self._running.discard)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Start it and wait for its result; if the caller is cancelled, it goes on."""
        return await self.outcome(self._shielded(work))

    def _shielded(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        task = self.spawn(work)
        task.add_done_callback(_look_at)
        return asyncio.shield(task)

    async def outcome(self, work: asyncio.Future[T]) -> T:
        """Wait for the result of what is under way.

        Raises ShuttingDown where ``cancel`` ended it: nobody knows then how far it got.
        """
        try:
            return await work
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is None or caller.cancelling():
                raise
            raise ShuttingDown from None
        finally:
            # An error has this frame, and the work has the error: they would keep each other, and
            # all that the callers have at hand, until the garbage collector comes by.
            del work

    async def idle(self) -> None:
        """Return when nothing is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def cancel(self) -> None:
        """End everything that is under way."""
        for work in self._running:
            work.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def _look_at(task: asyncio.Task[Any]) -> None:
    """A caller that was cut off never looks: do not let asyncio complain of it."""
    if not task.cancelled():
        task.exception()
