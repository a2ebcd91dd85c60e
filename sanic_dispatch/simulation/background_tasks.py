"""Background tasks that outlive the request that started them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sanic_dispatch.errors import ShuttingDown

T = TypeVar("T")


class Tasks:
    """A group of tasks: keeps references to them, and cancels them together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task and return it."""
        task = asyncio.create_task(work)
        self.watch(task)
        return task

    def watch(self, work: asyncio.Future[Any]) -> None:
        """Add a future to the group until it is done."""
        self._running.add(work)
        work.add_done_callback(self._running.discard)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Start a task and return its result; cancelling the caller does not cancel the task."""
        return await self.outcome(self._shielded(work))

    # Not inlined in ``run``: a local variable there would join the cycle that ``outcome`` breaks.
    def _shielded(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        task = self.spawn(work)
        task.add_done_callback(_retrieve_exception)
        return asyncio.shield(task)

    async def outcome(self, work: asyncio.Future[T]) -> T:
        """Wait for the result of a task of this group.

        Raises ShuttingDown if ``cancel`` ended the task, which may be half done.
        """
        try:
            return await work
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is None or caller.cancelling():
                raise
            raise ShuttingDown from None
        finally:
            # An error refers to this frame, and the task to the error. Without this the cycle would
            # keep all callers' frames alive until the garbage collector runs.
            del work

    async def idle(self) -> None:
        """Wait until all tasks are done."""
        while self._running:
            await asyncio.wait(self._running)

    async def cancel(self) -> None:
        """Cancel all tasks and wait for their end."""
        for work in self._running:
            work.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve a task's error, so that asyncio does not log it if the caller was cancelled."""
    if not task.cancelled():
        task.exception()
