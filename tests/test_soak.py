"""The soak: robots that stop, continue, lose answers and hang at random, over real sockets.

SOAK_ORDERS says how many orders, SOAK_SEED repeats the dice of an earlier run.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from sanic_dispatch import evidence
from sanic_dispatch.client import DispatchClient
from sanic_dispatch.simulation import Engine, Result, Robot
from sanic_dispatch.simulation.mishaps import Mishaps, Rates
from sanic_dispatch.tasks import Tasks
from tests.kit.server import running_service

ROBOTS = 20
SUBMITTERS = 10
ORDERS = int(os.environ.get("SOAK_ORDERS", "300"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(2**32)))
LONGEST_S = 40 + ORDERS * 0.05
TOKEN = "an-operator-of-the-soak"
SETTINGS = {
    "callback_timeout_s": 0.25,
    "submit_wait_s": 0.05,
    "max_attempts": 1000,
    "operator_tokens": (TOKEN,),
}
RATES = Rates(fail=0.1, hang=0.15, stop=0.03)


class Bar:
    """Robots at work, and how often each order was mixed to the end."""

    def __init__(self, engine: Engine, url: str, rng: random.Random) -> None:
        self.mixed: Counter[int] = Counter()
        self.robots: list[Robot] = []
        self.mishaps: list[Mishaps] = []
        self.happened: Counter[str] = Counter()
        self._changed = asyncio.Event()
        for n in range(ROBOTS):
            self._hire(engine, url, f"Robot {n}", random.Random(rng.random()))

    @property
    def callbacks(self) -> set[str]:
        """Where robots wait now."""
        return {url for robot in self.robots for url in robot.instance.callback_urls}

    async def calm_down(self) -> None:
        """From now on nobody is stopped; return when all are continued."""
        for mishaps in self.mishaps:
            mishaps.rates = Rates()
        for robot, mishaps in zip(self.robots, self.mishaps, strict=True):
            await robot.instance.until(lambda mishaps=mishaps: not mishaps.will_stop)

    async def until_mixed(self, *orders: int) -> None:
        """Return when each of these was mixed."""
        while not all(self.mixed[order] for order in orders):
            await self._changed.wait()

    def _hire(self, engine: Engine, url: str, name: str, rng: random.Random) -> None:
        mishaps = Mishaps(
            RATES,
            within_s=0.01,
            stop_s=0.3,
            rng=rng,
            on_mishap=lambda _, text: self.happened.update([text]),
        )
        robot = Robot(
            engine.start_instance(name, {"nednoamol": "true"}),
            url,
            mix_s=0.004,
            jitter=0.5,
            pause_s=0.001,
            rng=rng,
            on_mixed=self._count,
            mishaps=mishaps,
        )
        self.robots.append(robot)
        self.mishaps.append(mishaps)

    def _count(self, _: Robot, result: Result) -> None:
        assert isinstance(result.value, dict)
        self.mixed[result.value["Job"]["data"]] += 1
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def working_bar() -> AsyncIterator[tuple[Bar, DispatchClient]]:
    """A dispatcher that gives up on a callback soon, and robots at work."""
    tasks = Tasks()
    async with (
        Engine(unregister_after_s=0.001) as engine,
        running_service(**SETTINGS) as service,
        DispatchClient(service.base_url, TOKEN) as client,
    ):
        bar = Bar(engine, service.base_url, random.Random(SEED))
        for robot in bar.robots:
            tasks.spawn(robot.run())
        try:
            yield bar, client
        finally:
            await tasks.cancel()


async def submit_all(bar: Bar, client: DispatchClient) -> list[str]:
    """Submit all orders; mostly the next when the last one is mixed. Their ids."""
    orders, rng, ids = iter(range(ORDERS)), random.Random(SEED), []

    async def submit_some() -> None:
        for order in orders:
            ids.append((await client.submit(order)).job_id)
            if rng.random() < 0.95:
                await bar.until_mixed(order)

    await asyncio.gather(*(submit_some() for _ in range(SUBMITTERS)))
    return ids


async def until_all_wait(bar: Bar, client: DispatchClient) -> None:
    """Return when the dispatcher has exactly the callbacks at which robots wait, all usable."""
    async with aclosing(client.follow("monitor")) as states:
        async for state in states:
            workers = {key: entry for key, entry in state.map.items() if key.startswith("worker/")}
            free = {key for key, entry in workers.items() if entry["state"] == "waiting"}
            if len(free) == ROBOTS and free == {f"worker/{url}" for url in bar.callbacks}:
                return


@pytest.mark.timeout(LONGEST_S + 60)
async def test_every_order_is_mixed_exactly_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever befalls the robots: each order is mixed once, and no robot is forgotten."""
    print(f"SOAK_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    monkeypatch.setattr(evidence, "FIRST_INTERVAL_S", 0.05)
    monkeypatch.setattr(evidence, "LAST_INTERVAL_S", 0.4)
    async with working_bar() as (bar, client), asyncio.timeout(LONGEST_S):
        ids = await submit_all(bar, client)
        await bar.until_mixed(*range(ORDERS))
        await bar.calm_down()
        await until_all_wait(bar, client)
        assert bar.mixed == dict.fromkeys(range(ORDERS), 1)
        assert {(await client.job(job_id)).state for job_id in ids} == {"done"}
        assert len(bar.happened) == 7, "the dice did not bring every kind of mishap"
