"""The dispatcher: the only one that moves anything.

It pairs the oldest job with the oldest worker and hands the job over, in the answer to the
registration or by PUT to the callback. How it is woken: whenever a job or a worker becomes free,
an event says so, and each such event tries to make one pair. The one that became free last sees
the other, so a free job and a usable worker never wait together.

What a request begins runs in the dispatcher's own tasks: a request that is cut off changes
nothing half-way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from sanic_dispatch import lifecycle
from sanic_dispatch.clock import Clock, to_rfc3339
from sanic_dispatch.deliveries import Callbacks, Deliveries
from sanic_dispatch.errors import QueueFull, ShuttingDown, StorageError
from sanic_dispatch.events import Event, Events, Kind
from sanic_dispatch.job import Job
from sanic_dispatch.lifecycle import Policy, Step
from sanic_dispatch.queues.base import Enqueued, Pairs
from sanic_dispatch.registrations import Registrations
from sanic_dispatch.steps import RETRY_S, Steps
from sanic_dispatch.tasks import Tasks
from sanic_dispatch.worker import Worker

STOP_GRACE_S = 12.0
"""How long deliveries under way may take when the service stops: a call's time-out, and a bit."""


class Limits(NamedTuple):
    """How many may wait at most, of each kind."""

    jobs: int = 100_000
    workers: int = 10_000


DEFAULT_POLICY = Policy()
DEFAULT_LIMITS = Limits()


class Submission(NamedTuple):
    """A job that was taken in; ``position`` is None once a worker has it."""

    job: Job
    position: int | None


class Dispatcher:
    """Submit, register, cancel; pairs, delivers, and settles what came of it."""

    def __init__(
        self,
        pairs: Pairs,
        callbacks: Callbacks,
        events: Events,
        clock: Clock,
        policy: Policy = DEFAULT_POLICY,
        submit_wait_s: float = 2.0,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.tasks = Tasks()
        self.steps = Steps(pairs, clock)
        self.deliveries = Deliveries(pairs, self.steps, callbacks, clock, policy)
        self._pairs = pairs
        self._clock = clock
        self._policy = policy
        self._submit_wait_s = submit_wait_s
        self._max_jobs = limits.jobs
        self._registrations = Registrations(
            pairs, self.steps, self.deliveries, callbacks, clock, self.tasks, limits.workers
        )
        self._following: dict[str, asyncio.Queue[Kind | None]] = {}
        self._is_open = False
        events.subscribe(self._on_event)
        pairs.when_freed(self._wake)

    async def start(self) -> None:
        """Take up what the last run left: first the hand-overs that were cut off, then pairing."""
        for job in await self._pairs.hold_named_workers():
            await self.steps.take(
                job.id, lambda job: lifecycle.restart(job, self._policy, self._clock.now_s())
            )
        self._is_open = True
        for _ in range(await self._pairs.pairable()):
            self.tasks.spawn(self._serve())

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Take nothing new; what is under way ends, or is in doubt at the next start."""
        self._is_open = False
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.tasks.idle()
        await self.tasks.cancel()

    async def submit(self, data: bytes) -> Submission:
        """Take in a job: any JSON, already checked.

        Returns once it is durable and either a worker has it, or it is clear that it waits, or
        the wait for a worker's answer is over. Raises QueueFull, ShuttingDown or StorageFailed:
        then it was not taken.
        """
        self._check_open()
        return await self.tasks.run(self._submit(data))

    async def register(self, worker: Worker, *, lost: bool = False) -> Job | None:
        """Take in a worker that asks for a job: a job to answer with, or None: it waits.

        A job that is returned is held by the worker; say ``answered`` or ``unanswered`` of it.
        A repeat of the same callback changes nothing and gets the same answer. ``lost`` says that
        the last answer never arrived: the same job is given again. Raises QueueFull, ShuttingDown
        or StorageFailed.
        """
        self._check_open()
        registering = self.tasks.spawn(self._registrations.register(worker, lost=lost))
        try:
            return await asyncio.shield(registering)
        except asyncio.CancelledError:
            registering.add_done_callback(self._leave_unanswered)
            raise

    def answered(self, job: Job) -> None:
        """The answer with this job was written; nobody waits for the note of that."""
        self._note_answer(job, lambda job, now_s: lifecycle.accept(job, self._policy, now_s))

    def unanswered(self, job: Job, *, began: bool) -> None:
        """The connection broke before the answer with this job, or after it ``began``."""
        reason = f"the connection broke {'during' if began else 'before'} the answer"
        self._note_answer(
            job,
            lambda job, now_s: (
                lifecycle.doubt(job, self._policy, now_s, reason)
                if began
                else lifecycle.release(job, now_s, reason)
            ),
        )

    async def cancel(self, job_id: str, reason: str = "") -> Job:
        """Take a waiting job out of the line. Raises UnknownJob and WrongState."""
        return await self._change(job_id, lambda job, now_s: lifecycle.cancel(job, now_s, reason))

    async def look_up(self, job_id: str) -> Submission:
        """A job, and its position where it waits. Raises UnknownJob."""
        job = await self.steps.find(job_id)
        return Submission(job, await self._pairs.jobs.position(job_id) or None)

    # ---- submitting

    async def _submit(self, data: bytes) -> Submission:
        if await self._pairs.jobs.size() >= self._max_jobs:
            raise QueueFull(self._max_jobs)
        now_s = self._clock.now_s()
        job = Job(secrets.token_hex(16), 0, data, to_rfc3339(now_s), 0.0)
        changes = self._following[job.id] = asyncio.Queue()
        try:
            taken = await self._pairs.offer(job, now_s)
            if not isinstance(taken, Enqueued):
                self.tasks.spawn(self.deliveries.deliver(taken.job))
            elif taken.position > await self._pairs.workers.size():
                return Submission(taken.record, taken.position)
            stored = taken.job if not isinstance(taken, Enqueued) else taken.record
            return Submission(stored, await self._position_after_wait(job.id, changes))
        finally:
            del self._following[job.id]

    async def _position_after_wait(
        self, job_id: str, changes: asyncio.Queue[Kind | None]
    ) -> int | None:
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

    async def _end_wait(self, changes: asyncio.Queue[Kind | None]) -> None:
        await self._clock.sleep(self._submit_wait_s)
        changes.put_nowait(None)

    # ---- answering

    def _leave_unanswered(self, registering: asyncio.Task[Job | None]) -> None:
        """The request was cut off before there was an answer: nobody will write one."""
        if registering.exception() is None and (job := registering.result()):
            self.unanswered(job, began=False)

    def _note_answer(self, answered: Job, decide: Callable[[Job, float], Step]) -> None:
        self.tasks.spawn(
            self._registrations.settle_answer(
                answered, lambda job: decide(job, self._clock.now_s())
            )
        )

    # ---- pairing

    def _on_event(self, event: Event) -> None:
        """Follow the jobs that somebody waits for; wake the pairing when something became free."""
        if event.job is not None:
            if changes := self._following.get(event.job.id):
                changes.put_nowait(event.kind)
            is_free = event.job.is_free
        else:
            is_free = event.kind in _FREES and event.worker is not None and event.worker.is_free
        if is_free:
            self._wake()

    def _wake(self) -> None:
        """Something became free: try to make one pair."""
        if self._is_open:
            self.tasks.spawn(self._serve())

    async def _serve(self) -> None:
        """Make one pair, if there is one, and deliver."""
        try:
            paired = await self._pairs.pair(self._clock.now_s())
        except StorageError:
            await self._clock.sleep(RETRY_S)
            self._wake()
            return
        if paired:
            await self.deliveries.deliver(paired.job)

    async def _change(self, job_id: str, decide: Callable[[Job, float], Step]) -> Job:
        self._check_open()
        changed = await self.tasks.run(
            self.steps.take(job_id, lambda job: decide(job, self._clock.now_s()))
        )
        assert changed is not None
        return changed

    def _check_open(self) -> None:
        if not self._is_open:
            raise ShuttingDown


_FREES = (Kind.WORKER_REGISTERED, Kind.WORKER_CAME_BACK)
