"""The time, as something that comes in from outside, so that a test can hold it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> object:
        """Call it off; harmless if it has been made."""


class Clock(Protocol):
    """What the service knows of time; seconds everywhere."""

    def now_s(self) -> float:
        """Return the wall-clock time, Unix seconds: for what people and files see."""

    def monotonic_s(self) -> float:
        """Return a time that never jumps: for leases, time-outs and intervals."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""

    def call_later(self, seconds: float, call: Callable[..., object], *args: Any) -> Timer:
        """Call after so many seconds, on the event loop."""


class SystemClock:
    """The machine's own clock; to ask it is no call into Python."""

    now_s = staticmethod(time.time)
    monotonic_s = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[..., object], *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, call, *args)
