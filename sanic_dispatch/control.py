"""The operator's hand: pause and go on; put a job back, first or away; set a worker aside.

Each act leaves an event whose reason says who did it and why. Who it was is the operators' affair:
a job itself keeps only why, since its submitter can read that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sanic_dispatch import lifecycle
from sanic_dispatch.clock import Clock
from sanic_dispatch.errors import UnknownWorker, WrongState
from sanic_dispatch.events import Event, Events, Kind, Note
from sanic_dispatch.job import Job, State
from sanic_dispatch.queues.base import Pairs
from sanic_dispatch.rules import Step
from sanic_dispatch.steps import Steps
from sanic_dispatch.tasks import Tasks
from sanic_dispatch.worker import Worker

T = TypeVar("T")


class Gate:
    """Whether jobs are handed out: shut while an operator has paused the service."""

    def __init__(self, events: Events) -> None:
        self.is_paused = False
        events.subscribe(self._follow, (Kind.DISPATCH_PAUSED, Kind.DISPATCH_RESUMED))

    def _follow(self, event: Event) -> None:
        self.is_paused = event.kind is Kind.DISPATCH_PAUSED


class Control:
    """What an operator may do; an act once begun does not depend on the request any more.

    Raises UnknownJob, UnknownWorker, WrongState and StorageFailed.
    """

    def __init__(self, pairs: Pairs, steps: Steps, clock: Clock, tasks: Tasks) -> None:
        self._pairs = pairs
        self._steps = steps
        self._clock = clock
        self._tasks = tasks
        self._turn = asyncio.Lock()

    async def pause(self, reason: str) -> None:
        """Hand out nothing more; orders and workers are still taken in. Kept across restarts."""
        await self._own(self._pause(True, self._note(Kind.DISPATCH_PAUSED, reason)))

    async def resume(self, reason: str) -> None:
        """Go on."""
        await self._own(self._pause(False, self._note(Kind.DISPATCH_RESUMED, reason)))

    async def cancel(self, job_id: str, why: str, who: str = "") -> Job:
        """Take a waiting job out of the line."""
        return await self._take(job_id, lambda job, now_s: lifecycle.cancel(job, now_s, why), who)

    async def put_back(self, job_id: str, why: str, who: str = "") -> Job:
        """Put an assigned, doubtful or failed job back to its own place."""
        return await self._take(job_id, lambda job, now_s: lifecycle.put_back(job, now_s, why), who)

    async def move_to_front(self, job_id: str, why: str, who: str = "") -> Job:
        """Let a waiting job be the next."""
        items = await self._pairs.jobs.items()
        place = min((job.place for job in items), default=0.0) - 1.0
        return await self._take(
            job_id, lambda job, now_s: lifecycle.move(job, place, now_s, why), who
        )

    async def set_aside(self, worker_id: str, reason: str) -> Worker:
        """Give a waiting worker nothing until an operator brings it back.

        Also with a new callback, as long as the worker says that it is the same.
        """
        now_s = self._clock.now_s()
        return await self._change(
            worker_id, lambda worker: worker.sidelined(now_s, reason), Kind.WORKER_SET_ASIDE, reason
        )

    async def bring_back(self, worker_id: str, reason: str) -> Worker:
        """Let a worker that was set aside be used again, at its old place."""
        await self._check_waits(worker_id, "bring its worker back")
        back = await self._own(
            self._steps.change_worker(
                worker_id,
                lambda worker: worker.back() if worker.aside else None,
                Kind.WORKER_CAME_BACK,
                reason,
            )
        )
        worker = back or await self._pairs.workers.get(worker_id)
        if worker is None:
            raise UnknownWorker
        return worker

    async def drop(self, worker_id: str, reason: str) -> None:
        """Forget a worker that waits."""
        dropped = Note(Kind.WORKER_DROPPED, self._clock.now_s(), reason)
        if not await self._own(self._pairs.workers.remove(worker_id, dropped)):
            await self._check_waits(worker_id, "drop its worker")
            raise UnknownWorker

    async def _pause(self, paused: bool, note: Note) -> None:
        """Where it is so already, nothing happens."""
        async with self._turn:
            if (await self._pairs.jobs.facts()).paused is not paused:
                await self._pairs.jobs.pause(paused, note)

    async def _take(self, job_id: str, decide: Callable[[Job, float], Step], who: str) -> Job:
        def decided(job: Job) -> Step:
            step = decide(job, self._clock.now_s())
            return step._replace(note=step.note._replace(reason=said(who, step.note.reason)))

        taken = await self._own(self._steps.take(job_id, decided))
        return taken or await self._steps.find(job_id)

    async def _change(
        self, worker_id: str, change: Callable[[Worker], Worker], kind: Kind, reason: str
    ) -> Worker:
        changed = await self._own(self._steps.change_worker(worker_id, change, kind, reason))
        if changed is None:
            await self._check_waits(worker_id, "set its worker aside")
            raise UnknownWorker
        return changed

    async def _check_waits(self, worker_id: str, act: str) -> None:
        job = await self._pairs.jobs.at_callback(worker_id)
        if job and job.worker and job.worker.id == worker_id and job.state is State.ASSIGNED:
            raise WrongState(act, job.state)

    async def _own(self, act: Coroutine[Any, Any, T]) -> T:
        return await self._tasks.run(act)

    def _note(self, kind: Kind, reason: str) -> Note:
        return Note(kind, self._clock.now_s(), reason)


def said(who: str, why: str) -> str:
    """Who did something and why, as far as it is known: ``ada: out of ice``."""
    return ": ".join(part for part in (who, why) if part)
