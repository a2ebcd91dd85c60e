"""An engine with a busy evaluator, and the real dispatcher."""

from __future__ import annotations

import asyncio
import random

from sanic_dispatch.simulation import Engine, Evaluator
from tests.support.server import running_service

ROBOTS = 20


async def test_no_order_is_lost_in_a_busy_engine() -> None:
    """In any order of evaluation each robot gets the job that was sent to it."""
    dice = random.Random(1)
    async with (
        Engine(evaluator=Evaluator(pick=dice.randrange)) as engine,
        running_service() as service,
    ):
        robots = [engine.start_instance() for _ in range(ROBOTS)]
        with engine.evaluator.blocked():
            url = service.base_url + "register-worker"
            tasks = [asyncio.create_task(robot.call(url)) for robot in robots]
            for robot in robots:
                await robot.until(lambda robot=robot: robot.waiting)  # type: ignore[misc]
            for order in range(ROBOTS):
                await service.submit(order)
            for robot in robots:
                await robot.until(lambda robot=robot: bool(robot.puts))  # type: ignore[misc]
        got = [(await task).value for task in tasks]
        assert sorted(result["Job"]["data"] for result in got) == list(range(ROBOTS))  # type: ignore[index]
        assert [robot.updates for robot in robots] == [[]] * ROBOTS
