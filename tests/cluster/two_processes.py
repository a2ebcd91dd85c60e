"""Two server processes that share a Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from sanic_dispatch.config.settings import Mode
from tests.crash.server import Server, rightful_owners
from tests.support.redis import RedisServer
from tests.support.server import eventually


@asynccontextmanager
async def owner_and_other(
    redis: RedisServer, folder: Path, *options: str
) -> AsyncIterator[tuple[Server, Server]]:
    """Start both; yield the owner of the unnamed topic, and the other one, which knows that."""
    servers = []
    for name in ("first", "second"):
        (folder / name).mkdir()
        servers.append(Server(folder / name, Mode.REDIS, "--redis-url", redis.url, *options))
    try:
        for server in servers:
            await server.start()
        owner = rightful_owners(servers)[""]
        (other,) = (each for each in servers if each is not owner)
        async with aiohttp.ClientSession() as http:

            async def is_owned() -> bool:
                async with http.get(other.url + "ready") as answer:
                    said = await answer.json(content_type=None)
                    return str(said.get("owner", "")).endswith(f":{owner.port}")

            await eventually(is_owned, 20)
        yield owner, other
    finally:
        for server in servers:
            server.kill()
