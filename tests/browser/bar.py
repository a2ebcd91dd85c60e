"""A whole bar: the real server, robots that mix until told to stop, and a proxy in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sanic_dispatch.clock import SystemClock
from sanic_dispatch.simulation import Engine, Instance, Result, Robot
from sanic_dispatch.tasks import Tasks
from tests.kit.proxy import Proxy
from tests.kit.server import Service, eventually, running_service

PREFIX = "/ports/2567/"

MIXING_S = 3600.0
"""What a robot believes that mixing takes; in truth it takes until ``finish``."""


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
            dispatcher_url,
            mix_s=MIXING_S,
            jitter=0,
            clock=self._clock,
            on_job=on_job,
        )


class Bar:
    """The server behind a proxy, and its robots; ``served`` has (robot, name) as jobs arrived."""

    def __init__(self, service: Service, proxy: Proxy, engine: Engine, tasks: Tasks) -> None:
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

    def knows_mixing_times(self, *seconds: float) -> None:
        """As if so many drinks had been mixed already: waiting times can be told."""
        for one in seconds:
            self.service.app.ctx.hub.line.forecast.estimator.served(one)

    def _note(self, label: str, result: Result) -> None:
        assert isinstance(result.value, dict)
        self.served.append((label, result.value["Job"]["data"].get("name")))


@asynccontextmanager
async def open_bar(prefix: str = PREFIX, **settings: Any) -> AsyncIterator[Bar]:
    """A bar without robots."""
    tasks = Tasks()
    async with (
        running_service(**settings) as service,
        Engine() as engine,
        Proxy(service.app.ctx.settings.port, prefix) as proxy,
    ):
        try:
            yield Bar(service, proxy, engine, tasks)
        finally:
            await tasks.cancel()
