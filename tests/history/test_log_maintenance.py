"""The maintenance of the event log."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from threading import Semaphore

import pytest

from sanic_dispatch.app import UPKEEP_RETRY_S, _run_until_closed
from sanic_dispatch.history.log_maintenance import EVERY_S, maintain_regularly
from sanic_dispatch.storage.memory_log import MemoryEventLog
from tests.support.clock import FakeClock
from tests.support.server import eventually


class WatchedLog(MemoryEventLog):
    """A log that says when it is maintained."""

    def __init__(self) -> None:
        super().__init__()
        self.maintained = Semaphore(0)

    def maintain(self) -> None:
        self.maintained.release()


async def test_the_log_is_tended_again_and_again() -> None:
    """Once a minute, and not at the start."""
    log, clock = WatchedLog(), FakeClock()
    maintenance = asyncio.create_task(maintain_regularly(log, clock))

    async def is_asleep() -> bool:
        return bool(clock._timers)

    for _ in range(3):
        await eventually(is_asleep)
        await clock.advance(EVERY_S - 1.0)
        assert not log.maintained.acquire(blocking=False)
        await clock.advance(1.0)
        assert await asyncio.to_thread(log.maintained.acquire, timeout=5.0)
    maintenance.cancel()


async def test_it_goes_on_after_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, for example, old events are dropped a little later."""
    log, clock = WatchedLog(), FakeClock()
    async with AsyncExitStack() as stack:
        _run_until_closed(stack, clock, partial(maintain_regularly, log, clock))
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "to_thread", no_thread)
            await clock.advance(EVERY_S)
        await clock.advance(UPKEEP_RETRY_S + EVERY_S)
        assert await asyncio.to_thread(log.maintained.acquire, timeout=5.0)


def no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")
