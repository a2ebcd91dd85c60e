"""The last hour: the numbers of the monitor's chart."""

from __future__ import annotations

from typing import Any

import pytest

from sanic_dispatch.core.job import Job, Way
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.live.connection import ViewKey
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.last_hour import MAX_HOUR_SAMPLES, MAX_MINUTE_SAMPLES, LastHour, Minute
from tests.support.story import FakeConnection, Story, state_of

MONITOR = ViewKey("monitor")


def minutes(hub: Hub) -> list[tuple[Any, ...]]:
    """Return arrived, done, p50 and p90 of each minute in which something happened."""
    found = sorted(
        (value["t"], value) for key, value in state_of(hub, MONITOR).items() if "minute/" in key
    )
    return [tuple(value[name] for name in ("arrived", "done", "p50", "p90")) for _, value in found]


def hour(hub: Hub) -> tuple[Any, ...]:
    """Return done, p50 and p90 of the whole hour."""
    bar = state_of(hub, MONITOR)["bar"]
    return bar["per_hour"], bar["p50"], bar["p90"]


def test_an_order_through_the_minutes(story: Story, hub: Hub) -> None:
    """An arrival, a wait and a completion count in the minutes in which each happened."""
    ticket = story.submit()
    story.loop.run(90.0)
    story.assign(ticket)
    story.loop.run(1.0)
    story.confirm(ticket)
    story.loop.run(120.0)
    story.finish(ticket)
    assert minutes(hub) == [(1, 0, None, None), (0, 0, 91.0, 91.0), (0, 1, None, None)]
    assert hour(hub) == (1, 91.0, 91.0)


def test_a_job_done_when_taken(story: Story, hub: Hub) -> None:
    """An order that is done as soon as it is taken has waited until then."""
    ticket = story.submit()
    story.loop.run(5.0)
    story.assign(ticket, way=Way.ANSWER)
    story.finish(ticket)
    assert hour(hub) == (1, 5.0, 5.0)


def test_unsuccessful_orders_only_arrive(story: Story, hub: Hub) -> None:
    """Cancelled, failed and returned orders count as arrivals only."""
    for end in (story.cancel, story.fail, story.refuse):
        ticket = story.submit()
        if end != story.cancel:
            story.assign(ticket)
        end(ticket)
    assert minutes(hub) == [(3, 0, None, None)]
    assert hour(hub) == (0, None, None)


def test_quantiles_of_waits(story: Story, hub: Hub) -> None:
    """p50 and p90 are the quantiles of a minute's or of the hour's waits."""
    tickets = [story.submit() for _ in range(11)]
    for ticket in tickets:
        story.assign(ticket)
        story.confirm(ticket)
        story.loop.run(1.0)
    assert minutes(hub)[-1] == (11, 0, 5.0, 9.0)
    assert hour(hub) == (0, 5.0, 9.0)


def test_an_hour_is_over(story: Story, hub: Hub) -> None:
    """Minutes older than an hour are removed, and the monitor's clients are told."""
    connection = FakeConnection()
    hub.follow(connection, MONITOR)
    story.serve(10.0)
    key = next(key for key in state_of(hub, MONITOR) if key.startswith("minute/"))
    story.loop.run(3500.0)
    assert hour(hub)[0] == 1
    assert key in connection.state
    story.loop.run(200.0)
    assert (minutes(hub), hour(hub)) == ([], (0, None, None))
    assert key not in connection.state
    assert connection.state["bar"]["per_hour"] == 0


def test_a_clock_that_was_set_back(story: Story, hub: Hub) -> None:
    """What lies ahead by then is not of the last hour; a second back changes nothing."""
    story.serve(10.0)
    before = hour(hub)
    hub.projection.expire(story.now_s - 1.0)
    assert hour(hub) == before == (1, 0.0, 0.0)
    hub.projection.expire(story.now_s - 1800.0)
    assert (minutes(hub), hour(hub)) == ([], (0, None, None))


def test_nothing_changes_where_nothing_happens(story: Story, hub: Hub) -> None:
    """Unchanged minutes are not sent again."""
    story.serve(60.0)
    connection = FakeConnection()
    hub.follow(connection, MONITOR)
    story.loop.run(60.0)
    story.submit()
    story.loop.run(1.0)
    (patch,) = [frame["patch"] for frame in connection.taken if "order/2" in frame.get("patch", {})]
    assert len([key for key in patch if key.startswith("minute/")]) == 1


def test_a_restart_remembers_the_hour(story: Story) -> None:
    """Seeded with the finished jobs, the hour before the start is counted."""
    done = [story.jobs[story.serve(60.0)] for _ in range(3)]
    waiting = story.jobs[story.submit()]
    again = Story(story.loop)
    hub = again.hub()
    hub.show(hub.project(TopicSnapshot([waiting], done, [], paused=False)))
    assert hour(hub) == (3, 0.0, 0.0)
    assert sum(arrived for arrived, *_ in minutes(hub)) == 4


def test_a_restart_remembers_waits_of_orders_that_are_not_done(story: Story, hub: Hub) -> None:
    """Those that robots have now, or could not make, have waited as well."""
    tickets = [story.submit() for _ in range(4)]
    for ticket in tickets[:3]:
        story.loop.run(30.0)
        story.assign(ticket)
        story.confirm(ticket)
    story.fail(tickets[1])
    story.ask_to_cancel(tickets[2])
    story.stop(tickets[2])
    story.assign(tickets[3])
    made, failed, stopped, under_way = (story.jobs[ticket] for ticket in tickets)
    again = Story(story.loop).hub()
    again.show(again.project(TopicSnapshot([made, under_way], [failed, stopped], [], paused=False)))
    assert hour(again) == hour(hub) == (0, 60.0, 84.0)
    assert minutes(again) == minutes(hub)


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
    """An arrival of the last hour counts in any RFC 3339 spelling of its time."""
    history = LastHour()
    job = Job("ab", 1, b"7", at, 1)
    history.seed_unfinished([job], from_rfc3339("2026-11-25T12:45:00Z"))
    assert [minute.arrived for minute in history] == [1]


def test_a_minute_keeps_an_even_sample() -> None:
    """A full minute keeps an even sample with the same quantiles."""
    minute = Minute(0)
    for n in range(MAX_MINUTE_SAMPLES * 9):
        minute.add_wait(float(n))
    assert len(minute._waits) <= MAX_MINUTE_SAMPLES
    assert minute.as_json()["p50"] == pytest.approx(MAX_MINUTE_SAMPLES * 4.5, rel=0.02)


def test_the_hour_keeps_the_last_waits(story: Story, hub: Hub) -> None:
    """The hour keeps a bounded number of waits, the last ones."""
    for _ in range(MAX_HOUR_SAMPLES + 5):
        ticket = story.submit()
        story.assign(ticket)
        story.confirm(ticket)
    assert len(hub.projection.last_hour._waits) == MAX_HOUR_SAMPLES
