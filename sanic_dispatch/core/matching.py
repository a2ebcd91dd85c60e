"""Matching: which worker gets which job. First come, first served, on both sides."""

from __future__ import annotations

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.worker import Worker


def worker_for_new_job(tables: Tables) -> Worker | None:
    """Return the free worker that has waited longest; None if there is none, or older jobs wait."""
    return tables.workers.first() if tables.jobs.first() is None else None


def job_for_new_worker(tables: Tables) -> Job | None:
    """Return the oldest waiting job; None if there is none, or other workers have waited longer."""
    return tables.jobs.first() if tables.workers.first() is None else None


def next_pair(tables: Tables) -> tuple[Job, Worker] | None:
    """Return the oldest waiting job and the longest-waiting free worker; None if not both."""
    worker = tables.workers.first()
    job = tables.jobs.first() if worker is not None else None
    return None if job is None or worker is None else (job, worker)
