"""Run an evening again: the real core on virtual time, with what came from outside.

Everything outside is simulated here: customers, robots and operators give their commands when the
recording, or the scenario, says so. Without a change each command comes at the very time of the
recording, and those of one time in the recorded order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.effects import StartTimer
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Aside, Cause, Key, Worker
from sanic_dispatch.core.workers_aside import extra_look
from sanic_dispatch.errors import DispatchError, QueueFull
from sanic_dispatch.replay.recording import (
    NEVER,
    Ending,
    HandOver,
    Moment,
    OperatorAct,
    OperatorEntry,
    RecordedOrder,
    Recording,
    RobotAct,
    RobotEntry,
    seconds_of,
)
from sanic_dispatch.replay.scenario import Scenario
from sanic_dispatch.replay.service_times import ServiceTimes

OnEvents = Callable[[Sequence[Event]], None]

_SECRET = bytes(32).hex()
"""The topic's secret; nobody shows a receipt here."""


@dataclass(slots=True, eq=False)
class _VirtualRobot:
    """A robot at work."""

    number: int
    name: str
    rule: str
    key: Key
    own_rule: str | None = None
    """What it takes by the scenario."""
    registrations: int = 0
    waiting: str = ""
    """Its registration while it is in the queue, also if it is set aside."""
    order: RecordedOrder | None = None
    is_here: bool = False
    """Whether it registers again after its order."""
    aside: RobotEntry | None = None
    """The set-aside that it is in, or gets into when it registers again."""


@dataclass(slots=True)
class _HandOverPlan:
    """How a hand-over goes on: ticks, and what comes first of two things at a time."""

    ending: Ending
    taken: Moment | None
    ended: Moment
    recorded: HandOver | None


@dataclass(slots=True, eq=False)
class Outcome:
    """What a run has led to, besides its events."""

    robots: list[str]
    served_by: dict[int, list[int]] = field(default_factory=dict)
    """By ticket: the numbers of the robots that were given the order, one after the other."""
    removed: list[str] = field(default_factory=list)
    """The names of the robots that the scenario goes without."""
    turned_away: int = 0
    """Orders that came while the line was full."""


class VirtualRun:
    """Runs a recording with the changes of a scenario, and tells of the events."""

    def __init__(self, recording: Recording, scenario: Scenario, on_events: OnEvents) -> None:
        scenario.check(recording)
        self._recording = recording
        self._scenario = scenario
        self._on_events = on_events
        self._times = ServiceTimes(recording, scenario.seed)
        self._machine = StateMachine(scenario.policy(recording.ordering))
        self._agenda: list[tuple[int, int, int, Callable[[], object]]] = []
        self._numbers = count()
        self._now = Moment(0, 0)
        self._robots = list(self._crew())
        self._by_registration: dict[str, _VirtualRobot] = {}
        self._orders: dict[str, RecordedOrder] = {}
        """By job id."""
        gone = _last_to_come(recording, -scenario.robots)
        self.outcome = Outcome(
            [robot.name for robot in self._robots],
            removed=[recording.robots[number].name for number in sorted(gone)],
        )
        self._left = sum(1 for _ in recording.counted())
        """How many orders of the span are not over."""

    def run(self) -> Outcome:
        """Run until all orders of the span are over, or nothing more can happen."""
        first = self._recording.orders[0].at if self._recording.orders else Moment(0, 0)
        self._machine.load((), (), ())
        self._now = first
        self._apply(c.Recover(_SECRET))
        for entry in self._recording.acts:
            self._at(max(entry.at, first), self._operate, entry)
        orders = iter(self._recording.orders)
        self._arrive_next(orders)
        while self._agenda and (self._left or self._agenda[0][0] <= self._recording.last):
            tick, rank, _, act = heappop(self._agenda)
            self._now = Moment(tick, rank)
            act()
        return self.outcome

    # ---- the agenda

    def _at(self, at: Moment, act: Callable[..., object], *arguments: object) -> None:
        entry = (at.tick, at.rank, next(self._numbers), lambda: act(*arguments))
        heappush(self._agenda, entry)

    def _apply(self, command: c.Command) -> Applied:
        """Apply a command, and see what it has led to."""
        now_s = seconds_of(self._now.tick)
        now = Now(now_s, now_s)
        applied = self._machine.apply(command, now)
        self._machine.tables.take_changes()
        if applied.events:
            self._on_events(applied.events)
            for event in applied.events:
                if event.kind is EventKind.JOB_ASSIGNED and event.job is not None:
                    self._hand_over(event.job)
                elif event.job is not None and event.kind in _OVER:
                    self._note_over(event.job)
        for effect in applied.effects:
            if isinstance(effect, StartTimer) and isinstance(effect.command, c.MatchRules):
                self._apply(effect.command)
        return applied

    # ---- customers

    def _arrive_next(self, orders: Iterator[RecordedOrder]) -> None:
        """Put the next order on the agenda."""
        order = next(orders, None)
        if order is not None:
            self._at(order.at, self._arrive, order, orders)

    def _arrive(self, order: RecordedOrder, orders: Iterator[RecordedOrder]) -> None:
        self._arrive_next(orders)
        job_id = _id_of(order.ticket)
        self._orders[job_id] = order
        applied = self._apply(c.Submit(job_id, order.data or b"null", priority=order.priority))
        if isinstance(applied.reply, QueueFull):
            self.outcome.turned_away += 1
            del self._orders[job_id]
            self._left -= self._counts(order)
        elif order.cancelled is not None:
            self._at(order.cancelled, self._apply, c.Cancel(job_id))

    def _counts(self, order: RecordedOrder) -> bool:
        return self._recording.begin <= order.at.tick < self._recording.end

    def _note_over(self, job: Job) -> None:
        order = self._orders[job.id]
        if job.state is not State.FAILED:
            del self._orders[job.id]
        self._left -= self._counts(order)

    # ---- robots

    def _crew(self) -> Iterable[_VirtualRobot]:
        """Yield the robots of the scenario, and put on the agenda what they do of themselves."""
        recording, scenario = self._recording, self._scenario
        begin = Moment(recording.begin, 0)
        removed = _last_to_come(recording, -scenario.robots)
        for number, recorded in enumerate(recording.robots):
            key = Key(str(number), "")
            robot = _VirtualRobot(
                number, recorded.name, recorded.rule, key, scenario.rules.get(recorded.name)
            )
            for entry in recorded.timetable:
                if number not in removed or entry.at < begin:
                    self._at(entry.at, self._keep_to, robot, entry)
            if number in removed:
                self._at(begin, self._leave, robot)
            yield robot
        for number, name in enumerate(scenario.added, len(recording.robots)):
            rule = scenario.rules.get(name)
            robot = _VirtualRobot(number, name, rule or "", Key(str(number), ""), rule)
            self._at(begin, self._come, robot)
            yield robot

    def _keep_to(self, robot: _VirtualRobot, entry: RobotEntry) -> None:
        """Do what a robot's timetable says."""
        if entry.act is RobotAct.LEAVES:
            self._leave(robot)
        elif entry.act is RobotAct.SET_ASIDE:
            self._set_aside(robot, entry)
        else:
            robot.rule = entry.rule
            self._come(robot, entry.until, replaces=entry.replaces)

    def _come(
        self, robot: _VirtualRobot, aside_until: Moment | None = None, *, replaces: bool = False
    ) -> None:
        robot.is_here = True
        if robot.order is None and (replaces or not robot.waiting):
            self._register(robot, aside_until)

    def _leave(self, robot: _VirtualRobot) -> None:
        robot.is_here = False
        if robot.waiting:
            waiting, robot.waiting = robot.waiting, ""
            self._apply(c.DropWorker(waiting))

    def _set_aside(self, robot: _VirtualRobot, entry: RobotEntry) -> None:
        """Set a robot aside; one with an order is so when it registers again."""
        robot.aside = entry
        if robot.waiting:
            self._apply(c.SetAside(robot.waiting))
        if entry.until is not None:
            self._at(entry.until, self._bring_back, robot, entry)

    def _bring_back(self, robot: _VirtualRobot, entry: RobotEntry | None) -> None:
        """End a set-aside, if the robot is still in it."""
        if robot.aside is not entry:
            return
        robot.aside = None
        if not robot.waiting:
            return
        self._apply(c.BringBack(robot.waiting))
        worker = self._machine.tables.workers.get(robot.waiting)
        if worker is not None and worker.aside is not None:  # it is to be probed first
            look = extra_look(self._machine, worker, worker.aside)
            self._apply(c.WorkerProbed(look, is_pending=True, instance_state=None))

    def _register(self, robot: _VirtualRobot, aside_until: Moment | None = None) -> None:
        robot.registrations += 1
        before, robot.waiting = robot.waiting, f"{robot.number}.{robot.registrations}"
        now_s = seconds_of(self._now.tick)
        if aside_until is not None and aside_until > self._now and robot.aside is None:
            robot.aside = RobotEntry(self._now, RobotAct.SET_ASIDE, until=aside_until)
            if aside_until != NEVER:
                self._at(aside_until, self._bring_back, robot, robot.aside)
        worker = Worker(
            robot.waiting,
            to_rfc3339(now_s),
            robot.key,
            label=robot.name,
            rule=robot.rule if robot.own_rule is None else robot.own_rule,
            aside=Aside(Cause.OPERATOR, now_s) if robot.aside else None,
        )
        self._by_registration[worker.id] = robot
        reply = self._apply(c.Register(worker)).reply
        if isinstance(reply, DispatchError):
            raise reply
        if before:
            self._by_registration.pop(before, None)
            self._apply(c.StaleProbed(before, is_pending=False))

    def _register_again(self, robot: _VirtualRobot, recorded: HandOver | None) -> None:
        """Register a robot after an order, as in the recording if it was that robot's there too."""
        if not robot.is_here or robot.order is not None:
            return
        is_its_own = recorded is not None and recorded.robot == robot.number
        if recorded is None or not is_its_own:
            self._register(robot)
            return
        if recorded.rule is not None:
            robot.rule = recorded.rule
        self._register(robot, recorded.aside_until)

    # ---- hand-overs

    def _hand_over(self, job: Job) -> None:
        """Plan how a hand-over goes on that has just begun."""
        assert job.hold
        order, robot = self._orders[job.id], self._by_registration[job.hold.worker.id]
        robot.order, robot.waiting = order, ""
        served_by = self.outcome.served_by.setdefault(order.ticket, [])
        index = len(served_by)
        served_by.append(robot.number)
        recorded = order.hand_overs[index] if index < len(order.hand_overs) else None
        plan = self._planned(order, robot, recorded)
        if plan.taken is not None:
            self._at(plan.taken, self._apply, c.DeliveryAccepted(job.id, job.attempt))
        self._at(plan.ended, self._end, job, robot, plan)
        if recorded is not None and recorded.reports and recorded.ended is not None:
            self._plan_reports(job, plan, recorded, recorded.reports, recorded.ended)

    def _planned(
        self, order: RecordedOrder, robot: _VirtualRobot, recorded: HandOver | None
    ) -> _HandOverPlan:
        """Return how a hand-over goes on: as this one of the order did, where there was one."""
        now = self._now.tick
        if recorded is None or recorded.ended is None or recorded.ending is None:
            return self._planned_without_end(order, robot, recorded)
        taken = None
        if recorded.taken is not None:
            taken = Moment(now + recorded.taken.tick - recorded.at.tick, recorded.taken.rank)
        begin = now if taken is None else taken.tick
        if recorded.ending is Ending.DONE and recorded.robot != robot.number:
            service = self._times.service(order, robot.number)
        else:
            service = recorded.ended.tick - recorded.served_from
        ended = Moment(begin + self._slowed(service), recorded.ended.rank)
        return _HandOverPlan(recorded.ending, taken, ended, recorded)

    def _planned_without_end(
        self, order: RecordedOrder, robot: _VirtualRobot, recorded: HandOver | None
    ) -> _HandOverPlan:
        """Return how a hand-over goes on of which the recording does not tell the end."""
        now, rank = self._now.tick, order.at.rank
        begin = now + self._times.hand_over
        if recorded is not None and recorded.taken is not None:
            begin = now + recorded.taken.tick - recorded.at.tick
        end = begin + self._slowed(self._times.service(order, robot.number))
        if recorded is not None:  # it was not over when the recording ended
            end = max(end, now + self._recording.last - recorded.at.tick + 1)
        return _HandOverPlan(Ending.DONE, Moment(begin, rank), Moment(end, rank), recorded)

    def _plan_reports(
        self,
        job: Job,
        plan: _HandOverPlan,
        recorded: HandOver,
        reports: Sequence[tuple[Moment, float]],
        ended: Moment,
    ) -> None:
        """Have a robot say how far it is, after the same parts of its service as in the recording.

        Nobody counts on its reports to end a lease: there is none here.
        """
        assert job.hold
        proof = Proof(callback_url=job.hold.worker.id)
        begin = self._now.tick if plan.taken is None else plan.taken.tick
        before, now = ended.tick - recorded.served_from, plan.ended.tick - begin
        for at, percent in reports:
            after = at.tick - recorded.served_from
            if before != now:
                after = round(after * now / before) if before else 0
            said = c.ReportProgress(job.id, proof, percent)
            self._at(Moment(begin + after, at.rank), self._apply, said)

    def _slowed(self, ticks: int) -> int:
        is_changed = self._scenario.slower != 1.0 and self._now.tick >= self._recording.begin
        return round(ticks * self._scenario.slower) if is_changed else ticks

    def _end(self, job: Job, robot: _VirtualRobot, plan: _HandOverPlan) -> None:
        assert job.hold
        worker_id, recorded = job.hold.worker.id, plan.recorded
        proof = Proof(callback_url=worker_id)
        robot.order = None
        if plan.ending is Ending.REFUSED:
            robot.waiting = worker_id
        else:
            del self._by_registration[worker_id]
        late = recorded.late if recorded is not None else None
        if late is not None and recorded is not None and recorded.ended is not None:
            self._end_lease(job)
            after = late.tick - recorded.ended.tick
            done = c.Complete(job.id, proof)
            self._at(Moment(self._now.tick + after, late.rank), self._apply, done)
        else:
            self._apply(_ENDS[plan.ending](job, proof))
        if worker_id not in self._machine.tables.workers:  # it got the order in an answer
            robot.waiting = ""
        if plan.ending is Ending.REFUSED and recorded and recorded.back and recorded.ended:
            after = recorded.back.tick - recorded.ended.tick
            back = Moment(self._now.tick + after, recorded.back.rank)
            self._at(back, self._bring_back_refused, robot, worker_id)
        elif robot.is_here:
            self._at(self._returns(robot, recorded), self._register_again, robot, recorded)

    def _end_lease(self, job: Job) -> None:
        """Return an order whose robot may still be done with it: then that counts."""
        held = self._machine.tables.jobs.get(job.id)
        if held is not None and held.hold is not None:
            now_s = seconds_of(self._now.tick)
            self._apply(c.LookAtJob(job.id, held.hold, 0, now_s, now_s, is_used=True))

    def _bring_back_refused(self, robot: _VirtualRobot, worker_id: str) -> None:
        if robot.waiting == worker_id:
            self._bring_back(robot, robot.aside)
        elif not robot.waiting:
            self._register_again(robot, None)

    def _returns(self, robot: _VirtualRobot, recorded: HandOver | None) -> Moment:
        """Return when a robot registers again that is done with an order."""
        now = self._now
        if recorded is not None and recorded.registered is not None and recorded.ended is not None:
            after = recorded.registered.tick - recorded.ended.tick
            return Moment(now.tick + after, recorded.registered.rank)
        tick = now.tick + self._times.return_ticks
        if recorded is not None and recorded.robot == robot.number:
            tick = max(tick, self._recording.last)  # it did not before the recording ended
        return Moment(tick, NEVER.rank)

    # ---- the operator

    def _operate(self, entry: OperatorEntry) -> None:
        job_id = _id_of(entry.ticket)
        if entry.act is OperatorAct.PUTS_BACK:
            order = self._orders.get(job_id)
            if not isinstance(self._apply(c.PutBack(job_id)).reply, DispatchError) and order:
                self._left += self._counts(order)
        elif entry.act is OperatorAct.MOVES_TO_FRONT:
            self._apply(c.MoveToFront(job_id))
        elif entry.act is OperatorAct.SETS_PRIORITY:
            self._apply(c.SetPriority(job_id, entry.priority))
        else:
            self._apply(c.Pause(entry.act is OperatorAct.PAUSES))


def _id_of(ticket: int) -> str:
    return f"{ticket:032x}"


def _last_to_come(recording: Recording, count: int) -> set[int]:
    """Return the numbers of the robots that came last."""
    robots = range(len(recording.robots))
    return set(robots[-count:]) if count > 0 else set()


_OVER = (EventKind.JOB_DONE, EventKind.JOB_FAILED, EventKind.JOB_CANCELLED)

_ENDS: dict[Ending, Callable[[Job, Proof], c.Command]] = {
    Ending.DONE: lambda job, proof: c.Complete(job.id, proof),
    Ending.FAILED: lambda job, proof: c.Fail(job.id, proof, ""),
    Ending.CANCELLED: lambda job, proof: c.Fail(job.id, proof, "", cancelled=True),
    Ending.RETURNED: lambda job, proof: c.Fail(job.id, proof, "", retry=True),
    Ending.REFUSED: lambda job, _: c.DeliveryRefused(job.id, job.attempt, ""),
}
