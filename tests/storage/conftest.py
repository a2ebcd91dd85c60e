"""One store per backend: the same tests check the same contract for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sanic_dispatch.storage import segment_writer
from tests.storage.samples import DURABLE, EVERY, FILES, HISTORIES, MIXED, Backend
from tests.storage.small_segments import BLOCK, SEGMENT
from tests.support.redis import RedisServer, prefix, shared_server, synced_server

__all__ = ["prefix"]


@pytest.fixture
async def client() -> AsyncIterator[Redis]:
    """A Redis client for changes without the store."""
    async with Redis.from_url(shared_server().url) as client:
        yield client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which keeps its data over a restart."""
    with synced_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small blocks and segments."""
    monkeypatch.setattr(segment_writer, "BLOCK_EVENTS", BLOCK)
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", SEGMENT)


@pytest.fixture(params=EVERY, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend, including combinations."""
    param: Backend = request.param
    return param


@pytest.fixture(params=DURABLE, ids=lambda backend: backend.name)
def durable(request: pytest.FixtureRequest) -> Backend:
    """Every backend of which something survives the process."""
    param: Backend = request.param
    return param


@pytest.fixture(params=HISTORIES, ids=lambda backend: backend.name)
def keeps_history(request: pytest.FixtureRequest) -> Backend:
    """Every backend whose event log outlives the process."""
    param: Backend = request.param
    return param


@pytest.fixture(params=[*FILES, *MIXED], ids=lambda backend: backend.name)
def in_folder(request: pytest.FixtureRequest) -> Backend:
    """Every backend that keeps all in its folder: a copy of that is what a kill leaves."""
    param: Backend = request.param
    return param
