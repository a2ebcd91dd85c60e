"""What waits and what was finished, as lists for operators."""

from __future__ import annotations

from heapq import nsmallest

from sanic_dispatch.job import Job, State
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.worker import Worker


class Listing:
    """Reads the queues; costs time in proportion to their length."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    async def jobs(self, state: State | None, after: int, limit: int) -> list[Job]:
        """The first ``limit`` jobs in the order of their tickets, behind the ticket ``after``."""
        jobs = [*await self._pairs.jobs.all_finished(), *await self._pairs.jobs.items()]
        found = (job for job in jobs if job.ticket > after and state in (None, job.state))
        return nsmallest(limit, found, key=lambda job: job.ticket)

    async def of_ticket(self, ticket: int) -> Job | None:
        """The job of that ticket, if it is kept."""
        found = await self.jobs(None, ticket - 1, 1)
        return found[0] if found and found[0].ticket == ticket else None

    async def workers(self) -> list[Worker]:
        """All workers that wait, in order; also those that are held or set aside."""
        return await self._pairs.workers.items()
