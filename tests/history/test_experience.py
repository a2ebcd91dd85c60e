"""Promises in the event log, and what the estimator learns from them at a start."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from benchmarks.measure.eta import SPECIALIST, Line, Scenario, SimulatedBar
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Aside, Cause, Worker
from sanic_dispatch.dispatch.queries import EARLIER_EVENTS, EarlierRuns, TopicSnapshot
from sanic_dispatch.history.experience import experience_in
from sanic_dispatch.history.statistics import By, Statistics
from sanic_dispatch.live.estimator import MIN_SERVICE_SAMPLES
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.memory_log import MemoryEventLog
from tests.crash.server import DURABLE
from tests.observability.metrics.scraping import scrape
from tests.support.clock import START_S
from tests.support.late_order import is_late, late_order
from tests.support.redis import redis_values
from tests.support.server import Service, running_service
from tests.support.story import Story, robot

DAY_S = 86_400.0
LINES: tuple[Line, ...] = ("by arrival", "skills", "priorities", "turns", "all of these")
STAFF = "token-of-the-staff"
RULED = {"priorities": True, "priority_tokens": (STAFF,), "fair_by": "/name", "submit_wait_s": 0.0}


class StandingClock(SystemClock):
    """A clock on which an answer comes at the very time of its question."""

    def now_s(self) -> float:
        return START_S


async def order(service: Service, drink: str, name: str, priority: str) -> str:
    """Submit an order; return its id."""
    headers = {"Authorization": f"Bearer {STAFF}", "Job-Priority": priority}
    _, _, job_id = await service.submit({"drink": drink, "name": name}, **headers)
    return job_id


async def register(service: Service, number: int, rule: str = "") -> None:
    """Register a robot that takes the jobs of a rule."""
    headers = {
        "CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{number}/",
        "CPEE-INSTANCE-UUID": f"i{number}",
        "CPEE-ACTIVITY": "a1",
    }
    url = f"{service.base_url}register-worker?{rule}"
    async with service.http.post(url, headers=headers) as answer:
        assert answer.status == 200


async def test_they_are_what_the_customer_was_told(tmp_path: Path) -> None:
    """GET /jobs/<id> said the very window, with skills, priorities and fair turns."""
    values = {"mode": Mode.SQLITE, "data_dir": tmp_path, **RULED}
    with patch("sanic_dispatch.app.SystemClock", StandingClock):
        async with running_service(**values) as service:
            for _ in range(MIN_SERVICE_SAMPLES):
                service.app.ctx.hub.projection.forecast.estimator.observe_service(60.0)
            for number, (drink, rule) in enumerate((("mojito", ""), ("beer", SPECIALIST))):
                await order(service, drink, "regular", "3")
                await register(service, number, rule)
            told = {}
            for number in range(24):
                drink, name = ("mojito", "beer", "water")[number % 3], f"guest {number % 5}"
                job_id = await order(service, drink, name, "260"[number % 3])
                told[job_id] = tuple((await service.job(job_id))["eta"])
            found = await service.app.ctx.events.find(Question(kind="job.submitted"))
            promises = {event.job: event.promise for event in found.events if event.promise}
    assert told == {job: promises[job].window() for job in told}
    assert len({*told.values()}) > 10


@pytest.mark.parametrize("line", LINES)
def test_a_promise_counts_what_is_there_and_leaves_nothing_behind(line: Line) -> None:
    """It is that of an order that was just added, also if its batch fails and is tried again."""
    bar = SimulatedBar(Scenario(4, "bursty", "none", orders=150, line=line), 1)
    plain, made = Projection(ordering=bar.projection.ordering), list[Promise]()
    promised = bar.projection.promised

    def twice(events: Sequence[Event]) -> Sequence[Event]:
        promised(events)
        [event] = promised(events)
        plain.fold(events[0])
        if event.job and event.kind is EventKind.JOB_SUBMITTED:
            order = plain.get(event.job.id)
            assert order
            assert event.promise == order.promise
            made.extend([event.promise] if event.promise else [])
        return [event]

    bar.projection.promised = twice  # type: ignore[method-assign]
    bar.run()
    assert len(made) > 100


@pytest.mark.parametrize("policy", [Policy(), Policy(priorities=True, fair_by="/drink")])
@pytest.mark.parametrize("rules", [(), ("match.drink=beer", "match.drink=beer|gin")])
def test_the_orders_of_a_batch_count_each_other(policy: Policy, rules: Sequence[str]) -> None:
    """As if they came one by one, also where robots make some drinks only."""
    story, projection, batch = Story(), Projection(ordering=policy.ordering), list[Event]()
    story.tell(projection.fold)
    for _ in range(10):
        story.serve(60.0)
    story.loop.run(60.0)
    projection.expire(story.now_s)  # of the robots, which do not come back
    for number, rule in enumerate(rules or ("",)):
        story.register(f"robot {number}", rule=rule)
    story.promised = lambda events: batch.extend(events) or ()  # type: ignore[func-returns-value]
    for priority, drink in ((3, "gin"), (3, "beer"), (0, "gin"), (3, "beer"), (3, "gin")):
        story.submit({"drink": drink}, priority=priority)
    promises = [event.promise for event in projection.promised(batch)]
    assert len({*promises}) > 1
    for event, promise in zip(batch, promises, strict=True):
        projection.fold(event)
        order = projection.get(event.job.id) if event.job else None
        assert order
        assert order.promise == promise


class Night(Story):
    """A bar in which everything happens, by chance."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._dice = random.Random(seed)
        self._robots = [robot(name) for name in ("Ada", "Eve", "Bob")]
        self._held: dict[str, int] = {}
        """The order that each robot has."""

    def act(self) -> None:
        """Let one thing happen, sometimes after a long while."""
        self.loop.run(self._dice.uniform(0.0, self._dice.choice([20.0] * 49 + [7200.0])))
        worker = self._dice.choice(self._robots)
        dice = self._dice.random()
        if dice < 0.35:
            self.submit()
        elif dice < 0.4:
            kinds = (EventKind.DISPATCH_PAUSED, *[EventKind.DISPATCH_RESUMED] * 3)
            self.pause(self._dice.choice(kinds))
        elif dice < 0.45:
            if waiting := self._in(State.WAITING):
                self.cancel(self._dice.choice(waiting))
        elif dice < 0.5:
            if failed := self._in(State.FAILED):
                self.put_back(self._dice.choice(failed))
        elif worker.label in self._held and dice < 0.75:
            percent = self._dice.choice((None, *range(0, 101, 5)))
            self.make_progress(self._held[worker.label], percent)
        elif worker.label in self._held:
            self._end(self._held.pop(worker.label))
        else:
            self._begin(worker)

    def unfinished(self) -> list[Job]:
        """Return the jobs that wait or are assigned, in order."""
        jobs = self._in(State.WAITING) + self._in(State.ASSIGNED)
        return [self.jobs[ticket] for ticket in sorted(jobs)]

    def _begin(self, worker: Worker) -> None:
        kind = self._dice.choice(
            [EventKind.WORKER_REGISTERED] * 4
            + [EventKind.WORKER_SET_ASIDE, EventKind.WORKER_CAME_BACK, EventKind.WORKER_DROPPED]
        )
        is_aside = kind is EventKind.WORKER_SET_ASIDE
        aside = Aside(Cause.OPERATOR, self.now_s) if is_aside else None
        self.register(worker.label, kind=kind, aside=aside)
        waiting = self._in(State.WAITING)
        if kind is EventKind.WORKER_REGISTERED and waiting:
            ticket = min(waiting)
            self.assign(ticket, worker)
            if self._dice.random() < 0.1:
                self.refuse(ticket)
                return
            self.confirm(ticket)
            if self._dice.random() < 0.5:
                self.leave(worker)
            self._held[worker.label] = ticket

    def _end(self, ticket: int) -> None:
        act = self._dice.choice([self.finish] * 8 + [self.fail, self.put_back])
        act(ticket)

    def _in(self, state: State) -> list[int]:
        return [ticket for ticket, job in self.jobs.items() if job.state is state]


@pytest.mark.parametrize("seed", range(3))
def test_a_new_owner_goes_on_with_them(seed: int) -> None:
    """Estimates, lateness and the share of promises that were kept: all as before."""
    night, log, before, after = Night(seed), MemoryEventLog(), Projection(), Projection()
    night.promised = before.promised
    night.bus.subscribe(log.note)
    night.tell(before.fold)
    for _ in range(1000):
        night.act()
    while not (unfinished := night.unfinished()):
        night.act()
    night.loop.run(DAY_S)  # so that orders are late, and no robot is between two jobs
    robots = before.robots
    before.expire(night.now_s)
    workers = [each.worker for each in (*robots, *robots._displaced.values()) if each.job is None]
    earlier = EarlierRuns((), log.newest(EARLIER_EVENTS))
    snapshot = TopicSnapshot(unfinished, [], workers, before.counts().paused, earlier)
    after.seed(snapshot, now_s=night.now_s)
    after.restore_experience(experience_in(log))
    assert after.counts() == before.counts()
    told = [
        [
            (order, order.promise, one.window(order, night.now_s), order.is_late(night.now_s))
            for order in (one.get(job.id) for job in unfinished)
            if order
        ]
        for one in (before, after)
    ]
    assert [each[1:] for each in told[1]] == [each[1:] for each in told[0]]
    assert any(is_late for *_, is_late in told[0])
    hit_rates = [one.forecast.estimator.hit_rate for one in (before, after)]
    assert hit_rates[0] == hit_rates[1] is not None


@pytest.mark.parametrize("mode", [*DURABLE, Mode.REDIS], ids=str)
async def test_a_late_order_is_late_after_a_restart(mode: Mode, tmp_path: Path) -> None:
    """In every mode that keeps anything; so is the share of promises that were kept."""
    values = {"mode": mode, "data_dir": tmp_path, **redis_values(mode, tmp_path)}
    async with running_service(**values) as service:
        order = await late_order(service)
        kept = (await scrape(service)).value("dispatch_promise_hit_ratio")
    async with running_service(**values) as service:
        assert await is_late(service, order)
        assert (await scrape(service)).value("dispatch_promise_hit_ratio") == kept


def test_statistics_have_their_share() -> None:
    """As many promises as the live channel says, of which as many were kept, in any line."""
    bar = SimulatedBar(Scenario(4, "bursty", "none", orders=400, line="all of these"), 1)
    told, fold = list[LoggedEvent](), bar.projection.fold

    def watch(event: Event) -> None:
        told.append(logged(event))
        fold(event)

    bar.projection.fold = watch  # type: ignore[method-assign]
    bar.run()
    estimator, statistics = bar.projection.forecast.estimator, Statistics(By.ROBOT)
    for event in told:
        statistics.add(event)
    rows = statistics.rows(told[-1].at_s)
    counted = [(row.promises, row.kept) for row in statistics._rows.values()]
    assert [sum(each) for each in zip(*counted, strict=True)] == [estimator.made, estimator.kept]
    assert all(0.5 < row["kept"] < 1.0 for row in rows)
