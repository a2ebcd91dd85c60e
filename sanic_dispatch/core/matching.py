"""Who gets which job: the first in line that a worker takes, and the worker that waited longest.

It does not matter whether jobs or workers are looked at first: all workers prefer the jobs that
come first in line, and all jobs the workers that have waited longest, so there is only one stable
matching.
"""

from __future__ import annotations

from operator import attrgetter

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.worker import Worker


def worker_for(tables: Tables, job: Job) -> Worker | None:
    """Return the free worker that has waited longest among those that take the job."""
    free, line = tables.workers.free_by_rule, tables.jobs.line
    if not free:
        return None
    if line.is_plain and ANYTHING in free:
        first: Worker = free[ANYTHING][0]
        return first
    admitting = line.admitting(job)
    able = (
        workers[0]
        for rule, workers in free.items()
        if rule == ANYTHING or (rule in admitting and line.is_matched(rule))
    )
    return min(able, key=attrgetter("place"), default=None)


def job_for(tables: Tables, worker: Worker) -> Job | None:
    """Return the first job in line that the worker takes."""
    head = tables.jobs.line.head_for(worker.rule)
    return head.job if head else None


def next_pair(tables: Tables) -> tuple[Job, Worker] | None:
    """Return the first job that a free worker takes, and the worker for it; None if not both."""
    free, line = tables.workers.free_by_rule, tables.jobs.line
    heads = [head for rule in free if (head := line.head_for(rule)) is not None]
    if not heads:
        return None
    job = min(heads).job
    worker = worker_for(tables, job)
    assert worker is not None
    return job, worker
