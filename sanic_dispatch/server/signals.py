"""What the operating system says to the process: to stop, and to stop now."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """The first SIGTERM or SIGINT asks to stop; the second one ends the process at once.

    The handlers are Python's and not an event loop's, so that they are there before there is a
    loop: a signal that comes during the start is not forgotten. Ending at once is safe: what was
    acknowledged is on the disk, and what was under way is taken up at the next start.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> None:
        """From now on. Call it in the main thread, before anybody can connect."""
        for number in STOPPING:
            signal.signal(number, self._on_signal)

    async def wait(self) -> None:
        """Return as soon as somebody has asked to stop; at once if that is so already."""
        self._loop = asyncio.get_running_loop()
        if not self.is_asked:
            await self._asked.wait()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.is_asked:
            os._exit(128 + number)
        self.is_asked = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked.set)
