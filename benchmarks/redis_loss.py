"""What a kill -9 of Redis loses, by appendfsync: python -m benchmarks.redis_loss

Each time jobs are lined up one after the other until Redis is killed; then it is started again, and
what was acknowledged is compared with what is there. A kill is no power loss: what the operating
system has is not lost with the process.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

from sanic_dispatch.clock import to_rfc3339
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.events import Events, Kind, Note
from sanic_dispatch.job import Job
from sanic_dispatch.queues.redis_pairs import open_redis

SETTINGS = (("yes", "always"), ("yes", "everysec"), ("yes", "no"), ("no", "no"))
RUN_S = 2.0


def started(folder: Path, port: int, append: str, sync: str) -> subprocess.Popen[bytes]:
    """A server on this folder, once it answers."""
    command = [
        "redis-server", "--port", str(port), "--dir", str(folder), "--save", "",
        "--appendonly", append, "--appendfsync", sync, "--logfile", "redis.log",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            continue
        return process


async def lost(folder: Path, port: int, append: str, sync: str) -> tuple[int, int]:
    """How many jobs were acknowledged, and how many of them are lost."""
    server = started(folder, port, append, sync)
    url, note = f"redis://127.0.0.1:{port}/0", Note(Kind.JOB_SUBMITTED, 0.0)
    acknowledged: set[str] = set()
    async with open_redis(url, "bench", Events()) as pairs:
        until_s = monotonic() + RUN_S
        while monotonic() < until_s:
            job = Job(f"{len(acknowledged):032x}", 0, b"{}", to_rfc3339(0.0), 0.0)
            try:
                await pairs.jobs.enqueue(job, note)
            except StorageFailed:
                break
            acknowledged.add(job.id)
        server.kill()
        server.wait()
        server = started(folder, port, append, sync)
        await asyncio.sleep(0.5)
        kept = {job.id for job in await pairs.jobs.items()}
    server.kill()
    server.wait()
    return len(acknowledged), len(acknowledged - kept)


async def main() -> None:
    """One line for each setting."""
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is needed")
    sys.stdout.write(
        "| appendonly | appendfsync | acknowledged in 2 s, one by one | lost |\n|---|---|---|---|\n"
    )
    for append, sync in SETTINGS:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            total, gone = await lost(Path(folder), port, append, sync)
        sys.stdout.write(f"| {append} | {sync} | {total} | {gone} |\n")


if __name__ == "__main__":
    asyncio.run(main())
