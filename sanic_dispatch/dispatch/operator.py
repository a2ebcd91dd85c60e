"""The operator's acts: on the handing out of jobs, on a job, on a worker.

What each act does to a job is in ``core/lifecycle.py``. Each act leaves an event whose reason says
who did it and why. The job itself keeps only why, since its submitter can read that.
"""

from __future__ import annotations

import asyncio

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import with_actor
from sanic_dispatch.core.job import Job, ticket_in
from sanic_dispatch.dispatch.batches import Batches
from sanic_dispatch.dispatch.erasure import past_job
from sanic_dispatch.dispatch.queries import Queries
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.observability.request_id import REQUEST_ID
from sanic_dispatch.storage.event_log import EventLog


class Operator:
    """Carry out an operator's acts. Raises UnknownJob, UnknownWorker, WrongState, StorageFailed."""

    def __init__(self, batches: Batches, queries: Queries, history: EventLog) -> None:
        self._batches = batches
        self._queries = queries
        self._history = history

    async def pause(self, why: str, who: str = "") -> bool:
        """Stop handing out jobs; jobs and workers are still taken in. Kept across restarts.

        Return whether it is paused.
        """
        await self._batches.execute(c.Pause(True, with_actor(who, why), REQUEST_ID.get()))
        return True

    async def resume(self, why: str, who: str = "") -> bool:
        """Resume handing out jobs; return whether that is paused."""
        await self._batches.execute(c.Pause(False, with_actor(who, why), REQUEST_ID.get()))
        return False

    async def cancel(self, job_id: str, why: str, who: str = "") -> Job:
        """Cancel a waiting job, or have the holder of an assigned one cancel it."""
        act = c.Cancel(job_id, why, who, is_operators=True, request=REQUEST_ID.get())
        return await self._act_on_job(act)

    async def put_back(self, job_id: str, why: str, who: str = "") -> Job:
        """Put an assigned, doubtful or failed job back to its own place."""
        return await self._act_on_job(c.PutBack(job_id, why, who, REQUEST_ID.get()))

    async def move_to_front(self, job_id: str, why: str, who: str = "") -> Job:
        """Move a waiting job to the head of the queue."""
        return await self._act_on_job(c.MoveToFront(job_id, why, who, REQUEST_ID.get()))

    async def set_priority(self, job_id: str, priority: int, why: str, who: str = "") -> Job:
        """Give a waiting job another priority, 0 to 7."""
        return await self._act_on_job(c.SetPriority(job_id, priority, why, who, REQUEST_ID.get()))

    async def forget(self, job: str, who: str = "") -> None:
        """Erase the data and the result of a finished job, named by its id or its ticket.

        It may be known to the event log alone. Returns once this is durable; the ``Eraser`` then
        sees to the files.
        """
        ticket = ticket_in(job)
        kept = await self._queries.of_ticket(ticket) if ticket is not None else None
        act = c.Forget(kept.id if kept else job, None, who, REQUEST_ID.get())
        try:
            await self._batches.execute(act)
        except UnknownJob:
            past = await asyncio.to_thread(past_job, self._history, ticket, job)
            if past is None:
                raise
            if not past.forgotten:
                await self._batches.execute(act._replace(job_id=past.id, past=past))

    async def set_aside(self, worker_id: str, why: str, who: str = "") -> None:
        """Give a worker no jobs until it is brought back, even if it registers again."""
        await self._batches.execute(c.SetAside(worker_id, with_actor(who, why), REQUEST_ID.get()))

    async def bring_back(self, worker_id: str, why: str, who: str = "") -> None:
        """Use a worker set aside again, at its old place."""
        await self._batches.execute(c.BringBack(worker_id, with_actor(who, why), REQUEST_ID.get()))

    async def drop(self, worker_id: str, why: str, who: str = "") -> None:
        """Remove a waiting worker."""
        await self._batches.execute(c.DropWorker(worker_id, with_actor(who, why), REQUEST_ID.get()))

    async def _act_on_job(self, act: c.Act) -> Job:
        job: Job = (await self._batches.execute(act)).job
        return job
