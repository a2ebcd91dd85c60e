"""Ours, with its own client at both ends: python -m benchmarks.peers.with_dispatch work|submit"""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus

import uvloop

from benchmarks.peers.in_flight import JOB, port, take_turns, work
from sanic_dispatch.client import DispatchClient, ServiceError, Worker

WORKERS = 20


async def work_jobs(name: str) -> None:
    """Be one worker."""
    async for job in Worker(f"http://127.0.0.1:{port()}/", name):
        work(job.data)
        await job.done(wants_next=True)


async def work_all() -> None:
    """Be all workers."""
    await asyncio.gather(*(work_jobs(f"Robot-{number}") for number in range(WORKERS)))


async def submit() -> None:
    """Submit by HTTP."""
    async with DispatchClient(f"http://127.0.0.1:{port()}/") as client:
        await take_turns(lambda: submit_one(client))


async def submit_one(client: DispatchClient) -> None:
    """Submit a job; again if the disk did not answer for seconds, after which it may be there."""
    while True:
        try:
            await client.submit(JOB)
        except ServiceError as error:
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
        else:
            return


if __name__ == "__main__":
    uvloop.run({"work": work_all, "submit": submit}[sys.argv[1]]())
