"""Carries out lifecycle's steps: stores the job, then lets its worker go where the step says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import AlreadyQueued, Outdated, StorageFailed, UnknownJob
from sanic_dispatch.events import Kind, Note
from sanic_dispatch.job import Job, Stage, State
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.rules import Fate, Step
from sanic_dispatch.worker import Cause, Worker

T = TypeVar("T")

Decide = Callable[[Job], Step | None]

RETRY_S = 0.5
"""How long to wait before a change that must not be lost is tried again."""


class Steps:
    """One step at a time per job: read, decide, compare-and-set; from the start if it changed."""

    def __init__(self, pairs: Pairs, clock: Clock) -> None:
        self._jobs = pairs.jobs
        self._workers = pairs.workers
        self._clock = clock

    async def take(self, job_id: str, decide: Decide) -> Job | None:
        """Take the step that ``decide`` says; None where it says that there is nothing to do.

        Raises UnknownJob, WrongState (from ``decide``) and StorageFailed.
        """
        while True:
            job = await self.find(job_id)
            step = decide(job)
            if step is None:
                return None
            try:
                stored = await self._store(job, step)
            except Outdated:
                continue
            await self._follow(job, step)
            return stored

    async def insist(self, job_id: str, decide: Decide) -> Job | None:
        """The same for what has already happened outside: try until the storage takes it."""
        while True:
            try:
                return await self.take(job_id, decide)
            except StorageFailed:
                await self._clock.sleep(RETRY_S)

    async def patiently(self, look: Callable[[], Awaitable[T]]) -> T:
        """What a look finds, or what must follow from a change, once the storage goes along."""
        while True:
            try:
                return await look()
            except StorageFailed:
                await self._clock.sleep(RETRY_S)

    async def find(self, job_id: str) -> Job:
        """The job, queued or finished. Raises UnknownJob."""
        job = await self._jobs.get(job_id) or await self._jobs.finished(job_id)
        if job is None:
            raise UnknownJob
        return job

    async def change_worker(
        self,
        worker_id: str,
        change: Callable[[Worker], Worker | None],
        kind: Kind,
        reason: str = "",
    ) -> Worker | None:
        """Store a changed worker, or nothing where it is gone or ``change`` says None."""
        while True:
            worker = await self._workers.get(worker_id)
            changed = change(worker) if worker else None
            if changed is None:
                return None
            if changed.aside:
                reason = changed.aside.reason
            try:
                return await self._workers.replace(changed, self._note(kind, reason))
            except Outdated:
                continue

    async def bring_back(self, worker_id: str) -> None:
        """Let a worker that was set aside be used again, at its old place."""
        await self.change_worker(
            worker_id, lambda worker: worker.back() if worker.aside else None, Kind.WORKER_CAME_BACK
        )

    async def drop_worker(self, worker_id: str, reason: str) -> None:
        """Forget a worker that will never come back."""
        await self._workers.remove(worker_id, self._note(Kind.WORKER_DROPPED, reason))

    async def replaced(self, worker_id: str) -> None:
        """Forget a callback whose worker has come back with a new one."""
        reason = "it came back with a new callback"
        await self.patiently(lambda: self.drop_worker(worker_id, reason))

    async def _store(self, before: Job, step: Step) -> Job:
        if step.job.state.is_final:
            return await self._jobs.finish(step.job, step.note)
        if before.state.is_final:
            return await self._jobs.put_back(step.job, step.note)
        return await self._jobs.replace(step.job, step.note)

    async def _follow(self, before: Job, step: Step) -> None:
        """The job is stored: its worker must follow, however long the storage fails."""
        await self.patiently(lambda: self._let_go(before, step))

    async def _let_go(self, before: Job, step: Step) -> None:
        if before.worker is None or step.fate is Fate.STAYS:
            return
        if step.fate is Fate.USED:
            await self._workers.remove(before.worker.id, self._note(Kind.WORKER_USED))
            return
        reason, now_s = step.note.reason, step.note.at_s
        if step.fate is Fate.REJOINS:
            await self._rejoin(before.worker.refused(reason, now_s, ""))
        else:
            job_id = before.id if step.fate is Fate.ASIDE else ""
            await self.change_worker(
                before.worker.id,
                lambda worker: _refused(worker, reason, now_s, job_id),
                Kind.WORKER_SET_ASIDE,
            )

    async def _rejoin(self, worker: Worker) -> None:
        """A worker that was taken for used up still waits: it stands in the queue again, aside."""
        reason = worker.aside.reason if worker.aside else ""
        with suppress(AlreadyQueued):
            await self._workers.enqueue(worker, self._note(Kind.WORKER_SET_ASIDE, reason))

    def _note(self, kind: Kind, reason: str = "") -> Note:
        return Note(kind, self._clock.now_s(), reason)


def _refused(worker: Worker, reason: str, now_s: float, job_id: str) -> Worker | None:
    """An operator's word stands."""
    if worker.aside and worker.aside.cause is Cause.OPERATOR:
        return None
    return worker.refused(reason, now_s, job_id)


def if_still(attempt: Job, stage: Stage, decide: Decide) -> Decide:
    """Decide only as long as this attempt is at this stage: somebody else may have settled it."""

    def decide_if(job: Job) -> Step | None:
        if job.hold is None or job.attempt != attempt.attempt or job.hold.stage is not stage:
            return None
        return decide(job) if job.state is State.ASSIGNED else None

    return decide_if
