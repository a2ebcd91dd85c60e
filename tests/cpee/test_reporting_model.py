"""The example model that reports the outcome of its orders, run by the simulated engine."""

from __future__ import annotations

from sanic_dispatch.simulation import Engine
from tests.cpee.test_models import at_work, load
from tests.support.example_robot import example_robot
from tests.support.http_requests import ask
from tests.support.server import eventually, running_service

TOKEN = "an-operator-of-reports"


async def test_success_is_reported_with_a_result() -> None:
    """A mixed order is completed with a result before its robot registers again."""
    async with (
        Engine() as engine,
        running_service(lease_s=600.0) as service,
        example_robot() as robot,
    ):
        process = load(engine, "report", service.base_url, robot)
        async with at_work(process):
            _, _, job_id = await service.submit({"drink": "mojito"})

            async def is_done() -> bool:
                return (await service.job(job_id))["state"] == "done"

            await eventually(is_done, 20)
            assert (await service.job(job_id))["result"] == {"glasses": 1}
        assert process.data["refused"] is None


async def test_failure_is_reported_so_that_another_may_try() -> None:
    """A failed order returns to its place until max_attempts."""
    async with (
        Engine() as engine,
        running_service(lease_s=600.0, max_attempts=2) as service,
        example_robot("--fail-rate", "1") as robot,
    ):
        process = load(engine, "report", service.base_url, robot)
        async with at_work(process):
            _, _, job_id = await service.submit({"drink": "mojito"})

            async def has_failed() -> bool:
                return (await service.job(job_id))["state"] == "failed"

            await eventually(has_failed, 20)
            assert (await service.job(job_id))["reason"] == "no ice"
        assert process.data["refused"] is None


async def test_a_long_order_is_extended() -> None:
    """The lease is renewed before the mixing."""
    async with (
        Engine() as engine,
        running_service(lease_s=600.0, operator_tokens=(TOKEN,)) as service,
        example_robot() as robot,
    ):
        process = load(engine, "report", service.base_url, robot)
        async with at_work(process):
            await service.submit({"drink": "mojito"})

            async def happened() -> list[str]:
                history = await ask(service, "GET", "operator/history/1", TOKEN)
                return [event["event"] for event in history.body["events"]]

            async def is_done() -> bool:
                return "job.done" in await happened()

            await eventually(is_done, 20)
            assert (await happened())[-2:] == ["job.extended", "job.done"]


async def test_a_refused_report_is_kept() -> None:
    """The model goes on after a refused report, and stores that it was refused."""
    async with (
        Engine() as engine,
        running_service(lease_s=600.0) as service,
        example_robot() as robot,
    ):
        process = load(engine, "report", service.base_url, robot)
        process.endpoints["jobs"] += "of-nobody/"
        async with at_work(process):
            await service.submit({"drink": "mojito"})

            async def is_kept() -> bool:
                return process.data["refused"] is not None

            await eventually(is_kept, 20)
        assert process.instance.state == "running"
