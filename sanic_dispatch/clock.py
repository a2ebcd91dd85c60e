"""The time, as something that comes in from outside, so that a test can hold it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What the core knows of time; seconds everywhere."""

    def now_s(self) -> float:
        """Wall-clock time, Unix seconds: for what people and files see."""

    def monotonic_s(self) -> float:
        """A time that never jumps: for leases, time-outs and intervals."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class SystemClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def to_rfc3339(unix_s: float) -> str:
    """``1732412340.5`` → ``2024-11-24T01:39:00.500000Z``."""
    second, microseconds = divmod(round(unix_s * 1e6), 1_000_000)
    return f"{_to_the_second(second)}.{microseconds:06}Z"


@lru_cache(maxsize=16)
def _to_the_second(unix_s: int) -> str:
    """What most calls have in common with the one before."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=16)
def from_rfc3339(text: str) -> float:
    """The Unix seconds of an RFC 3339 time; digits past the microsecond are dropped.

    Raises ValueError where the text is no such time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
