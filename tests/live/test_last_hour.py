"""The last hour: what the monitor's chart is drawn from."""

from __future__ import annotations

from typing import Any

import pytest
import ujson

from sanic_dispatch.core.job import Job, Way
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.dispatch.queries import Snapshot
from sanic_dispatch.live.connection import Topic
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.last_hour import MOST_OF_A_MINUTE, MOST_OF_THE_HOUR, History, Minute
from tests.live.story import FakeWire, Story

MONITOR = Topic("monitor")


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def hub(story: Story) -> Hub:
    return story.hub()


def look(hub: Hub) -> dict[str, Any]:
    state: dict[str, Any] = ujson.loads(hub.look(MONITOR).json)["state"]
    return state


def minutes(hub: Hub) -> list[tuple[Any, ...]]:
    """Arrived, done, p50 and p90 of each minute in which something happened."""
    found = sorted((value["t"], value) for key, value in look(hub).items() if "minute/" in key)
    return [tuple(value[name] for name in ("arrived", "done", "p50", "p90")) for _, value in found]


def hour(hub: Hub) -> tuple[Any, ...]:
    """Done, p50 and p90 of the whole hour."""
    bar = look(hub)["bar"]
    return bar["per_hour"], bar["p50"], bar["p90"]


def test_an_order_through_the_minutes(story: Story, hub: Hub) -> None:
    """It counts when it came, its wait when a robot had it, its end when it was done."""
    ticket = story.submit()
    story.loop.run(90.0)
    story.assign(ticket)
    story.loop.run(1.0)
    story.confirm(ticket)
    story.loop.run(120.0)
    story.finish(ticket)
    assert minutes(hub) == [(1, 0, None, None), (0, 0, 91.0, 91.0), (0, 1, None, None)]
    assert hour(hub) == (1, 91.0, 91.0)


def test_a_worker_that_reports_nothing(story: Story, hub: Hub) -> None:
    """Where an order is done as soon as it was taken, that is when the wait was over."""
    ticket = story.submit()
    story.loop.run(5.0)
    story.assign(ticket, way=Way.ANSWER)
    story.finish(ticket)
    assert hour(hub) == (1, 5.0, 5.0)


def test_what_comes_to_nothing_is_not_done(story: Story, hub: Hub) -> None:
    """A cancelled, a failed and a returned order have come, no more."""
    for end in (story.cancel, story.fail, story.refuse):
        ticket = story.submit()
        if end != story.cancel:
            story.assign(ticket)
        end(ticket)
    assert minutes(hub) == [(3, 0, None, None)]
    assert hour(hub) == (0, None, None)


def test_half_and_nine_in_ten(story: Story, hub: Hub) -> None:
    """p50 and p90 are what so many of a minute, or of the hour, waited at most."""
    tickets = [story.submit() for _ in range(11)]
    for ticket in tickets:
        story.assign(ticket)
        story.confirm(ticket)
        story.loop.run(1.0)
    assert minutes(hub)[-1] == (11, 0, 5.0, 9.0)
    assert hour(hub) == (0, 5.0, 9.0)


def test_an_hour_is_over(story: Story, hub: Hub) -> None:
    """What is older than an hour is forgotten, and who follows the monitor is told."""
    wire = FakeWire()
    hub.follow(wire, MONITOR)
    story.serve(10.0)
    key = next(key for key in look(hub) if key.startswith("minute/"))
    story.loop.run(3500.0)
    assert hour(hub)[0] == 1
    assert key in wire.state
    story.loop.run(200.0)
    assert (minutes(hub), hour(hub)) == ([], (0, None, None))
    assert key not in wire.state
    assert wire.state["bar"]["per_hour"] == 0


def test_nothing_changes_where_nothing_happens(story: Story, hub: Hub) -> None:
    """Of minutes that are over nothing is sent again."""
    story.serve(60.0)
    wire = FakeWire()
    hub.follow(wire, MONITOR)
    story.loop.run(60.0)
    story.submit()
    story.loop.run(1.0)
    (patch,) = [frame["patch"] for frame in wire.taken if "order/2" in frame.get("patch", {})]
    assert len([key for key in patch if key.startswith("minute/")]) == 1


def test_a_restart_remembers_the_hour(story: Story) -> None:
    """The jobs that were kept tell what happened before it."""
    done = [story.jobs[story.serve(60.0)] for _ in range(3)]
    waiting = story.jobs[story.submit()]
    again = Story(story.loop)
    hub = again.hub()
    hub.seed(Snapshot([waiting], done, [], paused=False))
    assert hour(hub) == (3, 0.0, 0.0)
    assert sum(arrived for arrived, *_ in minutes(hub)) == 4


@pytest.mark.parametrize(
    "at",
    [
        "2026-11-25T12:44:03Z",
        "2026-11-25 12:44:03Z",
        "2026-11-25T13:44:03+01:00",
        "2026-11-25T11:44:03-01:00",
        "20261125T124403Z",
    ],
)
def test_a_time_of_any_spelling(at: str) -> None:
    """An order of the last hour counts however its time is written in a file."""
    history = History()
    job = Job("ab", 1, b"7", at, 1)
    history.seed_unfinished([job], from_rfc3339("2026-11-25T12:45:00Z"))
    assert [minute.arrived for minute in history] == [1]


def test_a_rush_costs_no_more_memory() -> None:
    """Of very many waits of a minute an even part is kept, and tells the same."""
    minute = Minute(0)
    for n in range(MOST_OF_A_MINUTE * 9):
        minute.waited(float(n))
    assert len(minute._waits) <= MOST_OF_A_MINUTE
    assert minute.shown()["p50"] == pytest.approx(MOST_OF_A_MINUTE * 4.5, rel=0.02)


def test_the_hour_speaks_of_the_last_ones(story: Story, hub: Hub) -> None:
    """After a rush p50 and p90 are of so many orders at most."""
    for _ in range(MOST_OF_THE_HOUR + 5):
        ticket = story.submit()
        story.assign(ticket)
        story.confirm(ticket)
    assert len(hub.line.history._waits) == MOST_OF_THE_HOUR
