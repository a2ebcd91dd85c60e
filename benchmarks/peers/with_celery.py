"""Celery on Redis.

python -m celery -A benchmarks.peers.with_celery worker
python -m benchmarks.peers.with_celery
"""

from __future__ import annotations

from celery import Celery

from benchmarks.peers.in_flight import JOB, port, take_turns_in_threads, work

app = Celery("jobs", broker=f"redis://127.0.0.1:{port()}/0")
task = app.task(work, name="work")

if __name__ == "__main__":
    take_turns_in_threads(lambda: task.delay(JOB))
