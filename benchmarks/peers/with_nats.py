"""NATS JetStream with a work queue: python -m benchmarks.peers.with_nats work|submit"""

from __future__ import annotations

import json
import sys

import nats
import uvloop
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig

from benchmarks.peers.in_flight import JOB, port, take_turns, work

STREAM, SUBJECT, DURABLE = "JOBS", "jobs", "workers"
BATCH = 10


async def jet_stream() -> JetStreamContext:
    """Connect, and see that the stream is there: in files, from which acknowledged jobs go."""
    connection = await nats.connect(f"nats://127.0.0.1:{port()}")
    stream = connection.jetstream()
    await stream.add_stream(
        StreamConfig(name=STREAM, subjects=[SUBJECT], retention=RetentionPolicy.WORK_QUEUE)
    )
    return stream


async def work_all() -> None:
    """Fetch, work and acknowledge."""
    consumer = await (await jet_stream()).pull_subscribe(SUBJECT, DURABLE)
    while True:
        try:
            messages = await consumer.fetch(BATCH)
        except TimeoutError:
            continue
        for message in messages:
            work(json.loads(message.data))
            await message.ack()


async def submit() -> None:
    """Publish, and wait until the stream has it."""
    stream = await jet_stream()
    await take_turns(lambda: stream.publish(SUBJECT, json.dumps(JOB).encode()))


if __name__ == "__main__":
    uvloop.run({"work": work_all, "submit": submit}[sys.argv[1]]())
