"""A whole bar: the real server, robots that mix until told to stop, and a proxy in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import time
from typing import Any
from unittest.mock import patch

from sanic_dispatch.clock import SystemClock
from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.live.estimator import Promise
from sanic_dispatch.simulation import Engine, Instance, Result, Robot, RobotHooks, RobotModel
from sanic_dispatch.simulation.background_tasks import Tasks
from tests.support.proxy import Proxy
from tests.support.server import Service, eventually, running_service

PREFIX = "/ports/2567/"

OPERATOR_TOKEN = "operator-token-1"

MIXED_S = 90.0
"""How long drinks took that were mixed before a test began."""

MIXING_S = 3600.0
"""What a robot believes that mixing takes; in truth it takes until ``finish``."""


class MovableClock(SystemClock):
    """A wall clock that a test can set: pictures of an evening need not take one."""

    moved_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.moved_s


class MixingClock(SystemClock):
    """Ends one mixing for each ``finish``, also for one that comes first."""

    def __init__(self) -> None:
        self._finished = asyncio.Semaphore(0)

    def finish(self) -> None:
        """The drink is ready."""
        self._finished.release()

    async def sleep(self, seconds: float) -> None:
        if seconds == MIXING_S:
            await self._finished.acquire()


class Bartender:
    """A robot at work, that finishes a drink when a test says so."""

    def __init__(self, label: str, instance: Instance) -> None:
        self.label = label
        self.instance = instance
        self._clock = MixingClock()

    def finish(self) -> None:
        """The drink is ready: the robot asks for its next job."""
        self._clock.finish()

    def robot(self, dispatcher_url: str, on_job: Any) -> Robot:
        """The robot itself."""
        return Robot(
            self.instance,
            RobotModel(dispatcher_url, label=self.label, mix_s=MIXING_S, jitter=0),
            hooks=RobotHooks(on_job=on_job),
            clock=self._clock,
        )


class Bar:
    """The server behind a proxy, and its robots; ``served`` has (robot, name) as jobs arrived."""

    clock: MovableClock

    def __init__(self, service: Service, proxy: Proxy, engine: Engine, tasks: Tasks) -> None:
        self.clock = service.app.ctx.clock
        self.service = service
        self.proxy = proxy
        self.engine = engine
        self.served: list[tuple[str, Any]] = []
        self._tasks = tasks

    async def robot(self, label: str = "Robot Ada") -> Bartender:
        """Another robot, as soon as it waits for a job."""
        bartender = self.begin(label)
        await bartender.instance.until(lambda: bartender.instance.waiting)
        return bartender

    def begin(self, label: str = "Robot Ada") -> Bartender:
        """Another robot, that takes what waits already."""
        bartender = Bartender(label, self.engine.start_instance(label))
        robot = bartender.robot(self.service.base_url, lambda _, result: self._note(label, result))
        self._tasks.spawn(robot.run())
        return bartender

    async def order(self, *names: str, drink: str = "Mojito", logo: str = "owl") -> list[str]:
        """Orders that come by other ways than the page; their secret ids."""
        data = [{"drink": drink, "name": name, "logo": logo} for name in names]
        return [(await self.service.submit(one))[2] for one in data]

    async def fail(self, job_id: str, robot: Bartender, reason: str) -> None:
        """A robot says that it cannot mix this one."""
        await eventually(lambda: self._is_assigned(job_id))
        key = {"CPEE-INSTANCE-UUID": robot.instance.uuid, "CPEE-ACTIVITY": "a1"}
        url = f"{self.service.base_url}jobs/{job_id}/fail"
        async with self.service.http.post(url, json={"reason": reason}, headers=key) as answer:
            assert answer.status == 200

    async def orders(self) -> dict[str, dict[str, Any]]:
        """All orders that the board shows, by their key."""
        async with self.service.http.get(self.service.base_url + "state") as answer:
            state = (await answer.json())["state"]
        return {key: shown for key, shown in state.items() if key.startswith("order/")}

    async def sees(self, number: int, state: str) -> None:
        """Wait until an order is in that state."""

        async def is_so() -> bool:
            return (await self.orders()).get(f"order/{number}", {}).get("state") == state

        await eventually(is_so)

    async def _is_assigned(self, job_id: str) -> bool:
        return bool((await self.service.job(job_id))["state"] == "assigned")

    def knows_mixing_times(self, *seconds: float) -> None:
        """As if so many drinks had been mixed already: waiting times can be told."""
        for one in seconds:
            self.service.app.ctx.hub.projection.forecast.estimator.observe_service(one)

    def keeps_promises(self, kept: int, of: int) -> None:
        """As if so many waiting times had been told, and so many of them had come true."""
        estimator = self.service.app.ctx.hub.projection.forecast.estimator
        for n in range(of):
            estimator.observe_outcome(Promise(0.0, 60.0, 40.0, 90.0), 60.0 if n < kept else 120.0)

    def remembers_an_evening(self, waits_s: Sequence[float]) -> None:
        """As if there had been orders, one by one until ten minutes ago, with these waits."""
        history, now_s = self.service.app.ctx.hub.projection.last_hour, time()
        for n, wait_s in enumerate(waits_s):
            came_s = now_s - 3500 + 2800 * n / len(waits_s)
            history.seed(_served(n, came_s, came_s + wait_s, now_s))

    def _note(self, label: str, result: Result) -> None:
        assert isinstance(result.value, dict)
        self.served.append((label, result.value["Job"]["data"].get("name")))


def _served(n: int, came_s: float, began_s: float, now_s: float) -> Job:
    """An order that was served a while after it was begun, if that was before now."""
    finished_s = began_s + MIXED_S
    callback = f"http://127.0.0.1/{n}/callbacks/1/"
    hold = Hold(Worker(callback, to_rfc3339(came_s)), Way.PUT, Stage.CONFIRMED, began_s)
    state = State.DONE if finished_s < now_s else State.ASSIGNED
    return Job(f"{n:032x}", n + 1, b"{}", to_rfc3339(came_s), n + 1.0, state, hold,
               finished_s=finished_s)  # fmt: skip


@asynccontextmanager
async def _movable_service(**settings: Any) -> AsyncIterator[Service]:
    with patch("sanic_dispatch.app.SystemClock", MovableClock):
        async with running_service(**settings) as service:
            yield service


@asynccontextmanager
async def open_bar(prefix: str = PREFIX, **settings: Any) -> AsyncIterator[Bar]:
    """A bar without robots."""
    tasks, settings = Tasks(), {"operator_tokens": (OPERATOR_TOKEN,), **settings}
    async with (
        _movable_service(**settings) as service,
        Engine() as engine,
        Proxy(service.app.ctx.settings.port, prefix) as proxy,
    ):
        try:
            yield Bar(service, proxy, engine, tasks)
        finally:
            await tasks.cancel()
