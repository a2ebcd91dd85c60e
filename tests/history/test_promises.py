"""Promises that are worked out from the log: those that the live channel made."""

from __future__ import annotations

import random

import pytest

from benchmarks.measure.eta import Scenario, SimulatedBar
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import State
from sanic_dispatch.core.worker import Aside, Cause, Worker
from sanic_dispatch.history.promises import Promises
from sanic_dispatch.history.statistics import By, Statistics
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from tests.support.story import Story, robot


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
    assert crew.present <= 2
    assert not crew._waiting
