"""The secret in Redis by which the processes of a cluster know each other."""

from __future__ import annotations

import secrets

from sanic_dispatch.config.settings import Settings
from sanic_dispatch.storage.redis_address import parse_address
from sanic_dispatch.storage.redis_connection import RedisClient, reach


async def cluster_secret(settings: Settings) -> str:
    """Return the secret under the prefix of these settings; make it if there is none.

    Raises RedisUnusable.
    """
    address = parse_address(settings.redis_url)
    client, key = RedisClient(address), f"{{{settings.redis_prefix}}}:secret"

    async def read() -> str:
        await client.call("SET", key, secrets.token_hex(32), "NX")
        found: bytes = await client.call("GET", key)
        return found.decode()

    try:
        return await reach(address, read)
    finally:
        await client.close()
