"""The watchdog: it raises an alarm when a job and a worker wait together."""

from __future__ import annotations

import pytest

from sanic_dispatch.dispatch.pairing_watchdog import CHECK_S, STUCK_S, Watchdog
from sanic_dispatch.live.projection import Projection
from tests.support.clock import FakeClock
from tests.support.story import Story


class Watched:
    """A queue without matching, a clock, and the watchdog."""

    def __init__(self) -> None:
        self.story, self.clock, self.projection = Story(), FakeClock(), Projection()
        self.story.tell(self.projection.fold)
        self.is_open, self.away = True, set[str]()
        self.watchdog = Watchdog(
            lambda: self.projection.next_pair(lambda worker: worker.id not in self.away),
            self.clock,
            lambda: self.is_open,
        )
        self.watchdog.start()


@pytest.fixture
async def watched():
    watched = Watched()
    yield watched
    await watched.watchdog.stop()


async def test_a_pair_that_waits_together_is_an_alarm(watched: Watched) -> None:
    """The same free job and usable worker, for over a second."""
    watched.story.submit("x")
    watched.story.register("r1")
    await watched.clock.advance(STUCK_S)
    assert not watched.watchdog.is_alarmed
    await watched.clock.advance(1)
    assert watched.watchdog.is_alarmed
    watched.story.assign(1)
    await watched.clock.advance(0.3)
    assert watched.watchdog.stuck_s == 0


async def test_a_suspended_process_is_no_alarm(watched: Watched) -> None:
    """The time asleep does not count; a pair that is still there a second later does."""
    watched.story.submit("x")
    watched.story.register("r1")
    await watched.clock.advance(CHECK_S)
    watched.clock.elapsed_s += 60.0
    watched.watchdog.look()
    assert not watched.watchdog.is_alarmed
    for _ in range(round(STUCK_S / CHECK_S)):
        watched.clock.elapsed_s += CHECK_S
        watched.watchdog.look()
    assert watched.watchdog.is_alarmed


async def test_one_alone_may_wait(watched: Watched) -> None:
    """A job without a worker, or a worker without a job, does not raise an alarm."""
    watched.story.submit("x")
    await watched.clock.advance(100)
    assert watched.watchdog.stuck_s == 0


async def test_a_worker_that_is_away_is_no_alarm(watched: Watched) -> None:
    """One behind it is, since that could get the job."""
    watched.story.submit("x")
    watched.away.add(watched.story.register("r1").id)
    await watched.clock.advance(10)
    assert watched.watchdog.stuck_s == 0
    watched.story.register("r2")
    await watched.clock.advance(STUCK_S + 1)
    assert watched.watchdog.is_alarmed


async def test_no_alarm_while_stopped_or_paused(watched: Watched) -> None:
    """While stopping or paused, jobs and workers may wait together."""
    watched.story.submit("x")
    watched.story.register("r1")
    watched.is_open = False
    await watched.clock.advance(10)
    assert watched.watchdog.stuck_s == 0
    watched.is_open = True
    watched.story.pause()
    await watched.clock.advance(10)
    assert watched.watchdog.stuck_s == 0


async def test_a_changing_pair_is_no_alarm(watched: Watched) -> None:
    """On a busy day both sides wait all the time: only the same pair is an alarm."""
    for number in range(20):
        watched.story.register(f"r{number}")
        watched.story.submit(number)
        watched.story.submit(number)
    for _ in range(18):
        await watched.clock.advance(0.5)
        watched.story.assign(min(watched.projection.waiting, key=_ticket).job.ticket)
        assert not watched.watchdog.is_alarmed


def _ticket(order) -> int:
    return order.job.ticket
