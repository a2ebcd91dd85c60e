"""Statistics of a span: counts, waiting and service times, and how busy robots were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.worker import Aside, Cause
from sanic_dispatch.history.statistics import By, Statistics
from sanic_dispatch.storage.event_record import LoggedEvent, Payload
from tests.history.stories import LoggedStory
from tests.support.clock import START_S
from tests.support.story import robot

NONE = {"p50": None, "p90": None, "p99": None}
EMPTY = {
    "submitted": 0,
    "done": 0,
    "failed": 0,
    "cancelled": 0,
    "wait_s": NONE,
    "service_s": NONE,
    "kept": None,
    "refused": 0,
    "doubted": 0,
    "utilisation": None,
}


def all_of(value: float) -> dict[str, float]:
    return {"p50": value, "p90": value, "p99": value}


def statistics(
    events: Iterable[LoggedEvent],
    by: By,
    now_s: float,
    *,
    from_s: float | None = None,
    to_s: float | None = None,
    payloads: Iterable[Payload] = (),
) -> list[dict[str, Any]]:
    """Return the rows after folding all events."""
    fold = Statistics(by, from_s, to_s, payloads)
    for event in events:
        fold.add(event)
    return fold.rows(now_s)


def rows_of(story: LoggedStory, by: By, **span: float) -> list[dict[str, Any]]:
    return statistics(story.events, by, story.now_s, payloads=story.payloads, **span)


def told(*events: tuple[Any, ...]) -> Iterable[LoggedEvent]:
    """Events of time, kind, ticket, label and callback."""
    for n, (at_s, kind, *rest) in enumerate(events, 1):
        ticket, label, callback = (*rest, *(0, "", "")[len(rest) :])
        yield LoggedEvent(n, at_s, kind, ticket, "a", label, callback)


def test_nothing() -> None:
    """No events, no rows."""
    assert statistics([], By.HOUR, 0.0) == []


def test_an_order() -> None:
    """It waits until a robot has it; the service begins with that."""
    story = LoggedStory()
    ticket = story.submit()
    story.wait(10)
    story.assign(ticket, robot("Ada"))
    story.wait(2)
    story.confirm(ticket)
    story.wait(30)
    story.finish(ticket)
    expected = EMPTY | {
        "submitted": 1,
        "done": 1,
        "wait_s": all_of(12.0),
        "service_s": all_of(30.0),
        "utilisation": 1.0,
    }
    assert rows_of(story, By.HOUR) == [{"hour": "2024-11-24T01:00:00Z"} | expected]
    assert rows_of(story, By.DRINK) == [{"drink": "Mojito"} | expected]
    assert rows_of(story, By.ROBOT) == [{"robot": "Ada"} | expected]


def test_every_end_and_trouble() -> None:
    """Cancelled, failed, refused and doubted are counted; put back and done counts as done, too."""
    story = LoggedStory()
    cancelled, refused, doubted = (story.submit() for _ in range(3))
    story.cancel(cancelled)
    story.assign(refused, robot("Ada"))
    story.refuse(refused)
    story.assign(refused, robot("Eve"))
    story.confirm(refused)
    story.fail(refused)
    story.put_back(refused)
    story.assign(refused, robot("Eve"))
    story.confirm(refused)
    story.finish(refused)
    story.assign(doubted, robot("Ada"))
    story.doubt(doubted)
    story.finish(doubted)
    (row,) = rows_of(story, By.HOUR)
    counts = {name: row[name] for name in ("submitted", "done", "failed", "cancelled")}
    assert counts == {"submitted": 3, "done": 2, "failed": 1, "cancelled": 1}
    assert (row["refused"], row["doubted"]) == (1, 1)
    by_robot = {each["robot"]: each for each in rows_of(story, By.ROBOT)}
    assert {name: row["submitted"] for name, row in by_robot.items()} == {"Ada": 2, "Eve": 2}
    assert {name: row["refused"] for name, row in by_robot.items()} == {"Ada": 1, "Eve": 0}
    assert {name: row["done"] for name, row in by_robot.items()} == {"Ada": 1, "Eve": 1}
    assert by_robot["Eve"]["failed"] == 1


def test_a_report_that_has_the_job_retried_is_no_refusal() -> None:
    """The robot had taken it."""
    story = LoggedStory()
    ticket = story.submit()
    story.assign(ticket, robot("Ada"))
    story.confirm(ticket)
    story.put_back(ticket)
    (row,) = rows_of(story, By.ROBOT)
    assert row["refused"] == 0


def test_hours() -> None:
    """Each event counts in its own hour, the waiting time where the wait ended."""
    story = LoggedStory()
    ticket = story.submit()
    story.wait(3600)
    story.assign(ticket)
    story.confirm(ticket)
    story.wait(3600)
    story.finish(ticket)
    rows = rows_of(story, By.HOUR)
    assert [row["hour"] for row in rows] == [f"2024-11-24T0{hour}:00:00Z" for hour in (1, 2, 3)]
    assert [row["submitted"] for row in rows] == [1, 0, 0]
    assert [row["wait_s"]["p50"] for row in rows] == [None, 3600.0, None]
    assert [row["done"] for row in rows] == [0, 0, 1]


def test_drinks() -> None:
    """By name; those of which nothing is known come last, as null."""
    story = LoggedStory()
    for data in ({"drink": "water"}, 7, {"drink": "mojito"}, {"drink": "water"}):
        story.cancel(story.submit(data))
    found = [(row["drink"], row["submitted"], row["cancelled"]) for row in rows_of(story, By.DRINK)]
    assert found == [("mojito", 1, 1), ("water", 2, 2), (None, 1, 1)]
    without = statistics(story.events, By.DRINK, story.now_s)
    assert [(row["drink"], row["submitted"]) for row in without] == [(None, 4)]


def test_the_span() -> None:
    """From is inclusive, to exclusive; what was before says only how things stood."""
    story = LoggedStory()
    first = story.submit({"drink": "water"})
    story.assign(first, robot("Ada"))
    story.confirm(first)
    story.wait(100)
    second = story.submit({"drink": "water"})
    story.finish(first)
    story.wait(100)
    story.cancel(second)
    (row,) = rows_of(story, By.DRINK, from_s=START_S + 100, to_s=START_S + 200)
    assert (row["drink"], row["submitted"], row["done"], row["cancelled"]) == ("water", 1, 1, 0)
    assert row["service_s"] == all_of(100.0)
    (row,) = rows_of(story, By.HOUR, from_s=START_S + 50, to_s=START_S + 100)
    assert (row["submitted"], row["done"], row["utilisation"]) == (0, 0, 1.0)


def test_what_began_before_everything() -> None:
    """Of an order whose hand-over is not there, the service is that of the log."""
    done = LoggedEvent(9, 50.0, EventKind.JOB_DONE, 7, "a", "Ada", "http://e/1", service_s=12.5)
    (row,) = statistics([done], By.ROBOT, 60.0)
    assert (row["robot"], row["done"], row["service_s"]) == ("Ada", 1, all_of(12.5))
    assigned = LoggedEvent(
        9, 50.0, EventKind.JOB_ASSIGNED, 7, "a", "Ada", "http://e/1", waiting_s=8.0
    )
    confirmed = LoggedEvent(10, 51.0, EventKind.JOB_CONFIRMED, 7, "a", "Ada", "http://e/1")
    (row,) = statistics([assigned, confirmed], By.HOUR, 60.0)
    assert row["wait_s"] == all_of(9.0)


def test_a_worker_that_reports_nothing_has_no_service_time() -> None:
    """Without a key a job is done as soon as it is taken: that says nothing of the service."""
    taken = told(
        (0.0, EventKind.JOB_SUBMITTED, 1),
        (4.0, EventKind.JOB_ASSIGNED, 1, "Ada", "c"),
        (5.0, EventKind.JOB_DONE, 1, "Ada", "c"),
    )
    (row,) = statistics(taken, By.HOUR, 9.0)
    assert (row["done"], row["wait_s"], row["service_s"]) == (1, all_of(5.0), NONE)


def test_a_robot_that_registers_while_it_is_set_aside() -> None:
    """It counts from when it is brought back."""
    story = LoggedStory()
    story.register("Ada", aside=Aside(Cause.OPERATOR, START_S, "smells burnt"))
    story.wait(30)
    ada = story.register("Ada", kind=EventKind.WORKER_CAME_BACK)
    story.wait(10)
    story.assign(story.submit(), ada)
    story.wait(10)
    (row,) = rows_of(story, By.ROBOT)
    assert row["utilisation"] == 0.5


@pytest.mark.parametrize(
    ("events", "utilisation"),
    [
        # It waits for 50 s, then has an order until now.
        ([(0.0, EventKind.WORKER_REGISTERED), (50.0, EventKind.JOB_ASSIGNED, 1)], 0.5),
        # Set aside for 60 s of the 90 in which it has nothing to do.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (10.0, EventKind.WORKER_SET_ASIDE),
                (70.0, EventKind.WORKER_CAME_BACK),
                (90.0, EventKind.JOB_ASSIGNED, 1),
            ],
            0.25,
        ),
        # Its callback is used up when it takes the order; then it is away.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (10.0, EventKind.JOB_ASSIGNED, 1),
                (10.0, EventKind.WORKER_USED),
                (20.0, EventKind.JOB_DONE, 1),
            ],
            0.5,
        ),
        # It refuses, and waits on: it is still in the queue.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (0.0, EventKind.JOB_ASSIGNED, 1),
                (10.0, EventKind.JOB_RETURNED, 1),
            ],
            0.1,
        ),
        # It is set aside while it has an order, and that goes back.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (0.0, EventKind.JOB_ASSIGNED, 1),
                (5.0, EventKind.WORKER_SET_ASIDE),
                (10.0, EventKind.JOB_RETURNED, 1),
            ],
            1.0,
        ),
        # It is dropped.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (0.0, EventKind.JOB_ASSIGNED, 1),
                (5.0, EventKind.JOB_RETURNED, 1),
                (10.0, EventKind.WORKER_DROPPED),
            ],
            0.5,
        ),
        # It is dropped since it came back elsewhere, while it is being given an order.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (10.0, EventKind.JOB_ASSIGNED, 1),
                (10.0, EventKind.WORKER_DROPPED),
                (20.0, EventKind.JOB_DONE, 1),
            ],
            0.5,
        ),
        # The order is cancelled before it accepts it at its websocket, where it waits on.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (10.0, EventKind.JOB_ASSIGNED, 1),
                (20.0, EventKind.JOB_CANCELLED, 1),
            ],
            0.1,
        ),
        # It is told to stop, and waits on.
        (
            [
                (0.0, EventKind.WORKER_REGISTERED),
                (0.0, EventKind.JOB_ASSIGNED, 1),
                (5.0, EventKind.JOB_PROGRESSED, 1),
                (10.0, EventKind.JOB_CANCELLING, 1),
                (20.0, EventKind.JOB_CANCELLED, 1),
                (20.0, EventKind.WORKER_REGISTERED),
            ],
            0.2,
        ),
        # It got the order in the answer, and is not in the queue.
        ([(0.0, EventKind.JOB_ASSIGNED, 1), (10.0, EventKind.JOB_DONE, 1)], 1.0),
    ],
)
def test_utilisation(events: list[tuple[Any, ...]], utilisation: float) -> None:
    """The share of the time in which a robot has an order, of that in which it could have one."""
    at_one = [
        (at_s, kind, *(rest or [0]), "Ada", "http://e/1") for at_s, kind, *rest in events
    ]  # fmt: skip
    (row,) = statistics(told(*at_one), By.ROBOT, 100.0)
    assert (row["robot"], row["utilisation"]) == ("Ada", utilisation)


def test_utilisation_of_hours_and_drinks() -> None:
    """Of an hour, of all robots together; a drink has its share of that."""
    story = LoggedStory()
    story.register("Ada")
    story.register("Eve")
    story.wait(20 * 60)  # it is 01:59 now
    ticket = story.submit({"drink": "water"})
    story.assign(ticket, robot("Ada"))
    story.confirm(ticket)
    story.wait(61 * 60)
    assert [row["utilisation"] for row in rows_of(story, By.HOUR)] == [round(1 / 42, 3), 0.5]
    assert [row["utilisation"] for row in rows_of(story, By.DRINK)] == [round(61 / 162, 3)]


def test_a_clock_that_jumped() -> None:
    """A robot that registered in 1970 counts for a month, and not for each hour since then."""
    events = list(told((0.0, EventKind.WORKER_REGISTERED, 0, "Ada", "http://e/1")))
    now_s, month_s = 1.8e9, 30 * 24 * 3600.0
    assert len(statistics(events, By.HOUR, now_s)) == 30 * 24
    events += told((now_s, EventKind.JOB_ASSIGNED, 1, "Ada", "http://e/1"))
    (row,) = statistics(events, By.ROBOT, now_s + month_s)
    assert row["utilisation"] == 0.5


def test_a_span_of_long_ago() -> None:
    """A robot that waited until its end counts, whenever the question is asked."""
    events = list(told((0.0, EventKind.WORKER_REGISTERED, 0, "Ada", "http://e/1")))
    rows = statistics(events, By.HOUR, 1.8e9, from_s=0.0, to_s=7200.0)
    assert [row["utilisation"] for row in rows] == [0.0, 0.0]


def test_a_robot_without_a_label() -> None:
    """It is named by its callback, without the secrets in it."""
    url = "http://e/5480964890e4a865b1cee2b2fe93f45a/?key=1"
    (row,) = statistics(told((0.0, EventKind.WORKER_REGISTERED, 0, "", url)), By.ROBOT, 1.0)
    assert row["robot"] == "http://e/54809648…/"


def test_memory_is_that_of_what_is_there() -> None:
    """Orders and robots that are gone are forgotten."""
    fold = Statistics(By.ROBOT)
    for n in range(1, 1001):
        for event in told(
            (float(n), EventKind.WORKER_REGISTERED, 0, "Ada", f"c{n}"),
            (float(n), EventKind.JOB_SUBMITTED, n),
            (float(n), EventKind.JOB_ASSIGNED, n, "Ada", f"c{n}"),
            (float(n), EventKind.JOB_CONFIRMED, n, "Ada", f"c{n}"),
            (float(n), EventKind.WORKER_USED, 0, "Ada", f"c{n}"),
            (float(n), EventKind.JOB_DONE, n, "Ada", f"c{n}"),
        ):
            fold.add(event)
    assert not fold._orders
    assert not fold._robots


def test_an_order_that_is_sent_to_its_robots_new_callback() -> None:
    """The robot has it there, and nothing any more where it had waited before."""
    events = told(
        (0.0, EventKind.JOB_SUBMITTED, 1),
        (0.0, EventKind.JOB_ASSIGNED, 1, "Ada", "http://e/1"),
        (10.0, EventKind.JOB_ASSIGNED, 1, "Ada", "http://e/2"),
        (20.0, EventKind.JOB_DONE, 1, "Ada", "http://e/2"),
        (20.0, EventKind.WORKER_REGISTERED, 0, "Ada", "http://e/3"),
    )
    (row,) = statistics(events, By.ROBOT, 40.0)
    assert row["utilisation"] == 0.5
