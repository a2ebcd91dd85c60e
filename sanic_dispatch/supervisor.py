"""The timers: workers set aside are probed; jobs that are held are looked after, until settled."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from sanic_dispatch import evidence, lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.deliveries import Callbacks, Deliveries
from sanic_dispatch.errors import DispatchError
from sanic_dispatch.events import Event, Events, Kind
from sanic_dispatch.job import Hold, Job, Stage, State, Way
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.rules import ENDED, Policy, Step
from sanic_dispatch.steps import Steps
from sanic_dispatch.tasks import Tasks
from sanic_dispatch.worker import Cause, Worker

_WATCHED = (
    *(kind for kind in Kind if kind.startswith("worker.")), Kind.JOB_DOUBTED, Kind.JOB_CONFIRMED,
    Kind.JOB_UNCONSUMED,
)  # fmt: skip
"""The events after which a worker or a job may have to be looked after."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    worker_s: float = 24 * 3600.0
    """A worker set aside is dropped when its callback was not pending for that long."""
    instance_s: float = 30.0
    """How often an instance that holds a job is asked for its state."""


DEFAULT_PATIENCE = Patience()


@dataclass(slots=True)
class HoldWatch:
    """A hold that is looked after: how often it was looked at, and since when.

    A job that its worker has lost and gets again keeps its lease, which began at ``leased_s``;
    ``is_used`` once it is known that the worker did not lose it.
    """

    hold: Hold
    since_s: float
    leased_s: float
    looks: int = 0
    is_used: bool = False

    @classmethod
    def of(cls, hold: Hold, last: HoldWatch | None, now_s: float) -> HoldWatch:
        """The watch of a job's hold, after ``last`` of the same job."""
        if last is None:
            return cls(hold, now_s, now_s)
        if hold == last.hold:
            return last
        is_the_same = hold.unused and hold.worker.id == last.hold.worker.id
        looks = 0 if hold.unused else last.looks
        return cls(hold, now_s, last.leased_s if is_the_same else now_s, looks)


class Supervisor:
    """Watches each worker that was set aside and each job that is held, one task each."""

    def __init__(
        self,
        pairs: Pairs,
        steps: Steps,
        deliveries: Deliveries,
        callbacks: Callbacks,
        events: Events,
        clock: Clock,
        policy: Policy,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        self.tasks = Tasks()
        self._pairs = pairs
        self._steps = steps
        self._deliveries = deliveries
        self._callbacks = callbacks
        self._clock = clock
        self._policy = policy
        self._patience = patience
        self._watched: set[str] = set()
        events.subscribe(self._on_event, _WATCHED)
        pairs.peers.when_reset(lambda now: self._watch_all(now.workers, now.jobs))

    async def start(self) -> None:
        """Watch what was set aside or held when the service stopped."""
        self._watch_all(await self._pairs.workers.items(), await self._pairs.jobs.items())

    async def stop(self) -> None:
        """End all watches; they begin anew at the next start."""
        await self.tasks.cancel()

    def _watch_all(self, workers: Iterable[Worker], jobs: Iterable[Job]) -> None:
        for worker in workers:
            if worker.aside:
                self._watch(worker.id, self._watch_worker)
        for job in jobs:
            if job.hold:
                self._watch(job.id, self._watch_job)

    def _on_event(self, event: Event) -> None:
        if event.job:
            self._watch(event.job.id, self._watch_job)
        elif event.worker and event.worker.aside:
            self._watch(event.worker.id, self._watch_worker)

    def _watch(self, name: str, watch: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        if name not in self._watched:
            self._watched.add(name)
            self.tasks.spawn(watch(name))

    # ---- workers set aside

    async def _watch_worker(self, worker_id: str) -> None:
        looks, seen, since_s = 0, None, 0.0
        try:
            while worker := await self._aside(worker_id):
                if worker.aside and worker.aside != seen:
                    seen, since_s = worker.aside, self._steadily(worker.aside.since_s)
                await self._clock.sleep(interval_s(worker.refusals - 1 + looks))
                await self._without_failing(self._look_at(worker_id, since_s, is_first=not looks))
                looks += 1
        finally:
            self._watched.discard(worker_id)

    async def _aside(self, worker_id: str) -> Worker | None:
        worker = await self._steps.patiently(lambda: self._pairs.workers.get(worker_id))
        watched = worker and worker.aside and worker.aside.cause is not Cause.OPERATOR
        return worker if watched else None

    def _steadily(self, unix_s: float) -> float:
        """The same moment by the clock that never jumps, as far as that can be told now."""
        return self._clock.monotonic_s() - max(self._clock.now_s() - unix_s, 0.0)

    async def _look_at(self, worker_id: str, since_s: float, *, is_first: bool) -> None:
        """Find out whether a worker that was set aside ``since_s`` can be used again."""
        worker = await self._aside(worker_id)
        if worker is None or worker.aside is None or not self._pairs.peers.is_mine(worker_id):
            return
        if worker.is_awaiting:
            await self._deliveries.reunite(worker.aside.job_id, worker.key)
        elif worker.key is None:
            await self._look_at_unknown(worker)
        else:
            blamed = worker.aside.job_id if is_first else ""
            await self._probe(worker, blamed, since_s)

    async def _look_at_unknown(self, worker: Worker) -> None:
        """A worker that cannot be asked is tried again when nobody else is free, a few times."""
        if worker.refusals >= self._policy.max_attempts:
            await self._steps.drop_worker(worker.id, "it refused too often")
        elif await self._pairs.jobs.size() and not await self._pairs.workers.size():
            await self._steps.bring_back(worker.id)

    async def _probe(self, worker: Worker, job_id: str, since_s: float) -> None:
        is_pending = await self._callbacks.is_pending(worker.callback_url)
        state = await self._deliveries.state_of(worker)
        if state in ENDED:  # also where another instance has its number, and its callback
            await self._steps.drop_worker(worker.id, f"its process instance is {state}")
        elif is_pending:
            await self._blame(job_id)
            await self._steps.bring_back(worker.id)
        elif self._clock.monotonic_s() - since_s > self._patience.worker_s:
            await self._steps.drop_worker(worker.id, "it was not seen for too long")

    async def _blame(self, job_id: str) -> None:
        """A worker that refused this job waits all the same, right after: the job may be at fault.

        One that waits only later was stopped meanwhile, which is no fault of the job.
        """
        reason = "refused by a worker that waits"

        def decide(job: Job) -> Step | None:
            if job.state.is_final:
                return None
            return lifecycle.blame(job, self._policy, self._clock.now_s(), reason)

        if job_id:
            await self._steps.take(job_id, decide)

    # ---- jobs that are held

    async def _watch_job(self, job_id: str) -> None:
        """Clear doubts up, see leases end, and ask instances whether they are still at it."""
        watch = None
        try:
            while hold := await self._hold_of(job_id):
                watch = HoldWatch.of(hold, watch, self._clock.monotonic_s())
                await self._clock.sleep(self._next_look_s(watch))
                await self._without_failing(self._look_at_hold(job_id, watch))
                watch.looks += 1
        finally:
            self._watched.discard(job_id)
            self._deliveries.forget(job_id)

    async def _look_at_hold(self, job_id: str, watch: HoldWatch) -> None:
        hold, now_s = watch.hold, self._clock.monotonic_s()
        if hold.stage is Stage.UNDER_WAY or not self._pairs.peers.is_mine(job_id):
            return
        held_s = now_s - watch.since_s
        if self._policy.lease_s is not None and now_s - watch.leased_s >= self._policy.lease_s:
            await self._end_lease(job_id, watch)
        elif hold.stage is Stage.IN_DOUBT:
            await self._deliveries.clear_up(job_id, held_s)
        elif self._is_unchecked(watch) and held_s >= self._policy.unconsumed_after_s:
            watch.is_used = await self._deliveries.check_use(job_id, hold)
        await self._ask_instance(job_id, hold)

    def _is_unchecked(self, watch: HoldWatch) -> bool:
        return evidence.is_to_be_checked(watch.hold) and not watch.is_used

    async def _hold_of(self, job_id: str) -> Hold | None:
        job = await self._steps.patiently(lambda: self._pairs.jobs.get(job_id))
        return job.hold if job and job.state is State.ASSIGNED else None

    def _next_look_s(self, watch: HoldWatch) -> float:
        now_s, stage = self._clock.monotonic_s(), watch.hold.stage
        next_s = evidence.next_look_s(
            watch.hold,
            watch.looks,
            now_s - watch.since_s,
            self._policy,
            self._patience.instance_s,
        )
        if stage is not Stage.CONFIRMED:
            next_s = spread(next_s)
        if self._policy.lease_s is None or stage is Stage.UNDER_WAY:
            return next_s
        left_s = self._policy.lease_s - (now_s - watch.leased_s)
        return min(next_s, max(left_s, 0.0))

    async def _end_lease(self, job_id: str, watch: HoldWatch) -> None:
        """Give the job back; a worker that has lost it meanwhile is not forgotten."""
        hold = watch.hold
        is_in_question = self._is_unchecked(watch) or hold.unused > 0
        is_unused = is_in_question and await self._deliveries.has_lost(hold)

        def decide(job: Job) -> Step | None:
            if job.hold != hold:
                return None
            return lifecycle.end_lease(job, self._clock.now_s(), is_unused=is_unused)

        await self._steps.take(job_id, decide)

    async def _ask_instance(self, job_id: str, hold: Hold) -> None:
        """A job whose process instance has ended will never be reported.

        The instance that has inherited the number of a deleted one has its callback for a while
        too: where that still waits, ours has never used it.
        """
        state = await self._deliveries.state_of(hold.worker)
        if state not in ENDED:
            return
        is_pending = hold.way is Way.PUT and await self._deliveries.is_pending(hold.worker)

        def decide(job: Job) -> Step | None:
            if job.hold != hold:
                return None
            return lifecycle.end_with_instance(
                job, state, self._clock.now_s(), is_unused=bool(is_pending)
            )

        await self._steps.take(job_id, decide)

    async def _without_failing(self, work: Coroutine[Any, Any, Any]) -> None:
        """What does not succeed now (the storage fails, things changed) is tried again."""
        try:
            await work
        except DispatchError:
            return


def interval_s(looks: int) -> float:
    """How long to wait after so many looks: growing, and spread."""
    return spread(evidence.growing_s(looks))


def spread(seconds: float) -> float:
    """A fifth more or less, so that not all come together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
