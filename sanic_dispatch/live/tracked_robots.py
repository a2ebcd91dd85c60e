"""The projection of events to robots: workers, and the job that each of them holds."""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping, Set
from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.line import Line
from sanic_dispatch.core.present_rules import PresentRules
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Key, Worker

RETURN_GRACE_S = 30.0
"""How long a worker that is done still counts as at work: it usually registers again at once."""

_LEFT = (EventKind.WORKER_DROPPED, EventKind.WORKER_USED)


class RobotState(StrEnum):
    """The state of a robot, in the words of the monitor."""

    WAITING = "waiting"
    MATCHING = "matching"
    """Free, but its rule is still being matched against the orders in line."""
    ASIDE = "aside"
    ASSIGNED = "assigned"
    IN_DOUBT = "in doubt"


class TrackedRobot(Value, frozen=True):
    """A worker, and the job that it holds."""

    worker: Worker
    job: Job | None = None
    is_matching: bool = False

    @property
    def state(self) -> RobotState:
        """The state that the monitor shows."""
        if self.job is not None and self.job.hold is not None:
            in_doubt = self.job.hold.stage is Stage.IN_DOUBT
            return RobotState.IN_DOUBT if in_doubt else RobotState.ASSIGNED
        if self.worker.aside:
            return RobotState.ASIDE
        return RobotState.MATCHING if self.is_matching else RobotState.WAITING

    @property
    def has_unconsumed_job(self) -> bool:
        """Whether its callback was found waiting although it had accepted the job."""
        return self.job is not None and self.job.hold is not None and self.job.hold.times_unused > 0


class RobotBetweenJobs(NamedTuple):
    """A robot between two jobs: who it is, when it was done, and its rule."""

    identity: Key | str
    at_s: float
    rule: str


class RobotsState(NamedTuple):
    """All robots as they can be kept, each kind in order; ``busy`` are the ids of their jobs."""

    busy: list[str]
    free: list[Worker]
    aside: list[Worker]
    displaced: list[Worker]
    between: list[RobotBetweenJobs]
    unused_rules: list[str]
    """Rules of robots that were here lately."""


class Robots:
    """Robots by callback: busy, free, and set aside.

    Who is busy follows from the jobs' records alone. The registration of a worker that holds a job
    stays in ``_displaced`` until the job is released. ``line`` learns what the robots make.
    """

    def __init__(self, line: Line) -> None:
        self.busy: dict[str, TrackedRobot] = {}
        self.free: dict[str, TrackedRobot] = {}
        self.aside: dict[str, TrackedRobot] = {}
        self._displaced: dict[str, TrackedRobot] = {}
        self._between_jobs: dict[Key | str, tuple[float, str]] = {}
        """When a robot was done, and its rule."""
        self._line = line
        self._learnt = PresentRules(line)
        self._rules: dict[str, int] = {}
        self._rules_at_work: dict[str, int] = {}
        self._at_work: frozenset[str] | None = frozenset()
        """The rules in ``_rules_at_work``; None if they may have changed."""
        self._crews: dict[frozenset[str], int] = {}
        """By some rules: how many robots at work have one of them, as far as asked since then."""

    @property
    def number_at_work(self) -> int:
        """The number of robots at work; a robot that was set aside may never come back."""
        return len(self.busy) + len(self.free) + len(self._between_jobs)

    @property
    def rules(self) -> KeysView[str]:
        """The rules of all robots that are here."""
        return self._rules.keys()

    @property
    def rules_at_work(self) -> frozenset[str]:
        """The rules of the robots that are not set aside."""
        if self._at_work is None:
            self._at_work = frozenset(self._rules_at_work)
        return self._at_work

    @property
    def are_alike(self) -> bool:
        """Whether all robots at work make the same."""
        return len(self._rules_at_work) <= 1

    def __iter__(self) -> Iterator[TrackedRobot]:
        yield from self.busy.values()
        yield from self.free.values()
        yield from self.aside.values()

    def is_any_free(self, rules: Set[str] | None) -> bool:
        """Return whether a robot with one of these rules is free; None for any."""
        if rules is None or not self.free:
            return bool(self.free)
        return any(robot.worker.rule in rules for robot in self.free.values())

    def count(self, rules: frozenset[str] | None) -> int:
        """Return how many robots with one of these rules are at work; None for any."""
        if rules is None:
            return self.number_at_work
        count = self._crews.get(rules)
        if count is None:
            count = self._crews[rules] = sum(self._rules_at_work.get(rule, 0) for rule in rules)
        return count

    def fold(self, kind: EventKind, worker: Worker) -> None:
        """Apply a worker's registration, change or removal."""
        url = worker.callback_url
        self._take(self.free, url)
        self._take(self.aside, url)
        self._displaced.pop(url, None)
        if kind in _LEFT:
            return
        self._came_back(_identity(worker))
        self._insert(TrackedRobot(worker))

    def assign(self, job: Job) -> None:
        """Mark the worker of a held job as busy."""
        if job.hold is None:
            return
        worker = job.hold.worker
        self._came_back(_identity(worker))
        url = worker.callback_url
        if waited := self._take(self.free, url) or self._take(self.aside, url):
            self._displaced[url] = waited
        self._take(self.busy, url)
        self._put(self.busy, TrackedRobot(worker, job))

    def update(self, held: Job, now: Job) -> bool:
        """Take over a newer record of a held job; False if its worker has it no more."""
        before, hold = held.hold, now.hold
        if before is None or hold is None or now.state is not State.ASSIGNED:
            return False
        url = hold.worker.callback_url
        busy = self.busy.get(url)
        if busy is None or busy.job is not held or hold.worker != before.worker:
            return False
        self._came_back(_identity(hold.worker))  # it may have had another job, too
        del self.busy[url]  # the last that changed comes last
        self.busy[url] = TrackedRobot(hold.worker, now)
        return True

    def release(self, held: Job, now: Job, at_s: float) -> None:
        """Free the worker that had a job, unless it is busy with another one by then.

        ``held`` is the job as the worker had it, ``now`` as it is since. One that was set aside
        meanwhile is not on its way back to work.
        """
        worker = held.hold.worker if held.hold else None
        busy = self.busy.get(worker.callback_url) if worker else None
        if worker is None or busy is None or busy.job is not held:
            return
        self._take(self.busy, worker.callback_url)
        identity, waited = _identity(worker), self._displaced.pop(worker.callback_url, None)
        is_aside = waited is not None and waited.worker.aside is not None
        if now.state is State.DONE and identity and not is_aside:
            self._came_back(identity)
            self._between_jobs[identity] = at_s, worker.rule
            self._count(worker.rule, 1, is_at_work=True)
        if waited is not None:
            self._insert(waited)

    def waiting_at(self, callback_url: str) -> Worker | None:
        """Return a worker that is in the queue, or that has one of its jobs."""
        places = (self.free, self.aside, self._displaced, self.busy)
        robot = next((place[callback_url] for place in places if callback_url in place), None)
        return robot.worker if robot else None

    def state(self) -> RobotsState:
        """Return what ``restore`` needs."""
        free, aside, displaced = (
            [robot.worker for robot in place.values()]
            for place in (self.free, self.aside, self._displaced)
        )
        busy = [robot.job.id for robot in self.busy.values() if robot.job]
        between = [RobotBetweenJobs(each, *since) for each, since in self._between_jobs.items()]
        return RobotsState(busy, free, aside, displaced, between, self._learnt.unused)

    def restore(self, state: RobotsState, jobs: Mapping[str, Job]) -> None:
        """Go on from a state; ``jobs`` has the jobs that robots have, by id."""
        for rule in state.unused_rules:
            self._learnt.expect(rule)
        for job_id in state.busy:
            self.assign(jobs[job_id])
        for worker in (*state.free, *state.aside, *state.displaced):
            self._insert(TrackedRobot(worker))
        for identity, at_s, rule in state.between:
            self._between_jobs[identity] = at_s, rule
            self._count(rule, 1, is_at_work=True)

    def expire(self, now_s: float) -> bool:
        """Forget robots that did not register again in time, and return whether there were any.

        The distance counts in both directions, so a clock that was set back keeps no robot alive.
        """
        gone = [
            key
            for key, (at_s, _) in self._between_jobs.items()
            if abs(now_s - at_s) >= RETURN_GRACE_S
        ]
        for key in gone:
            self._came_back(key)
        return bool(gone)

    def note_matched(self) -> None:
        """Show as waiting the robots whose rules are matched by now."""
        for url, robot in self.free.items():
            if robot.is_matching and self._line.is_matched(robot.worker.rule):
                self.free[url] = TrackedRobot(robot.worker)

    def _came_back(self, identity: Key | str | None) -> None:
        """Note that a robot is not between two jobs any more."""
        if identity is not None and (between := self._between_jobs.pop(identity, None)):
            self._count(between[1], -1, is_at_work=True)

    def _insert(self, robot: TrackedRobot) -> None:
        url = robot.worker.callback_url
        if url in self.busy:
            self._displaced[url] = robot
        elif robot.worker.aside:
            self._put(self.aside, robot)
        else:
            self._put(self.free, robot)
            if not self._line.is_matched(robot.worker.rule):
                self.free[url] = robot._replace(is_matching=True)

    def _put(self, place: dict[str, TrackedRobot], robot: TrackedRobot) -> None:
        place[robot.worker.callback_url] = robot
        self._count(robot.worker.rule, 1, is_at_work=place is not self.aside)

    def _take(self, place: dict[str, TrackedRobot], url: str) -> TrackedRobot | None:
        robot = place.pop(url, None)
        if robot is not None:
            self._count(robot.worker.rule, -1, is_at_work=place is not self.aside)
        return robot

    def _count(self, rule: str, change: int, *, is_at_work: bool) -> None:
        """Count robots with a rule, and let the line learn it."""
        counts = (self._rules, self._rules_at_work) if is_at_work else (self._rules,)
        for count in counts:
            left = count.get(rule, 0) + change
            if left:
                count[rule] = left
            else:
                del count[rule]
        self._at_work, self._crews = None, {}
        if rule != ANYTHING:
            self._learnt.replace(*((ANYTHING, rule) if change > 0 else (rule, ANYTHING)))


def _identity(worker: Worker) -> Key | str | None:
    """Return what a worker has in common with its next registration, if that is known."""
    return worker.key or (worker.id if worker.is_connected else None)
