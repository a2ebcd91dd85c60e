"""An asynchronous client of the HTTP interface and of the live channel.

    async with DispatchClient("http://localhost:2567/") as client:
        submitted = await client.submit({"drink": "mojito", "name": "Ada"})
        async for state in client.follow(order=submitted.job_id):
            ...

A worker needs no address of its own:

    async for job in Worker("http://localhost:2567/", "Robot-1"):
        await job.done({"glasses": 1})

Methods raise ServiceError if the service refuses a request, and Unreachable without an answer.
"""

from __future__ import annotations

from sanic_dispatch.client.answers import (
    BadAddress,
    JobStatus,
    ServiceError,
    Submitted,
    Unreachable,
)
from sanic_dispatch.client.channel import Lost, ViewState, reduce
from sanic_dispatch.client.dispatch_client import DispatchClient
from sanic_dispatch.client.websocket_worker import WebsocketWorker as Worker
from sanic_dispatch.client.websocket_worker import WorkerJob

__all__ = [
    "BadAddress",
    "DispatchClient",
    "JobStatus",
    "Lost",
    "ServiceError",
    "ViewState",
    "Submitted",
    "Unreachable",
    "Worker",
    "WorkerJob",
    "reduce",
]
