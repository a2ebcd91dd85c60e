"""Who gets which job, against a model that looks at all jobs and all workers, by definition."""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.line import FRONT
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.rules import members_of, normal_form, rule_of
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.dispatch.queries import NO_EARLIER_RUNS, snapshot_of
from sanic_dispatch.errors import DispatchError
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.tracked_robots import RETURN_GRACE_S
from sanic_dispatch.live.why import Reason

START_S = 1_732_412_340.0
STEP_S = 20.0
LEFT = (EventKind.WORKER_DROPPED, EventKind.WORKER_USED)
HISTORIES = 2000 if os.environ.get("TORTURE") else 150

DRINKS = ("mojito", "beer", "gin", "water")
RULES = (
    (),
    (("match.drink", "mojito|gin"),),
    (("match.drink", "beer"),),
    (("not.drink", "beer"),),
    (("match.drink", "gin"), ("not.size", "xl")),
    (("match.size", "2"),),
)


# ---- the model


class Entry(NamedTuple):
    """A waiting job and what its place in line depends on, by definition."""

    level: int
    turn: tuple[Any, ...]
    job: Job


def admits(rule: str, job: Job) -> bool:
    return rule_of(rule).admits(members_of(job.data))


def customer_of(job: Job) -> str:
    data = json.loads(job.data)
    return f"named {data['name']}" if "name" in data else job.id


class Service(NamedTuple):
    """With which event a worker with a rule was given a customer's job."""

    turn: int
    customer: str
    rule: str


class Model:
    """The jobs that wait, and who was served."""

    def __init__(
        self, tables: Tables, policy: Policy, now_s: float, services: Iterable[Service]
    ) -> None:
        self.rules = tables.jobs.line.rules
        self.policy = policy
        self.now_s = now_s
        self.services = list(services)

    def line(self, waiting: Iterable[Job]) -> list[Entry]:
        """Return the waiting jobs in order, by the definition in docs/protocol.md."""
        crowds = defaultdict(list)
        for job in sorted(waiting, key=lambda job: (job.place, job.ticket)):
            admitting = frozenset(rule for rule in self.rules if admits(rule, job))
            level = self.level(job)
            who = customer_of(job) if self.policy.fair_by and level != FRONT else job.id
            crowds[admitting, level, who].append(job)
        entries = []
        for (_, level, who), jobs in crowds.items():
            served = self.last_turn(who, jobs[0])
            for number, job in enumerate(jobs):
                turn: tuple[Any, ...] = (job.place, job.ticket)
                if self.policy.fair_by and level != FRONT:
                    turn = number, served, jobs[0].place, jobs[0].ticket
                entries.append(Entry(level, turn, job))
        return sorted(entries, key=lambda entry: entry[:2])

    def last_turn(self, customer: str, job: Job) -> int:
        """Return with which event a worker that takes a job served a customer last.

        Rules of which there has been no worker for long do not count.
        """
        rules = {"", *(rule for rule in self.rules if admits(rule, job))}
        own = (each for each in self.services if each.customer == customer)
        return max((each.turn for each in own if each.rule in rules), default=0)

    def level(self, job: Job) -> int:
        if job.place < job.ticket:
            return FRONT
        if not self.policy.priorities:
            return 1
        risen = int((self.now_s - job.submitted_s) / self.policy.priority_step_s)
        return 1 + max(job.priority - risen, 0)

    def pairs(self, waiting: Iterable[Job], free: Iterable[Worker]) -> set[tuple[str, str]]:
        """Give the first job in line that a worker takes to the one that has waited longest."""
        jobs, workers = list(waiting), sorted(free, key=lambda worker: worker.place)
        pairs: set[tuple[str, str]] = set()
        while pair := self._next_pair(jobs, workers):
            job, worker = pair
            jobs.remove(job)
            workers.remove(worker)
            self.services.append(Service(10**9 + len(pairs), customer_of(job), worker.rule))
            pairs.add((job.id, worker.id))
        return pairs

    def _next_pair(self, jobs: list[Job], workers: list[Worker]) -> tuple[Job, Worker] | None:
        for entry in self.line(jobs):
            for worker in workers:
                if admits(worker.rule, entry.job):
                    return entry.job, worker
        return None


def service_of(job: Job) -> Service:
    """Return the service of a job; with the turn 0 if no worker has it, or had it to the end."""
    if job.worker is None:
        return Service(0, customer_of(job), "")
    return Service(job.turn, customer_of(job), job.worker.rule)


# ---- random histories


class Bar:
    """A state machine, played with random commands and compared with the model after each."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.policy = Policy(
            lease_s=self.random.choice((None, 30.0)),
            priorities=self.random.random() < 0.5,
            priority_step_s=STEP_S,
            fair_by="/name" if self.random.random() < 0.5 else None,
            keep_finished=self.random.choice((3, 1000)),
        )
        self.now_s = 0.0
        self.done: dict[Key, tuple[float, str]] = {}
        """When each robot was done, and its rule: none comes back with the same key."""
        self.aside: set[str] = set()
        """The callbacks that are set aside."""
        self.names = 0
        self.timers: list[tuple[float, c.Command]] = []
        self.puts: list[e.PutJob] = []
        self.open(StateMachine(self.policy))

    def open(self, machine: StateMachine) -> None:
        self.machine, self.tables = machine, machine.tables
        self.timers, self.puts = [], []
        self.services = {job.id: service_of(job) for job in self.tables.jobs.unordered()}
        """By job."""
        self.passed: defaultdict[str, set[tuple[str, str, int, str]]] = defaultdict(set)
        """By waiting job: what was given to workers that take it, since one of them served its
        customer: customer, rule, level and job."""
        self.projection = self._new_projection()
        self._seed(self.projection)
        self.apply(c.Recover("5e" * 32))

    def _new_projection(self) -> Projection:
        return Projection(ordering=self.policy.ordering)

    def _seed(self, projection: Projection) -> None:
        found = snapshot_of(self.tables, NO_EARLIER_RUNS)
        projection.seed(found, self.machine.number, START_S + self.now_s)

    def restart(self) -> None:
        jobs = [*self.tables.jobs.finished(), *self.tables.jobs.assigned()]
        waiting = sorted(self.tables.jobs.line, key=lambda job: (job.place, job.ticket))
        again = StateMachine(self.policy)
        again.number = self.machine.number
        now_s = START_S + self.now_s
        again.load([*waiting, *jobs], list(self.tables.workers), list(self.tables.facts), now_s)
        self.done.clear()
        self.open(again)

    def step(self) -> None:
        self.now_s += self.random.choice((0.0, 0.5, 3.0, 11.0))
        due = [each for each in self.timers if each[0] <= self.now_s]
        self.timers = [each for each in self.timers if each[0] > self.now_s]
        for _, command in due:
            self.apply(command)
        kind = self.random.choices(
            (self.submit, self.register, self.outcome, self.report, self.operate, self.restart),
            (30, 20, 20, 15, 14, 1),
        )[0]
        kind()

    def submit(self) -> None:
        data: dict[str, Any] = {"drink": self.random.choice(DRINKS)}
        if self.random.random() < 0.7:
            data["name"] = self.random.choice(("ada", "bob", "eve"))
        if self.random.random() < 0.4:
            data["size"] = self.random.choice((1, 2, "xl"))
        self.names += 1
        priority = self.random.choice((None, 0, 1, 3, 7))
        self.apply(c.Submit(f"{self.names:032x}", json.dumps(data).encode(), priority=priority))

    def register(self) -> None:
        self.names += 1
        rule = normal_form(self.random.choice(RULES))
        at = to_rfc3339(START_S + self.now_s)
        url = f"http://engine/{self.names}/"
        key = Key(f"i{self.names}", "a1")
        self.apply(c.Register(Worker(url, at, key, rule=rule)))

    def outcome(self) -> None:
        answered = [job for job in self.tables.jobs.assigned() if job.hold and job.attempt]
        if self.puts and self.random.random() < 0.7:
            job = self.puts.pop(self.random.randrange(len(self.puts))).job
            outcome = (c.DeliveryAccepted, c.DeliveryAccepted, c.DeliveryRefused)
            kind = self.random.choice(outcome)
            self.apply(
                kind(job.id, job.attempt, "503")
                if kind is c.DeliveryRefused
                else c.DeliveryAccepted(job.id, job.attempt)
            )
        elif answered:
            job = self.random.choice(answered)
            self.apply(c.AnswerWritten(job.id, job.attempt))

    def report(self) -> None:
        held = [job for job in self.tables.jobs.assigned() if job.worker]
        if held:
            job = self.random.choice(held)
            assert job.worker
            proof = Proof(job.worker.id)
            retry = c.Fail(job.id, proof, "no ice", retry=True)
            self.apply(self.random.choice((c.Complete(job.id, proof), retry)))

    def operate(self) -> None:
        jobs, workers = list(self.tables.jobs.unordered()), list(self.tables.workers)
        job_id = self.random.choice(jobs).id if jobs else "none"
        worker_id = self.random.choice(workers).id if workers else "none"
        self.apply(
            self.random.choice((
                c.Cancel(job_id), c.PutBack(job_id), c.MoveToFront(job_id),
                c.SetPriority(job_id, self.random.randrange(8)),
                c.SetAside(worker_id), c.BringBack(worker_id), c.DropWorker(worker_id),
                c.Pause(True), c.Pause(False), c.Pause(False),
            ))
        )  # fmt: skip

    def apply(self, command: c.Command) -> None:
        """Apply a command, sometimes undo it and apply it again, and compare."""
        before = {job.id: job for job in self.tables.jobs.unordered()}
        now = Now(START_S + self.now_s, self.now_s)
        self.tables.take_changes()
        number = self.machine.number
        applied = self.machine.apply(command, now)
        if self.random.random() < 0.1:
            self.machine.undo(self.tables.take_changes(), number)
            assert {job.id: job for job in self.tables.jobs.unordered()} == before
            applied = self.machine.apply(command, now)
        assert not isinstance(applied.reply, Exception) or isinstance(applied.reply, DispatchError)
        for effect in applied.effects:
            if isinstance(effect, e.StartTimer):
                self.timers.append((self.now_s + effect.after_s, effect.command))
            elif isinstance(effect, e.PutJob):
                self.puts.append(effect)
        self.compare(applied.events, before)
        self.watch(applied.events, before)

    # ---- comparing

    def compare(self, events: list[Event], before: dict[str, Job]) -> None:
        """Compare who got which job, and the order of the line, with the model."""
        tables, now_s = self.tables, START_S + self.now_s
        model = Model(tables, self.policy, now_s, self.services.values())
        for event in events:
            if event.job:
                self.note_service(event.job)
        line = Model(tables, self.policy, now_s, self.services.values()).line(tables.jobs.line)
        assert [entry.job.ticket for entry in line] == [job.ticket for job in tables.jobs.line]
        for position, entry in enumerate(line, 1):
            assert tables.jobs.position_of(entry.job) == position
        if tables.facts.paused:
            return
        # As it was before this command gave out any: the same jobs wait, and the same workers.
        jobs = list(tables.jobs.line)
        workers = [worker for worker in tables.workers if tables.workers.is_free(worker)]
        given = {}
        for event in events:
            if event.kind is EventKind.JOB_ASSIGNED and event.job and event.worker:
                was = before.get(event.job.id, event.job._replace(turn=0))
                given[event.job.id] = event.worker
                jobs.append(was._replace(state=State.WAITING, hold=None))
                workers.append(event.worker)
        pairs = {(job_id, worker.id) for job_id, worker in given.items()}
        assert pairs == model.pairs(jobs, workers)
        if self.policy.fair_by:
            self.compare_turns(model, events, {job.id: job for job in jobs})

    def note_service(self, job: Job) -> None:
        service = self.services[job.id] = service_of(job)
        if service.turn == 0:
            for passed in self.passed.values():
                passed -= {each for each in passed if each[-1] == job.id}

    def compare_turns(self, model: Model, events: list[Event], waiting: dict[str, Job]) -> None:
        """Between two jobs of one customer, workers of one rule serve each other one once."""
        for event in events:
            job = event.job
            if job is None or event.worker is None or event.kind is not EventKind.JOB_ASSIGNED:
                continue
            was = waiting.pop(job.id, None)
            if was is None:
                continue
            self.passed.pop(job.id, None)
            level, customer, rule = model.level(was), customer_of(was), event.worker.rule
            for other in waiting.values():
                if not admits(rule, other):
                    continue
                passed = self.passed[other.id]
                if customer_of(other) == customer:
                    passed.clear()
                elif level == model.level(other) != FRONT:
                    assert (customer, rule, level) not in {each[:3] for each in passed}
                    passed.add((customer, rule, level, job.id))

    def watch(self, events: list[Event], before: dict[str, Job]) -> None:
        """Fold the events, and compare what is shown with the model."""
        now_s = START_S + self.now_s
        for event in events:
            self.projection.fold(event)
            job, worker = event.job, event.worker
            if job is None and worker and worker.key and event.kind not in LEFT:
                self.done.pop(worker.key, None)  # it is in the queue: between two jobs no more
            if job is None and worker:
                is_aside = worker.aside is not None and event.kind not in LEFT
                (self.aside.add if is_aside else self.aside.discard)(worker.id)
            if event.kind is not EventKind.JOB_DONE or not (job and job.worker and job.worker.key):
                continue
            if before[job.id].state is State.ASSIGNED and job.worker.id not in self.aside:
                self.done[job.worker.key] = now_s, job.worker.rule
        self.projection.expire(now_s)
        tables = self.tables
        line = Model(tables, self.policy, now_s, self.services.values()).line(tables.jobs.line)
        at_work, here = self.robots(now_s)
        aheads = self.projection.aheads(self.projection.waiting) or range(len(line))
        for number, entry in enumerate(line):
            order = self.projection.get(entry.job.id)
            assert order is not None
            able = {rule for rule in at_work if admits(rule, entry.job)}
            rivals = [
                earlier.job
                for earlier in line[:number]
                if not at_work or any(admits(rule, earlier.job) for rule in able)
            ]
            assert self.projection.ahead(order) == aheads[number] == len(rivals)
            assert self.projection.position(order) == number + 1
            why = self.projection.why(order)
            assert why is not None
            assert why.reason is self.reason(entry.job, at_work, here)
            assert why.ahead == (len(rivals) if why.reason is Reason.BEHIND else None)
        assert [order.job.ticket for order in self.projection.waiting] == [
            entry.job.ticket for entry in line
        ]
        if not tables.facts.paused:
            assert self.projection.next_pair(lambda _: True) is None

    def robots(self, now_s: float) -> tuple[set[str], set[str]]:
        """Return the rules of robots at work, and of all that are here."""
        tables = self.tables
        holders = {job.worker.id: job.worker for job in tables.jobs.assigned() if job.worker}
        between = {rule for at_s, rule in self.done.values() if abs(now_s - at_s) < RETURN_GRACE_S}
        others = [worker for worker in tables.workers if worker.id not in holders]
        at_work = {worker.rule for worker in holders.values()} | between
        at_work |= {worker.rule for worker in others if worker.aside is None}
        return at_work, at_work | {worker.rule for worker in others}

    def reason(self, job: Job, at_work: set[str], here: set[str]) -> Reason:
        if self.tables.facts.paused:
            return Reason.PAUSED
        if not here:
            return Reason.NO_WORKER
        if not any(admits(rule, job) for rule in here):
            return Reason.NO_ABLE_WORKER
        if not any(admits(rule, job) for rule in at_work):
            return Reason.WORKER_ASIDE
        return Reason.BEHIND


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_pairs_line_and_reasons_are_those_of_the_model(seed: int) -> None:
    """Over rules, priorities, turns, cancellations, moves, asides, leases, undos and restarts."""
    bar = Bar(seed)
    for _ in range(60):
        bar.step()
