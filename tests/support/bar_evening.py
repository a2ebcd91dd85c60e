"""An evening in a bar, on the real core and virtual time: what a replay is compared with.

Robots take orders by PUT or in answers, report or just come back, refuse, keep silent, die for a
while and are set aside; guests cancel, and the operator interferes. The core's timers run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any

import ujson

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.evidence import ProbeResult
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.replay.evening_source import Evening, EveningSpan, EventWithData, evening_in
from sanic_dispatch.storage.event_record import logged, recorded
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.support.clock import START_S

DRINKS = ("mojito", "negroni", "beer")
WHOLE = EveningSpan()
GUESTS = ("Ada", "Grace", "Alan", "Edsger", "Barbara")


@dataclass(frozen=True)
class Bar:
    """What kind of evening it is; shares are probabilities."""

    orders: int = 200
    robots: int = 3
    gap_s: float = 40.0
    service_s: float = 90.0
    spread: float = 0.3
    policy: Policy = Policy()
    skills: bool = False
    """Whether every second robot makes only two of three drinks."""
    cancels: float = 0.0
    refuses: float = 0.0
    silent: float = 0.0
    """The share of PUTs that are not answered, and have arrived."""
    dies: float = 0.0
    """The share of orders whose robot is never heard of again: it comes back after ten minutes."""
    fails: float = 0.0
    operator: float = 0.0
    """How often, per order, the operator sets aside, moves, changes a priority or pauses."""
    says_progress: bool = False

    @classmethod
    def with_everything(cls, **values: Any) -> Bar:
        """Return an evening with all features in it."""
        policy = Policy(lease_s=400.0, priorities=True, fair_by="/name", resend_doubt=False)
        shares = {"cancels": 0.1, "refuses": 0.05, "silent": 0.05, "dies": 0.02, "fails": 0.05}
        given = {"policy": policy, "skills": True, "operator": 0.1, "says_progress": True}
        return cls(**{**shares, **given, **values})


class BarEvening:
    """Runs an evening; ``events`` is what happened."""

    def __init__(self, bar: Bar, seed: int = 1) -> None:
        self.bar, self.events = bar, list[Event]()
        self._dice = random.Random(seed)
        self._now_s = START_S
        self._numbers = count()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._machine = StateMachine(bar.policy)
        self._projection = Projection(ordering=bar.policy.ordering)
        self._registrations = count(1)
        self._jobs: list[str] = []
        self._machine.load((), (), ())
        self._apply(c.Recover("00" * 32))
        for number in range(bar.robots):
            self._in(self._dice.random() * 20, self._register, number)
        at_s = 30.0
        for ticket in range(1, bar.orders + 1):
            self._in(at_s, self._order, ticket)
            at_s += self._dice.expovariate(1 / bar.gap_s)
        while self._agenda and (self._open or self._agenda[0][0] < START_S + at_s):
            self._now_s, _, act = heappop(self._agenda)
            act()

    def log(self, first: int = 1) -> Iterator[EventWithData]:
        """Yield the events from this number on, as a log has them."""
        for event in self.events[first - 1 :]:
            is_new = event.kind is EventKind.JOB_SUBMITTED
            yield EventWithData(logged(event), event.job.data if event.job and is_new else None)

    def read(self, span: EveningSpan = WHOLE) -> Evening:
        """Return the evening as it is read for a replay."""
        return evening_in(self.log(), span)

    def write(self, folder: Path) -> None:
        """Write its log to a data folder."""
        log = SegmentLog(folder, fsync=False)
        log.load()
        log.add(list(map(recorded, self.events)))
        log.flush()

    # ---- guests and the operator

    @property
    def _open(self) -> bool:
        return bool(self._machine.tables.jobs.line.size or self._machine.tables.jobs.assigned())

    def _order(self, ticket: int) -> None:
        dice, job_id = self._dice, f"{ticket:032x}"
        data = {"drink": dice.choice(DRINKS), "name": dice.choice(GUESTS)}
        priority = dice.choice((0, 3, 3, 5)) if self.bar.policy.priorities else None
        self._jobs.append(job_id)
        self._apply(c.Submit(job_id, ujson.dumps(data).encode(), priority=priority))
        if dice.random() < self.bar.cancels:
            self._in(dice.uniform(0, 200), self._apply, c.Cancel(job_id))
        if dice.random() < self.bar.operator:
            self._in(dice.uniform(0, 60), self._operate)

    def _operate(self) -> None:
        dice, job_id = self._dice, self._dice.choice(self._jobs)
        workers = list(self._machine.tables.workers.unordered())
        worker_id = dice.choice(workers).id if workers else ""
        pause = dice.uniform(1, 120)
        act = dice.randrange(6)
        if act == 0:
            self._apply(c.Pause(True, "a break"))
            self._in(pause, self._apply, c.Pause(False))
        elif act == 1:
            self._apply(c.SetPriority(job_id, dice.randrange(8), "a regular", "Ada"))
        elif act == 2:
            self._apply(c.MoveToFront(job_id, "in a hurry"))
        elif act == 3:
            self._apply(c.PutBack(job_id, "it broke"))
        elif worker_id:
            self._apply(c.SetAside(worker_id, "cleaning"))
            self._in(pause, self._apply, c.BringBack(worker_id))

    # ---- robots

    def _register(self, robot: int) -> None:
        rule = "match.drink=mojito|beer" if self.bar.skills and robot % 2 else ""
        url = f"http://engine/{robot}/callbacks/{next(self._registrations)}/"
        worker = Worker(
            url, to_rfc3339(self._now_s), Key(f"i{robot}", "a1"), f"http://engine/{robot}/",
            f"Robot {robot + 1}", rule=rule,
        )  # fmt: skip
        job = self._apply(c.Register(worker))
        if isinstance(job, Job):
            self._in(0.002, self._apply, c.AnswerWritten(job.id, job.attempt))
            self._begin(job, robot)

    def _begin(self, job: Job, robot: int) -> None:
        """Make an order, and report it or just come back; or never be heard of."""
        dice, bar = self._dice, self.bar
        assert job.hold
        service_s = bar.service_s * dice.lognormvariate(0, bar.spread)
        proof = Proof(callback_url=job.hold.worker.id)
        if dice.random() < bar.dies:
            self._in(600.0, self._register, robot)
            return
        if bar.says_progress:
            for part in (0.3, 0.6):
                said = c.ReportProgress(job.id, proof, 100 * part, "shaking")
                self._in(service_s * part, self._apply, said)
        if dice.random() < bar.fails:
            retry = dice.random() < 0.5
            self._in(service_s, self._apply, c.Fail(job.id, proof, "no ice", retry=retry))
        elif dice.random() < 0.5:
            self._in(service_s, self._apply, c.Complete(job.id, proof))
        self._in(service_s + dice.choice((0.0, 0.5, 3.0)), self._register, robot)

    def _put(self, put: e.PutJob) -> None:
        job, dice = put.job, self._dice
        assert job.hold
        robot = int(job.hold.worker.key.instance[1:]) if job.hold.worker.key else 0
        chance = dice.random()
        if chance < self.bar.refuses:
            said: c.Command = c.DeliveryRefused(job.id, job.attempt, "answered 503")
            self._in(0.05, self._apply, said)
        elif chance < self.bar.refuses + self.bar.silent:
            self._in(10.0, self._apply, c.DeliveryInDoubt(job.id, job.attempt, "no answer"))
            self._in(0.01, self._begin, job, robot)
        else:
            self._in(0.01, self._apply, c.DeliveryAccepted(job.id, job.attempt))
            self._in(0.01, self._begin, job, robot)

    # ---- the agenda

    def _in(self, after_s: float, act: Callable[..., object], *arguments: Any) -> None:
        entry = (self._now_s + after_s, next(self._numbers), lambda: act(*arguments))
        heappush(self._agenda, entry)

    def _apply(self, command: c.Command) -> Any:
        now = Now(self._now_s, self._now_s - START_S)
        applied = self._machine.apply(command, now)
        self._machine.tables.take_changes()
        promised = self._projection.promised(applied.events)
        self._projection.fold(*promised)
        self.events += promised
        for effect in applied.effects:
            self._do(effect)
        return applied.reply

    def _do(self, effect: e.Effect) -> None:
        if isinstance(effect, e.PutJob):
            self._put(effect)
        elif isinstance(effect, e.StartTimer):
            self._in(effect.after_s, self._apply, effect.command)
        elif isinstance(effect, e.ProbeWorker):
            found = c.WorkerProbed(effect.look, is_pending=True, instance_state="running")
            self._in(0.02, self._apply, found)
        elif isinstance(effect, e.ProbeStale):
            self._in(0.02, self._apply, c.StaleProbed(effect.callback_url, is_pending=False))
        elif isinstance(effect, e.ProbeHold):
            found_out = ProbeResult(False, "running", "running")
            said = c.HoldProbed(effect.look, is_timed=effect.is_timed, found=found_out)
            self._in(0.02, self._apply, said)
