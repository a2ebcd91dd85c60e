"""The fold of events to robots: which workers are there, and what each of them is doing."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.core.events import Kind
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.worker import Key, Worker

LINGER_S = 30.0
"""How long a worker that has done its job still counts: it is about to ask for the next one."""

_LEFT = (Kind.WORKER_DROPPED, Kind.WORKER_USED)


class Doing(StrEnum):
    """What a robot is doing, in the words of the monitor."""

    WAITING = "waiting"
    ASIDE = "aside"
    ASSIGNED = "assigned"
    IN_DOUBT = "in doubt"


class Robot(NamedTuple):
    """A worker, and the job that it holds."""

    worker: Worker
    job: Job | None = None

    @property
    def doing(self) -> Doing:
        """What it is doing."""
        if self.job is not None and self.job.hold is not None:
            in_doubt = self.job.hold.stage is Stage.IN_DOUBT
            return Doing.IN_DOUBT if in_doubt else Doing.ASSIGNED
        return Doing.ASIDE if self.worker.aside else Doing.WAITING

    @property
    def has_lost_job(self) -> bool:
        """Whether it took its job and was found still waiting, and is not known to use it since."""
        return self.job is not None and self.job.hold is not None and self.job.hold.unused > 0


class Robots:
    """Robots by callback: those that hold a job, those that wait, those that were set aside.

    Only a job's record says who holds it. While a worker of the queue holds one, it is ``lent``.
    """

    def __init__(self) -> None:
        self.busy: dict[str, Robot] = {}
        self.free: dict[str, Robot] = {}
        self.aside: dict[str, Robot] = {}
        self._lent: dict[str, Robot] = {}
        self._leaving: dict[Key, float] = {}

    @property
    def present(self) -> int:
        """How many robots work here; those set aside may never come back."""
        return len(self.busy) + len(self.free) + len(self._leaving)

    def __iter__(self) -> Iterator[Robot]:
        yield from self.busy.values()
        yield from self.free.values()
        yield from self.aside.values()

    def fold(self, kind: Kind, worker: Worker) -> None:
        """A worker of the queue changed, or left it."""
        for place in (self.free, self.aside, self._lent):
            place.pop(worker.callback_url, None)
        if kind in _LEFT:
            return
        if worker.key:
            self._leaving.pop(worker.key, None)
        self._stand(Robot(worker))

    def hold(self, job: Job) -> None:
        """A job is held by its worker."""
        if job.hold is None:
            return
        worker = job.hold.worker
        if worker.key:
            self._leaving.pop(worker.key, None)
        url = worker.callback_url
        if waited := self.free.pop(url, None) or self.aside.pop(url, None):
            self._lent[url] = waited
        self.busy[url] = Robot(worker, job)

    def let_go(self, held: Job, now: Job, at_s: float) -> None:
        """The job is no longer held by the worker that held it."""
        worker = held.hold.worker if held.hold else None
        if worker is None or self.busy.pop(worker.callback_url, None) is None:
            return
        if now.state is State.DONE and worker.key:
            self._leaving[worker.key] = at_s
        if waited := self._lent.pop(worker.callback_url, None):
            self._stand(waited)

    def expire(self, now_s: float) -> bool:
        """Those that did not come back are gone; whether there were any.

        Either way, so that a clock that was set back keeps nobody.
        """
        gone = [key for key, at_s in self._leaving.items() if abs(now_s - at_s) >= LINGER_S]
        for key in gone:
            del self._leaving[key]
        return bool(gone)

    def _stand(self, robot: Robot) -> None:
        url = robot.worker.callback_url
        if url in self.busy:
            self._lent[url] = robot
        elif robot.worker.aside:
            self.aside[url] = robot
        else:
            self.free[url] = robot
