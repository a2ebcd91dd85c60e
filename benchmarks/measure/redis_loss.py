"""What a kill -9 of Redis loses, by appendfsync: python -m benchmarks.measure.redis_loss

Jobs are stored one after the other until Redis is killed; after a restart the acknowledged jobs
are compared with the stored ones. A kill is not a power loss: what the operating system has
buffered survives the process.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from time import monotonic

from benchmarks.drive.redis_server import started
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Change, Table
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.storage.open_store import open_store
from sanic_dispatch.storage.store import Batch, Store

SETTINGS = (("yes", "always"), ("yes", "everysec"), ("yes", "no"), ("no", "no"))
RUN_S = 2.0


async def lost(folder: Path, port: int, append: str, sync: str) -> tuple[int, int]:
    """Return how many jobs were acknowledged, and how many of these are lost."""
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
    """Store jobs for a time, and return the ids of the acknowledged ones."""
    acknowledged: set[str] = set()
    until_s = monotonic() + RUN_S
    while monotonic() < until_s:
        number = len(acknowledged) + 1
        job = Job(f"{number:032x}", number, b"{}", to_rfc3339(0.0), number)
        await store.commit(Batch(number, [Change(Table.JOBS, job.id, None, job)], ()))
        acknowledged.add(job.id)
    return acknowledged


async def main() -> None:
    """Print one row per setting."""
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
