"""Many followers of the board: they reconnect after a kill, and leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from sanic_dispatch.client import DispatchClient, ViewState
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.server.sockets import allow_open_files
from sanic_dispatch.simulation.background_tasks import Tasks
from tests.crash.server import Server
from tests.support.seeds import IS_TORTURE
from tests.support.server import eventually

STORM = 2000 if IS_TORTURE else 100
IDLE = 5000 if IS_TORTURE else 500
IDLE_S = 600.0 if IS_TORTURE else 2.0
BACK_S = 45.0
FEW_FILES = ("sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh")
"""A usual limit, which the server has to raise."""
MAX_GROWTH_BYTES = 8 * 2**20
"""The growth in bytes allowed for waiting followers: noise of the allocator."""

MAX_FOLLOWER_BYTES = 16 * 1024
"""Bytes per waiting follower."""


class Crowd:
    """Followers of the board, each with the last state that it received."""

    def __init__(self, client: DispatchClient, tasks: Tasks, size: int) -> None:
        self.seen: list[ViewState | None] = [None] * size
        for number in range(size):
            tasks.spawn(self._follow(client, number))

    async def _follow(self, client: DispatchClient, number: int) -> None:
        async for state in client.follow():
            self.seen[number] = state

    async def agrees(self, client: DispatchClient) -> bool:
        """Return whether all followers have the server's present state."""
        now = await anext(client.follow())
        epoch = now.at.partition(":")[0]
        return all(one and one.at.startswith(epoch) and one.map == now.map for one in self.seen)


@asynccontextmanager
async def a_server(folder: Path) -> AsyncIterator[Server]:
    server = Server(folder, Mode.CACHED_JSON_FILE, "--max-connections", str(2 * IDLE))
    await server.start(wrap=FEW_FILES)
    allow_open_files()
    try:
        yield server
    finally:
        server.kill()


@asynccontextmanager
async def a_crowd(server: Server, size: int) -> AsyncIterator[tuple[DispatchClient, Crowd]]:
    """Connect followers, and wait until each has the board."""
    tasks = Tasks()
    async with DispatchClient(server.url) as client:
        crowd = Crowd(client, tasks, size)
        try:
            await eventually(lambda: crowd.agrees(client), 120)
            yield client, crowd
        finally:
            await tasks.cancel()


@pytest.mark.timeout(300)
async def test_a_crowd_is_back_after_a_kill(tmp_path: Path) -> None:
    """S3: within 45 s all have the new server's board, with the orders from before."""
    async with a_server(tmp_path) as server, a_crowd(server, STORM) as (client, crowd):
        await client.submit({"drink": "Mojito"})
        await eventually(lambda: crowd.agrees(client), BACK_S)
        server.kill()
        began_s = monotonic()
        await server.start(wrap=FEW_FILES)
        await client.submit({"drink": "Negroni"})
        await eventually(lambda: crowd.agrees(client), BACK_S)
        print(f"{STORM} were back after {monotonic() - began_s:.1f} s")  # noqa: T201
        assert all(one and {"order/1", "order/2"} <= one.map.keys() for one in crowd.seen)


@pytest.mark.timeout(1200)
async def test_a_crowd_leaves_nothing_behind(tmp_path: Path) -> None:
    """S2: followers need little memory, also over time; once gone, their sockets are closed."""
    async with a_server(tmp_path) as server:
        async with a_crowd(server, 1):
            before, files = server.memory(), server.open_files()
        async with a_crowd(server, IDLE):
            there = server.memory()
            await asyncio.sleep(IDLE_S)
            later = server.memory()
        await eventually(lambda: has_forgotten(server, files), 30)
        each = (there - before) / IDLE
        print(f"{each / 1024:.1f} KiB for each of {IDLE}, {later - there:+} B in {IDLE_S:g} s")  # noqa: T201
        assert each <= MAX_FOLLOWER_BYTES
        assert later - there <= MAX_GROWTH_BYTES


async def has_forgotten(server: Server, files: int) -> bool:
    """Return whether all clients that left are forgotten."""
    return server.open_files() <= files
