"""The projection of events to robots: workers, and the job that each of them holds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Key, Worker

RETURN_GRACE_S = 30.0
"""How long a worker that is done still counts as present: it usually registers again at once."""

_LEFT = (EventKind.WORKER_DROPPED, EventKind.WORKER_USED)


class RobotState(StrEnum):
    """The state of a robot, in the words of the monitor."""

    WAITING = "waiting"
    ASIDE = "aside"
    ASSIGNED = "assigned"
    IN_DOUBT = "in doubt"


class TrackedRobot(Value, frozen=True):
    """A worker, and the job that it holds."""

    worker: Worker
    job: Job | None = None

    @property
    def state(self) -> RobotState:
        """The state that the monitor shows."""
        if self.job is not None and self.job.hold is not None:
            in_doubt = self.job.hold.stage is Stage.IN_DOUBT
            return RobotState.IN_DOUBT if in_doubt else RobotState.ASSIGNED
        return RobotState.ASIDE if self.worker.aside else RobotState.WAITING

    @property
    def has_unconsumed_job(self) -> bool:
        """Whether its callback was found waiting although it had accepted the job."""
        return self.job is not None and self.job.hold is not None and self.job.hold.times_unused > 0


class Robots:
    """Robots by callback: busy, free, and set aside.

    Who is busy follows from the jobs' records alone. The registration of a worker that holds a job
    stays in ``_displaced`` until the job is released.
    """

    def __init__(self) -> None:
        self.busy: dict[str, TrackedRobot] = {}
        self.free: dict[str, TrackedRobot] = {}
        self.aside: dict[str, TrackedRobot] = {}
        self._displaced: dict[str, TrackedRobot] = {}
        self._between_jobs: dict[Key, float] = {}

    @property
    def present(self) -> int:
        """The number of robots at work; a robot that was set aside may never come back."""
        return len(self.busy) + len(self.free) + len(self._between_jobs)

    def __iter__(self) -> Iterator[TrackedRobot]:
        yield from self.busy.values()
        yield from self.free.values()
        yield from self.aside.values()

    def fold(self, kind: EventKind, worker: Worker) -> None:
        """Apply a worker's registration, change or removal."""
        for place in (self.free, self.aside, self._displaced):
            place.pop(worker.callback_url, None)
        if kind in _LEFT:
            return
        if worker.key:
            self._between_jobs.pop(worker.key, None)
        self._insert(TrackedRobot(worker))

    def assign(self, job: Job) -> None:
        """Mark the worker of a held job as busy."""
        if job.hold is None:
            return
        worker = job.hold.worker
        if worker.key:
            self._between_jobs.pop(worker.key, None)
        url = worker.callback_url
        if waited := self.free.pop(url, None) or self.aside.pop(url, None):
            self._displaced[url] = waited
        self.busy[url] = TrackedRobot(worker, job)

    def release(self, held: Job, now: Job, at_s: float) -> None:
        """Free the worker that had a job, unless it is busy with another one by then.

        ``held`` is the job as the worker had it, ``now`` as it is since.
        """
        worker = held.hold.worker if held.hold else None
        busy = self.busy.get(worker.callback_url) if worker else None
        if worker is None or busy is None or busy.job is not held:
            return
        del self.busy[worker.callback_url]
        if now.state is State.DONE and worker.key:
            self._between_jobs[worker.key] = at_s
        if waited := self._displaced.pop(worker.callback_url, None):
            self._insert(waited)

    def expire(self, now_s: float) -> bool:
        """Forget robots that did not register again in time, and return whether there were any.

        The distance counts in both directions, so a clock that was set back keeps no robot alive.
        """
        gone = [
            key for key, at_s in self._between_jobs.items() if abs(now_s - at_s) >= RETURN_GRACE_S
        ]
        for key in gone:
            del self._between_jobs[key]
        return bool(gone)

    def _insert(self, robot: TrackedRobot) -> None:
        url = robot.worker.callback_url
        if url in self.busy:
            self._displaced[url] = robot
        elif robot.worker.aside:
            self.aside[url] = robot
        else:
            self.free[url] = robot
