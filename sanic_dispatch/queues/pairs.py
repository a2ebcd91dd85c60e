"""Pairing in one process: both queues are looked at and both records hidden in one step."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable

from sanic_dispatch.errors import AlreadyQueued
from sanic_dispatch.events import Kind, Note
from sanic_dispatch.job import Job, Stage, Way
from sanic_dispatch.lifecycle import assign
from sanic_dispatch.queues.base import Enqueued, Paired, Pairs
from sanic_dispatch.queues.local_jobs import LocalJobQueue
from sanic_dispatch.queues.local_workers import LocalWorkerQueue
from sanic_dispatch.tally import CommitTally
from sanic_dispatch.worker import Worker


class LocalPairs(Pairs):
    """Both queues live in this process, whatever their two modes are.

    Only the job's record says who holds it; a worker that is held is just hidden. So a hand-over
    costs one write, and after a crash the jobs tell which workers were held. Between the look at
    the queues and the write nothing gives way to other tasks.
    """

    def __init__(self, jobs: LocalJobQueue, workers: LocalWorkerQueue) -> None:
        self.jobs: LocalJobQueue = jobs
        self.workers: LocalWorkerQueue = workers

    async def offer(self, job: Job, now_s: float) -> Paired | Enqueued[Job]:
        await self._refresh()
        await self.jobs.turn(job.id)
        self.jobs.check_new(job.id)
        submitted = Note(Kind.JOB_SUBMITTED, now_s)
        worker = None if self.jobs.coming_and_free() else self.workers.oldest()
        if worker is None:
            return await self.jobs.append(job, [submitted])
        step = assign(job, worker, Way.PUT, now_s)
        let_go = self.workers.hold(worker.id)
        stored = await self.jobs.append(step.job, [submitted, step.note], let_go)
        return Paired(stored.record, worker)

    def line_up(self, job: Job, now_s: float, most: int) -> Future[Enqueued[Job]] | None:
        if self.jobs.commit.rereads or self.workers.commit.rereads or self.workers.index.free():
            return None
        if self.jobs.coming_and_free() >= most:
            return None
        try:
            return self.jobs.append(job, [Note(Kind.JOB_SUBMITTED, now_s)])
        except AlreadyQueued:
            return None

    async def ask(self, worker: Worker, now_s: float) -> Job | None:
        await self._refresh()
        await self.workers.turn(worker.id)
        self.workers.check_new(worker.id)
        job = None if self.workers.coming_and_free() else self.jobs.oldest()
        if job is None:
            await self.workers.append(worker, [Note(Kind.WORKER_REGISTERED, now_s)])
            return None
        step = assign(job, worker, Way.ANSWER, now_s)
        return await self.jobs.change(step.job, [step.note])

    async def pair(self, now_s: float) -> Paired | None:
        await self._refresh()
        while blocker := self.jobs.blocker() or self.workers.blocker():
            await blocker.wait()
        job, worker = self.jobs.oldest(), self.workers.oldest()
        if job is None or worker is None:
            return None
        step = assign(job, worker, Way.PUT, now_s)
        let_go = self.workers.hold(worker.id)
        return Paired(await self.jobs.change(step.job, [step.note], let_go), worker)

    async def pairable(self) -> int:
        return min(await self.jobs.size(), await self.workers.size())

    def may_pair(self) -> bool:
        return bool(self.jobs.index.free() and self.workers.index.free())

    async def hold_named_workers(self) -> list[Job]:
        held = [job for job in await self.jobs.items() if job.hold]
        for job in (*held, *await self.jobs.all_finished()):
            await self._hold_named(job)
        return held

    def when_freed(self, call: Callable[[], None]) -> None:
        self.jobs.freed = self.workers.freed = call

    def commits(self) -> dict[str, CommitTally]:
        own = {"jobs": self.jobs.commit, "workers": self.workers.commit}
        if self.jobs.commit is self.workers.commit:
            own = {"both": self.jobs.commit}
        return {queue: commit.tally for queue, commit in own.items() if commit.lasts}

    async def try_writing(self) -> None:
        for commit in {self.jobs.commit, self.workers.commit}:
            await commit.try_writing()

    async def _hold_named(self, job: Job) -> None:
        """A worker that has a job is used up; one that may have it is held."""
        if job.worker is None or self.workers.index.get(job.worker.id) is None:
            return
        if job.state.is_final or (job.hold and job.hold.stage is Stage.CONFIRMED):
            await self.workers.remove(job.worker.id)
        else:
            self.workers.hold(job.worker.id)

    async def _refresh(self) -> None:
        await self.jobs.refresh()
        await self.workers.refresh()
