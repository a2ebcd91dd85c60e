"""The dispatcher: the only one that moves anything.

It pairs the oldest job with the oldest worker and hands the job over, in the answer to the
registration or by PUT to the callback. How it is woken: whenever a job or a worker becomes free,
an event says so, and each such event tries to make one pair. The one that became free last sees
the other, so a free job and a usable worker never wait together.

What a request begins runs in the dispatcher's own tasks, or is already on its way to the disk: a
request that is cut off changes nothing half-way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from sanic_dispatch import lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.control import Control, Gate
from sanic_dispatch.deliveries import Callbacks, Deliveries
from sanic_dispatch.errors import DispatchError, ShuttingDown, StorageError
from sanic_dispatch.events import Event, Events, Kind
from sanic_dispatch.job import Job, Stage
from sanic_dispatch.proof import Proof
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.queues.peers import Snapshot
from sanic_dispatch.registrations import Registrations
from sanic_dispatch.reports import Reports
from sanic_dispatch.rules import Policy, Step
from sanic_dispatch.seal import Seal
from sanic_dispatch.steps import RETRY_S, Decide, Steps, if_still
from sanic_dispatch.submissions import Submission, Submissions
from sanic_dispatch.tasks import Tasks
from sanic_dispatch.worker import Worker


class Limits(NamedTuple):
    """How many may wait at most, of each kind."""

    jobs: int = 100_000
    workers: int = 10_000


DEFAULT_POLICY = Policy()
DEFAULT_LIMITS = Limits()


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
        self._seal, self._gate = Seal(), Gate(events)
        self.deliveries = Deliveries(pairs, self.steps, callbacks, self._seal, clock, policy)
        self.control = Control(pairs, self.steps, clock, self.tasks)
        self._pairs = pairs
        self._clock = clock
        self._policy = policy
        self._submissions = Submissions(
            pairs, self.deliveries, self._seal, self._gate, events, clock, self.tasks,
            submit_wait_s, limits.jobs,
        )  # fmt: skip
        self._registrations = Registrations(
            pairs, self.steps, self.deliveries, callbacks, self._gate, clock, self.tasks,
            limits.workers,
        )  # fmt: skip
        self._reports = Reports(pairs.jobs, self.steps, self._seal, clock, policy)
        self._is_open = False
        events.subscribe(self._on_event)
        pairs.when_freed(self._wake_soon)
        pairs.peers.when_orphaned(self._recover_soon)
        pairs.peers.when_reset(self._begin_anew)

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused the handing out."""
        return self._gate.is_paused

    @property
    def is_open(self) -> bool:
        """Whether it takes jobs and workers in."""
        return self._is_open

    async def start(self) -> None:
        """Take up what the last run left: first the hand-overs that were cut off, then pairing."""
        facts = await self._pairs.jobs.facts()
        self._seal.set(facts.secret)
        self._gate.is_paused = facts.paused
        for job in await self._pairs.hold_named_workers():
            await self.steps.take(job.id, self._restarted(job))
        self._is_open = True
        await self._serve_all()

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, and pair nothing more; deliveries under way end, or go back.

        After ``grace_s`` seconds what is still under way is left, and in doubt at the next start.
        """
        self._is_open = False
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self.tasks.idle()
        await self.tasks.cancel()

    async def submit(self, data: bytes, idempotency_key: str | None = None) -> Submission:
        """Take in a job: any JSON, already checked.

        Returns once it is durable and either a worker has it, or it is clear that it waits, or
        the wait for a worker's answer is over. A repeat of the same key and data gets the job
        that the first one made. Raises QueueFull, ShuttingDown, StorageFailed, and
        IdempotencyMismatch or StillUnderWay: then it was not taken.
        """
        self._check_open()
        return await self._submissions.submit(data, idempotency_key)

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
            return await self.tasks.outcome(asyncio.shield(registering))
        except asyncio.CancelledError:
            registering.add_done_callback(self._leave_unanswered)
            raise
        finally:
            del registering  # as in Tasks.outcome

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
        self._check_open()
        return await self.control.cancel(job_id, reason)

    async def complete(self, job_id: str, proof: Proof, result: bytes | None = None) -> Job:
        """The holder says that the work is done. Raises UnknownJob, NotTheHolder, WrongState."""
        self._check_open()
        return await self.tasks.run(self._reports.complete(job_id, proof, result))

    async def fail(self, job_id: str, proof: Proof, reason: str, *, retry: bool = False) -> Job:
        """The holder says that it cannot do the work. Raises as ``complete``."""
        self._check_open()
        return await self.tasks.run(self._reports.fail(job_id, proof, reason, retry=retry))

    async def extend(self, job_id: str, proof: Proof) -> Job:
        """The holder says that it is still at it. Raises as ``complete``."""
        self._check_open()
        return await self.tasks.run(self._reports.extend(job_id, proof))

    def note_refused(self, job_id: str, proof: Proof, reason: str) -> None:
        """A report on a job was refused; nobody waits for the note of that."""
        self.tasks.spawn(self._reports.note_refused(job_id, proof, reason))

    def receipt_of(self, job: Job) -> str:
        """What goes with a job that is handed over, and proves later who got it."""
        return self._seal.receipt(job)

    async def look_up(self, job_id: str) -> Submission:
        """A job, and its position where it waits. Raises UnknownJob."""
        job = await self.steps.find(job_id)
        return Submission(job, await self._pairs.jobs.position(job_id) or None)

    # ---- answering

    def _leave_unanswered(self, registering: asyncio.Task[Job | None]) -> None:
        """The request was cut off before there was an answer: nobody will write one."""
        if registering.cancelled():
            return
        if registering.exception() is None and (job := registering.result()):
            self.unanswered(job, began=False)

    def _note_answer(self, answered: Job, decide: Callable[[Job, float], Step]) -> None:
        self.tasks.spawn(
            self._registrations.settle_answer(
                answered, lambda job: decide(job, self._clock.now_s())
            )
        )

    # ---- other dispatchers

    def _recover_soon(self) -> None:
        self.tasks.spawn(self._recover())

    async def _recover(self) -> None:
        """One of them has died: take up what it left, as after a restart."""
        held = await self.steps.patiently(self._pairs.hold_named_workers)
        for job in held:
            with suppress(DispatchError):
                await self.steps.insist(job.id, self._restarted(job))
        await self._serve_all()

    def _restarted(self, cut_off: Job) -> Decide:
        """What becomes of a hand-over that was cut off, if it has not been settled meanwhile."""
        return if_still(
            cut_off,
            Stage.UNDER_WAY,
            lambda job: lifecycle.restart(job, self._policy, self._clock.now_s()),
        )

    def _begin_anew(self, snapshot: Snapshot) -> None:
        """Events were missed."""
        self._gate.is_paused = snapshot.paused
        self.tasks.spawn(self._go_on())

    async def _go_on(self) -> None:
        """The queues may have been made anew, with a secret that another dispatcher had."""
        facts = await self.steps.patiently(self._pairs.jobs.facts)
        self._seal.set(facts.secret)
        await self._serve_all()

    # ---- pairing

    def _on_event(self, event: Event) -> None:
        """Wake the pairing when something became free."""
        if event.kind is Kind.DISPATCH_RESUMED:
            self.tasks.spawn(self._serve_all())
        elif _makes_free(event):
            self._wake()

    def _wake(self) -> None:
        """Something became free: try to make one pair, unless it is clear that there is none."""
        if self._is_open and not self._gate.is_paused and self._pairs.may_pair():
            self.tasks.spawn(self._serve())

    def _wake_soon(self) -> None:
        """A write failed, and what it hid is free again."""
        self.tasks.spawn(self._wake_later())

    async def _wake_later(self) -> None:
        """The storage fails: give it time."""
        await self._clock.sleep(RETRY_S)
        self._wake()

    async def _serve_all(self) -> None:
        """Make every pair that can be made now."""
        for _ in range(await self.steps.patiently(self._pairs.pairable)):
            self._wake()

    async def _serve(self) -> None:
        """Make one pair, if there is one, and deliver."""
        try:
            paired = await self._pairs.pair(self._clock.now_s())
        except StorageError:
            await self._wake_later()
            return
        if paired:
            await self.deliveries.deliver(paired.job)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ShuttingDown


def _makes_free(event: Event) -> bool:
    """Whether a job, or a worker, can be paired from now on that could not before."""
    if event.job is not None:
        return event.job.is_free
    return event.kind in _FREES and event.worker is not None and event.worker.is_free


_FREES = (Kind.WORKER_REGISTERED, Kind.WORKER_CAME_BACK)
