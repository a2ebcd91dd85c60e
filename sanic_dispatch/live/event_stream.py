"""Server-sent events as a connection of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sanic_dispatch.live import close_codes
from sanic_dispatch.live.connection import has_room
from sanic_dispatch.live.frames import Frame


class EventStream:
    """A buffer of frames between the hub and the coroutine that writes them to the response.

    ``cut`` drops the TCP connection under it.
    """

    transport = "event_stream"

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut
        self._waiting: list[bytes] = []
        self._sending: list[bytes] = []
        self._changed = asyncio.Event()
        self._is_closed = False

    def buffered(self) -> int:
        """Return the number of bytes that the peer has not taken yet."""
        return sum(map(len, self._waiting)) + sum(map(len, self._sending))

    def offer(self, frame: Frame) -> bool:
        """Buffer a frame if there is room, and return whether there was."""
        if not has_room(self.buffered(), len(frame.event_stream)):
            return False
        self._waiting.append(frame.event_stream)
        self._changed.set()
        return True

    def close(self, code: int) -> None:
        """End the stream.

        The code is not sent: a client that reconnects is refused with the HTTP status for it.
        """
        self._is_closed = True
        self._changed.set()

    def abort(self) -> None:
        """Drop the connection; ``send_by`` may be waiting for a peer that never reads."""
        self.close(close_codes.ABNORMAL)
        self._cut()

    async def send_by(self, send: Callable[[bytes], Awaitable[object]]) -> None:
        """Pass buffered frames to ``send``, joined, until the stream is closed."""
        while not self._is_closed:
            await self._changed.wait()
            self._changed.clear()
            self._sending, self._waiting = self._waiting, []
            await send(b"".join(self._sending))
            self._sending = []
