"""Views of the past that go on: the monitor from a moment, at 1, 10 or 60 times the speed.

Each client has a playback of its own, a task that looks at the next moment and sends what has
changed. One that reads too slowly gets fewer frames, each with all that has changed since.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import DispatchError, InvalidRequest, MomentInHole
from sanic_dispatch.live import close_codes
from sanic_dispatch.live.connection import Connection
from sanic_dispatch.live.frames import Cursor, Entries, Frame
from sanic_dispatch.live.hub import STALL_TIMEOUT_S
from sanic_dispatch.live.rewinder import EPOCH, MAX_PLAYERS, PastView
from sanic_dispatch.live.subscription import TooManyClients

SPEEDS = (1, 10, 60)

STEP_S = 0.25
"""How often a frame is sent."""

Look = Callable[[float, str], Awaitable[PastView]]
"""Returns the monitor at a moment, for a player."""


def past_frame(view: PastView, **content: Entries) -> Frame:
    """Return a frame of the past: its time is the moment that it shows, and it says so."""
    said: dict[str, Any] = {"past": True, **content}
    return Frame(Cursor(EPOCH, view.number), view.moment_s, **said)


class Playbacks:
    """The playbacks of a topic that this process sends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[asyncio.Task[None], Connection] = {}

    def check_room(self) -> None:
        """Raise TooManyClients if no other one may begin."""
        if len(self._running) >= MAX_PLAYERS:
            raise TooManyClients(MAX_PLAYERS)

    def begin(
        self, connection: Connection, look: Look, first: PastView, speed: int
    ) -> asyncio.Task[None]:
        """Send the view from ``first`` on; cancel the task when the client is gone.

        Raises TooManyClients.
        """
        self.check_room()
        playback = _Playback(connection, look, self._clock)
        task = asyncio.get_running_loop().create_task(playback.run(first, speed))
        self._running[task] = connection
        task.add_done_callback(self._running.pop)
        return task

    def stop(self) -> None:
        """End all of them: the service stops."""
        for task, connection in list(self._running.items()):
            task.cancel()
            connection.close(close_codes.RESTART)


class _Playback:
    """Sends a view to a connection."""

    def __init__(self, connection: Connection, look: Look, clock: Clock) -> None:
        self._connection = connection
        self._look = look
        self._player = secrets.token_hex(8)
        """Its name, as that of one who looks at later and later moments."""
        self._clock = clock
        self._sent: Entries | None = None
        self._taken_s = clock.monotonic_s()

    async def run(self, first: PastView, speed: int) -> None:
        """Send frames until the connection has had no room for too long."""
        began_s, view = self._clock.monotonic_s(), first
        try:
            while self._send(view):
                await self._clock.sleep(STEP_S)
                at_s = first.moment_s + speed * (self._clock.monotonic_s() - began_s)
                at_s = max(view.moment_s, min(at_s, self._clock.now_s()))
                try:
                    view = await self._look(at_s, self._player)
                except MomentInHole as hole:  # a request for the second after this says its end
                    self._send(await self._look(hole.from_s, self._player))
                    raise
        except InvalidRequest:
            self._connection.close(close_codes.CLIENT_SPOKE)
        except DispatchError:
            self._connection.close(close_codes.TRY_LATER)
        else:
            self._connection.abort()

    def _send(self, view: PastView) -> bool:
        """Send what has changed; return False if the connection takes nothing any more."""
        if self._connection.offer(self._frame(view)):
            self._sent, self._taken_s = view.entries, self._clock.monotonic_s()
        return self._clock.monotonic_s() - self._taken_s < STALL_TIMEOUT_S

    def _frame(self, view: PastView) -> Frame:
        before, now = self._sent, view.entries
        if before is None:
            return past_frame(view, state=now)
        patch: Entries = {key: each for key, each in now.items() if before.get(key) != each}
        patch |= dict.fromkeys(before.keys() - now.keys(), None)
        return past_frame(view, patch=patch) if patch else past_frame(view)
