"""Workers that were set aside are asked whether they wait again, until they do or are dropped."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from sanic_dispatch import evidence, lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.deliveries import Deliveries
from sanic_dispatch.errors import DispatchError
from sanic_dispatch.events import Event, Events, Kind
from sanic_dispatch.job import Job
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.rules import ENDED, Policy, Step
from sanic_dispatch.steps import Steps
from sanic_dispatch.tasks import Tasks
from sanic_dispatch.worker import Cause, Worker

PAUSE_S = 1.0
"""Between two looks at which workers are to be probed sooner, since they are needed."""


class Probing:
    """Probes each worker that was set aside, in a task of its own, on a growing interval.

    While jobs wait and no worker is free, the intervals are short: ``evidence.to_wake``.
    """

    def __init__(
        self,
        pairs: Pairs,
        steps: Steps,
        deliveries: Deliveries,
        events: Events,
        clock: Clock,
        policy: Policy,
        patience_s: float,
        tasks: Tasks,
    ) -> None:
        self._pairs = pairs
        self._steps = steps
        self._deliveries = deliveries
        self._clock = clock
        self._policy = policy
        self._patience_s = patience_s
        self._tasks = tasks
        self._watched: set[str] = set()
        self._naps: dict[str, tuple[float, asyncio.Future[None]]] = {}
        """Since when, and in what, each task sleeps between two probes."""
        self._news = asyncio.Event()
        events.subscribe(self._on_event)

    def start(self) -> None:
        """Probe sooner from now on where a worker is needed."""
        self._tasks.spawn(self._hurry())

    def watch(self, worker: Worker) -> None:
        """Probe this worker, if it was set aside."""
        if worker.aside and worker.id not in self._watched:
            self._watched.add(worker.id)
            self._tasks.spawn(self._watch(worker.id))

    def _on_event(self, event: Event) -> None:
        if event.kind in _OF_WORKERS and event.worker:
            self.watch(event.worker)
        if self._naps:
            self._news.set()

    # ---- being needed

    async def _hurry(self) -> None:
        """Probe sooner while jobs wait and no worker is free; look again when anything happened."""
        while True:
            await self._news.wait()
            self._news.clear()
            while await self._steps.patiently(self._is_needed) and self._naps:
                now_s, peers = self._clock.monotonic_s(), self._pairs.peers
                mine = {each: nap[0] for each, nap in self._naps.items() if peers.is_mine(each)}
                due, pause_s = evidence.to_wake(mine, now_s, peers.count())
                for worker_id in due:
                    self._naps[worker_id][1].cancel()
                await self._clock.sleep(pause_s)
            await self._clock.sleep(PAUSE_S)

    async def _is_needed(self) -> bool:
        return bool(await self._pairs.jobs.size() and not await self._pairs.workers.size())

    async def _nap(self, worker_id: str, seconds: float) -> None:
        """Sleep until the next probe, or until it is to come sooner."""
        nap = asyncio.ensure_future(self._clock.sleep(seconds))
        self._naps[worker_id] = self._clock.monotonic_s(), nap
        self._news.set()
        try:
            await asyncio.wait([nap])
        finally:
            nap.cancel()
            del self._naps[worker_id]

    # ---- one worker

    async def _watch(self, worker_id: str) -> None:
        looks, seen, since_s = 0, None, 0.0
        try:
            while worker := await self._aside(worker_id):
                if worker.aside and worker.aside.since_s != seen:
                    seen, since_s = worker.aside.since_s, self._steadily(worker.aside.since_s)
                await self._nap(worker_id, interval_s(worker.refusals - 1 + looks))
                await without_failing(self._look_at(worker_id, since_s, is_first=not looks))
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
        elif await self._is_needed():
            await self._steps.bring_back(worker.id)

    async def _probe(self, worker: Worker, job_id: str, since_s: float) -> None:
        is_pending = await self._deliveries.is_pending(worker)
        state = await self._deliveries.state_of(worker)
        if state in ENDED:  # also where another instance has its number, and its callback
            await self._steps.drop_worker(worker.id, f"its process instance is {state}")
        elif is_pending:
            await self._blame(job_id)
            await self._steps.bring_back(worker.id)
        elif self._clock.monotonic_s() - since_s > self._patience_s:
            await self._steps.drop_worker(worker.id, "it was not seen for too long")
        elif why := evidence.why_aside(is_pending, state):
            await self._steps.change_worker(
                worker.id, lambda worker: worker.aside_because(why), Kind.WORKER_SET_ASIDE
            )

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


def interval_s(looks: int) -> float:
    """How long to wait after so many looks: growing, and spread."""
    return spread(evidence.growing_s(looks))


def spread(seconds: float) -> float:
    """A fifth more or less, so that not all come together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


async def without_failing(work: Coroutine[Any, Any, Any]) -> None:
    """What does not succeed now (the storage fails, things changed) is tried again."""
    try:
        await work
    except DispatchError:
        return


_OF_WORKERS = frozenset(kind for kind in Kind if kind.startswith("worker."))
