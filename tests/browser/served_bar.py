"""A real service, robots that mix until they are told to stop, and a proxy in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from time import time
from typing import Any
from unittest.mock import patch

from sanic_dispatch.clock import SystemClock
from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.simulation import Engine, Instance, Result, Robot, RobotHooks, RobotModel
from sanic_dispatch.simulation.background_tasks import Tasks
from tests.support.proxy import Proxy
from tests.support.server import Service, eventually, running_service

PREFIX = "/ports/2567/"

OPERATOR_TOKEN = "operator-token-1"

MIXED_S = 90.0
"""The mixing time of drinks before the test."""

MIXING_S = 3600.0
"""The mixing time of a robot's settings; it really ends with ``finish``."""


class MovableClock(SystemClock):
    """A wall clock that a test can move, or stop, so that an evening takes no time."""

    moved_s = 0.0
    stopped_at_s: float | None = None

    def now_s(self) -> float:
        if self.stopped_at_s is not None:
            return self.stopped_at_s
        return super().now_s() + self.moved_s


class MixingClock(SystemClock):
    """A clock that ends one drink for each call of ``finish``, also for one that came earlier."""

    def __init__(self) -> None:
        self._finished = asyncio.Semaphore(0)

    def finish(self) -> None:
        """End the drink that is being mixed, or the next one."""
        self._finished.release()

    async def sleep(self, seconds: float) -> None:
        if seconds == MIXING_S:
            await self._finished.acquire()


class Bartender:
    """A robot that finishes a drink when a test says so."""

    def __init__(self, label: str, instance: Instance, rule: str) -> None:
        self.label = label
        self.instance = instance
        self._rule = rule
        self._clock = MixingClock()

    def finish(self) -> None:
        """Finish the drink: the robot registers again."""
        self._clock.finish()

    def robot(self, dispatcher_url: str, on_job: Any) -> Robot:
        """The simulated robot."""
        return Robot(
            self.instance,
            RobotModel(
                f"{dispatcher_url}?{self._rule}", label=self.label, mix_s=MIXING_S, jitter=0
            ),
            hooks=RobotHooks(on_job=on_job),
            clock=self._clock,
        )


class Bar:
    """A service behind a proxy, and its robots; ``served`` lists (robot, name) as jobs arrived."""

    clock: MovableClock

    def __init__(self, service: Service, proxy: Proxy, engine: Engine, tasks: Tasks) -> None:
        self.clock = service.app.ctx.clock
        self.service = service
        self.proxy = proxy
        self.engine = engine
        self.served: list[tuple[str, Any]] = []
        self._tasks = tasks

    def topic(self, name: str) -> Bar:
        """Return the bar of a named topic of the service."""
        url = f"{self.service.base_url}topics/{name}/"
        return Bar(replace(self.service, base_url=url), self.proxy, self.engine, self._tasks)

    async def robot(self, label: str = "Robot Ada", rule: str = "") -> Bartender:
        """Start another robot, and return it once it waits for a job.

        ``rule`` is a query, such as ``match.drink=mojito``; without one it takes any order.
        """
        bartender = self.begin(label, rule)
        await bartender.instance.until(lambda: bartender.instance.waiting)
        return bartender

    def begin(self, label: str = "Robot Ada", rule: str = "") -> Bartender:
        """Start another robot that takes an order which is waiting."""
        bartender = Bartender(label, self.engine.start_instance(label), rule)
        robot = bartender.robot(self.service.base_url, lambda _, result: self._note(label, result))
        self._tasks.spawn(robot.run())
        return bartender

    async def order(self, *names: str, drink: str = "Mojito", logo: str = "owl") -> list[str]:
        """Submit orders without the page; return their secret ids."""
        data = [{"drink": drink, "name": name, "logo": logo} for name in names]
        return [(await self.service.submit(one))[2] for one in data]

    async def drop(self, robot: Bartender) -> None:
        """Send a robot home that waits for a job."""
        operator = self.service.app.ctx.dispatcher.operator
        await operator.drop(robot.instance.callback_urls[-1], "gone home")

    async def fail(self, job_id: str, robot: Bartender, reason: str) -> None:
        """Have a robot report that it failed."""
        await eventually(lambda: self._is_assigned(job_id))
        key = {"CPEE-INSTANCE-UUID": robot.instance.uuid, "CPEE-ACTIVITY": "a1"}
        url = f"{self.service.base_url}jobs/{job_id}/fail"
        async with self.service.http.post(url, json={"reason": reason}, headers=key) as answer:
            assert answer.status == 200

    async def make_progress(
        self, job_id: str, percent: float | None, text: str | None = None
    ) -> None:
        """Have the robot that makes an order say how far it is."""
        proof = await self._proof_of_holder(job_id)
        await self.service.app.ctx.dispatcher.report_progress(job_id, proof, percent, text)

    async def stop(self, job_id: str) -> None:
        """Have the robot that makes an order say that it has stopped."""
        proof = await self._proof_of_holder(job_id)
        await self.service.app.ctx.dispatcher.fail(job_id, proof, "poured away", cancelled=True)

    @property
    def being_made(self) -> list[str]:
        """The secret ids of the orders that robots make."""
        return [order.job.id for order in self.service.app.ctx.hub.projection.assigned]

    async def _proof_of_holder(self, job_id: str) -> Proof:
        await eventually(lambda: self._is_assigned(job_id))
        worker = self.service.app.ctx.hub.projection.get(job_id).job.worker
        return Proof(callback_url=worker.callback_url)

    async def put_back(self, job_id: str) -> None:
        """Take an order from its worker, as an operator."""
        await self.service.app.ctx.dispatcher.operator.put_back(job_id, "")

    async def ask_to_cancel(self, job_id: str) -> None:
        """Cancel an order that is being made, as its customer."""
        async with self.service.http.delete(f"{self.service.base_url}jobs/{job_id}") as answer:
            assert answer.status == 202

    async def orders(self) -> dict[str, dict[str, Any]]:
        """Return all orders that the board shows, by key."""
        async with self.service.http.get(self.service.base_url + "state") as answer:
            state = (await answer.json())["state"]
        return {key: shown for key, shown in state.items() if key.startswith("order/")}

    async def sees(self, number: int, state: str) -> None:
        """Wait until an order is in this state."""

        async def is_so() -> bool:
            return (await self.orders()).get(f"order/{number}", {}).get("state") == state

        await eventually(is_so)

    async def _is_assigned(self, job_id: str) -> bool:
        return bool((await self.service.job(job_id))["state"] == "assigned")

    def knows_mixing_times(self, *seconds: float) -> None:
        """Record so many finished drinks, so that waiting times can be estimated."""
        for one in seconds:
            self.service.app.ctx.hub.projection.forecast.estimator.observe_service(one)

    def keeps_promises(self, kept: int, of: int) -> None:
        """Record so many promised waiting times, of which so many were kept."""
        estimator = self.service.app.ctx.hub.projection.forecast.estimator
        for n in range(of):
            estimator.observe_outcome(
                Promise(0.0, 60.0, 40.0, 90.0), 0.0, 60.0 if n < kept else 120.0
            )

    def remembers_an_evening(self, waits_s: Sequence[float]) -> None:
        """Record orders, one by one until ten minutes ago, with these waiting times."""
        history, now_s = self.service.app.ctx.hub.projection.last_hour, time()
        for n, wait_s in enumerate(waits_s):
            came_s = now_s - 3500 + 2800 * n / len(waits_s)
            history.seed(_served(n, came_s, came_s + wait_s, now_s))

    def _note(self, label: str, result: Result) -> None:
        assert isinstance(result.value, dict)
        self.served.append((label, result.value["Job"]["data"].get("name")))


def _served(n: int, came_s: float, began_s: float, now_s: float) -> Job:
    """Return an order that was finished a while after it began, or that has not finished by now."""
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
    """Run a service without robots."""
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
