"""A crew: several robots that work for one dispatcher."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

import aiohttp

from sanic_dispatch.simulation.background_tasks import Tasks
from sanic_dispatch.simulation.connected_robot import (
    GOODBYE_S,
    ConnectedRobot,
    PollingRobot,
    WebsocketRobot,
)
from sanic_dispatch.simulation.outside import OutsideEngine, address_towards
from sanic_dispatch.simulation.random_faults import Mishaps, MishapTimes, Rates
from sanic_dispatch.simulation.robot import Robot, RobotHooks, RobotModel

RESCUE_S = 2.0
"""How long a robot waits after a failed call; the dispatcher may be starting."""

News = Callable[[str, str], None]
"""Called with a robot's name and what happens to it."""


class RobotChannel(StrEnum):
    """How robots are reached."""

    CALLBACK = "callback"
    WEBSOCKET = "websocket"
    POLL = "poll"


class CrewMember(Protocol):
    """A robot that works: what it does, whether it can be reached, and how many it has mixed."""

    doing: str
    mixed: int

    @property
    def state(self) -> str:
        """One word; ``running`` and ``connected`` are good ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many robots work where, how fast and how reliably.

    An empty ``callback_host`` means this machine's address towards the dispatcher. ``rule`` says
    which jobs they take, as that of a RobotModel. Faults (``rates``) are those of an engine: robots
    on another channel than the callback have none.
    """

    url: str
    count: int = 2
    mix_s: float = 5.0
    jitter: float = 0.2
    rates: Rates = Rates()
    label: str = "Robot"
    seed: int | None = None
    callback_host: str = ""
    channel: RobotChannel = RobotChannel.CALLBACK
    rule: Sequence[tuple[str, str]] = ()


class Crew:
    """Runs robots; ``robots`` and ``orders`` (the last order of each) are keyed by name."""

    def __init__(self, plan: Plan, news: News) -> None:
        self.robots: dict[str, CrewMember] = {}
        self.orders: dict[str, str] = {}
        self._plan = plan
        self._news = news
        self._random = random.Random(plan.seed)

    async def run(self) -> None:
        """Work until cancelled. Raises ServiceError if a connected robot is refused."""
        names = [f"{self._plan.label} {n}" for n in range(1, self._plan.count + 1)]
        if self._plan.channel is not RobotChannel.CALLBACK:
            await self._run_all([self._connected_robot(name) for name in names])
            return
        host = self._plan.callback_host or address_towards(self._plan.url)
        async with OutsideEngine(host) as engine:
            await self._run_all([self._robot(name, engine) for name in names])

    async def _run_all(self, robots: Sequence[Robot | ConnectedRobot]) -> None:
        tasks = Tasks()
        running = [tasks.spawn(robot.run()) for robot in robots]
        try:
            # Not gather, which would cancel them: then they do not know their callbacks any more.
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
            for each in ended:
                each.result()
        finally:
            await _leave_line([robot for robot in robots if isinstance(robot, Robot)])
            await tasks.cancel()

    def _robot(self, name: str, engine: OutsideEngine) -> Robot:
        plan, rng = self._plan, random.Random(self._random.random())
        instance = engine.start_instance(name, {"nednoamol": "true"})
        mishaps = Mishaps(
            plan.rates,
            MishapTimes(within_s=plan.mix_s, stop_s=2 * plan.mix_s),
            rng=rng,
            on_mishap=lambda instance, text: self._news(name, text),
        )
        robot = self.robots[name] = Robot(
            instance,
            self._model(name),
            hooks=RobotHooks(
                on_job=lambda _, result: self._on_job(name, result.value),
                on_mixed=lambda _, __: self._on_mixed(name),
                on_failure=lambda _, __: self._on_failure(name),
            ),
            mishaps=mishaps,
            rng=rng,
        )
        return robot

    def _connected_robot(self, name: str) -> ConnectedRobot:
        is_polling = self._plan.channel is RobotChannel.POLL
        robot = self.robots[name] = (PollingRobot if is_polling else WebsocketRobot)(
            self._model(name),
            random.Random(self._random.random()),
            on_job=lambda job: self._on_job(name, {"Job": job}),
            on_mixed=partial(self._on_mixed, name),
            on_failure=partial(self._on_failure, name),
        )
        return robot

    def _model(self, name: str) -> RobotModel:
        plan = self._plan
        return RobotModel(
            plan.url, plan.mix_s, plan.jitter, rescue_s=RESCUE_S, label=name, rule=plan.rule
        )

    def _on_job(self, name: str, value: Any) -> None:
        self.orders[name] = order_label(value)
        self._news(name, f"mixes {self.orders[name]}")

    def _on_mixed(self, name: str) -> None:
        self._news(name, f"is done with {self.orders[name]}")

    def _on_failure(self, name: str) -> None:
        self._news(name, self.robots[name].doing)


async def _leave_line(robots: Iterable[Robot]) -> None:
    """Take robots out of the line, if that is possible at once: their callbacks come to an end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_S), aiohttp.ClientSession() as session:
            leaving = [
                session.delete(robot.url, headers={"CPEE-CALLBACK": callback})
                for robot in robots
                for callback in robot.instance.callback_urls
            ]
            await asyncio.gather(*leaving, return_exceptions=True)


def order_label(value: Any) -> str:
    """Return an order's label for people: drink and name, or the beginning of its id."""
    job = value["Job"]
    data = job.get("data")
    texts = [data.get(key) for key in ("drink", "name")] if isinstance(data, dict) else []
    named = [text for text in texts if isinstance(text, str) and text]
    return " for ".join(named) or f"job {str(job.get('id'))[:8]}"
