"""Views that are relayed from the process that owns the topic."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Any

import pytest
import ujson

from sanic_dispatch.cluster.forwarding import Leave, TakeWord
from sanic_dispatch.live import hub as module
from sanic_dispatch.live.connection import ViewKey
from sanic_dispatch.live.finished import RECENT_S
from sanic_dispatch.live.frames import Cursor
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.relay import LINGER_S, RelayedConnection
from sanic_dispatch.live.subscription import Client
from sanic_dispatch.observability.event_bus import EventBus
from tests.live.test_switching import STEPS, happen
from tests.support.story import FakeConnection, Story, state_of

BOARD, MONITOR = ViewKey("board"), ViewKey("monitor")


class _Stream:
    """A stream of words over a link, in which they wait."""

    def __init__(self, link: deque[tuple[_Stream, str, Any]], take: TakeWord) -> None:
        self.take, self.is_left = take, False
        self._link = link

    def send_json(self, word: str, value: bytes) -> None:
        self._link.append((self, word, ujson.loads(value)))

    def buffered(self) -> int:
        return 0


class OtherProcess:
    """A process that relays the owner's views, over a link whose words come when a test says so."""

    def __init__(self, story: Story, owner: Hub) -> None:
        self.hub = Hub(EventBus(), story.loop, story.loop)
        self.hub.start()
        self._owner = owner
        self._link: deque[tuple[_Stream, str, Any]] = deque()
        self.hub.relay_from(self._follow)

    async def _follow(self, key: ViewKey, since: str | None, take: TakeWord) -> Leave:
        stream: Any = _Stream(self._link, take)
        cursor = Cursor.parse(since) if since else None
        client = self._owner.follow(RelayedConnection(stream), key, cursor)

        def leave() -> None:
            stream.is_left = True
            self._owner.leave(client)

        return leave

    def deliver(self) -> None:
        """Let all words arrive that are on the way."""
        while self._link:
            stream, word, value = self._link.popleft()
            if not stream.is_left:
                stream.take(word, value)

    async def follow(
        self, connection: FakeConnection, key: ViewKey, since: Cursor | None
    ) -> Client:
        """Connect a page."""
        reaching = asyncio.ensure_future(self.hub.reach(key, since))
        while not reaching.done():
            await asyncio.sleep(0)
            self.deliver()
        return self.hub.follow(connection, key, since, reaching.result())


class Page:
    """A page that keeps its state when it is connected again, or elsewhere."""

    def __init__(self, key: ViewKey) -> None:
        self.connection = FakeConnection()
        self._key = key
        self._hub: Hub | None = None
        self._client: Client | None = None

    async def connect(self, where: Hub | OtherProcess) -> None:
        self.leave()
        before, self.connection = self.connection, FakeConnection()
        self.connection.state = before.state
        since = Cursor.parse(before.at) if before.taken else None
        if isinstance(where, Hub):
            self._hub, self._client = where, where.follow(self.connection, self._key, since)
        else:
            self._hub = where.hub
            self._client = await where.follow(self.connection, self._key, since)

    def leave(self) -> None:
        if self._hub is not None and self._client is not None:
            self._hub.leave(self._client)
        self._client = None


async def test_what_has_expired_meanwhile_is_not_shown(story: Story, hub: Hub) -> None:
    """Nothing happens after the last event but that its order, and its robot, expire.

    A page that has the last event, from before that, is told it where the view begins after it.
    """
    ticket = story.submit()
    story.assign(ticket)
    story.confirm(ticket)
    story.finish(ticket)
    story.loop.run(0.1)
    other, page = OtherProcess(story, hub), Page(BOARD)
    await page.connect(hub)
    page.leave()
    assert f"order/{ticket}" in page.connection.state
    story.loop.run(RECENT_S + 1.0)
    await page.connect(other)
    assert page.connection.state == state_of(hub)


@pytest.mark.parametrize("key", [BOARD, MONITOR], ids=lambda key: key.view)
async def test_pages_end_equal_wherever_they_connect(
    key: ViewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the owner or at the other process, with a slow link, after any pauses."""
    monkeypatch.setattr(module, "TICK_S", 5.0)
    for seed in range(200):
        dice, story = Random(seed), Story()
        owner = story.hub()
        story.loop.run(0.1)
        other, page = OtherProcess(story, owner), Page(key)
        await page.connect(owner)
        for _ in range(dice.randrange(5, 60)):
            step = dice.choice((*STEPS, "switch", "leave", "pause", "pause", "pause", "deliver"))
            if step == "switch":
                await page.connect(dice.choice((owner, other)))
            elif step == "leave":
                page.leave()
            elif step == "pause":
                story.loop.run(dice.choice((0.05, LINGER_S + 1.0, RECENT_S / 3)))
            elif step == "deliver":
                other.deliver()
            else:
                happen(story, step)
        await page.connect(dice.choice((owner, other)))
        for _ in range(9):
            story.loop.run(5.0)
            other.deliver()
        assert page.connection.state == state_of(owner, key), seed
