"""Many orders and robots at once, at several dispatchers with three topics (A4)."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.simulation.background_tasks import Tasks
from tests.cluster.test_hand_over import PATHS, TOPICS, Chain, chain
from tests.crash.harness import LOOK_S, SLACK_S
from tests.crash.history import Violation, check
from tests.crash.load import Load, WatchedEngine
from tests.crash.records import History, Look, Mark
from tests.crash.server import TOKEN
from tests.support.redis import RedisServer
from tests.support.server import eventually

IS_TORTURE = "TORTURE" in os.environ
ORDERS = 20_000 if IS_TORTURE else 150
"""On all topics together."""

CUSTOMERS = ROBOTS = 8
"""On each topic."""

PAUSE_S = 0.001
DRAIN_S = 60.0


class Line:
    """The customers and robots of a topic, at any of the dispatchers, and what they saw."""

    def __init__(self, topic: str, bars: Chain, rng: random.Random) -> None:
        self.history = History(slack_s=SLACK_S)
        self._topic = topic
        self._bars = bars
        self._load = Load(
            [server.url + PATHS[topic] for server in bars.servers],
            self.history,
            rng,
            ORDERS // len(TOPICS),
        )

    async def violations(self) -> list[Violation]:
        """Order everything, work until nothing is left, and return what went wrong."""
        offset_s, robots, customers = monotonic() - time.time(), Tasks(), Tasks()
        async with WatchedEngine(self.history) as engine:
            try:
                robots.spawn(self._look_around())
                for number in range(ROBOTS):
                    instance = engine.start_instance(f"Robot {number}", {"nednoamol": "true"})
                    robots.spawn(self._load.work(instance, PAUSE_S))
                for _ in range(CUSTOMERS):
                    customers.spawn(self._load.order(self._bars.http, PAUSE_S))
                await customers.idle()
                with suppress(TimeoutError):
                    await eventually(self._is_drained, DRAIN_S)
            finally:
                await customers.cancel()
                await robots.cancel()
        ids = {each.job_id[:8]: each.data for each in self.history.acknowledged}
        async for event in self._events():
            if event["event"] == "job.assigned":
                self.history.cut_off.append(
                    Mark(ids[event["job"]], from_rfc3339(event["at"]) + offset_s)
                )
        return check(self.history)

    async def _look_around(self) -> None:
        """Look at the workers first: one that gets a job in between counts as busy then."""
        while True:
            began_s = monotonic()
            workers = (await self._ask("operator/workers"))["workers"]
            waiting, held = await self._jobs("waiting"), await self._jobs("assigned")
            free = {each["callback"] for each in workers if not each["aside"]}
            free -= {job["worker"] for job in held}
            ids = frozenset(job["id"] for job in waiting)
            took_s = monotonic() - began_s
            self.history.looks.append(Look(began_s, ids, frozenset(free), took_s))
            await asyncio.sleep(LOOK_S)

    async def _is_drained(self) -> bool:
        found = [*await self._jobs("waiting"), *await self._jobs("assigned")]
        self.history.left = {job["id"] for job in found if job.get("stage") != "confirmed"}
        return not self.history.left

    async def _jobs(self, state: str) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = (await self._ask(f"operator/jobs?limit=1000&state={state}"))[
            "jobs"
        ]
        return jobs

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        after = 0
        while after is not None:
            page = await self._ask(f"operator/events?limit=1000&after={after}")
            for event in page["events"]:
                yield event
            after = page["next"]

    async def _ask(self, path: str) -> Any:
        url = self._bars.servers[0].url + PATHS[self._topic] + path
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._bars.http.get(url, headers=headers, raise_for_status=True) as answer:
            return await answer.json()


@pytest.mark.timeout(3600 if IS_TORTURE else 240)
@pytest.mark.parametrize("size", [2, 3] if IS_TORTURE else [3])
async def test_nothing_is_lost_doubled_or_overtaken(
    size: int, redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """C1 to C6 hold on each topic, whichever dispatcher is asked."""
    async with chain(tmp_path, redis, size) as bars:
        for server in bars.servers:
            await server.start()
        await bars.settled()
        began_s, lines = monotonic(), [Line(topic, bars, rng) for topic in TOPICS]
        found = await asyncio.gather(*(line.violations() for line in lines))
        took_s = monotonic() - began_s
    assert found == [[] for _ in lines]
    taken = [len({each.data for each in line.history.taken}) for line in lines]
    assert taken == [ORDERS // len(TOPICS)] * len(lines)
    print(f"{size} dispatchers: {sum(taken)} orders, each taken once, in {took_s:.0f} s")  # noqa: T201
