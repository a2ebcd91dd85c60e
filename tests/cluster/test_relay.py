"""The live channel at a process that does not own the topic: frames come from the owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ujson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.live import close_codes
from tests.cluster.services import TOKEN, Two, ask, two_services
from tests.support.late_order import is_late, late_order
from tests.support.redis import RedisServer
from tests.support.server import Service, eventually

MONITOR = f"view=monitor&token={TOKEN}"


@pytest.fixture
async def two(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Two]:
    async with two_services(redis.url, tmp_path) as two:
        yield two


@asynccontextmanager
async def page(service: Service, query: str) -> AsyncIterator[ClientConnection]:
    """Follow a view."""
    url = service.base_url.replace("http", "ws") + f"live?{query}"
    async with connect(url, compression=None) as connection:
        yield connection


async def next_frame(connection: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(5):
        frame: dict[str, Any] = ujson.loads(await connection.recv())
        return frame


async def next_patch(connection: ClientConnection) -> dict[str, Any]:
    """Return the next change; there may be a heartbeat before it."""
    patch: dict[str, Any] = (await next_frame_with_patch(connection))["patch"]
    return patch


async def next_frame_with_patch(connection: ClientConnection) -> dict[str, Any]:
    while "patch" not in (frame := await next_frame(connection)):
        continue
    return frame


async def state_of(service: Service, query: str) -> dict[str, Any]:
    frame: dict[str, Any] = (await ask(service, "GET", f"state?{query}"))[1]
    return frame


@pytest.mark.parametrize("query", ["view=board", MONITOR])
async def test_a_page_sees_the_same_as_at_the_owner(two: Two, query: str) -> None:
    """State and patches, with the owner's cursors."""
    await ask(two.owner, "POST", "submit-job", json=1)
    async with page(two.other, query) as there:
        first = await next_frame(there)
        assert first["state"].keys() == (await state_of(two.owner, query))["state"].keys()
        await ask(two.owner, "POST", "submit-job", json=2)
        patch = await next_frame_with_patch(there)
        assert "order/2" in patch["patch"]
        here = await state_of(two.owner, query)
        assert patch["at"] == here["at"]
    assert (await state_of(two.other, query))["state"] == here["state"]


async def test_since_is_good_at_every_process(two: Two) -> None:
    """A page goes on with a patch where its connection leads to another process."""
    await ask(two.owner, "POST", "submit-job", json=1)
    at = (await state_of(two.owner, "view=board"))["at"]
    await ask(two.owner, "POST", "submit-job", json=2)
    for service in (two.other, two.owner, two.other):
        async with page(service, f"view=board&since={at}") as there:
            frame = await next_frame(there)
            assert frame["patch"].keys() == {"order/2", "bar"}
    await ask(two.owner, "POST", "submit-job", json=3)
    async with page(two.other, f"view=board&since={frame['at']}") as there:
        assert (await next_patch(there)).keys() == {"order/3", "bar"}


async def test_a_view_is_relayed_once(two: Two) -> None:
    """However many pages follow it at a process, the owner sends it once."""
    async with page(two.other, "view=board") as one, page(two.other, "view=board") as other:
        await next_frame(one)
        await next_frame(other)
        assert two.owner.app.ctx.hub.stats.clients["link", "board"] == 1
        await ask(two.other, "POST", "submit-job", json=1)
        assert await next_patch(one) == await next_patch(other)


async def test_an_order_is_followed_where_its_page_is(two: Two) -> None:
    """Each frame has the whole order; an order that does not exist closes the page."""
    _, _, headers = await ask(two.other, "POST", "submit-job", json=1)
    job = headers["Location"].removeprefix("jobs/")
    async with page(two.other, f"order={job}") as there:
        assert (await next_frame(there))["state"]["order"]["state"] == "waiting"
        await ask(two.owner, "DELETE", f"jobs/{job}")
        assert (await next_frame(there))["state"]["order"]["state"] == "cancelled"
    async with page(two.other, "order=nothing") as there:
        with pytest.raises(ConnectionClosed):
            await next_frame(there)
        assert there.close_code == close_codes.UNKNOWN_JOB
    assert (await ask(two.other, "GET", "state?order=nothing"))[0] == 404


async def test_an_event_stream_is_relayed_too(two: Two) -> None:
    """The same frames as server-sent events."""
    url = two.other.base_url + "state?view=board"
    headers = {"Accept": "text/event-stream"}
    async with two.other.http.get(url, headers=headers) as stream:
        assert b"state" in await stream.content.readuntil(b"\n\n")
        await ask(two.owner, "POST", "submit-job", json=1)
        assert b"order/1" in await stream.content.readuntil(b"\n\n")


async def test_pages_come_back_after_the_link_broke(two: Two) -> None:
    """They are disconnected, so that they show that they are stale, and go on with a patch."""
    async with page(two.other, "view=board") as there:
        at = (await next_frame(there))["at"]
        two.link.break_all()
        with pytest.raises(ConnectionClosed):
            await next_frame(there)
        assert there.close_code == close_codes.RESTART
    await ask(two.owner, "POST", "submit-job", json=1)
    async with page(two.other, f"view=board&since={at}") as there:
        assert (await next_frame(there))["patch"].keys() == {"order/1", "bar"}


async def test_views_and_operators_wait_while_a_topic_changes_hands(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all other requests do: none is refused while no process owns the topic."""
    await ask(two.owner, "POST", "submit-job", json=1)
    taking, acquire = asyncio.Event(), Ownership.acquire

    async def acquire_later(self: Ownership, *arguments: Any, **keywords: Any) -> bool:
        await taking.wait()
        return await acquire(self, *arguments, **keywords)

    async def first_frame(query: str) -> dict[str, Any]:
        async with page(two.other, query) as there:
            return await next_frame(there)

    async def is_free() -> bool:
        return dispatcher.is_elsewhere

    monkeypatch.setattr(Ownership, "acquire", acquire_later)
    dispatcher, standby = two.owner.app.ctx.dispatcher, two.owner.app.ctx.standby
    await standby._ownership.release()
    await eventually(is_free)
    acting = [
        asyncio.create_task(ask(service, method, f"operator/{act}"))
        for service in two[:2]
        for method, act in (("POST", "pause"), ("GET", "jobs"), ("GET", "events"))
    ]
    looking = [
        asyncio.create_task(state_of(two.other, "view=board")),
        asyncio.create_task(first_frame("view=board")),
        asyncio.create_task(first_frame(MONITOR)),
    ]
    refused, _ = await asyncio.wait(acting + looking, timeout=0.3)
    taking.set()
    assert not refused
    assert [status for status, *_ in await asyncio.gather(*acting)] == [200] * len(acting)
    for frame in await asyncio.gather(*looking):
        assert "order/1" in frame["state"]


async def test_a_late_order_is_late_at_the_next_owner(two: Two) -> None:
    """Which has learnt the same, and so has the same share of promises that were kept."""
    order = await late_order(two.owner)
    kept = (await state_of(two.owner, MONITOR))["state"]["bar"]["kept"]
    before, after = (service.app.ctx for service in (two.owner, two.other))
    await before.standby.stop()
    await before.dispatcher.stand_by()
    await before.dispatcher._store.ownership.release()

    async def is_owner() -> bool:
        return not after.dispatcher.is_elsewhere

    await eventually(is_owner)
    assert await is_late(two.other, order)
    assert (await state_of(two.other, MONITOR))["state"]["bar"]["kept"] == kept is not None


async def test_the_past_through_any_process(two: Two) -> None:
    """A moment, frames that go on from it, and what is refused: as at the owner."""
    await ask(two.owner, "POST", "submit-job", json={"drink": "mojito", "name": "Ada"})
    live = await state_of(two.owner, MONITOR)
    moment = f"{MONITOR}&moment={to_rfc3339(live['now'])}"
    here, there = await state_of(two.owner, moment), await state_of(two.other, moment)
    assert here["state"] == there["state"] == live["state"]
    assert here["past"] is there["past"] is True
    await ask(two.owner, "POST", "submit-job", json={"drink": "beer"})
    async with page(two.other, f"{moment}&speed=60") as played:
        first = await next_frame(played)
        assert first["state"] == live["state"]
        patch = await next_patch(played)
        assert patch["order/2"]["drink"] == "beer"
    early = f"{MONITOR}&moment=2001-01-01T00:00:00Z"
    for service in (two.owner, two.other):
        status, problem, _ = await ask(service, "GET", f"state?{early}")
        assert status == 400
        assert "it begins at" in problem["detail"]
