"""A Redis cluster: each topic is on the node that has its keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sanic_dispatch.config.settings import Mode
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.server import eventually, running_service

HALVES = (("0", "8191"), ("8192", "16383"))
"""The slots of the two nodes."""

TOPICS = ("roof", "attic")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """Two nodes that do not know each other yet."""
    with ExitStack() as stack:
        servers = []
        for number, slots in enumerate(HALVES):
            folder = tmp_path / f"node-{number}"
            folder.mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
            server = RedisServer(folder, *options)
            server.start()
            stack.callback(server.stop)
            assert server.ask("CLUSTER", "ADDSLOTSRANGE", *slots) == b"+OK\r\n"
            servers.append(server)
        yield servers


async def joined(nodes: list[RedisServer]) -> None:
    """Make one cluster of both nodes."""
    first, second = nodes
    port = second.ask("CONFIG", "GET", "cluster-port").split()[-1].decode()
    assert first.ask("CLUSTER", "MEET", "127.0.0.1", str(second.port), port) == b"+OK\r\n"

    async def is_whole() -> bool:
        states = [node.ask("CLUSTER", "INFO") for node in nodes]
        return all(b"cluster_state:ok" in each and b"known_nodes:2" in each for each in states)

    await eventually(is_whole, 30.0)


async def test_topics_are_spread_over_the_nodes(nodes: list[RedisServer], tmp_path: Path) -> None:
    """Whichever node the service is told, it finds the one that has a topic."""
    await joined(nodes)
    values = {"mode": Mode.REDIS, "topic_names": TOPICS, "submit_wait_s": 0.0}
    for number, node in enumerate(nodes):
        async with running_service(**values, redis_url=node.url, data_dir=tmp_path) as service:
            for path in ("", *(f"topics/{topic}/" for topic in TOPICS)):
                url = f"{service.base_url}{path}submit-job"
                async with service.http.post(url, json=number) as answer:
                    assert answer.status == 202
                    assert (await answer.json())["Queued"]["position"] == number + 1
    for node in nodes:
        async with Redis.from_url(node.url) as client:
            assert await client.keys("*:jobs")
