"""One history of the whole dispatcher, on virtual time, from a seed.

Customers, robots and an operator act on a dispatcher whose disk and network fail as the plan says,
and which crashes and is restarted. Then all faults end, and what is left has to drain. All that is
seen from outside is recorded; the same seed records the same bytes.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable
from unittest import mock

import structlog

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import expiry
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Cause, Worker
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import (
    DispatchError,
    ShuttingDown,
    StartError,
    StorageError,
    StorageFailed,
)
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.store import Store
from tests.crash.history import Violation
from tests.crash.records import History, Mark, Outcome, Submission
from tests.histories.connected import ConnectedWorker
from tests.histories.disk import Disk, SimulatedStore
from tests.histories.engine import Engine, Robot
from tests.histories.inspector import Inspector, lease_s_of
from tests.histories.judge import judge
from tests.histories.network import SimulatedNetwork
from tests.histories.plan import DRINKS, Plan, draw_plan
from tests.histories.requests import CutOff, NotSent, Requests
from tests.histories.truth import Truth, Witness, differences
from tests.histories.virtual_time import (
    OWNER,
    LifeClock,
    NothingIsDue,
    TooLong,
    VirtualLoop,
    WallClock,
)
from tests.histories.wire import Wire

T = TypeVar("T")

DRAIN_S = 400.0
"""The virtual seconds within which everything has to come to rest after the faults."""

DRAIN_ROBOTS = 3

DELIVERY_OUTCOMES = (c.DeliveryAccepted, c.DeliveryRefused, c.DeliveryInDoubt)

USED_IN_DOUBT = "used, or not"
"""A worker that cannot be probed counts as used if a delivery to it is in doubt."""

OpenStore = Callable[["Simulation"], Store]
"""Opens the store of one life; ``crash`` is called on it, if it has that."""

MOST_VIOLATIONS = 20


@dataclass
class Run:
    """The result of a history."""

    seed: int
    plan: Plan
    violations: list[Violation]
    lines: list[tuple[Any, ...]]

    @property
    def text(self) -> str:
        """The history, one line per observation."""
        return "\n".join(" ".join(map(str, line)) for line in self.lines)


@runtime_checkable
class MayCrash(Protocol):
    """A store that has to know when its process dies."""

    def crash(self) -> None:
        """End all writing; a batch that is being written is there, or not."""


class Life:
    """One life of the dispatcher, from its start to its stop or crash."""

    def __init__(self, run: Simulation) -> None:
        self.is_over = False
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.wires: list[Wire] = []
        self.clock = LifeClock(run.loop, run.wall, run.dice.uniform(0, 1e6))
        self.inner = run.open_store(run)
        self.store = Witness(self.inner, run.truth)
        self.bus = EventBus()
        self.bus.subscribe(lambda events: None if self.is_over else run.told(events))
        network = SimulatedNetwork(run, self)
        # It begins tasks in the context in which it was made.
        self.dispatcher = self.call(
            Dispatcher, self.store, network, self.bus, self.clock, run.plan.policy, 2.0
        )
        Inspector(self.dispatcher._machine, run.accuse)
        self._run = run
        self._report = self.dispatcher.deliveries._tell
        self.dispatcher.deliveries._tell = self._report_as_planned

    def _report_as_planned(self, outcome: c.Command) -> None:
        """Report an outcome, and sometimes a second time, later."""
        self._report(outcome)
        run = self._run
        if not isinstance(outcome, DELIVERY_OUTCOMES):
            return
        if run.has_trouble and run.dice.random() < run.plan.late:
            self.clock.call_later(run.dice.choice((0.0, 0.01, 1.0)), self._report, outcome)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task of this process."""
        return self.call(asyncio.get_running_loop().create_task, work)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of this process; the tasks that it starts are the process's."""
        token = OWNER.set(self.tasks)
        try:
            return function(*arguments)
        finally:
            OWNER.reset(token)

    def crash(self) -> None:
        """End at once: nothing more is sent, and only the disk's content stays."""
        self.end()
        if isinstance(self.inner, MayCrash):
            self.inner.crash()

    def end(self) -> None:
        """End all tasks of this process."""
        self.is_over = self.store.is_gone = self.clock.is_stopped = True
        for task in list(self.tasks):
            task.cancel()
        for wire in self.wires:
            wire.cut()


class Simulation:
    """The world around the dispatcher, and what is known of it."""

    def __init__(self, seed: int, plan: Plan, loop: VirtualLoop, open_store: OpenStore) -> None:
        self.plan = plan
        self.dice = random.Random(seed * 2 + 1)
        self.loop = loop
        self.wall = WallClock(loop)
        self.disk = Disk()
        self.open_store = open_store
        self.history = History()
        self.violations: list[Violation] = []
        self.lines: list[tuple[Any, ...]] = []
        self.truth = Truth(self.accuse, self._see)
        self.has_trouble = True
        self.life: Life | None = None
        self.requests = Requests(self)
        self.engine = Engine(self)
        self.moved: set[bytes] = set()
        self.swallowed: set[tuple[str, str]] = set()
        """Callback and job of the deliveries to dead robots, which accept each."""
        self.dropped: dict[str, str] = {}
        self.cancelled_at: dict[bytes, float] = {}
        self.asked_to_cancel: set[str] = set()
        self._data: dict[str, bytes] = {}
        self._sent: list[tuple[bytes, str | None]] = []
        self._known: list[str] = []
        self._ended: dict[str, EventKind] = {}
        """By job that was done or cancelled: which of both."""
        self._to_cancel: set[str] = set()
        """The jobs whose holders were asked to stop."""
        self._expired: set[str] = set()
        """The callbacks of workers whose time to wait is over."""
        self._told = 0
        self._asking: list[tuple[bytes, float]] = []
        """Submissions that have no answer yet."""
        self._assigned: dict[tuple[str, str], str] = {}
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._orders = 0

    def now_s(self) -> float:
        """The time of the history, which never jumps."""
        return self.loop.elapsed_s

    def write(self, *words: object) -> None:
        """Record an observation."""
        self.lines.append((f"{self.loop.elapsed_s:.6f}", *words))

    def accuse(self, rule: str, text: str) -> None:
        """Record a violation."""
        self.write("VIOLATION", rule, text)
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(Violation(rule, text))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start a task outside the dispatcher."""
        task = self.loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._has_ended)

    def _has_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            self.accuse("SIMULATION", "".join(traceback.format_exception(error)))

    # ---- what is seen of the dispatcher

    def _see(self, event: Event, before: Job | None) -> None:
        """Note what a durable event allows from now on."""
        job, kind = event.job, event.kind
        if kind is EventKind.WORKER_DROPPED and event.worker is not None:
            self.dropped[event.worker.id] = event.reason
        elif (
            kind is EventKind.WORKER_USED and event.worker is not None and event.worker.key is None
        ):
            self.dropped[event.worker.id] = USED_IN_DOUBT
        aside = event.worker.aside if event.worker else None
        if event.worker is not None and aside is not None and aside.cause is Cause.EXPIRED:
            self._expired.add(event.worker.id)
        elif kind is EventKind.WORKER_REGISTERED and event.worker is not None:
            self._expired.discard(event.worker.id)  # on the same callback, but as a new one
        if job is None or kind.startswith("worker") or kind is EventKind.JOB_FORGOTTEN:
            return
        self._data[job.id] = job.data
        self._note_end(event, job)
        now_s = self.now_s()
        if kind is EventKind.JOB_ASSIGNED and job.hold is not None:
            self.history.cut_off.append(Mark(job.data, now_s))
            if job.hold.way is not Way.ANSWER:
                receipt = self._receipt_of(job)
                self._assigned[job.id, job.hold.worker.id] = receipt
        elif kind is EventKind.JOB_MOVED:
            self.moved.add(job.data)
        elif kind is EventKind.JOB_RETURNED and self._may_go_on(event, before):
            self.allow(job.data)

    def _note_end(self, event: Event, job: Job) -> None:
        """Check that a job is served once or cancelled once, and by a worker whose time lasts."""
        kind, worker, ended = event.kind, event.worker, self._ended.get(job.id)
        if kind in (EventKind.JOB_DONE, EventKind.JOB_CANCELLED, EventKind.JOB_ASSIGNED) and ended:
            self.accuse("ONCE", f"job {job.ticket} was {ended}, and then {kind}")
        if kind in (EventKind.JOB_DONE, EventKind.JOB_CANCELLED):
            self._ended[job.id] = kind
        if kind is EventKind.JOB_CANCELLING:
            self._to_cancel.add(job.id)
        elif kind is EventKind.JOB_RETURNED and job.id in self._to_cancel:
            self._to_cancel.discard(job.id)
            if event.reason != "by hand":
                self.accuse("ONCE", f"job {job.ticket} was to be cancelled, and waits again")
        is_expired = worker is not None and worker.id in self._expired
        # An answer is to a new registration on the same callback, which no event tells of.
        is_sent = job.hold is not None and job.hold.way is not Way.ANSWER
        if kind is EventKind.JOB_ASSIGNED and worker is not None and is_expired and is_sent:
            self.accuse("EXPIRED", f"job {job.ticket} went to {worker.id}")

    def _receipt_of(self, job: Job) -> str:
        return self.life.dispatcher.receipt_of(job) if self.life else ""

    def _may_go_on(self, event: Event, before: Job | None) -> bool:
        """Return whether a held job may go to another worker, while the first may have it too."""
        policy: Policy = self.plan.policy
        if before is None or before.hold is None:
            return False
        if event.reason == "its lease ended":
            return lease_s_of(policy, before.hold.worker) is not None
        if event.reason in ("by hand", "no ice"):  # an operator's word, or the holder's
            return True
        is_doubt = "doubt:" in event.reason or "during" in event.reason
        return is_doubt and policy.resends(before.hold.worker)

    def allow(self, data: bytes) -> None:
        """Allow the job to be given to another worker from now on."""
        self.history.allowed.append(Mark(data, self.now_s()))

    def data_of(self, job: Job) -> bytes:
        """Return the data of a job, also if the dispatcher has forgotten it."""
        return self._data[job.id]

    def told(self, events: Sequence[Event]) -> None:
        """Check events that were published to followers."""
        for event in events:
            self._told += 1
            if event.number != self._told:
                self.accuse("EVENTS", f"event {event.number} was told as number {self._told}")
            durable, at = self.truth.events, event.number - self.truth.before - 1
            if at >= len(durable) or durable[at] is not event:
                self.accuse("BEFORE", f"{event.kind} {event.number} was told before its commit")
            subject = event.job.ticket if event.job else event.worker and event.worker.id
            self.write("event", event.number, event.kind.value, subject, repr(event.reason))

    def check_reply(self, reply: object) -> None:
        """Check that what a reply says is durable."""
        job = reply.job if isinstance(reply, Placed) else reply
        if isinstance(job, Job) and not self.truth.is_durable(job):
            self.accuse("BEFORE", f"a reply showed job {job.ticket}, {job.state}, too early")

    def check_put(self, callback: str, job_id: str, receipt: str) -> None:
        """Check that the attempt of a PUT is durable."""
        if self._assigned.get((job_id, callback)) != receipt:
            self.accuse("BEFORE", f"a PUT of {job_id} to {callback} left before its commit")

    def check_offer(self, job: Job, receipt: str) -> None:
        """Check that an offer to a connected worker is durable."""
        self.check_reply(job)
        self.check_put(job.worker.id if job.worker else "", job.id, receipt)

    # ---- lives

    async def start(self) -> bool:
        """Start the dispatcher; return whether that succeeded."""
        self.life = life = Life(self)
        self._told = 0
        self.history.restarts_s.append(self.now_s())
        self.write("start")

        async def begin() -> None:
            await life.dispatcher.load()
            self._told = life.bus.number
            await life.dispatcher.start()

        try:
            await life.spawn(begin())
        except StorageError:
            if life.is_over:  # it was killed in this write, and is started by others
                return True
            self.write("not started")
            life.crash()
            return False
        except StartError as error:
            self.accuse("STORE", f"it does not start: {error}")
            raise
        except asyncio.CancelledError:  # it was killed meanwhile, and is started by others
            return True
        self.write("started")
        return True

    async def crash(self) -> None:
        """Kill the dispatcher, and start it again after a moment."""
        if self.life is None or self.life.is_over:
            return
        self.write("crash")
        self.life.crash()
        await self._restart()

    def kill(self) -> None:
        """Kill the dispatcher at this very step, and start it again after a moment."""
        if self.life is not None and not self.life.is_over:
            self.write("killed")
            self.life.crash()
            self.spawn(self._restart())

    async def stop(self) -> None:
        """Stop the dispatcher cleanly, and start it again."""
        life = self.life
        if life is None or life.is_over or not life.dispatcher.is_open:
            return
        self.write("stop")
        grace_s = self.dice.choice((0.0, 0.1, 3.0))
        await asyncio.wait([life.spawn(life.dispatcher.stop(grace_s))])
        if not life.is_over:
            await asyncio.wait([life.spawn(life.store.close())])
        if not life.is_over:
            self.write("stopped")
            life.end()
            await self._restart()

    async def _restart(self) -> None:
        while True:
            await asyncio.sleep(self.dice.choice((0.0, 0.1, 3.0)))
            if await self.start():
                return

    # ---- customers

    async def _order(self) -> None:
        """Submit a new order; with a key it is repeated until its fate is known, or dropped."""
        self._orders += 1
        data = (b'{"n": %d}', b'{\n  "n": %d\n}')[self._orders % 2] % self._orders
        if self.plan.has_skills:
            data = b'{"n": %d, "drink": "%b"}' % (self._orders, DRINKS[self._orders % 2])
        key = f"k{self._orders}" if self.dice.random() < 0.5 else None
        self._sent.append((data, key))
        if key is not None and self.dice.random() < 0.2:
            self.spawn(self._submit(data, key))
        for _ in range(self.dice.choice((1, 5))):
            if await self._submit(data, key) is not Outcome.UNKNOWN or key is None:
                return
            await asyncio.sleep(self.dice.choice((0.0, 0.1, 1.0)))

    async def _submit(self, data: bytes, key: str | None) -> Outcome:
        began_s, job_id, word = self.now_s(), "", ""
        self._asking.append((data, began_s))
        self.write("submit", data.decode(), key)
        try:
            placed = await self.requests.submit(data, key)
        except NotSent:
            outcome = Outcome.FAILED
        except CutOff:
            outcome = Outcome.UNKNOWN
        except StorageFailed as error:
            word = str(error)
            outcome = Outcome.UNKNOWN if "may have been" in word else Outcome.FAILED
        except ShuttingDown:  # also the answer to requests whose job is being delivered
            outcome = Outcome.UNKNOWN
        except DispatchError as error:
            outcome, word = Outcome.FAILED, type(error).__name__
        else:
            outcome, job_id = Outcome.OK, placed.job.id
            word = f"{placed.job.state} {placed.position}"
            self._known.append(job_id)
        self.write("submitted", data.decode(), outcome.value, job_id, word)
        self._asking.remove((data, began_s))
        if outcome is Outcome.OK and placed.job.forgotten:  # nobody knows any more what it was
            data = self.data_of(placed.job)
        entry = Submission(data, began_s, self.now_s(), outcome, job_id)
        self.history.submissions.append(entry)
        return outcome

    async def _repeat(self) -> None:
        """Repeat an order, or submit another one with its key."""
        if not self._sent:
            return
        data, key = self.dice.choice(self._sent)
        if key is None:
            return
        if self.dice.random() < 0.1:
            self._orders += 1
            data = b'{"n": %d, "other": true}' % self._orders
        await self._submit(data, key)

    async def _cancel(self) -> None:
        if not self._known:
            return
        job_id = self.dice.choice(self._known)
        self.write("cancel", job_id)
        self.asked_to_cancel.add(job_id)
        try:
            job = await self.requests.cancel(job_id)
        except (DispatchError, CutOff, NotSent) as error:
            self.write("not cancelled", job_id, type(error).__name__)
            return
        self.write("cancelled", job_id, job.state)
        if job.state is State.CANCELLED:
            self.cancelled_at.setdefault(self.data_of(job), self.now_s())

    async def _look_up(self) -> None:
        if not self._known:
            return
        job_id = self.dice.choice(self._known)
        with suppress(DispatchError, CutOff, NotSent):
            placed = await self.requests.look_up(job_id)
            self.write("looked up", job_id, placed.job.state.value, placed.position)

    # ---- the operator

    async def _operate(self) -> None:
        act = self.dice.choice(
            ("pause", "resume", "cancel", "put back", "front", "forget", "aside", "back", "drop")
        )
        jobs, workers = list(self.truth.jobs.values()), list(self.truth.workers.values())
        subject = ""
        call: Callable[[Any], Any]
        if act in ("pause", "resume"):
            call = _pause if act == "pause" else _resume
        elif act in ("cancel", "put back", "front", "forget"):
            if act == "forget":
                jobs = [job for job in jobs if job.state.is_final]
            if not jobs:
                return
            if act != "forget" and self.life is not None and self.dice.random() < 0.5:
                jobs = list(self.life.dispatcher._machine.tables.jobs.assigned()) or jobs
            job = self.dice.choice(jobs)
            subject, call = job.id, _ACTS[act](job.id)
            if act == "put back":
                self.allow(job.data)
            elif act == "cancel":
                self.asked_to_cancel.add(job.id)
        else:
            if not workers:
                return
            subject = self.dice.choice(workers).id
            call = _ACTS[act](subject)
        self.write("operator", act, subject)
        try:
            await self.requests.operate(call)
        except (DispatchError, CutOff, NotSent) as error:
            self.write("not done", act, subject, type(error).__name__)
        else:
            self.write("done", act, subject)

    # ---- the whole

    async def live(self) -> None:
        """Run the history."""
        if not await self.start():
            await self._restart()
        for _ in range(self.plan.robots):
            if self.plan.connected and self.dice.random() < self.plan.connected:
                self.engine.connect(polls=self.dice.random() < self.plan.polling)
            else:
                self.engine.start(has_key=self.dice.random() >= self.plan.keyless)
        for _ in range(self.plan.actions):
            self._act()
            if self.plan.gap_s and self.dice.random() < 0.7:
                await asyncio.sleep(self.dice.expovariate(1 / self.plan.gap_s))
            else:
                await asyncio.sleep(0)
            self._compare()
        await self._drain()
        self._look_at_the_end()
        self.violations += judge(self)

    def _act(self) -> None:
        """Do one random thing."""
        dice, plan = self.dice, self.plan
        chance = dice.random()
        for share, act in (
            (plan.crash, self._crash_or_stop),
            (plan.fickle, self._befall),
            (plan.clock_step, self._step_clock),
            (plan.operator, lambda: self.spawn(self._operate())),
        ):
            if chance < share:
                act()
                return
            chance -= share
        kind = dice.random()
        if kind < 0.7:
            self.spawn(self._order())
        elif kind < 0.85:
            self.spawn(self._repeat())
        elif kind < 0.92:
            self.spawn(self._look_up())
        else:
            self.spawn(self._cancel())

    def _crash_or_stop(self) -> None:
        self.spawn(self.stop() if self.dice.random() < 0.25 else self.crash())

    def _befall(self) -> None:
        robot = self.dice.choice(self.engine.robots)
        robot.befall(self.dice.choice(("stop", "stop", "continue", "continue", "die", "abandon")))

    def _step_clock(self) -> None:
        step_s = self.dice.choice((3600.0, -3600.0, -86400.0, 0.5))
        self.write("clock", step_s)
        self.wall.offset_s += step_s

    def _compare(self) -> None:
        """Check that memory equals what is durable, if nothing is under way."""
        life = self.life
        if life is None or life.is_over or not life.dispatcher.is_open:
            return
        batches = life.dispatcher.batches
        if batches._committing is not None or batches._gathering.entries:
            return
        if found := differences(self.truth.records, life.dispatcher._machine.tables):
            self.accuse("MEMORY", f"durable {found} in memory")

    # ---- the end

    async def _drain(self) -> None:
        """End all faults, and let everything come to rest."""
        self.has_trouble = False
        self.disk.is_faulty = False
        self.write("drain")
        for robot in self.engine.robots:
            if robot.state == "stopped":
                robot.befall("continue")
        for _ in range(DRAIN_ROBOTS):
            self.engine.start(has_key=True, is_healthy=True)
        until_s = self.now_s() + DRAIN_S
        step_s = 0.5
        while self.now_s() < until_s:
            await asyncio.sleep(step_s)
            step_s = min(step_s * 1.5, 20.0)
            await self._undo_the_operator()
            self._compare()
            if self._is_at_rest():
                return

    async def _undo_the_operator(self) -> None:
        """Resume, and bring all workers back."""
        life = self.life
        if life is None or life.is_over or not life.dispatcher.is_open:
            return
        if life.dispatcher.is_paused:
            with suppress(CutOff, NotSent, DispatchError):
                await self.requests.operate(_resume)
        for worker in list(self.truth.workers.values()):
            if worker.aside and worker.aside.cause == "operator":
                with suppress(CutOff, NotSent, DispatchError):
                    await self.requests.operate(_ACTS["back"](worker.id))

    def _is_at_rest(self) -> bool:
        life = self.life
        if life is None or life.is_over or not life.dispatcher.is_open:
            return False
        if any(robot.may_have_got_one for robot in self.engine.robots):
            return False
        return next(self._unsettled(), None) is next(self._stranded(), None) is None

    def _unsettled(self) -> Iterator[str]:
        """Return the jobs that wait, or of which it is unknown whether their workers have them."""
        for job in self.truth.jobs.values():
            if job.state is State.WAITING:
                yield f"job {job.ticket} waits"
            elif job.hold and not job.state.is_final and not self._is_settled(job.hold):
                yield f"job {job.ticket} is {job.hold.stage} at {job.hold.worker.id}"

    def _is_settled(self, hold: Hold) -> bool:
        """Return whether its worker has it, or only an operator can decide.

        The latter if the worker cannot be probed, and the job is not to be resent.
        """
        if hold.stage is Stage.IN_DOUBT and hold.worker.key is None:
            return self.plan.policy.resend_doubt is False
        if hold.worker.is_connected:
            return False  # it is done soon, or its lease ends
        # A robot whose process was killed takes the same job again and again, and uses none.
        return hold.stage is Stage.CONFIRMED or self.engine.at(hold.worker.id).is_dead

    def _stranded(self) -> Iterator[str]:
        """Return the robots that were told to wait, and will never be called."""
        for robot in self.engine.robots:
            if isinstance(robot, ConnectedWorker):
                yield from robot.stranded()
                continue
            if not robot.is_waiting or robot.is_dead or robot.state != "running":
                continue
            worker = self.truth.workers.get(robot.callback)
            if worker is None and not self._was_dropped(robot):
                yield f"{robot.callback} waits without being registered"
            elif (
                worker is not None and worker.aside is not None and not self._is_tried_last(worker)
            ):
                yield f"{robot.callback} is set aside: {worker.aside}"

    def _is_tried_last(self, worker: Worker) -> bool:
        """A worker that cannot be probed is tried again when a job waits and no other is free."""
        return worker.key is None

    def _was_dropped(self, robot: Robot) -> bool:
        """Return whether a robot was dropped for a reason that it has to accept."""
        # A callback that had a job in an answer counts as used up, also if the answer was lost: a
        # repeat after the end of the lease waits in vain.
        if any(robot.callback in job.spent for job in self.truth.jobs.values()):
            return True
        reason = self.dropped.get(robot.callback, "")
        return reason in ("out of order", "it refused too often", expiry.NOT_REACHED, USED_IN_DOUBT)

    def _look_at_the_end(self) -> None:
        for data, began_s in self._asking:
            entry = Submission(data, began_s, self.now_s(), Outcome.UNKNOWN)
            self.history.submissions.append(entry)
        for rule, found in (("DRAIN", self._unsettled()), ("STRANDED", self._stranded())):
            for text in found:
                self.accuse(rule, text)
        self.history.left = {
            job.id
            for job in self.truth.jobs.values()
            if job.state in (State.WAITING, State.ASSIGNED, State.FAILED)
        }

    async def end(self) -> None:
        """End everything."""
        if self.life is not None:
            self.life.end()
        for task in list(self._tasks):
            task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        if self.life is not None:
            self.life.end()
        await asyncio.sleep(0)


async def _pause(operator: Any) -> None:
    await operator.pause("a break")


async def _resume(operator: Any) -> None:
    await operator.resume("on it goes")


def _about(name: str, why: str) -> Callable[[str], Callable[[Any], Any]]:
    return lambda subject: lambda operator: getattr(operator, name)(subject, why)


_ACTS = {
    "cancel": _about("cancel", "nobody wants it"),
    "put back": _about("put_back", "by hand"),
    "front": _about("move_to_front", "vip"),
    "forget": _about("forget", "the guest"),
    "aside": _about("set_aside", "cleaning"),
    "back": _about("bring_back", "clean"),
    "drop": _about("drop", "out of order"),
}

# ---- from a seed to a run


def on_simulated_disk(run: Simulation) -> Store:
    """Open the simulated disk."""
    return SimulatedStore(run.disk, run.plan, run.dice)


def simulate(
    seed: int,
    *,
    open_store: OpenStore = on_simulated_disk,
    change_plan: Callable[[Plan], Plan] = lambda plan: plan,
) -> Run:
    """Run the history of a seed."""
    plan = change_plan(draw_plan(random.Random(seed * 2)))
    loop = VirtualLoop()
    run = Simulation(seed, plan, loop, open_store)
    loop.set_exception_handler(lambda _, context: run.accuse("LOOP", _described(context)))
    try:
        with _determined(run):
            try:
                loop.run_until_complete(run.live())
            except (NothingIsDue, TooLong) as error:
                run.accuse("LOOP", f"{type(error).__name__} at {loop.elapsed_s}")
            loop.turns = 0
            loop.run_until_complete(run.end())
    finally:
        loop.close()
    return Run(seed, plan, run.violations, run.lines)


def _described(context: dict[str, Any]) -> str:
    error = context.get("exception")
    told = "".join(traceback.format_exception(error)) if error else ""
    return f"{context.get('message')} {told}"


@contextmanager
def _determined(run: Simulation) -> Iterator[None]:
    """Take all random numbers from the seed, and collect the errors in the log."""
    dice = run.dice

    def hear(_: object, level: str, entry: Any) -> Any:
        if level in ("error", "exception", "critical"):
            error = "".join(traceback.format_exc()) if level == "exception" else ""
            run.accuse("LOG", f"{entry} {error}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[hear])
    try:
        with (
            mock.patch("secrets.token_hex", lambda size: dice.randbytes(size).hex()),
            mock.patch("random.uniform", dice.uniform),
        ):
            yield
    finally:
        structlog.configure(**before)
