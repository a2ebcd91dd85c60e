"""Upkeep of the event log: also where nothing happens, old events go and late ones are written."""

from __future__ import annotations

import asyncio

from sanic_dispatch.clock import Clock
from sanic_dispatch.storage.event_log import EventLog

EVERY_S = 60.0


async def tend_regularly(log: EventLog, clock: Clock) -> None:
    """Tend an event log once a minute, in a thread, until cancelled."""
    while True:
        await clock.sleep(EVERY_S)
        await asyncio.to_thread(log.tend)
