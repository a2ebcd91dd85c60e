"""An order that is late, at a service whose robots are quick."""

from __future__ import annotations

from sanic_dispatch.live.estimator import MIN_SERVICE_SAMPLES
from tests.support.server import Service, eventually


async def late_order(service: Service) -> str:
    """Have a robot do some orders quickly and take long over the next; return the id of another."""
    for number in range(MIN_SERVICE_SAMPLES + 3):
        await service.submit(number)
        await _register(service, number)
    _, _, job_id = await service.submit("late")

    async def is_late_now() -> bool:
        return await is_late(service, job_id)

    await eventually(is_late_now)
    return job_id


async def is_late(service: Service, job_id: str) -> bool:
    """Return whether the page of an order says that it is late."""
    async with service.http.get(f"{service.base_url}state?order={job_id}") as answer:
        return bool((await answer.json())["state"]["order"].get("late", False))


async def _register(service: Service, number: int) -> None:
    """Have the robot report the end of its order, and ask for the next one."""
    headers = {
        "CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{number}/",
        "CPEE-INSTANCE-UUID": "i1",
        "CPEE-ACTIVITY": "a1",
        "CPEE-LABEL": "Ada",
    }
    async with service.http.post(service.base_url + "register-worker", headers=headers) as answer:
        assert answer.status == 200
