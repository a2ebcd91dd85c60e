"""Promises that are worked out from the log: those that the live channel made."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.measure.eta import Scenario, SimulatedBar
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.worker import Aside, Cause, Worker
from sanic_dispatch.dispatch.queries import EARLIER_EVENTS, EarlierRuns
from sanic_dispatch.history.promises import Promises, experience_in
from sanic_dispatch.history.statistics import By, Statistics
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.memory_log import MemoryEventLog
from tests.crash.server import DURABLE
from tests.observability.metrics.scraping import scrape
from tests.support.late_order import is_late, late_order
from tests.support.redis import redis_values
from tests.support.server import running_service
from tests.support.story import Story, robot

DAY_S = 86_400.0


class Watched:
    """The live projection, and beside it the promises worked out from what is logged."""

    def __init__(self) -> None:
        self.projection = Projection()
        self.promises = Promises()
        self.outcomes: list[bool] = []
        self.differing: list[Event] = []

    def take(self, event: Event) -> None:
        """Fold an event in both, and compare what became of its promise."""
        self.projection.expire(event.at_s)
        estimator = self.projection.forecast.estimator
        made, kept = estimator.made, estimator.kept
        self.projection.fold(event)
        was_kept = self.promises.add(logged(event))
        if was_kept is not None:
            self.outcomes.append(was_kept)
        if was_kept is not (None if estimator.made == made else estimator.kept > kept):
            self.differing.append(event)


class Night(Story):
    """A bar in which everything happens, by chance."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._dice = random.Random(seed)
        self._robots = [robot(name) for name in ("Ada", "Eve", "Bob")]
        self._held: dict[str, int] = {}
        """The order that each robot has."""

    def act(self) -> None:
        """Let one thing happen."""
        self.loop.run(self._dice.uniform(0.0, 20.0))
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
def test_they_are_those_that_were_told(seed: int) -> None:
    """Order by order, whatever happens on the way."""
    watched, night = Watched(), Night(seed)
    night.tell(watched.take)
    for _ in range(1000):
        night.act()
    assert watched.differing == []
    assert len(watched.outcomes) > 50
    assert {*watched.outcomes} == {True, False}


@pytest.mark.parametrize("seed", range(3))
def test_a_new_owner_goes_on_with_them(seed: int) -> None:
    """Estimates, lateness and the share of promises that were kept: all as before."""
    night, log, watched, after = Night(seed), MemoryEventLog(), Watched(), Projection()
    night.bus.subscribe(log.note)
    night.tell(watched.take)
    for _ in range(1000):
        night.act()
    while not (unfinished := night.unfinished()):
        night.act()
    night.loop.run(DAY_S)  # so that orders are late, and no robot is between two jobs
    before, robots = watched.projection, watched.projection.robots
    before.expire(night.now_s)
    after.seed(
        unfinished,
        [],
        [each.worker for each in (*robots, *robots._displaced.values()) if each.job is None],
        paused=before.counts().paused,
        earlier=EarlierRuns((), log.newest(EARLIER_EVENTS)),
        now_s=night.now_s,
    )
    after.go_on(experience_in(log))
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
    """As many promises as the live channel says, of which as many were kept."""
    bar, told = SimulatedBar(Scenario(3, "bursty", "none", orders=400), 1), list[LoggedEvent]()
    fold = bar.projection.fold

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


def test_memory_is_that_of_what_is_there() -> None:
    """Orders and robots that are gone are forgotten."""
    story, promises = Story(), Promises()
    story.tell(lambda event: promises.add(logged(event)) and None)
    for n in range(200):
        worker = story.register(f"r{n}")
        ticket = story.submit()
        story.assign(ticket, worker)
        story.confirm(ticket)
        story.leave(worker)
        story.loop.run(40.0)
        story.finish(ticket)
    crew = promises._crew
    assert not promises._orders
    assert crew.count(None) <= 2
    assert not crew._waiting
