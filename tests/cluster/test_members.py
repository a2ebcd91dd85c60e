"""Members: who lives is known to all, within a second, and a silent one is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from sanic_dispatch.cluster import members as cluster_members
from sanic_dispatch.cluster.members import Member, Members, member_of
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.storage.redis_address import parse_address
from sanic_dispatch.storage.redis_connection import RedisClient
from sanic_dispatch.storage.redis_members import RedisMemberStore
from tests.support.redis import shared_server

ADA, BERT = (Member(name, f"http://{name}.example:2567/", ("", "roof")) for name in ("ada", "bert"))

Open = Callable[[], RedisMemberStore]


@pytest.fixture
async def opened(prefix: str) -> AsyncIterator[Open]:
    """Open a store of members as another process would; closed at the end."""
    async with AsyncExitStack() as stack:

        def open_one() -> RedisMemberStore:
            store = RedisMemberStore(RedisClient(parse_address(shared_server().url)), prefix)
            stack.push_async_callback(store.close)
            return store

        yield open_one


async def test_all_know_each_other(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that joins is known to all at their next announcement; one that leaves is gone."""
    monkeypatch.setattr(cluster_members, "ANNOUNCE_S", 0.01)
    ada, bert = Members(opened(), ADA), Members(opened(), BERT)
    await ada.join()
    assert ada.living == (ADA,)
    await bert.join()
    assert bert.living == (ADA, BERT)
    async with asyncio.timeout(5):
        await until_living(ada, ADA, BERT)
        await bert.leave()
        assert bert.living == (ADA,)
        await until_living(ada, ADA)
    await ada.close()


async def until_living(members: Members, *expected: Member) -> None:
    """Return once these are known to live."""
    while members.living != expected:  # noqa: ASYNC110 - it is announced over Redis
        await asyncio.sleep(0.001)


async def test_a_silent_one_is_forgotten(opened: Open) -> None:
    """An announcement is good for its lifetime; nothing is left when all are silent."""
    store = opened()
    await store.announce(ADA, 10.0)
    assert sorted(await store.announce(BERT, 10.0)) == [ADA, BERT]
    await store.announce(ADA, 0.01)
    async with asyncio.timeout(5), Redis.from_url(shared_server().url) as client:
        while await store.announce(BERT, 10.0) != [BERT]:  # noqa: ASYNC110 - the clock is that of Redis
            await asyncio.sleep(0.01)
        await store.announce(BERT, 0.01)
        while await client.exists(store._key):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_process_that_has_moved(opened: Open) -> None:
    """Of a process that comes again under its name, what it announced last counts."""
    store, moved = opened(), ADA._replace(url="http://10.0.0.8:2567/")
    await store.announce(ADA, 1.0)
    ada = Members(store, moved)
    await ada.join()
    assert ada.living == (moved,)
    await ada.close()


async def test_entries_of_a_later_version_are_skipped(opened: Open, prefix: str) -> None:
    """What cannot be read is not a member."""
    async with Redis.from_url(shared_server().url) as client:
        for entry in ('{"name": "cleo"}', "[1]", "?"):
            await client.zadd(f"{{{prefix}}}:members", {entry: 2**53})
    assert await opened().announce(ADA, 5.0) == [ADA]


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"host": "10.0.0.7"}, "http://10.0.0.7:2567/"),
        ({"host": "fd00::7"}, "http://[fd00::7]:2567/"),
        ({"host": "0.0.0.0"}, ""),
        ({}, ""),
        ({"advertise": "https://bar-1.example/"}, "https://bar-1.example/"),
        ({"host": "10.0.0.7", "advertise": "http://bar-1:2567/"}, "http://bar-1:2567/"),
    ],
)
def test_what_a_process_announces(values: dict[str, str], url: str) -> None:
    """The URL is --advertise, or made from a --host that is one address."""
    member = member_of(Settings.of(Mode.REDIS, topic_names=("roof",), **values))
    assert member.url == url
    assert member.name.endswith(":2567")
    assert member.topics == ("", "roof")


def test_only_shared_topics_are_announced() -> None:
    """A topic with a queue that is not in Redis is no other process's."""
    topics = {"roof": {"mode": Mode.REDIS}, "cellar": {"worker_queue_mode": Mode.IN_MEMORY}}
    member = member_of(Settings.of(Mode.SQLITE, topics=topics))
    assert member.topics == ("roof",)
