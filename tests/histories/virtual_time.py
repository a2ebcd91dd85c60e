"""Virtual time: an event loop whose clock jumps to the next timer."""

from __future__ import annotations

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any

START_S = 1_732_412_340.0
"""The wall clock at the beginning of every history."""

OWNER: ContextVar[dict[asyncio.Task[Any], None] | None] = ContextVar("owner", default=None)
"""The list of the tasks that are created in this context."""


class NothingIsDue(Exception):
    """All tasks wait, and no timer will wake one."""


class TooLong(Exception):
    """More turns of the loop than a history can need."""


MOST_TURNS = 50_000
"""The most turns of the loop in one history; an ordinary one has about 1,000."""


class VirtualLoop(BaseEventLoop):
    """An event loop without I/O; time passes only while nothing is ready to run.

    Work for threads runs at once and takes ``thread_s()`` seconds of virtual time, so that a store
    that uses threads is deterministic too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elapsed_s = 0.0
        self.turns = 0
        self.thread_s: Callable[[], float] = lambda: 0.001
        self._selector = _Selector(self)
        self.set_task_factory(_create_noted_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.elapsed_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            settle, outcome = future.set_result, func(*args)
        except Exception as error:
            settle, outcome = future.set_exception, error
        self.call_later(self.thread_s(), _settle, future, settle, outcome)
        return future

    def _process_events(self, event_list: object) -> None:
        """Do nothing: there is no I/O."""

    def _write_to_self(self) -> None:
        """Do nothing: there are no other threads."""


class _Selector:
    """Lets time jump to the next timer instead of waiting for I/O."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> tuple[()]:
        self._loop.turns += 1
        if self._loop.turns > MOST_TURNS:
            raise TooLong
        if timeout is None:
            raise NothingIsDue
        if timeout > 0:
            due_s = self._loop._scheduled[0]._when  # type: ignore[attr-defined]
            self._loop.elapsed_s = max(self._loop.elapsed_s, due_s)
        return ()


def _create_noted_task(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    context: Context | None = None,
) -> asyncio.Task[Any]:
    task = asyncio.Task(coro, loop=loop, context=context)
    owned = OWNER.get()
    if owned is not None:
        owned[task] = None
        task.add_done_callback(lambda done: owned.pop(done, None))
    return task


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], outcome: Any) -> None:
    if not future.done():
        settle(outcome)


class WallClock:
    """The time of day of the simulated machine, which can be set."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset_s = START_S

    def now_s(self) -> float:
        """Return the time of day, Unix seconds."""
        return self.offset_s + self._loop.elapsed_s


class LifeClock:
    """The clock of one life of the dispatcher: its monotonic time and its timers start again."""

    def __init__(self, loop: VirtualLoop, wall: WallClock, began_at_s: float) -> None:
        """``began_at_s``: the time of the monotonic clock now."""
        self._loop = loop
        self._wall = wall
        self._shift_s = began_at_s - loop.elapsed_s
        self.is_stopped = False

    def now_s(self) -> float:
        return self._wall.now_s()

    def monotonic_s(self) -> float:
        return self._loop.elapsed_s + self._shift_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(
        self, seconds: float, call: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, self._fire, call, args)

    def _fire(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self.is_stopped:
            call(*args)
