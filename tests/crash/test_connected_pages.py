"""Pages that are connected over the end and the next start of a real server, or a take-over."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import ujson
from yarl import URL

from sanic_dispatch.client.channel import ViewState, frames_of, reduce
from sanic_dispatch.config.settings import Mode
from tests.crash.server import DURABLE, TOKEN, Server
from tests.crash.test_stop import SlowCallback
from tests.support.redis import redis_values, synced_server
from tests.support.seeds import IS_TORTURE
from tests.support.server import eventually

LASTING = [*DURABLE, Mode.REDIS] if IS_TORTURE else [Mode.CACHED_JSON_FILE, Mode.REDIS]
"""The modes that keep what happened: all, or one with its events in files and the one without.

tests/storage/test_contract.py tries what each keeps, tests/live/test_resumption.py what follows.
"""

VIEWS = ("board", "monitor")

TAKE_OVER_S = 15
"""Longer than the lease of a killed owner, on a busy machine."""

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Page:
    """A page over all its connections, by the frames of the project's own client."""

    def __init__(self, server: Server, view: str) -> None:
        self.server = server
        self._view = view
        self.shows_why = view == "monitor"
        """Whether it says why an order waits, which may have changed without an event."""
        self.seen: ViewState | None = None
        self.first: dict[str, Any] = {}
        """The first frame of the present connection."""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Follow the view from where the last connection ended."""
        self.first = {}
        query = {"since": self.seen.at} if self.seen else {}
        following = asyncio.create_task(self._follow(self._url("live") % query))
        try:
            await eventually(self._has_frame)
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def is_current(self, http: aiohttp.ClientSession) -> bool:
        """Return whether it shows what the server's state is."""
        async with http.get(self._url("state"), headers=HEADERS) as response:
            answer = await response.json()
        seen = self.seen
        return seen is not None and (seen.at, seen.map) == (answer["at"], answer["state"])

    def _url(self, path: str) -> URL:
        return URL(self.server.url).joinpath(path).with_query(view=self._view)

    async def _has_frame(self) -> bool:
        return bool(self.first)

    async def _follow(self, url: URL) -> None:
        async for frame in frames_of(url, HEADERS, watchdog_s=30):
            self.first = self.first or frame
            self.seen = reduce(self.seen, frame)


async def ends_cleanly(server: Server) -> None:
    assert await server.stop() == 0


async def is_killed(server: Server) -> None:
    server.kill()


async def goes_on(server: Server) -> None:
    assert server.is_running


async def starts(server: Server, http: aiohttp.ClientSession) -> None:
    """Start it, and return once it serves."""
    await server.start()
    await eventually(partial(is_ready, server, http), TAKE_OVER_S)


async def is_ready(server: Server, http: aiohttp.ClientSession) -> bool:
    async with http.get(server.url + "ready") as response:
        return response.status == 200


async def order(server: Server, http: aiohttp.ClientSession, count: int) -> None:
    """Submit orders."""
    for _ in range(count):
        assert await takes_an_order(server, http)


async def takes_an_order(server: Server, http: aiohttp.ClientSession) -> bool:
    body = {"name": "Ada", "logo": "lion", "drink": "Mojito"}
    async with http.post(server.url + "submit-job", json=body) as response:
        return response.status in (200, 202)


async def serve(server: Server, http: aiohttp.ClientSession, callback: str) -> None:
    """Register a worker, which takes an order."""
    headers = {"CPEE-CALLBACK": callback, "CPEE-INSTANCE-UUID": "i", "CPEE-ACTIVITY": "a"}
    async with http.post(server.url + "register-worker", headers=headers) as response:
        assert response.status in (200, 202)


def options_of(settings: dict[str, str]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


@asynccontextmanager
async def running(
    folder: Path, mode: Mode, *options: str
) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    """Run a server that a test ends and starts again."""
    folder.mkdir()  # noqa: ASYNC240 - at once
    server = Server(folder, mode, *(options or options_of(redis_values(mode, folder))))
    async with aiohttp.ClientSession() as http:
        await starts(server, http)
        try:
            yield server, http
        finally:
            server.kill()


@pytest.mark.parametrize("mode", LASTING, ids=str)
async def test_it_gets_a_patch(mode: Mode, tmp_path: Path) -> None:
    """Over SIGTERM and over kill -9: what has happened since, also before it was back."""
    worker = SlowCallback()
    worker.answers.set()
    async with running(tmp_path / "data", mode) as (server, http), worker.listening() as callback:
        pages = [Page(server, view) for view in VIEWS]
        await order(server, http, 9)
        for number, end in enumerate((ends_cleanly, is_killed)):
            async with AsyncExitStack() as connections:
                for page in pages:
                    await connections.enter_async_context(page.connected())
                await serve(server, http, f"{callback}{number}/before/")
                await order(server, http, 1)
                for page in pages:
                    await eventually(partial(page.is_current, http))
                await end(server)
            await starts(server, http)
            await order(server, http, 1)
            await serve(server, http, f"{callback}{number}/after/")
            async with AsyncExitStack() as connections:
                for page in pages:
                    await connections.enter_async_context(page.connected())
                    patch = page.first["patch"]
                    assert patch[f"order/{11 + 2 * number}"]["state"] == "waiting"
                    assert page.shows_why or "order/9" not in patch, "it has not changed"
                    await eventually(partial(page.is_current, http))


@pytest.mark.parametrize("end", [ends_cleanly, is_killed])
async def test_a_take_over(end: Callable[[Server], Awaitable[None]], tmp_path: Path) -> None:
    """A page that goes on with the standby gets a patch, whose folder has no history."""
    options = options_of(redis_values(Mode.REDIS, tmp_path))
    async with running(tmp_path / "first", Mode.REDIS, *options) as (first, http):
        (tmp_path / "second").mkdir()
        second = Server(tmp_path / "second", Mode.REDIS, *options)
        await second.start()
        try:
            pages = [Page(first, view) for view in VIEWS]
            await order(first, http, 9)
            for page in pages:
                async with page.connected():
                    await eventually(partial(page.is_current, http))
            await order(first, http, 1)
            await end(first)
            await eventually(partial(is_ready, second, http), TAKE_OVER_S)
            await order(second, http, 1)
            for page in pages:
                page.server = second
                async with page.connected():
                    assert {"order/10", "order/11"} <= page.first["patch"].keys()
                    patch = page.first["patch"]
                    assert page.shows_why or "order/9" not in patch, "it has not changed"
                    await eventually(partial(page.is_current, http))
        finally:
            second.kill()


@pytest.mark.parametrize("dispatcher", [goes_on, is_killed])
async def test_a_redis_that_lost_writes(
    dispatcher: Callable[[Server], Awaitable[None]], tmp_path: Path
) -> None:
    """A page that saw what Redis has lost gets the state; one that did not, a patch."""
    folder, copy = tmp_path / "redis", tmp_path / "copy"
    with synced_server(folder) as redis:
        options = options_of({"redis_url": redis.url})
        async with running(tmp_path / "data", Mode.REDIS, *options) as (server, http):
            early, late = Page(server, "board"), Page(server, "board")
            await order(server, http, 3)
            async with early.connected():
                await eventually(partial(early.is_current, http))
            shutil.copytree(folder, copy)
            await order(server, http, 2)
            async with late.connected():
                await eventually(partial(late.is_current, http))
            redis.kill()
            await dispatcher(server)
            shutil.rmtree(folder)
            copy.rename(folder)
            redis.start()
            if not server.is_running:
                await starts(server, http)
            await eventually(partial(takes_an_order, server, http), TAKE_OVER_S)
            for page, kind in ((early, "patch"), (late, "state")):
                async with page.connected():
                    assert kind in page.first
                    await eventually(partial(page.is_current, http))


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_files_that_were_edited(mode: Mode, tmp_path: Path) -> None:
    """No event tells of an edit between stop and start, so a page gets the state."""
    async with running(tmp_path / "data", mode) as (server, http):
        page = Page(server, "board")
        await order(server, http, 3)
        async with page.connected():
            await eventually(partial(page.is_current, http))
            await ends_cleanly(server)
        path = tmp_path / "data" / "jobs.json"
        path.write_text(path.read_text().replace("Mojito", "Water", 1))
        await starts(server, http)
        async with page.connected():
            assert page.first["state"]["order/1"]["drink"] == "Water"
            await eventually(partial(page.is_current, http))


@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_an_older_copy_of_the_folder(mode: Mode, tmp_path: Path) -> None:
    """A page that saw what the copy does not have gets the state; one that did not, a patch."""
    folder, copy = tmp_path / "data", tmp_path / "copy"
    async with running(folder, mode) as (server, http):
        early, late = Page(server, "board"), Page(server, "board")
        await order(server, http, 3)
        async with early.connected():
            await eventually(partial(early.is_current, http))
            await ends_cleanly(server)
        shutil.copytree(folder, copy)
        await server.start()
        await order(server, http, 2)
        async with late.connected():
            await eventually(partial(late.is_current, http))
            await ends_cleanly(server)
        shutil.rmtree(folder)
        copy.rename(folder)
        await server.start()
        await order(server, http, 3)
        for page, kind in ((early, "patch"), (late, "state")):
            async with page.connected():
                assert kind in page.first
                await eventually(partial(page.is_current, http))


async def test_an_event_stream(tmp_path: Path) -> None:
    """The id of its last event counts over a restart, too."""
    async with running(tmp_path / "data", Mode.CACHED_JSON_FILE) as (server, http):
        await order(server, http, 3)
        last_id, _ = await first_event(server, http, {})
        await is_killed(server)
        await server.start()
        await order(server, http, 1)
        _, frame = await first_event(server, http, {"Last-Event-ID": last_id})
        assert set(frame["patch"]) == {"order/4", "bar", "line"}


async def first_event(
    server: Server, http: aiohttp.ClientSession, headers: dict[str, str]
) -> tuple[str, Any]:
    """Return the id and the frame of the first event of the board's stream."""
    headers = {"Accept": "text/event-stream", **headers}
    async with http.get(server.url + "state", headers=headers) as response:
        name, data = [await response.content.readline() for _ in range(2)]
    return name.decode().removeprefix("id: ").strip(), ujson.loads(data.removeprefix(b"data: "))
