"""Orders that a real engine loses, depending on the answer to a registration."""

from __future__ import annotations

import asyncio
import random

import pytest

from sanic_dispatch.simulation import Engine, Evaluator
from tests.simulation.conftest import ACCEPTED
from tests.simulation.test_evaluator import QUEUED
from tests.simulation.test_simulated_engine import put

ROBOTS = 20


async def orders_lost(service, http, *, comes_first: str) -> int:
    """Return how many robots go on without the order that they got while the evaluator was busy.

    ``comes_first``: whether the order is sent before or after the registration was answered.
    """
    dice = random.Random(1)
    async with Engine(evaluator=Evaluator(pick=dice.randrange)) as engine:
        robots = [engine.start_instance() for _ in range(ROBOTS)]
        if comes_first == "order":
            service.gate.clear()
        with engine.evaluator.blocked():
            tasks = [asyncio.create_task(robot.call(service.url)) for robot in robots]
            for n, robot in enumerate(robots):
                await robot.until(lambda robot=robot: len(robot.callback_urls) == 1)
                if comes_first == "answer":
                    await robot.until(lambda robot=robot: robot.waiting)
                assert await put(http, robot.callback_urls[0], b'{"Job":%d}' % n) == 200
            service.gate.set()
            for robot in robots:
                await robot.until(lambda robot=robot: robot.waiting)
        results = [(await task).value for task in tasks]
    return sum(result != {"Job": n} for n, result in enumerate(results))


@pytest.mark.parametrize("comes_first", ["order", "answer"])
async def test_queued_loses_orders(service, http, comes_first):
    """With "Queued" in the 202, orders that were answered 200 never reach their process."""
    service.answers = [QUEUED]
    assert 0 < await orders_lost(service, http, comes_first=comes_first) < ROBOTS


@pytest.mark.parametrize("comes_first", ["order", "answer"])
async def test_an_empty_body_loses_none(service, http, comes_first):
    """With an empty 202 each order reaches its process, however busy the evaluator is."""
    service.answers = [ACCEPTED]
    assert await orders_lost(service, http, comes_first=comes_first) == 0


async def test_queued_loses_an_order_that_overtakes_it(service, http):
    """If the 202 arrives after the order, an idle evaluator loses it too."""
    service.answers = [QUEUED]
    service.gate.clear()
    async with Engine() as engine:
        robot = engine.start_instance()
        task = asyncio.create_task(robot.call(service.url))
        await robot.until(lambda: bool(robot.callback_urls))
        assert await put(http, robot.callback_urls[0], b'{"Job":1}') == 200
        service.gate.set()
        assert (await task).value == "Queued"
