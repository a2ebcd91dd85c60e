"""Robots without an address, against the real server; ``cli/test_work.py`` has the rest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from sanic_dispatch.simulation import RobotModel
from sanic_dispatch.simulation.connected_robot import PollingRobot
from tests.support.server import eventually, running_service


async def test_an_order_that_is_taken_from_a_polling_robot() -> None:
    """Its report is refused, and it goes on."""
    jobs: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
    async with running_service() as service:
        robot = PollingRobot(
            RobotModel(service.base_url, mix_s=0.05),
            random.Random(0),
            on_job=jobs.put_nowait,
            on_mixed=lambda: None,
            on_failure=lambda: None,
        )
        working = asyncio.create_task(robot.run())
        _, _, job_id = await service.submit("one")
        await asyncio.wait_for(jobs.get(), 5)
        await service.app.ctx.dispatcher.operator.put_back(job_id, "the wrong robot")

        async def is_done() -> bool:
            return (await service.job(job_id))["state"] == "done"

        await eventually(is_done)
        assert jobs.qsize() == 1  # it came again
        assert not working.done()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
