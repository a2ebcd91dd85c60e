"""Queries: lists of jobs and workers for operators and views."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from itertools import chain
from math import inf
from operator import attrgetter
from typing import NamedTuple

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.lanes import ticket_of
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.batches import Batches
from sanic_dispatch.observability.request_id import REQUEST_ID
from sanic_dispatch.storage.checkpoint import Snapshot
from sanic_dispatch.storage.event_log import Epoch
from sanic_dispatch.storage.event_record import LoggedEvent

EARLIER_EVENTS = 512
"""How many events of earlier runs are read at a start."""


class EarlierRuns(NamedTuple):
    """What is known of the runs before: the epochs, and the last events up to the start.

    Without epochs no number of an earlier epoch is good. The finished jobs that are not kept any
    more had finished by ``forgotten_until_s``; it is -inf if all are kept.
    """

    epochs: Sequence[Epoch] = ()
    events: Sequence[LoggedEvent] = ()
    forgotten_until_s: float = inf


NO_EARLIER_RUNS = EarlierRuns()


class TopicSnapshot(NamedTuple):
    """All records of a topic: jobs that wait or are held, finished jobs and workers, in order."""

    jobs: list[Job]
    finished: list[Job]
    workers: list[Worker]
    paused: bool
    earlier: EarlierRuns = NO_EARLIER_RUNS


class Queries:
    """Read the tables; an answer shows only what is durable, and takes O(records)."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def jobs(self, state: State | None, after: int, limit: int) -> list[Job]:
        """Return the first ``limit`` jobs with tickets above ``after``, in ticket order."""

        def read(tables: Tables) -> list[Job]:
            jobs = tables.jobs
            everything = chain(jobs.finished(), jobs.assigned(), jobs.line)
            found = (job for job in everything if job.ticket > after and state in (None, job.state))
            return nsmallest(limit, found, key=lambda job: job.ticket)

        found: list[Job] = await self._batches.execute(c.Read(read, REQUEST_ID.get()))
        return found

    async def everything(self) -> Snapshot:
        """Return all records, in no order, and the number of the last event that led to them."""

        def read(tables: Tables) -> Snapshot:
            jobs, workers = list(tables.jobs.unordered()), list(tables.workers.unordered())
            last_event = self._batches.last_event
            return Snapshot(jobs, workers, list(tables.facts), last_event)

        found: Snapshot = await self._batches.execute(c.Read(read, REQUEST_ID.get()))
        return found

    async def of_ticket(self, ticket: int) -> Job | None:
        """Return the job of that ticket, if it is kept."""
        found = await self.jobs(None, ticket - 1, 1)
        return found[0] if found and found[0].ticket == ticket else None

    async def data_of(self, job_id: str) -> bytes | None:
        """Return a job's data: JSON; None if it is not kept any more, or forgotten."""

        def read(tables: Tables) -> bytes | None:
            job = tables.jobs.get(job_id)
            return None if job is None or job.forgotten else job.data

        found: bytes | None = await self._batches.execute(c.Read(read, REQUEST_ID.get()))
        return found

    async def workers(self) -> list[Worker]:
        """Return all queued workers in order, held ones and those set aside included."""
        read = c.Read(lambda tables: list(tables.workers), REQUEST_ID.get())
        found: list[Worker] = await self._batches.execute(read)
        return found


def snapshot_of(tables: Tables, earlier: EarlierRuns) -> TopicSnapshot:
    """Return all records, as of the last command that was applied."""
    jobs = tables.jobs
    queued = sorted(chain(jobs.assigned(), jobs.line), key=ticket_of)
    queued.sort(key=attrgetter("place"))  # by numbers twice: a fifth of the time of pairs
    finished, workers = list(jobs.finished()), list(tables.workers)
    return TopicSnapshot(queued, finished, workers, tables.facts.paused, earlier)


def forgotten_until_s(tables: Tables) -> float:
    """Return by when the finished jobs that are not kept any more had finished; -inf if all are.

    Those that finished first are removed first.
    """
    jobs = tables.jobs
    if len(jobs) == jobs.last_ticket:
        return -inf
    return next((job.finished_s or inf for job in jobs.finished()), inf)
