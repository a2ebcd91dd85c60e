"""Registrations: what a worker's call means, and what it is answered.

rules.TABLE says what a registration by a key means for the job which that key holds; here it
is carried out. One at a time for each key: a second request waits for the first one's commit.
"""

from __future__ import annotations

from sanic_dispatch import evidence, lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.control import Gate
from sanic_dispatch.deliveries import Callbacks, Deliveries
from sanic_dispatch.errors import AlreadyQueued, QueueFull
from sanic_dispatch.events import Kind, Note
from sanic_dispatch.job import Job, Stage, State, Way
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.rules import Registration, Step
from sanic_dispatch.steps import Decide, Steps, if_still
from sanic_dispatch.tasks import Tasks
from sanic_dispatch.turns import Turns
from sanic_dispatch.worker import Cause, Key, Worker


class Registrations:
    """Takes in workers; the job that ``register`` returns is held, and still to be answered."""

    def __init__(
        self,
        pairs: Pairs,
        steps: Steps,
        deliveries: Deliveries,
        callbacks: Callbacks,
        gate: Gate,
        clock: Clock,
        tasks: Tasks,
        max_workers: int,
    ) -> None:
        self._pairs = pairs
        self._steps = steps
        self._deliveries = deliveries
        self._callbacks = callbacks
        self._gate = gate
        self._clock = clock
        self._tasks = tasks
        self._max_workers = max_workers
        self._turns = Turns()

    async def register(self, worker: Worker, *, lost: bool) -> Job | None:
        """A job to answer with, or None: it waits. Raises QueueFull and StorageFailed."""
        async with self._turns.of(_who(worker)), self._turns.of(worker.id):
            try:
                return await self._register(worker, lost)
            except AlreadyQueued:  # another process was quicker with the same callback
                return await self._register(worker, lost)

    async def _register(self, worker: Worker, lost: bool) -> Job | None:
        known, job = await self._repeat(worker)
        if known:
            return job
        worker = await self._as_it_was(worker)
        if worker.key:
            self._tasks.spawn(self._drop_stale(worker.id, worker.key))
        job = await self._held_by_key(worker)
        if job is not None and not lost and await self._pairs.peers.has_settled(job):
            job = await self._held_by_key(worker)
        if job is None:
            return await self._ask(worker)
        return await self._come_back(worker, job, lost=lost)

    async def settle_answer(self, answered: Job, decide: Decide) -> None:
        """Note what became of an answer, before the same worker can ask again."""
        assert answered.worker
        async with self._turns.of(_who(answered.worker)):
            await self._steps.insist(answered.id, if_still(answered, Stage.UNDER_WAY, decide))

    async def _repeat(self, worker: Worker) -> tuple[bool, Job | None]:
        """Whether this callback is known already, and the job that its repeat gets."""
        waiting = await self._pairs.workers.get(worker.id)
        if waiting and waiting.aside and waiting.aside.cause is Cause.REFUSED:
            await self._steps.bring_back(worker.id)
        if waiting:
            return True, None
        job = await self._pairs.jobs.at_callback(worker.id)
        return job is not None, await self._repeated(job, worker) if job else None

    async def _repeated(self, job: Job, worker: Worker) -> Job | None:
        """The job, if that is what this callback's registration was answered with last."""
        hold = job.hold or job.former
        if hold is None or hold.way is Way.PUT or hold.worker.id != worker.id:
            return None
        if job.state.is_final:
            return job if job.state is State.DONE else None
        return await self._give(job, worker)

    async def _held_by_key(self, worker: Worker) -> Job | None:
        """The job that the worker's key got first and still holds, or lost by its lease."""
        held = await self._pairs.jobs.of_key(worker.key) if worker.key else []
        return min(held, key=_since_s, default=None)

    async def _come_back(self, worker: Worker, job: Job, *, lost: bool) -> Job | None:
        """A worker that holds a job asks with a new callback."""
        meaning = lifecycle.meaning_of(job, worker.id, lost=lost)
        if meaning is Registration.SAME_JOB:
            return await self._give(job, worker)
        if meaning is Registration.DONE:
            await self._steps.take(job.id, lambda now: self._finish(job, now))
            return await self._ask(worker)
        now_s = self._clock.now_s()
        waiting = worker.awaiting(now_s, job.id, lost=lost)
        await self._pairs.workers.enqueue(waiting, Note(Kind.WORKER_REGISTERED, now_s))
        self._tasks.spawn(self._deliveries.reunite(job.id, worker.key))
        return None

    def _finish(self, held: Job, job: Job) -> Step | None:
        """Done, unless somebody settled it otherwise meanwhile."""
        before, now = held.hold or held.former, job.hold or job.former
        if before is None or not evidence.is_same(before, now) or job.state is not held.state:
            return None
        return lifecycle.finish_by_return(job, self._clock.now_s())

    async def _give(self, job: Job, worker: Worker) -> Job | None:
        """Answer with a job that the worker's key holds already, or held last."""
        if job.state is State.WAITING and self._gate.is_paused:
            return await self._ask(worker)
        now_s = self._clock.now_s()
        given = await self._steps.take(
            job.id, lambda job: lifecycle.assign(job, worker, Way.ANSWER, now_s)
        )
        if job.worker and job.worker.id != worker.id:
            await self._steps.replaced(job.worker.id)
        return given

    async def _as_it_was(self, worker: Worker) -> Worker:
        """A worker that an operator has set aside is that with every callback."""
        for older in await self._pairs.workers.of_key(worker.key) if worker.key else []:
            if older.aside and older.aside.cause is Cause.OPERATOR:
                return worker._replace(aside=older.aside)
        return worker

    async def _ask(self, worker: Worker) -> Job | None:
        if await self._pairs.workers.depth() >= self._max_workers:
            raise QueueFull(self._max_workers)
        now_s = self._clock.now_s()
        if worker.is_free and not self._gate.is_paused:
            return await self._pairs.ask(worker, now_s)
        await self._pairs.workers.enqueue(worker, Note(Kind.WORKER_REGISTERED, now_s))
        return None

    async def _drop_stale(self, newest: str, key: Key) -> None:
        """Older callbacks of the same key that wait: dropped unless they are still pending."""
        for older in await self._pairs.workers.of_key(key):
            if older.id == newest or older.is_awaiting:
                continue
            if await self._callbacks.is_pending(older.id) is False:
                await self._steps.replaced(older.id)


def _since_s(job: Job) -> float:
    hold = job.hold or job.former
    return hold.since_s if hold else 0.0


def _who(worker: Worker) -> tuple[str, str]:
    """What its registrations have in common: the key, or the one callback that it has."""
    return worker.key or ("", worker.id)
