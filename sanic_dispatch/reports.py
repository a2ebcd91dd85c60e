"""Reports: what a worker says of the job that it holds: done, failed, or still at it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from sanic_dispatch import lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import NotTheHolder, UnknownJob
from sanic_dispatch.job import Job, State
from sanic_dispatch.proof import Proof
from sanic_dispatch.queues.base import JobQueue
from sanic_dispatch.rules import Policy, Step
from sanic_dispatch.seal import Seal
from sanic_dispatch.steps import Steps


class Reports:
    """Takes the holder's word, and nobody else's.

    Every report raises UnknownJob, NotTheHolder, WrongState or StorageFailed. A repeat of one
    that was taken changes nothing.
    """

    def __init__(
        self, jobs: JobQueue, steps: Steps, seal: Seal, clock: Clock, policy: Policy
    ) -> None:
        self._jobs = jobs
        self._steps = steps
        self._seal = seal
        self._clock = clock
        self._policy = policy

    async def complete(self, job_id: str, proof: Proof, result: bytes | None) -> Job:
        """The work is done; ``result`` is JSON, already checked. Late is fine while it is free."""
        return await self._take(
            job_id, proof, State.DONE, lambda job, now_s: lifecycle.finish(job, now_s, result)
        )

    async def fail(self, job_id: str, proof: Proof, reason: str, *, retry: bool) -> Job:
        """The work cannot be done; with ``retry`` another worker may try."""

        def decide(job: Job, now_s: float) -> Step:
            if retry:
                return lifecycle.retry(job, self._policy, now_s, reason)
            return lifecycle.fail(job, now_s, reason)

        return await self._take(job_id, proof, State.FAILED, decide)

    async def extend(self, job_id: str, proof: Proof) -> Job:
        """The worker is still at it: its lease begins anew."""
        return await self._take(job_id, proof, None, lifecycle.extend)

    async def note_refused(self, job_id: str, proof: Proof, reason: str) -> None:
        """Keep in mind that a report was refused, and why, until one on the same job is taken.

        Where there is no such job it may have been about any that the reporting instance holds.
        """
        jobs = [job_id]
        if not await self._is_known(job_id) and proof.instance:
            jobs = [job.id for job in await self._jobs.of_instance(proof.instance)]
        for each in jobs:
            with suppress(UnknownJob):
                await self._steps.insist(
                    each,
                    lambda job: lifecycle.refuse_report(job, self._clock.now_s(), reason),
                )

    async def _is_known(self, job_id: str) -> bool:
        try:
            await self._steps.patiently(lambda: self._steps.find(job_id))
        except UnknownJob:
            return False
        return True

    async def _take(
        self,
        job_id: str,
        proof: Proof,
        reached: State | None,
        decide: Callable[[Job, float], Step],
    ) -> Job:
        held = await self._jobs.of_instance(proof.instance) if proof.instance else []

        def decide_for_holder(job: Job) -> Step | None:
            if not (proof.is_of_holder(job, self._seal) or proof.is_of_instance(job, held)):
                raise NotTheHolder(job.state)
            return None if job.state is reached else decide(job, self._clock.now_s())

        changed = await self._steps.take(job_id, decide_for_holder)
        return changed or await self._steps.find(job_id)
