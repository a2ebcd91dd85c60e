"""The secret in Redis by which the processes of a cluster know each other."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from sanic_dispatch.cluster.link import Identity
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.redis_address import parse_address
from sanic_dispatch.storage.redis_connection import RedisClient, reach

LOOK_S = 2.0
"""How often a process looks whether Redis has another secret."""


class SharedSecret:
    """The secret under the prefix of these settings; call ``close`` in the end.

    Raises RedisUnusable if the URL is invalid.
    """

    def __init__(self, settings: Settings) -> None:
        self._client = RedisClient(parse_address(settings.redis_url))
        self._key = f"{{{settings.redis_prefix}}}:secret"

    async def first_read(self) -> str:
        """Return the secret; make it if there is none. Raises RedisUnusable."""
        return await reach(self._client.address, self._read)

    async def follow(self, identity: Identity) -> None:
        """Keep to the secret in Redis: if Redis loses it, the first process to look makes another.

        Links that are open stay so.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(StorageFailed, OutcomeUnknown):
                identity.secret = await self._read()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def _read(self) -> str:
        made = secrets.token_hex(32)
        found: bytes | None = await self._client.call("SET", self._key, made, "NX", "GET")
        return made if found is None else found.decode()
