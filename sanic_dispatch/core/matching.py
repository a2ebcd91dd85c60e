"""Matching: which worker gets which job. First come, first served, on both sides."""

from __future__ import annotations

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.worker import Worker


def match_job(tables: Tables) -> Worker | None:
    """Find the worker for a new job: the one that has waited longest, unless jobs wait already."""
    return tables.workers.first() if tables.jobs.first() is None else None


def match_worker(tables: Tables) -> Job | None:
    """Find the job for a new worker: the oldest one, unless workers wait already."""
    return tables.jobs.first() if tables.workers.first() is None else None


def next_pair(tables: Tables) -> tuple[Job, Worker] | None:
    """Find the oldest waiting job and the oldest free worker; None where there are not both."""
    worker = tables.workers.first()
    job = tables.jobs.first() if worker is not None else None
    return None if job is None or worker is None else (job, worker)
