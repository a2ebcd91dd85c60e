"""beanstalkd, by greenstalk: python -m benchmarks.peers.with_beanstalkd work|submit"""

from __future__ import annotations

import json
import sys
from threading import local

import greenstalk

from benchmarks.peers.in_flight import JOB, port, take_turns_in_threads, work


def work_all() -> None:
    """Reserve, work and delete, one job after the other."""
    client = greenstalk.Client(("127.0.0.1", port()))
    while True:
        job = client.reserve()
        work(json.loads(job.body))
        client.delete(job)


def submit() -> None:
    """Put jobs, over a connection for each thread."""
    own = local()

    def put() -> None:
        if not hasattr(own, "client"):
            own.client = greenstalk.Client(("127.0.0.1", port()))
        own.client.put(json.dumps(JOB))

    take_turns_in_threads(put)


if __name__ == "__main__":
    {"work": work_all, "submit": submit}[sys.argv[1]]()
