"""Polls: a worker without an address asks for a job, and the answer waits until there is one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.connections import Message, MessageKind
from sanic_dispatch.web import calls
from sanic_dispatch.web.calls import Handout, ask
from sanic_dispatch.web.context import Context

MAX_WAIT_S = 60.0
"""How long a poll may wait."""


@asynccontextmanager
async def polling(context: Context, worker: Worker, wait_s: float) -> AsyncIterator[Handout | None]:
    """Wait for a job for this worker; give it to the block, which reports what became of it.

    If the request is cancelled meanwhile, a job goes back. Raises TooManyClients, and as
    ``Dispatcher.register_connected``.
    """
    context.worker_connections.check_room()
    poll = Poll(context, worker)
    context.worker_connections.begin(poll)
    waiting = asyncio.create_task(poll.wait(wait_s))
    try:
        handout = await asyncio.shield(waiting)
    except asyncio.CancelledError:
        poll.end()
        waiting.add_done_callback(lambda done: calls.give_back(context, done))
        waiting.add_done_callback(lambda _: poll.close())
        raise
    except BaseException:
        poll.close()
        raise
    try:
        yield handout
    finally:
        poll.close()


class Poll:
    """A poll, whose connection is attached until ``close``.

    So until it is known what became of a job, it is told of it.
    """

    def __init__(self, context: Context, worker: Worker) -> None:
        self._context = context
        self._worker = worker
        self._connection = secrets.token_urlsafe(12)
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Future[Message | None] = self._loop.create_future()
        """What the connection is told; None if the poll is to end."""
        self._is_ended = False
        self._detach: Callable[[], None] | None = None

    async def wait(self, wait_s: float) -> Handout | None:
        """Return a job for the answer; None if there is none in time. Raises as the owner."""
        until_s = self._loop.time() + wait_s
        while True:
            found = await self._stand_in_line(until_s)
            if isinstance(found, Handout):
                return found
            if found is None:
                break
            if found.job is not None:
                return Handout(found.job, found.receipt)
            if found.kind is MessageKind.REPLACED:
                return None
            if self._is_ended or self._loop.time() >= until_s:
                break
        return await ask(self._context, calls.end_poll, self._worker.id, self._connection)

    def end(self) -> None:
        """Let it end now."""
        self._is_ended = True
        self._hear(None)

    def close(self) -> None:
        """Detach the connection."""
        self._context.worker_connections.end(self)
        if self._detach is not None:
            self._detach()
            self._detach = None

    async def _stand_in_line(self, until_s: float) -> Handout | Message | None:
        """Attach and register; return a job that it has, or the message that comes in time."""
        if not self._is_ended:
            self._told = self._loop.create_future()
        self._detach = await calls.attach(self._context, self._connection, self._hear)
        beginning = asyncio.ensure_future(
            ask(self._context, calls.begin_poll, self._worker, self._connection)
        )
        try:
            either: list[asyncio.Future[Any]] = [beginning, self._told]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if beginning.done() and (handout := beginning.result()) is not None:
                return handout
            left_s = max(until_s - self._loop.time(), 0.0)
            await asyncio.wait([self._told], timeout=left_s)
        finally:
            beginning.cancel()
        return self._told.result() if self._told.done() else None

    def _hear(self, message: Message | None) -> None:
        if not self._told.done():
            self._told.set_result(message)
