"""Pages during an outage of Redis: they say that they are out of date, and catch up after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from sanic_dispatch.config.settings import Mode
from tests.browser.served_bar import Bar, open_bar
from tests.browser.visitors import Visitors
from tests.support.redis import RedisServer, synced_server

PATIENCE_MS = 30_000


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that syncs each write before it answers."""
    with synced_server(tmp_path / "redis") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def bar(redis: RedisServer) -> AsyncIterator[Bar]:
    """A service with its queues in that Redis."""
    async with open_bar(mode=Mode.REDIS, redis_url=redis.url) as bar:
        yield bar


async def test_pages_say_that_redis_is_away(
    redis: RedisServer, bar: Bar, visitors: Visitors
) -> None:
    """A phone and the board, though they are still connected to the service."""
    visitors.expect_network_errors = True
    phone, board = await visitors.phone(), await visitors.television()
    await phone.place()
    await board.shows(next=[1])
    redis.kill()
    stale, said = phone.ticket, "Connection lost. This may be out of date."
    await expect(stale).to_have_attribute("data-stale", "true", timeout=PATIENCE_MS)
    await expect(board.strip).to_have_text(said, timeout=PATIENCE_MS)
    redis.start()
    await expect(stale).to_have_attribute("data-stale", "false", timeout=PATIENCE_MS)
    await expect(board.strip).not_to_have_text(said, timeout=PATIENCE_MS)
    bar.begin()
    await phone.shows("assigned")
    await board.shows(mixing=[1], next=[])
