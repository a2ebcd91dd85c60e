"""Many endpoints, of which some are dead or slow: the others hear of everything soon.

The full size is in the benchmarks (``run webhooks``).
"""

from __future__ import annotations

import asyncio
from time import time

from sanic_dispatch.config.webhook_entry import WebhookEntry
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.outbox.message_client import TIMEOUTS
from tests.support.receiver import OK, SECRET, Received, running_receiver, status
from tests.support.server import eventually, running_service

ENDPOINTS = 50
"""Two of ten are bad."""

ORDERS = 10
ORDER_EVERY_S = 0.4
"""Then the 40 others are told 100 times a second."""


async def test_bad_endpoints_slow_nobody_down() -> None:
    """Of the others 99 of 100 messages come long before those that hang are given up."""
    waited_s = []

    async def answer(writer: asyncio.StreamWriter, message: Received) -> None:
        if message.path == "/hangs":
            await asyncio.Event().wait()
        if message.path == "/fails":
            writer.write(status(500))
            return
        waited_s.append(time() - from_rfc3339(message.said["timestamp"]))
        writer.write(OK)

    async with (
        running_receiver() as receiver,
        running_service(allow_webhook=("127.0.0.0/8",), submit_wait_s=0) as service,
    ):
        receiver.answer = answer
        outbox = service.app.ctx.outbox
        for number in range(ENDPOINTS):
            path = {0: "hangs", 1: "fails"}.get(number % 10, "well")
            entry = WebhookEntry(receiver.url(path), ("job.submitted",), False, SECRET)
            await outbox.add(f"{number}", entry)
        for drink in range(ORDERS):
            assert (await service.submit(drink))[0] == 202
            await asyncio.sleep(ORDER_EVERY_S)
        told = ENDPOINTS * 8 // 10 * ORDERS

        async def are_told() -> bool:
            return len(waited_s) == told

        await eventually(are_told)
    assert sorted(waited_s)[told * 99 // 100] < TIMEOUTS.total_s / 2
