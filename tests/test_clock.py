"""The machine's clock."""

from __future__ import annotations

import asyncio
import time

import uvloop

from sanic_dispatch.clock import SystemClock


def test_no_timer_is_early() -> None:
    """By the monotonic clock, with which the time is compared when it has come."""

    async def early_s() -> list[float]:
        clock, called = SystemClock(), asyncio.Queue[float]()
        delays_s = [0.0007 * n for n in range(1, 60)]
        for delay_s in delays_s:
            due_s = clock.monotonic_s() + delay_s
            clock.call_later(delay_s, lambda at_s=due_s: called.put_nowait(at_s - time.monotonic()))
        return [await called.get() for _ in delays_s]

    assert max(uvloop.run(early_s())) <= 0.0
