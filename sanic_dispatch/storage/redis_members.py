"""The members in Redis: a sorted set of processes as JSON, by when their announcements end.

That is by the clock of Redis. If it jumps, processes seem to be gone until they announce
themselves again, and no topic changes its owner for that.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sanic_dispatch.cluster.members import Member, Members, member_of
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.storage.record_json import UNREADABLE
from sanic_dispatch.storage.redis_address import parse_address
from sanic_dispatch.storage.redis_connection import RedisClient, lua_script, reach

ANNOUNCE = lua_script("announce")


class RedisMemberStore:
    """Announces members under a prefix, over a connection of its own."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        self._client = client
        self._key = f"{{{prefix}}}:members"

    async def announce(self, own: Member, lifetime_s: float) -> list[Member]:
        """Announce a process as MemberStore.announce says; skip what a later version wrote."""
        lifetime_ms = round(lifetime_s * 1000)
        found = await self._client.run(ANNOUNCE, [self._key], _encode(own), lifetime_ms)
        return [member for member in map(_decode, found) if member is not None]

    async def withdraw(self, own: Member) -> None:
        """Remove a process."""
        await self._client.call("ZREM", self._key, _encode(own))

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


@asynccontextmanager
async def membership(settings: Settings) -> AsyncIterator[Members]:
    """Announce this process inside the block. Raises RedisUnusable."""
    address = parse_address(settings.redis_url)
    store = RedisMemberStore(RedisClient(address), settings.redis_prefix)
    members = Members(store, member_of(settings))
    try:
        await reach(address, members.join)
        yield members
    finally:
        await members.close()


def _encode(member: Member) -> str:
    return json.dumps([member.name, member.url, list(member.topics)])


def _decode(stored: bytes) -> Member | None:
    try:
        name, url, topics = json.loads(stored)
        return Member(str(name), str(url), tuple(map(str, topics)))
    except UNREADABLE:
        return None
