"""Timers: commands after a delay."""

from __future__ import annotations

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.effects import JITTER, StartTimer
from sanic_dispatch.core.job import Hold, Stage, Way
from sanic_dispatch.dispatch.timers import Timers
from tests.support.clock import START_S, FakeClock
from tests.support.world import worker


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
    assert all(10 * (1 - JITTER) <= at_s <= 10 * (1 + JITTER) for at_s in probed)
    assert [at_s for at_s, command in came if command == c.Close("lease")] == [10.0]


async def test_stop_cancels_all_timers() -> None:
    """They are derived again at the next start."""
    clock, came = FakeClock(), list[c.Command]()
    timers = Timers(clock, came.append)
    timers.start(StartTimer(c.Close(), 1.0))
    timers.stop()
    await clock.advance(10)
    assert came == []


def check(job_id: str) -> c.LookAtJob:
    robot = worker("c1", "i1")
    hold = Hold(robot, Way.PUT, Stage.CONFIRMED, START_S)
    return c.LookAtJob(job_id, hold, 0, 0.0)


async def test_a_job_has_one_timer() -> None:
    """A newer check takes the place of the one before, which would hold on to its record."""
    clock, came = FakeClock(), list[tuple[float, c.Command]]()
    timers = Timers(clock, lambda command: came.append((clock.elapsed_s, command)))
    for after_s in (30.0, 60.0, 20.0):
        timers.start(StartTimer(check("a"), after_s, is_spread=False))
    timers.start(StartTimer(check("b"), 10.0, is_spread=False))
    assert len(timers) == 2
    await clock.advance(100)
    assert came == [(10.0, check("b")), (20.0, check("a"))]
    assert len(timers) == 0


async def test_a_registration_has_one_timer() -> None:
    """So its worker is told once that its time is over, also if it has rejoined the queue."""
    clock, came = FakeClock(), list[c.Command]()
    timers = Timers(clock, came.append)
    for _ in range(2):
        end = c.EndRegistration("http://engine/c1/", "2024-11-24T01:39:00Z")
        timers.start(StartTimer(end, 10.0, is_spread=False))
    await clock.advance(100)
    assert len(came) == 1


async def test_the_timer_of_a_job_that_is_over_is_cancelled() -> None:
    """And nothing happens if it has none."""
    clock, came = FakeClock(), list[c.Command]()
    timers = Timers(clock, came.append)
    timers.start(StartTimer(check("a"), 10.0))
    for job_id in "ab":
        timers.cancel(job_id)
    assert len(timers) == 0
    await clock.advance(100)
    assert came == []
