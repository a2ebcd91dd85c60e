"""A worker at a websocket: it needs no address at which the dispatcher could call it.

    python examples/websocket/worker.py http://localhost:2567/ --name Robot-1

It needs the package sanic-dispatch. Replace ``work`` by your own. Its name is its identity, so it
must be the only worker of that name. At Ctrl-C it finishes the job in hand.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from typing import Any

from sanic_dispatch.client import Lost, ServiceError, Worker, WorkerJob


async def work(job: WorkerJob, seconds: float) -> Any:
    """Do the work, and return its result: any JSON."""
    for percent in (0, 25, 50, 75):
        await job.progress(percent, "mixing")
        await asyncio.sleep(seconds / 4)
    return {"made": job.data}


async def run(worker: Worker, seconds: float) -> None:
    """Work until it is stopped."""
    for end in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(end, worker.stop)
    async for job in worker:
        print(f"working on {job.data}", flush=True)
        result = await work(job, seconds)
        if job.is_cancelled:
            await job.fail("stopped for the customer", cancelled=True)
        else:
            await report(job, result)
        print("done", flush=True)


async def report(job: WorkerJob, result: Any) -> None:
    """Report the result; fail the job if that cannot be sent, or it would stop every worker."""
    try:
        await job.done(result)
    except ServiceError as error:  # too large, or not JSON
        print(f"result refused: {error}", flush=True)
        await job.fail(str(error))


def say_lost(lost: Lost) -> None:
    """Print why there is no connection; there will be another one."""
    print(f"no connection: {lost.reason}", flush=True)


def main() -> None:
    """Work until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A worker for trying things out.")
    parser.add_argument("url", nargs="?", default="http://localhost:2567/")
    parser.add_argument("--name", default="Robot-1", help="no other worker may have it")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a job takes")
    options = parser.parse_args()
    token = os.environ.get("WORKER_TOKEN")
    worker = Worker(options.url, options.name, token, on_lost=say_lost)
    try:
        asyncio.run(run(worker, options.seconds))
    except ServiceError as error:
        raise SystemExit(f"the dispatcher says no: {error}") from error


if __name__ == "__main__":
    main()
