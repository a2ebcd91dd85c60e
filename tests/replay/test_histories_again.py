"""Histories of the whole dispatcher, with its crashes and faults, run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.replay.comparison import Pairing
from sanic_dispatch.replay.comparison import replay as run_again
from sanic_dispatch.replay.evening_source import EveningSpan, EventWithData, evening_in
from sanic_dispatch.replay.scenario import Scenario
from sanic_dispatch.storage.event_record import logged
from tests.histories import simulation
from tests.histories.plan import Plan

CALM = dict.fromkeys(
    ("slow", "stalls", "fails", "unknown", "lost", "late", "cut_off", "broken_answers", "refuses",
     "blames", "fickle", "crash", "operator", "clock_step", "connected", "cuts", "expires",
     "keyless"),
    0.0,
)  # fmt: skip

SEEDS = range(1, 26)

CHANGES: dict[str, Callable[[Plan], Plan]] = {
    "calm": lambda plan: replace(plan, **CALM),
    "skills": lambda plan: replace(plan, **CALM, has_skills=True),
    "connected": lambda plan: replace(plan, **{**CALM, "connected": plan.connected}),
    "operator": lambda plan: replace(plan, **{**CALM, "operator": plan.operator}),
    "fickle robots": lambda plan: replace(plan, **{**CALM, "fickle": plan.fickle}),
}


def replayed(events: list[Event]) -> Pairing:
    """Run what a history has led to again; robots are named by their instances."""
    span = EveningSpan()
    evening = evening_in(map(as_logged, events), span)
    return run_again(evening.recording, evening.summary, Scenario()).pairing


def as_logged(event: Event) -> EventWithData:
    worker, is_new = event.worker, event.kind is EventKind.JOB_SUBMITTED
    name = worker.key.instance if worker and worker.key else worker.callback_url if worker else ""
    data = event.job.data if event.job and is_new else None
    return EventWithData(logged(event)._replace(worker=name), data)


@pytest.fixture
def events_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Event]]:
    """Return a function that simulates a history, and returns its durable events."""
    made: list[simulation.Simulation] = []
    begin = simulation.Simulation.__init__

    def noted(self: simulation.Simulation, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(simulation.Simulation, "__init__", noted)

    def simulated(seed: int, change: Callable[[Plan], Plan]) -> list[Event]:
        simulation.simulate(seed, change_plan=change)
        return made[-1].truth.events

    return simulated


@pytest.mark.parametrize("name", CHANGES)
def test_the_recorded_pairing(events_of: Callable[..., list[Event]], name: str) -> None:
    """Without faults of disk and network each order gets the same robots again."""
    pairings = [replayed(events) for events in with_orders(events_of, CHANGES[name])]
    assert sum(each.same for each in pairings) > 400
    assert [each.different for each in pairings if each.different] == []


def test_with_all_faults(events_of: Callable[..., list[Event]]) -> None:
    """With crashes, lost messages and steps of the clock, few evenings go another way.

    Where an order got another robot, many of those after it do. Left out are logs that begin in
    the middle of an evening, as the disk's log never does: they do not say who had waited longest
    by then.
    """
    histories = with_orders(events_of, lambda plan: plan)
    pairings = [replayed(events) for events in histories if first_ticket(events) == 1]
    assert sum(each.same for each in pairings) > 200
    assert sum(each.different > 0 for each in pairings) < 0.1 * len(pairings)
    assert sum(each.faults for each in pairings) > 20


def with_orders(
    events_of: Callable[..., list[Event]], change: Callable[[Plan], Plan]
) -> Iterator[list[Event]]:
    for seed in SEEDS:
        events = events_of(seed, change)
        if any(event.kind is EventKind.JOB_SUBMITTED for event in events):
            yield events


def first_ticket(events: list[Event]) -> int:
    return next(
        event.job.ticket
        for event in events
        if event.kind is EventKind.JOB_SUBMITTED and event.job is not None
    )
