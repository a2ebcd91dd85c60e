"""An event stream as a wire of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sanic_dispatch.live.connection import has_room
from sanic_dispatch.live.frames import Frame


class EventStream:
    """Frames that are on their way, seldom more than one: whoever sends them waits for the peer.

    ``cut`` ends the connection under it at once.
    """

    transport = "event_stream"

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut
        self._waiting: list[bytes] = []
        self._sending: list[bytes] = []
        self._changed = asyncio.Event()
        self._is_over = False

    def buffered(self) -> int:
        """How many bytes the peer has not taken yet."""
        return sum(map(len, self._waiting)) + sum(map(len, self._sending))

    def offer(self, frame: Frame) -> bool:
        """Have a frame sent, if there is room for it."""
        if not has_room(self.buffered(), len(frame.event_stream)):
            return False
        self._waiting.append(frame.event_stream)
        self._changed.set()
        return True

    def close(self, code: int) -> None:
        """End the stream: the client comes back, and is told why if it may not."""
        self._is_over = True
        self._changed.set()

    def abort(self) -> None:
        """Cut the connection: whoever sends still waits for the peer, which does not read."""
        self.close(1006)
        self._cut()

    async def send_by(self, send: Callable[[bytes], Awaitable[object]]) -> None:
        """Send what there is, as soon as there is something, until the end."""
        while not self._is_over:
            await self._changed.wait()
            self._changed.clear()
            self._sending, self._waiting = self._waiting, []
            await send(b"".join(self._sending))
            self._sending = []
