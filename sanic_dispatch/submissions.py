"""Submissions: a new job comes in, and the customer hears what became of it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import partial
from typing import NamedTuple

from sanic_dispatch.clock import Clock, to_rfc3339
from sanic_dispatch.control import Gate
from sanic_dispatch.deliveries import Deliveries
from sanic_dispatch.errors import AlreadyQueued, IdempotencyMismatch, QueueFull, StillUnderWay
from sanic_dispatch.events import Event, Events, Kind, Note
from sanic_dispatch.job import Job, State
from sanic_dispatch.queues.base import Enqueued, Paired, Pairs
from sanic_dispatch.seal import Seal
from sanic_dispatch.tasks import Tasks

Changes = asyncio.Queue[Kind | None]

Taken = asyncio.Future[Enqueued[Job] | None]
"""None: the short way was not clear."""


class Submission(NamedTuple):
    """A job that was taken in; ``position`` is None once it no longer waits."""

    job: Job
    position: int | None


class _Coming(NamedTuple):
    """A job on its way to the line, and the request that waits for what becomes of it."""

    job_id: str
    data: bytes
    context: Context
    taken: Taken


class Submissions:
    """Takes jobs in, and follows each for as long as its submitter waits for the answer."""

    def __init__(
        self,
        pairs: Pairs,
        deliveries: Deliveries,
        seal: Seal,
        gate: Gate,
        events: Events,
        clock: Clock,
        tasks: Tasks,
        wait_s: float,
        max_jobs: int,
    ) -> None:
        self._pairs = pairs
        self._deliveries = deliveries
        self._seal = seal
        self._gate = gate
        self._clock = clock
        self._tasks = tasks
        self._wait_s = wait_s
        self._max_jobs = max_jobs
        self._following: dict[str, Changes] = {}
        self._coming: list[_Coming] = []
        events.subscribe(self._on_event, _OUTCOMES)

    async def submit(self, data: bytes, idempotency_key: str | None) -> Submission:
        """A new job; or the one that the same key and data made, as it is now.

        What is begun here goes on if the caller is cut off.
        """
        job_id = self._seal.job_id(idempotency_key)
        if taken := await self._tasks.outcome(self._line_up(job_id, data)):
            if not self._pairs.may_pair():
                return Submission(*taken)
            return await self._tasks.run(self._told(taken))
        return await self._tasks.run(self._take_in(job_id, data, idempotency_key))

    def _line_up(self, job_id: str, data: bytes) -> Taken:
        """The short way for a new job that can only wait: None where that is not clear.

        Those that come in one turn of the loop go one right after the other: code that has just
        run is quick.
        """
        taken: Taken = asyncio.get_running_loop().create_future()
        if not self._coming:
            lining_up = self._tasks.spawn(self._line_up_all(self._coming))
            lining_up.add_done_callback(partial(_leave, self._coming))
        self._coming.append(_Coming(job_id, data, copy_context(), taken))
        return taken

    async def _line_up_all(self, coming: Sequence[_Coming]) -> None:
        """Returns once the last of them is stored, and so all are: that goes by their order.

        ``_leave`` has what is to be done where this never begins.
        """
        self._coming = []
        begun = [self._begin(came) for came in coming if not came.taken.done()]
        if stored := list(filter(None, begun)):
            await asyncio.wait(stored[-1:])

    def _begin(self, came: _Coming) -> asyncio.Future[Enqueued[Job]] | None:
        """What is under way then, if something is."""
        try:
            stored = came.context.run(self._stored, came.job_id, came.data)
        except Exception as error:  # is no affair of the others
            came.taken.set_exception(error)
            return None
        if stored is None:
            came.taken.set_result(None)
        elif stored.done():
            _pass_on(came.taken, stored)
        else:
            stored.add_done_callback(partial(_pass_on, came.taken))
        return stored

    def _stored(self, job_id: str, data: bytes) -> asyncio.Future[Enqueued[Job]] | None:
        if self._gate.is_paused or job_id in self._following:
            return None
        now_s = self._clock.now_s()
        return self._pairs.line_up(_new(job_id, data, now_s), now_s, self._max_jobs)

    async def _told(self, taken: Enqueued[Job]) -> Submission:
        """A worker may have come while it was stored: then wait for what becomes of it."""
        if taken.record.id in self._following:
            return Submission(*taken)
        with self._followed(taken.record.id) as changes:
            return await self._enqueued(taken, changes)

    async def _take_in(self, job_id: str, data: bytes, idempotency_key: str | None) -> Submission:
        """The long way: whatever there may be to wait for, or to look up."""
        with self._followed(job_id) as changes:
            if idempotency_key is not None and (known := await self._known(job_id, data)):
                return known
            if await self._pairs.jobs.depth() >= self._max_jobs:
                raise QueueFull(self._max_jobs)
            now_s = self._clock.now_s()
            try:
                return await self._offer(_new(job_id, data, now_s), now_s, changes)
            except AlreadyQueued:  # another process was quicker with the same key
                if known := await self._known(job_id, data):
                    return known
                raise

    async def _offer(self, job: Job, now_s: float, changes: Changes) -> Submission:
        """Line it up; where a worker is free for it, wait for that worker's answer."""
        if self._gate.is_paused:
            stored = await self._pairs.jobs.enqueue(job, Note(Kind.JOB_SUBMITTED, now_s))
            return Submission(stored, await self._pairs.jobs.position(stored.id))
        taken = await self._pairs.offer(job, now_s)
        if isinstance(taken, Paired):
            self._tasks.spawn(self._deliveries.deliver(taken.job))
            return Submission(taken.job, await self._position_after_wait(job.id, changes))
        return await self._enqueued(taken, changes)

    async def _enqueued(self, taken: Enqueued[Job], changes: Changes) -> Submission:
        if taken.position > await self._pairs.workers.size():
            return Submission(taken.record, taken.position)
        position = await self._position_after_wait(taken.record.id, changes)
        return Submission(taken.record, position)

    async def _position_after_wait(self, job_id: str, changes: Changes) -> int | None:
        """None when a worker has the job; else its position once nobody is left, or time is up."""
        timer = asyncio.create_task(self._end_wait(changes))
        try:
            while kind := await changes.get():
                if kind in (Kind.JOB_CONFIRMED, Kind.JOB_DONE):
                    return None
                if kind is Kind.JOB_RETURNED and not await self._pairs.workers.size():
                    break
                if kind in (Kind.JOB_DOUBTED, Kind.JOB_FAILED):
                    break
        finally:
            timer.cancel()
        return max(1, await self._pairs.jobs.position(job_id))

    async def _end_wait(self, changes: Changes) -> None:
        await self._clock.sleep(self._wait_s)
        changes.put_nowait(None)

    async def _known(self, job_id: str, data: bytes) -> Submission | None:
        """The job that the same idempotency key has made before."""
        job = await self._pairs.jobs.get(job_id) or await self._pairs.jobs.finished(job_id)
        if job is None:
            return None
        if job.data != data:
            raise IdempotencyMismatch
        return Submission(job, None if _is_taken(job) else await self._pairs.jobs.position(job_id))

    @contextmanager
    def _followed(self, job_id: str) -> Iterator[Changes]:
        """Hear of the job's changes; one request at a time for each job."""
        if job_id in self._following:
            raise StillUnderWay
        changes = self._following[job_id] = asyncio.Queue()
        try:
            yield changes
        finally:
            del self._following[job_id]

    def _on_event(self, event: Event) -> None:
        if event.job is not None and (changes := self._following.get(event.job.id)):
            changes.put_nowait(event.kind)


_OUTCOMES = (
    Kind.JOB_CONFIRMED, Kind.JOB_DONE, Kind.JOB_RETURNED, Kind.JOB_DOUBTED, Kind.JOB_FAILED,
)  # fmt: skip
"""What a submitter may wait for."""


def _pass_on(taken: Taken, stored: asyncio.Future[Enqueued[Job]]) -> None:
    """Tell the request what became of its job, unless it was cut off."""
    if stored.cancelled():
        taken.cancel()
    elif error := stored.exception():
        if not taken.done():
            taken.set_exception(error)
    elif not taken.done():
        taken.set_result(stored.result())


def _leave(coming: list[_Coming], lining_up: asyncio.Task[None]) -> None:
    """Where the service has stopped for good, they hear of it."""
    if lining_up.cancelled():
        for came in coming:
            came.taken.cancel()
        coming.clear()


def _is_taken(job: Job) -> bool:
    """Whether a worker has it, or had it at the end."""
    return job.state is not State.WAITING and job.hold is not None


def _new(job_id: str, data: bytes, now_s: float) -> Job:
    """A job that has no number yet, and no place."""
    return Job(job_id, 0, data, to_rfc3339(now_s), 0.0)
