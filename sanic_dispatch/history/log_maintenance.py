"""Maintenance of the event log: drop old events, write those that could not be written."""

from __future__ import annotations

import asyncio

from sanic_dispatch.clock import Clock
from sanic_dispatch.storage.event_log import EventLog

EVERY_S = 60.0


async def maintain_regularly(log: EventLog, clock: Clock) -> None:
    """Maintain an event log once a minute, in a thread, until cancelled.

    So old events go, and late ones are written, also while nothing happens.
    """
    while True:
        await clock.sleep(EVERY_S)
        await asyncio.to_thread(log.maintain)
