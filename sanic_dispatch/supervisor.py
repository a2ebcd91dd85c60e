"""The timers of jobs that are held: they are looked after until they are settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sanic_dispatch import evidence, lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.deliveries import Deliveries
from sanic_dispatch.events import Event, Events, Kind
from sanic_dispatch.job import Hold, Job, Stage, State, Way
from sanic_dispatch.probing import Probing, spread, without_failing
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.rules import ENDED, Policy, Step
from sanic_dispatch.steps import Steps
from sanic_dispatch.tasks import Tasks
from sanic_dispatch.worker import Worker

_WATCHED = (
    Kind.JOB_DOUBTED, Kind.JOB_CONFIRMED, Kind.JOB_UNCONSUMED,
)  # fmt: skip
"""The events after which a job may have to be looked after."""


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
        if evidence.is_same(last.hold, hold):
            last.hold = hold
            return last
        is_the_same = hold.unused and hold.worker.id == last.hold.worker.id
        looks = 0 if hold.unused else last.looks
        return cls(hold, now_s, last.leased_s if is_the_same else now_s, looks)


class Supervisor:
    """Watches each job that is held, in a task of its own; ``Probing`` the workers set aside."""

    def __init__(
        self,
        pairs: Pairs,
        steps: Steps,
        deliveries: Deliveries,
        events: Events,
        clock: Clock,
        policy: Policy,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        self.tasks = Tasks()
        self._pairs = pairs
        self._steps = steps
        self._deliveries = deliveries
        self._clock = clock
        self._policy = policy
        self._patience = patience
        self._watched: set[str] = set()
        self._probing = Probing(
            pairs, steps, deliveries, events, clock, policy, patience.worker_s, self.tasks
        )
        events.subscribe(self._on_event, _WATCHED)
        pairs.peers.when_reset(lambda now: self._watch_all(now.workers, now.jobs))

    async def start(self) -> None:
        """Watch what was set aside or held when the service stopped."""
        self._probing.start()
        self._watch_all(await self._pairs.workers.items(), await self._pairs.jobs.items())

    async def stop(self) -> None:
        """End all watches; they begin anew at the next start."""
        await self.tasks.cancel()

    def _watch_all(self, workers: Iterable[Worker], jobs: Iterable[Job]) -> None:
        for worker in workers:
            self._probing.watch(worker)
        for job in jobs:
            if job.hold:
                self._watch(job.id)

    def _on_event(self, event: Event) -> None:
        if event.job:
            self._watch(event.job.id)

    def _watch(self, job_id: str) -> None:
        if job_id not in self._watched:
            self._watched.add(job_id)
            self.tasks.spawn(self._watch_job(job_id))

    # ---- jobs that are held

    async def _watch_job(self, job_id: str) -> None:
        """Clear doubts up, see leases end, and ask instances whether they are still at it."""
        watch = None
        try:
            while hold := await self._hold_of(job_id):
                watch = HoldWatch.of(hold, watch, self._clock.monotonic_s())
                await self._clock.sleep(self._next_look_s(watch))
                await without_failing(self._look_at_hold(job_id, watch))
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
