"""The demo: two bars with robots of their own."""

from __future__ import annotations

import signal
from typing import Any

import aiohttp

from sanic_dispatch.cli.demo import with_second_bar
from sanic_dispatch.config.settings import Mode, Settings
from tests.support.commands import ended, start
from tests.support.ports import free_port
from tests.support.server import eventually

TOKENS = ("--worker-token", "worker-token", "--operator-token", "operator-token")


async def test_each_bar_has_two_robots() -> None:
    """They register under the bar's path, with its token; an order is mixed where it was made.

    One of them makes three drinks, the other everything.
    """
    port = free_port()
    process = await start("demo", "--port", str(port), *TOKENS)
    bars = {path: f"http://localhost:{port}/{path}" for path in ("", "topics/roof/")}
    try:
        async with aiohttp.ClientSession() as http:
            for url in bars.values():
                await eventually(lambda url=url: has_robots(http, url, 2), within_s=20)
            assert await rules_in(http, bars[""]) == ["", "match.drink=gin-tonic|lemonade|mojito"]
            async with http.post(bars["topics/roof/"] + "submit-job", json={}) as answer:
                assert answer.status == 200
            await eventually(lambda: has_robots(http, bars["topics/roof/"], 2, busy=1))
            assert await has_robots(http, bars[""], 2)
            async with http.get(bars[""] + "topics") as answer:
                titles = [topic["title"] for topic in (await answer.json())["topics"]]
            assert titles == ["", "The roof"]
    finally:
        process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 0


async def has_robots(http: aiohttp.ClientSession, url: str, count: int, busy: int = 0) -> bool:
    """Whether so many robots are at a bar, and so many of them mix."""
    try:
        async with http.get(url + "state") as answer:
            bar: dict[str, Any] = (await answer.json())["state"]["bar"]
    except aiohttp.ClientConnectionError:
        return False
    return (bar["robots"], bar["assigned"]) == (count, busy)


async def rules_in(http: aiohttp.ClientSession, url: str) -> list[str]:
    """Return the rules of the robots that wait at a bar."""
    headers = {"Authorization": "Bearer operator-token"}
    async with http.get(url + "operator/workers", headers=headers) as answer:
        return sorted(worker.get("rule", "") for worker in (await answer.json())["workers"])


def test_topics_that_are_given_replace_the_second_bar() -> None:
    """A demo with --topic has these."""
    given = Settings.of(Mode.IN_MEMORY, topic_names=("cellar",))
    assert with_second_bar(given) == given
    assert list(with_second_bar(Settings.of(Mode.IN_MEMORY)).topics) == ["roof"]
