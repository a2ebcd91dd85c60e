"""SAQ on Redis.

python -m saq benchmarks.peers.with_saq.settings
python -m benchmarks.peers.with_saq
"""

from __future__ import annotations

from typing import Any

import uvloop
from saq import Queue

from benchmarks.peers.in_flight import JOB, port, take_turns, work

queue = Queue.from_url(f"redis://127.0.0.1:{port()}/0")


async def work_one(_: object, *, data: dict[str, Any]) -> None:
    """Work a job."""
    work(data)


settings = {"queue": queue, "functions": [work_one]}


async def submit() -> None:
    """Enqueue."""
    await queue.connect()
    await take_turns(lambda: queue.enqueue("work_one", data=JOB))


if __name__ == "__main__":
    uvloop.run(submit())
