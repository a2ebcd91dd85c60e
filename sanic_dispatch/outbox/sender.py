"""The sender: begins messages to many destinations, a few at a time, to each in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import StandingBy

MAX_UNDER_WAY = 1000
"""The most messages under way at once: each is a connection."""

BEGINS, BEGIN_S = 3, 0.002
"""How many messages begin at once, and how long the next ones wait: where an event is for a
thousand destinations, they take half of the event loop for a while, and orders hardly wait."""

FINISH_S = 1.0
"""How long messages under way may take at the end; others are sent again by the next owner."""

K = TypeVar("K", bound=Hashable)

Work = Coroutine[Any, Any, None]


class Sender(Generic[K]):
    """Sends messages in tasks of its own; it knows destinations by their keys alone.

    Nothing is begun before ``start``, or after ``finish`` and ``abandon``.
    """

    def __init__(self, begin: Callable[[K], Work | None]) -> None:
        """``begin`` returns what sends the next message of a destination; None if none is due.

        It is called again for the same destination until it returns None.
        """
        self.is_running = False
        self._begin = begin
        self._context = copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        """Those of the tasks that have a message under way."""
        self._ready: dict[K, None] = {}
        """Destinations that may have something to be sent, in the order of their turns."""
        self._later: dict[K, None] = {}
        """Further ones, whose turns come when none of those is left."""
        self._beginning: asyncio.Handle | None = None
        self._next_begin_s = 0.0
        """When the next messages may begin, by the clock of the event loop."""

    @property
    def is_idle(self) -> bool:
        """Whether no message is under way."""
        return not self._sending

    def start(self) -> None:
        """Let messages begin."""
        self.is_running = True

    async def finish(self) -> None:
        """Begin nothing more, and wait a moment for what is under way; ``abandon`` must follow."""
        self._stop_beginning()
        if self._sending:
            await asyncio.wait(self._sending, timeout=FINISH_S)

    async def abandon(self) -> None:
        """Begin nothing more, and cancel all tasks."""
        self._stop_beginning()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self, key: K, *, is_urgent: bool = True) -> None:
        """Have a destination asked for its next message soon, or after all urgent ones."""
        if not self.is_running:
            return
        if is_urgent:
            self._later.pop(key, None)
            self._ready[key] = None
        elif key not in self._ready:
            self._later[key] = None
        self._begin_soon()

    def forget(self, key: K) -> None:
        """Ask a destination no more."""
        self._ready.pop(key, None)
        self._later.pop(key, None)

    def spawn(self, work: Work) -> asyncio.Task[None]:
        """Run something else in a task that ends with this sender."""
        task: asyncio.Task[None] = asyncio.create_task(work, context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _begin_soon(self) -> None:
        is_full = len(self._sending) >= MAX_UNDER_WAY
        if (self._ready or self._later) and self._beginning is None and not is_full:
            due_s = self._next_begin_s
            self._beginning = asyncio.get_running_loop().call_at(due_s, self._begin_some)

    def _begin_some(self) -> None:
        """Begin a few messages, one to each destination in turn."""
        self._beginning = None
        self._next_begin_s = asyncio.get_running_loop().time() + BEGIN_S
        for _ in range(min(BEGINS, MAX_UNDER_WAY - len(self._sending))):
            waiting = self._ready or self._later
            if not waiting:
                break
            key = next(iter(waiting))
            del waiting[key]
            if (work := self._begin(key)) is not None:
                task = self.spawn(work)
                self._sending.add(task)
                task.add_done_callback(self._sent)
                self._ready[key] = None
        self._begin_soon()

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if self.is_running:
            self._begin_soon()

    def _stop_beginning(self) -> None:
        self.is_running = False
        self._ready.clear()
        self._later.clear()
        if self._beginning is not None:
            self._beginning.cancel()
            self._beginning = None


def check_open(dispatcher: Dispatcher, sender: Sender[Any]) -> None:
    """Raise as ``Dispatcher.check_open``, and StandingBy if the sender is not running.

    So it is for a moment at a hand-over: before ``start``, and after ``finish`` has begun. The
    destinations are not known here then.
    """
    dispatcher.check_open()
    if not sender.is_running:
        raise StandingBy(dispatcher.owner.name)
