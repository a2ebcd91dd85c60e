"""The soak: robots with every mishap of a real engine, over real sockets.

SOAK_ORDERS says how many orders, SOAK_SEED repeats the random numbers of an earlier run.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from sanic_dispatch import app
from sanic_dispatch.client import DispatchClient
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.core import evidence
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.simulation import Engine, Evaluator, Result, Robot, RobotHooks, RobotModel
from sanic_dispatch.simulation.background_tasks import Tasks
from sanic_dispatch.simulation.random_faults import Mishaps, MishapTimes, Rates
from tests.support.seeds import seed_of
from tests.support.server import running_service

ROBOTS = 20
SUBMITTERS = 10
ORDERS = int(os.environ.get("SOAK_ORDERS", "300"))
SEED = seed_of("SOAK_SEED")
LONGEST_S = 40 + ORDERS * 0.05
TOKEN = "an-operator-of-the-soak"
SETTINGS = {
    "callback_timeout_s": 0.25,
    "unconsumed_after_s": 0.5,
    "submit_wait_s": 0.05,
    "max_attempts": 1000,
    "operator_tokens": (TOKEN,),
}
RATES = Rates(fail=0.1, hang=0.15, stop=0.03, kill=0.03, delete=0.03, busy=0.01)
DELETED = "is deleted, and started again"
MISHAPS = {
    "refuses a job with 500",
    "refuses a job with 503",
    "does not answer, and takes no job",
    "takes a job and does not answer",
    "takes a job and loses the answer",
    "is stopped",
    "is continued",
    "is killed",
    "is repaired",
    "sleeps in its code",
    DELETED,
}


class Bar:
    """Robots at work, and how often each order was mixed."""

    def __init__(self, engine: Engine, url: str, rng: random.Random) -> None:
        self.mixed: Counter[int] = Counter()
        self.robots: list[Robot] = []
        self.mishaps: list[Mishaps] = []
        self.happened: Counter[str] = Counter()
        for n in range(ROBOTS):
            self._hire(engine, url, f"Robot {n}", random.Random(rng.random()))

    @property
    def callbacks(self) -> set[str]:
        """Return the callbacks at which robots wait now."""
        return {url for robot in self.robots for url in robot.instance.callback_urls}

    async def calm_down(self) -> None:
        """End all mishaps; return once all robots were continued, or have begun anew."""
        await asyncio.gather(*(mishaps.calm_down() for mishaps in self.mishaps))

    def _hire(self, engine: Engine, url: str, name: str, rng: random.Random) -> None:
        mishaps = Mishaps(
            RATES,
            MishapTimes(within_s=0.01, stop_s=0.3, busy_s=0.2),
            rng=rng,
            on_mishap=lambda _, text: self.happened.update([text]),
        )
        robot = Robot(
            engine.start_instance(name, {"nednoamol": "true"}),
            RobotModel(url, mix_s=0.004, jitter=0.5, pause_s=0.001),
            hooks=RobotHooks(on_mixed=self._count),
            mishaps=mishaps,
            rng=rng,
        )
        self.robots.append(robot)
        self.mishaps.append(mishaps)

    def _count(self, _: Robot, result: Result) -> None:
        assert isinstance(result.value, dict)
        self.mixed[result.value["Job"]["data"]] += 1


@asynccontextmanager
async def working_bar() -> AsyncIterator[tuple[Bar, DispatchClient]]:
    """Run a dispatcher with short time-outs, and robots."""
    tasks, dice = Tasks(), random.Random(SEED)
    evaluator = Evaluator(pick=dice.randrange)
    async with (
        Engine(unregister_after_s=0.001, evaluator=evaluator) as engine,
        running_service(**SETTINGS) as service,
        DispatchClient(service.base_url, TOKEN) as client,
    ):
        bar = Bar(engine, service.base_url, dice)
        for robot in bar.robots:
            tasks.spawn(robot.run())
        try:
            yield bar, client
        finally:
            await tasks.cancel()


async def submit_all(client: DispatchClient) -> dict[int, str]:
    """Submit all orders, most of them when the last one is over; return their ids."""
    orders, rng, ids = iter(range(ORDERS)), random.Random(SEED), {}

    async def submit_some() -> None:
        for order in orders:
            ids[order] = (await client.submit(order)).job_id
            if rng.random() < 0.95:
                await until_over(client, ids[order])

    await asyncio.gather(*(submit_some() for _ in range(SUBMITTERS)))
    for job_id in ids.values():
        await until_over(client, job_id)
    return ids


async def until_over(client: DispatchClient, job_id: str) -> None:
    """Wait until an order is done or failed."""
    async with aclosing(client.follow(order=job_id)) as states:
        async for state in states:
            if state.map["order"]["state"] in ("done", "failed"):
                return


async def until_all_wait(bar: Bar, client: DispatchClient) -> None:
    """Wait until every robot waits, and the dispatcher can use the callback of each.

    It may also have callbacks of deleted robots, which the next order for them finds out.
    """
    async with aclosing(client.follow("monitor")) as states:
        async for state in states:
            workers = {key: entry for key, entry in state.map.items() if key.startswith("worker/")}
            free = {key for key, entry in workers.items() if entry["state"] == "waiting"}
            callbacks = {f"worker/{url}" for url in bar.callbacks}
            if len(callbacks) == ROBOTS and callbacks <= free:
                return


POLICY_OF = app.policy_of


def impatient(settings: Settings) -> Policy:
    """Use the same rules, with two requests for an instance's state per second."""
    return replace(POLICY_OF(settings), instance_interval_s=0.5)


@pytest.mark.timeout(LONGEST_S + 60)
async def test_every_order_is_mixed_once_or_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each order is mixed once, or failed with its deleted robot; none is forgotten."""
    print(f"SOAK_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    monkeypatch.setattr(evidence, "FIRST_INTERVAL_S", 0.05)
    monkeypatch.setattr(evidence, "LAST_INTERVAL_S", 0.4)
    monkeypatch.setattr(app, "policy_of", impatient)
    async with working_bar() as (bar, client), asyncio.timeout(LONGEST_S):
        ids = await submit_all(client)
        await bar.calm_down()
        await until_all_wait(bar, client)
        jobs = {order: await client.job(job_id) for order, job_id in ids.items()}
        assert max(bar.mixed.values()) == 1
        assert {order for order, job in jobs.items() if job.state == "done"} <= bar.mixed.keys()
        failed = [job for job in jobs.values() if job.state != "done"]
        # A deleted robot's order fails, and so does the one that the next instance of its number
        # takes on the inherited callback.
        assert len(failed) <= 2 * bar.happened[DELETED]
        assert {(job.state, job.raw["reason"]) for job in failed} <= {
            ("failed", "its process instance is gone")
        }
        assert bar.happened.keys() >= MISHAPS, "the dice did not bring every kind of mishap"
