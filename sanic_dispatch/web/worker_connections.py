"""The connections of connected workers at this process: websockets, and polls that wait."""

from __future__ import annotations

import asyncio
from typing import Protocol

from sanic_dispatch.errors import ShuttingDown
from sanic_dispatch.live import close_codes
from sanic_dispatch.live.subscription import TooManyClients

TICK_S = 0.5
"""How often to check which websockets are silent."""


class Watched(Protocol):
    """A websocket of a worker."""

    def watch(self, now_s: float) -> None:
        """Ping it if that is due, and drop it if it is silent; ``now_s`` is the loop's time."""

    def close(self, code: int) -> None:
        """Begin the closing handshake."""


class Waiting(Protocol):
    """A poll."""

    def end(self) -> None:
        """End it now."""


class WorkerConnections:
    """Counts the connections, watches over the websockets by one timer, and ends all at the stop.

    It serves all topics.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sockets: dict[Watched, None] = {}
        self._polls: dict[Waiting, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tick_s = 0.0
        """When the next tick is due."""
        self._is_stopped = False
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    def check_room(self) -> None:
        """Raise TooManyClients if there is no room for one more, and ShuttingDown at the stop."""
        if self._is_stopped:
            raise ShuttingDown
        if len(self._sockets) + len(self._polls) >= self._limit:
            raise TooManyClients(self._limit)

    def add(self, websocket: Watched) -> None:
        """Add a websocket."""
        self._sockets[websocket] = None
        self._all_gone.clear()
        if self._timer is None:
            self._plan(asyncio.get_running_loop())

    def discard(self, websocket: Watched) -> None:
        """Remove a websocket."""
        self._sockets.pop(websocket, None)
        self._note_gone()

    def begin(self, poll: Waiting) -> None:
        """Add a poll."""
        self._polls[poll] = None
        self._all_gone.clear()

    def end(self, poll: Waiting) -> None:
        """Remove a poll."""
        self._polls.pop(poll, None)
        self._note_gone()

    def stop(self) -> None:
        """End all, and refuse later ones."""
        self._is_stopped = True
        for websocket in list(self._sockets):
            websocket.close(close_codes.RESTART)
        for poll in list(self._polls):
            poll.end()

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        return {"websocket": len(self._sockets), "poll": len(self._polls)}

    async def gone(self) -> None:
        """Return once there is none."""
        await self._all_gone.wait()

    def _note_gone(self) -> None:
        if self._sockets:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._polls:
            self._all_gone.set()

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tick_s = loop.time() + TICK_S
        self._timer = loop.call_at(self._tick_s, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch over all, unless this process was held up: then what has come is not read yet."""
        now_s = loop.time()
        if now_s - self._tick_s < TICK_S:
            for websocket in list(self._sockets):
                websocket.watch(now_s)
        self._plan(loop)
