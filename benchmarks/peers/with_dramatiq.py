"""dramatiq on Redis.

python -m dramatiq benchmarks.peers.with_dramatiq
python -m benchmarks.peers.with_dramatiq
"""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.in_flight import JOB, port, take_turns_in_threads, work

dramatiq.set_broker(RedisBroker(url=f"redis://127.0.0.1:{port()}/0"))
actor = dramatiq.actor(work)

if __name__ == "__main__":
    take_turns_in_threads(lambda: actor.send(JOB))
