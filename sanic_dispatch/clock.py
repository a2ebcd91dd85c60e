"""The clock as a dependency, so that tests can control it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

EARLY_S = 0.002
"""uvloop counts in whole milliseconds, and may call 1.5 ms too early by the monotonic clock."""


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> object:
        """Cancel the call; no-op once it was made."""


class Clock(Protocol):
    """Wall time, monotonic time and timers, in seconds."""

    def now_s(self) -> float:
        """Return the wall-clock time, Unix seconds: for records, files and people."""

    def monotonic_s(self) -> float:
        """Return a time that never jumps: for leases, time-outs and intervals."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for a number of seconds."""

    def call_later(self, seconds: float, call: Callable[..., object], *args: Any) -> Timer:
        """Schedule a call on the event loop: never before the time, by ``monotonic_s``."""


class SystemClock:
    """The machine's clock; its readings are built-in functions, not Python calls around them."""

    now_s = staticmethod(time.time)
    monotonic_s = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[..., object], *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(seconds + EARLY_S, call, *args)
