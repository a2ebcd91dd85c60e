"""What a kill -9 of Redis loses, by appendfsync: python -m benchmarks.measure.redis_loss

Each time jobs are stored one after the other until Redis is killed; then it is started again, and
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

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Table
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.storage.open_store import open_store
from sanic_dispatch.storage.store import Batch, Store

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
    settings = Settings.of(Mode.REDIS, redis_url=f"redis://127.0.0.1:{port}/0")
    server = started(folder, port, append, sync)
    async with open_store(settings) as store:
        await store.load()
        acknowledged = await fill(store)
        server.kill()
        server.wait()
    server = started(folder, port, append, sync)
    async with open_store(settings) as store:
        kept = {job.id for job in (await store.load()).jobs}
    server.kill()
    server.wait()
    return len(acknowledged), len(acknowledged - kept)


async def fill(store: Store) -> set[str]:
    """The ids of the jobs that were acknowledged in the time."""
    acknowledged: set[str] = set()
    until_s = monotonic() + RUN_S
    while monotonic() < until_s:
        number = len(acknowledged) + 1
        job = Job(f"{number:032x}", number, b"{}", to_rfc3339(0.0), number)
        await store.commit(Batch(number, [Change(Table.JOBS, job.id, None, job)], ()))
        acknowledged.add(job.id)
    return acknowledged


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
