"""A crew: several robots of one simulated engine, working for one dispatcher."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sanic_dispatch.simulation.background_tasks import Tasks
from sanic_dispatch.simulation.outside import OutsideEngine, address_towards
from sanic_dispatch.simulation.random_faults import Mishaps, MishapTimes, Rates
from sanic_dispatch.simulation.robot import Robot, RobotHooks, RobotModel
from sanic_dispatch.simulation.waits import Result

RESCUE_S = 2.0
"""How long a robot waits after a failed call; the dispatcher may be starting."""

News = Callable[[str, str], None]
"""Called with a robot's name and what happens to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many robots work where, how fast and how reliably.

    An empty ``callback_host`` means this machine's address towards the dispatcher. ``rule`` says
    which jobs they take, as that of a RobotModel.
    """

    url: str
    count: int = 2
    mix_s: float = 5.0
    jitter: float = 0.2
    rates: Rates = Rates()
    label: str = "Robot"
    seed: int | None = None
    callback_host: str = ""
    rule: Sequence[tuple[str, str]] = ()


class Crew:
    """Runs robots; ``robots`` and ``orders`` (the last order of each) are keyed by name."""

    def __init__(self, plan: Plan, news: News) -> None:
        self.robots: dict[str, Robot] = {}
        self.orders: dict[str, str] = {}
        self._plan = plan
        self._news = news
        self._random = random.Random(plan.seed)

    async def run(self) -> None:
        """Work until cancelled."""
        tasks = Tasks()
        host = self._plan.callback_host or address_towards(self._plan.url)
        async with OutsideEngine(host) as engine:
            for n in range(1, self._plan.count + 1):
                self._add_robot(f"{self._plan.label} {n}", engine)
            for robot in self.robots.values():
                tasks.spawn(robot.run())
            try:
                await tasks.idle()
            finally:
                await tasks.cancel()

    def _add_robot(self, name: str, engine: OutsideEngine) -> None:
        plan, rng = self._plan, random.Random(self._random.random())
        instance = engine.start_instance(name, {"nednoamol": "true"})
        mishaps = Mishaps(
            plan.rates,
            MishapTimes(within_s=plan.mix_s, stop_s=2 * plan.mix_s),
            rng=rng,
            on_mishap=lambda instance, text: self._news(name, text),
        )
        self.robots[name] = Robot(
            instance,
            RobotModel(
                plan.url, plan.mix_s, plan.jitter, rescue_s=RESCUE_S, label=name, rule=plan.rule
            ),
            hooks=RobotHooks(
                on_job=partial(self._on_job, name),
                on_mixed=partial(self._on_mixed, name),
                on_failure=lambda robot, _: self._news(name, robot.doing),
            ),
            mishaps=mishaps,
            rng=rng,
        )

    def _on_job(self, name: str, _: Robot, result: Result) -> None:
        self.orders[name] = order_label(result.value)
        self._news(name, f"mixes {self.orders[name]}")

    def _on_mixed(self, name: str, _: Robot, __: Result) -> None:
        self._news(name, f"is done with {self.orders[name]}")


def order_label(value: Any) -> str:
    """Return an order's label for people: drink and name, or the beginning of its id."""
    job = value["Job"]
    data = job.get("data")
    texts = [data.get(key) for key in ("drink", "name")] if isinstance(data, dict) else []
    named = [text for text in texts if isinstance(text, str) and text]
    return " for ".join(named) or f"job {str(job.get('id'))[:8]}"
