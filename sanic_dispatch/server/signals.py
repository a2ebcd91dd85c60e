"""SIGTERM and SIGINT: ask for a stop, or on the second one end at once.

Then ``app._serve_until`` leaves ``runner.serving``, whose end does the rest, in this order:
``stop_taking`` in ``app._run_services`` (``Dispatcher.stop`` takes nothing in any more, and lets
deliveries finish; then the hub sends the pages away), the remaining connections
(``runner._close_connections``), and ``close`` in ``app._run_services`` (storage and the rest).
"""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Waits for a first SIGTERM or SIGINT; a second one ends the process at once.

    The handlers are Python's, not the event loop's, so that a signal during the start is noticed
    too. Ending at once is safe: what was acknowledged is durable, and deliveries in progress are
    recovered at the next start.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._is_signalled = False
        """Whether a signal has asked for it: one may also follow the end of the lifeline."""
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> None:
        """Install the handlers. Call it in the main thread, before clients can connect."""
        for number in STOPPING:
            signal.signal(number, self._on_signal)

    async def wait(self, lifeline: int | None = None) -> None:
        """Return once a stop was requested, or the lifeline is at its end."""
        self._loop = asyncio.get_running_loop()
        if lifeline is not None:
            self._loop.add_reader(lifeline, self._ask)
        if not self.is_asked:
            await self._asked.wait()
        if lifeline is not None:
            self._loop.remove_reader(lifeline)

    def _ask(self) -> None:
        self.is_asked = True
        self._asked.set()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._is_signalled:
            os._exit(128 + number)
        self._is_signalled = self.is_asked = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked.set)
