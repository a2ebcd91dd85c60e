"""Timers: commands after a delay."""

from __future__ import annotations

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.effects import StartTimer
from sanic_dispatch.dispatch.timers import SPREAD, Timers
from tests.support.clock import FakeClock


async def test_timers_have_jitter() -> None:
    """Probes that began together do not all end together; a lease is exact."""
    clock, came = FakeClock(), list[tuple[float, c.Command]]()
    timers = Timers(clock, lambda command: came.append((clock.elapsed_s, command)))
    for _ in range(100):
        timers.start(StartTimer(c.Close("probe"), 10.0))
    timers.start(StartTimer(c.Close("lease"), 10.0, is_spread=False))
    await clock.advance(100)
    probed = {at_s for at_s, command in came if command == c.Close("probe")}
    assert len(probed) > 90
    assert all(10 * (1 - SPREAD) <= at_s <= 10 * (1 + SPREAD) for at_s in probed)
    assert [at_s for at_s, command in came if command == c.Close("lease")] == [10.0]


async def test_stop_cancels_all_timers() -> None:
    """They are derived anew at the next start."""
    clock, came = FakeClock(), list[c.Command]()
    timers = Timers(clock, came.append)
    timers.start(StartTimer(c.Close(), 1.0))
    timers.stop()
    await clock.advance(10)
    assert came == []
