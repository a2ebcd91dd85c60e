"""Deliveries: one PUT per attempt, its outcome, and the clearing up of those in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sanic_dispatch import evidence, lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.evidence import Finding, Look
from sanic_dispatch.job import Hold, Job, Stage, State, Way
from sanic_dispatch.outcome import GONE, Accepted, Outcome, Refused
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.rules import Policy, Step
from sanic_dispatch.seal import Seal
from sanic_dispatch.steps import Steps, if_still
from sanic_dispatch.worker import Key, Worker


class Callbacks(Protocol):
    """What the dispatcher needs of the network."""

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """PUT the body to a callback, exactly once."""

    async def is_pending(self, callback_url: str, silence: bool | None = None) -> bool | None:
        """Whether the callback still waits for a PUT; None where nobody can tell.

        ``silence`` is what it means if nothing answers in time.
        """

    async def instance_state(self, instance_url: str) -> str | None:
        """The engine's word for an instance's state; None where nobody can tell."""

    async def instance_uuid(self, instance_url: str) -> str | None:
        """Which instance has this address now; empty where the engine does not say, None where
        nobody can tell."""


class Deliveries:
    """Hands jobs over to the workers that hold them, and settles what came of it."""

    def __init__(
        self,
        pairs: Pairs,
        steps: Steps,
        callbacks: Callbacks,
        seal: Seal,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._workers = pairs.workers
        self._peers = pairs.peers
        self._steps = steps
        self._callbacks = callbacks
        self._seal = seal
        self._clock = clock
        self._policy = policy
        self._first_looks: dict[str, tuple[Hold, float]] = {}

    async def deliver(self, job: Job) -> None:
        """PUT a job to the worker that holds it, and store what came of it."""
        assert job.worker
        if not await self._steps.patiently(lambda: self._peers.may_hand_over(job)):
            return
        if await self._has_left(job.worker):
            outcome: Outcome = Refused("its callback does not wait any more")
        else:
            receipt = {"Job-Receipt": self._seal.receipt(job)}
            outcome = await self._callbacks.deliver(job.worker.id, job.to_wire(), receipt)
        await self._settle(job, outcome)

    async def clear_up(self, job_id: str, held_s: float = 0.0) -> None:
        """Look what became of a job that is in doubt since ``held_s``; ``evidence.in_doubt`` says.

        The worker says that it never got it → the same job to its new callback. The old callback
        still waits → the same job again. It does not, and the worker goes on or has come back with
        a new one → it has the job. Nobody can tell for long, and the worker has come back → the
        same job to the new callback. The worker took it and has lost it → the same job to whichever
        callback it waits on. Where nobody can tell yet, nothing changes.
        """
        job = await self._steps.find(job_id)
        if job.worker is None or job.hold is None or not _is_at(job, Stage.IN_DOUBT):
            return
        successor = await self._successor(job.worker.key, job)
        if successor and successor.is_lost:
            await self._send_again(job, successor)
            return
        unclear_s = self._unclear_s(job_id, job.hold)
        look = await self._look_at(job.worker)
        successor = await self._successor(job.worker.key, job)
        finding = evidence.in_doubt(
            job.hold,
            look,
            came_back=successor is not None,
            held_s=held_s,
            unclear_s=unclear_s,
            policy=self._policy,
        )
        if finding is Finding.SEND_AGAIN:
            if successor:
                await self._steps.bring_back(successor.id)
            await self._send_again(job, job.worker)
        elif finding is Finding.SEND_TO_SUCCESSOR and successor:
            await self._send_again(job, successor)
        elif finding is Finding.USED:
            await self._confirm(job)
        elif finding is Finding.UNUSED:
            await self._note_unused(job.id, job.hold)

    async def check_use(self, job_id: str, hold: Hold) -> bool:
        """Look whether a worker that took a job has used its callback up; if so, True.

        Where the callback still waits the job is in doubt from now on, and will be sent again.
        """
        finding = evidence.after_taking(await self._look_at(hold.worker))
        if finding is Finding.UNUSED:
            await self._note_unused(job_id, hold)
        return finding is Finding.USED

    async def has_lost(self, hold: Hold) -> bool:
        """Whether the worker that took a job waits on that callback still, or again."""
        return evidence.after_taking(await self._look_at(hold.worker)) is Finding.UNUSED

    async def _note_unused(self, job_id: str, hold: Hold) -> None:
        def decide(job: Job) -> Step | None:
            if job.hold != hold or job.state is not State.ASSIGNED:
                return None
            return lifecycle.find_unused(job, self._clock.now_s())

        await self._steps.take(job_id, decide)

    async def _look_at(self, worker: Worker) -> Look:
        if worker.key is None:
            return Look()
        before = await self.state_of(worker)
        pending = await self.is_pending(worker)
        return Look(pending, before, await self.state_of(worker) if pending is False else before)

    async def is_pending(self, worker: Worker) -> bool | None:
        """Whether its callback still waits; a worker without a key cannot be asked."""
        return await self._callbacks.is_pending(worker.callback_url) if worker.key else None

    async def state_of(self, worker: Worker) -> str | None:
        """The state of the instance that registered: the engine's word, ``gone``, or None where
        nobody can tell."""
        url = worker.instance_url
        word = await self._callbacks.instance_state(url)
        if worker.key is None or word is None or word == GONE:
            return word
        there = await self._callbacks.instance_uuid(url)
        return evidence.state_of_ours(word, worker.key.instance, there)

    def forget(self, job_id: str) -> None:
        """Nobody looks after this job any more: it is settled."""
        self._first_looks.pop(job_id, None)

    def _unclear_s(self, job_id: str, hold: Hold) -> float:
        """How long ago this doubt was looked into first, by the clock that never jumps."""
        now_s = self._clock.monotonic_s()
        doubt, since_s = self._first_looks.get(job_id, (None, 0.0))
        if doubt != hold:
            since_s = now_s
            self._first_looks[job_id] = hold, since_s
        return now_s - since_s

    async def reunite(self, job_id: str, key: Key | None) -> None:
        """A worker may have come back with a new callback while its last job was unsettled.

        Called after each of the two was stored, so whichever was last sees the other. The job is
        confirmed → it is done, or sent again to a worker that never got it. In doubt → it is
        cleared up. Anyhow else the worker is free.
        """
        try:
            job = await self._steps.find(job_id)
        except UnknownJob:
            await self._free_awaiting(job_id, key)
            return
        successor = await self._successor(key, job)
        if successor is None or _is_at(job, Stage.UNDER_WAY):
            return
        if _is_at(job, Stage.IN_DOUBT):
            await self.clear_up(job_id)
            return
        if _is_at(job, Stage.CONFIRMED) and job.worker and job.worker.key == key:
            if successor.is_lost:
                await self._send_again(job, successor)
                return
            now_s = self._clock.now_s()
            done = if_still(
                job, Stage.CONFIRMED, lambda job: lifecycle.finish_by_return(job, now_s)
            )
            await self._steps.insist(job_id, done)
        await self._steps.bring_back(successor.id)

    async def _free_awaiting(self, job_id: str, key: Key | None) -> None:
        """The job that they waited for is not kept any more: nothing is left to be settled."""
        for worker in await self._workers.of_key(key) if key else []:
            if worker.awaits(job_id):
                await self._steps.bring_back(worker.id)

    async def _has_left(self, worker: Worker) -> bool:
        """Whether a worker that has waited long waits no more, or does not answer."""
        waited_s = self._clock.now_s() - worker.registered_s
        if worker.key is None or 0 <= waited_s < self._policy.probe_after_s:
            return False  # less than nothing is no time: somebody has set the clock back
        if await self._callbacks.is_pending(worker.callback_url, silence=False) is False:
            return True
        return await self.state_of(worker) == GONE

    async def _settle(self, job: Job, outcome: Outcome) -> None:
        settle = if_still(job, Stage.UNDER_WAY, lambda job: self._step(job, outcome))
        await self._steps.insist(job.id, settle)
        await self.reunite(job.id, job.worker.key if job.worker else None)

    def _step(self, job: Job, outcome: Outcome) -> Step:
        now_s = self._clock.now_s()
        if isinstance(outcome, Accepted):
            return lifecycle.accept(job, self._policy, now_s)
        if isinstance(outcome, Refused):
            return lifecycle.refuse(
                job, self._policy, now_s, outcome.reason, blames_job=outcome.blames_job
            )
        return lifecycle.doubt(job, self._policy, now_s, outcome.reason)

    async def _confirm(self, job: Job) -> None:
        now_s = self._clock.now_s()
        confirm = if_still(
            job, Stage.IN_DOUBT, lambda job: lifecycle.accept(job, self._policy, now_s)
        )
        await self._steps.insist(job.id, confirm)
        await self.reunite(job.id, job.worker.key if job.worker else None)

    async def _send_again(self, job: Job, worker: Worker) -> None:
        now_s = self._clock.now_s()
        assert job.hold
        assign = if_still(
            job, job.hold.stage, lambda job: lifecycle.assign(job, worker, Way.PUT, now_s)
        )
        again = await self._steps.take(job.id, assign)
        if again is None:
            return
        if job.worker and worker.id != job.worker.id:
            await self._steps.replaced(job.worker.id)
        await self.deliver(again)

    async def _successor(self, key: Key | None, job: Job) -> Worker | None:
        """The new callback of the key that has, or had, the job, if it has come back already."""
        for worker in await self._workers.of_key(key) if key else []:
            if worker.awaits(job.id) and not (job.worker and job.worker.id == worker.id):
                return worker
        return None


def _is_at(job: Job, stage: Stage) -> bool:
    return job.state is State.ASSIGNED and job.hold is not None and job.hold.stage is stage
