"""A log read as what came from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.core.rules import members_of, rule_of
from sanic_dispatch.core.worker import REPLACED, UNSETTLED
from sanic_dispatch.errors import UnusableReplay
from sanic_dispatch.replay.evening_source import EveningSpan, EventWithData, evening_in
from sanic_dispatch.replay.read_recording import BREAK_S, data_for
from sanic_dispatch.replay.recording import (
    Ending,
    OperatorAct,
    Recording,
    RobotAct,
    seconds_of,
)
from sanic_dispatch.storage.event_facts import AsideFacts, EventFacts
from sanic_dispatch.storage.event_log import Damage, Hole
from sanic_dispatch.storage.event_record import LoggedEvent

START_S = 1_732_412_340.0


class Told:
    """A log that is written by hand; times are seconds since the start."""

    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []

    def tell(self, at_s: float, kind: str, ticket: int = 0, robot: str = "", **more: Any) -> None:
        """Add an event; the robot's label is what comes before the slash of its callback."""
        label = robot.partition("/")[0]
        callback = f"http://{robot}" if robot and ":" not in robot else robot
        n = len(self.events) + 1
        of_facts = ("rule", "priority", "aside")
        facts = EventFacts(**{name: more.pop(name) for name in of_facts if name in more})
        values = {"ticket": ticket, "worker": label, "callback": callback, "facts": facts, **more}
        self.events.append(LoggedEvent(n, START_S + at_s, kind, **values))

    def serve(self, at_s: float, ticket: int, robot: str, service_s: float = 10.0) -> None:
        """Have a waiting robot make a new order."""
        self.tell(at_s, "job.submitted", ticket)
        self.tell(at_s, "job.assigned", ticket, robot)
        self.tell(at_s + 1, "job.confirmed", ticket, robot)
        self.tell(at_s + 1, "worker.used", 0, robot)
        self.tell(at_s + service_s, "job.done", ticket, robot)

    def read(self, **span: float | None) -> Recording:
        found = (EventWithData(event, b"{}") for event in self.events)
        return evening_in(found, EveningSpan(**span)).recording


def at(recorded: Any) -> float:
    """Return the seconds since the start."""
    return round(seconds_of(recorded.tick) - START_S, 3)


def test_an_order() -> None:
    """When it came, who had it from when on, and when that was over."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1", rule="match.drink=gin")
    told.serve(5, 1, "Ada/1")
    told.tell(17, "worker.registered", 0, "Ada/2")
    recording = told.read()
    (order,), (robot,) = recording.orders, recording.robots
    (hand_over,) = order.hand_overs
    assert (at(order.at), order.ticket, order.data) == (5, 1, b"{}")
    assert hand_over.ending is Ending.DONE
    assert hand_over.taken is not None
    assert hand_over.ended is not None
    assert hand_over.registered is not None
    times = (hand_over.at, hand_over.taken, hand_over.ended, hand_over.registered)
    assert list(map(at, times)) == [5, 6, 15, 17]
    assert not hand_over.is_faulty
    assert robot.name == "Ada"
    assert [(at(each.at), each.act, each.rule) for each in robot.timetable] == [
        (0, RobotAct.COMES, "match.drink=gin")
    ]


def test_a_break() -> None:
    """A robot that comes back much later was away, and comes when it did."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.serve(5, 1, "Ada/1")
    told.tell(16 + BREAK_S, "worker.registered", 0, "Ada/2")
    (robot,) = told.read().robots
    assert [(at(each.at), each.act) for each in robot.timetable] == [
        (0, RobotAct.COMES), (15, RobotAct.LEAVES), (16 + BREAK_S, RobotAct.COMES),
    ]  # fmt: skip


def test_who_leaves() -> None:
    """A robot that is dropped, and one that is never heard of again."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.tell(1, "worker.registered", 0, "Bert/1")
    told.tell(2, "worker.dropped", 0, "Bert/1", reason="closing time")
    told.serve(5, 1, "Ada/1")
    told.tell(16 + BREAK_S, "job.submitted", 2)
    ada, bert = told.read().robots
    assert [(at(each.at), each.act) for each in ada.timetable][1:] == [(15, RobotAct.LEAVES)]
    assert [(at(each.at), each.act) for each in bert.timetable][1:] == [(2, RobotAct.LEAVES)]


def test_robots_of_one_label() -> None:
    """Those that overlap are several; one that replaces its callback is the same."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.tell(1, "worker.registered", 0, "Ada/2")
    told.tell(2, "worker.set_aside", 0, "Ada/1", reason=REPLACED)
    told.tell(2, "worker.registered", 0, "Ada/3")
    told.tell(3, "job.submitted", 1)
    recording = told.read()
    assert [robot.name for robot in recording.robots] == ["Ada", "Ada (2)"]
    assert [each.replaces for each in recording.robots[0].timetable] == [False, True]


def test_a_refusal() -> None:
    """The order goes back; the robot keeps its place, and is back a while later."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.tell(5, "job.submitted", 1)
    told.tell(5, "job.assigned", 1, "Ada/1")
    told.tell(6, "job.returned", 1, "Ada/1")
    told.tell(6, "worker.set_aside", 0, "Ada/1")
    told.tell(9, "worker.came_back", 0, "Ada/1")
    told.tell(9, "job.assigned", 1, "Ada/1")
    recording = told.read()
    first, second = recording.orders[0].hand_overs
    assert (first.ending, first.is_faulty) == (Ending.REFUSED, True)
    assert first.back is not None
    assert at(first.back) == 9
    assert (second.robot, second.ending) == (first.robot, None)
    assert len(recording.robots[0].timetable) == 1


def test_a_set_aside() -> None:
    """An operator's lasts until it is ended, also over a new registration."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.tell(3, "worker.set_aside", 0, "Ada/1", reason="cleaning")
    told.tell(8, "worker.came_back", 0, "Ada/1")
    told.tell(9, "job.submitted", 1)
    (robot,) = told.read().robots
    aside = robot.timetable[1]
    assert (at(aside.at), aside.act) == (3, RobotAct.SET_ASIDE)
    assert aside.until is not None
    assert at(aside.until) == 8


def test_a_set_aside_of_a_robot_that_registers_again() -> None:
    """It gets no order from its new registration on, until the set-aside is ended."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.tell(3, "worker.set_aside", 0, "Ada/1", reason="cleaning")
    told.tell(5, "worker.registered", 0, "Ada/2", aside=AsideFacts(START_S + 3, "cleaning"))
    told.tell(6, "worker.dropped", 0, "Ada/1", reason=REPLACED)
    told.tell(8, "worker.came_back", 0, "Ada/2")
    told.tell(9, "job.submitted", 1)
    (robot,) = told.read().robots
    *_, again = (each for each in robot.timetable if each.act is RobotAct.SET_ASIDE)
    (comes,) = (each for each in robot.timetable[1:] if each.act is RobotAct.COMES)
    assert at(again.at) == 5
    assert again.at < comes.at
    assert again.until is not None
    assert at(again.until) == 8


def test_a_set_aside_is_not_that_of_another_robot_with_the_same_label() -> None:
    """That one registers again while its order is unsettled, and is set aside for that alone."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.tell(0, "worker.registered", 0, "Ada/2")
    told.tell(1, "worker.set_aside", 0, "Ada/1", reason="cleaning")
    told.tell(2, "job.submitted", 1)
    told.tell(2, "job.assigned", 1, "Ada/2")
    told.tell(3, "job.doubted", 1, "Ada/2")
    told.tell(4, "worker.registered", 0, "Ada/3", aside=AsideFacts(START_S + 4, UNSETTLED))
    told.tell(5, "job.done", 1, "Ada/2")
    told.tell(5, "worker.came_back", 0, "Ada/3")
    told.tell(6, "job.submitted", 2)
    told.tell(6, "job.assigned", 2, "Ada/3")
    recording = told.read()
    cleaned, made = recording.robots
    assert [order.hand_overs[0].robot for order in recording.orders] == [1, 1]
    assert [each.act for each in cleaned.timetable] == [RobotAct.COMES, RobotAct.SET_ASIDE]
    assert cleaned.timetable[-1].until is None
    assert RobotAct.SET_ASIDE not in {each.act for each in made.timetable}


def test_a_connected_robot_that_is_passed_over_was_away() -> None:
    """No event says so; it is back when it gets an order."""
    told = Told()
    told.tell(0, "worker.registered", 0, "ws:tablet")
    told.tell(1, "worker.registered", 0, "Ada/1")
    told.tell(5, "job.submitted", 1)
    told.tell(5, "job.assigned", 1, "Ada/1")
    told.tell(9, "job.submitted", 2)
    told.tell(9, "job.assigned", 2, "ws:tablet")
    recording = told.read()
    away = recording.robots[0].timetable[1]
    assert (at(away.at), away.act) == (5, RobotAct.SET_ASIDE)
    assert away.at < recording.orders[0].at
    assert away.until is not None
    assert recording.orders[0].at < away.until < recording.orders[1].at
    assert recording.orders[0].hand_overs[0].is_faulty


def test_acts_of_the_operator() -> None:
    """Pauses; moves to the front, and other priorities; what has failed is put back."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    told.tell(1, "job.submitted", 1, priority=5)
    told.tell(1, "job.assigned", 1, "Ada/1")
    told.tell(2, "job.failed", 1, "Ada/1")
    told.tell(3, "job.returned", 1)
    told.tell(4, "job.moved", 1, priority=5)
    told.tell(5, "job.moved", 1, priority=3)
    told.tell(6, "job.moved", 1, priority=3)
    told.tell(7, "dispatch.paused")
    told.tell(8, "dispatch.resumed")
    recording = told.read()
    assert recording.orders[0].priority == 5
    assert [(at(each.at), each.act, each.priority) for each in recording.acts] == [
        (3, OperatorAct.PUTS_BACK, 0),
        (4, OperatorAct.MOVES_TO_FRONT, 5),
        (5, OperatorAct.SETS_PRIORITY, 3),
        (6, OperatorAct.MOVES_TO_FRONT, 3),
        (7, OperatorAct.PAUSES, 0),
        (8, OperatorAct.RESUMES, 0),
    ]


def test_a_clock_that_was_set_back_stands_still() -> None:
    """Nothing comes before what was before it."""
    told = Told()
    told.tell(100, "job.submitted", 1)
    told.tell(40, "job.submitted", 2)
    told.tell(101, "job.submitted", 3)
    orders = told.read().orders
    assert [at(order.at) for order in orders] == [100, 100, 101]
    assert orders[0].at < orders[1].at < orders[2].at


def test_a_span() -> None:
    """Only orders within it count; reading ends once they are over."""
    told = Told()
    told.tell(0, "worker.registered", 0, "Ada/1")
    for number in range(1, 6):
        told.serve(20 * number, number, f"Ada/{number}")
        told.tell(20 * number + 11, "worker.registered", 0, f"Ada/{number + 1}")
    recording = told.read(begin_s=START_S + 40, end_s=START_S + 80)
    assert [order.ticket for order in recording.counted()] == [2, 3]
    assert [order.ticket for order in recording.orders] == [1, 2, 3, 4]


def test_the_order_of_the_line() -> None:
    """It is that of the span's beginning, or what is said first."""
    told = Told()
    told.tell(0, "job.submitted", 1, ordering="arrival")
    told.tell(10, "job.submitted", 2, ordering="fair_by=/name")
    told.tell(20, "job.submitted", 3, ordering="priorities=300.0")
    assert told.read().ordering == "arrival"
    assert told.read(begin_s=START_S + 15).ordering == "fair_by=/name"
    assert told.read(begin_s=START_S + 20).ordering == "priorities=300.0"


@pytest.mark.parametrize(
    "rule", ["", "match.drink=gin|rum", "match.guest.table=7&match.guest.name=Ada&not.size=xl"]
)
def test_data_that_a_rule_admits(rule: str) -> None:
    """Of an order whose data is not kept, it is known what its robot takes."""
    assert rule_of(rule).admits(members_of(data_for(rule)))


def test_what_is_missing() -> None:
    """A hole is said with its times, and damage with its file."""
    told = Told()
    told.tell(0, "job.submitted", 1)
    told.tell(1, "job.submitted", 2)
    told.tell(2, "job.submitted", 3)
    first, _, last = (EventWithData(event) for event in told.events)
    with pytest.raises(
        UnusableReplay, match=r"events 2 to 2 are missing, from 2024-11-24T01:39:00"
    ):
        evening_in([first, last], EveningSpan())
    with pytest.raises(UnusableReplay, match="there are no orders in the log from 2024-"):
        evening_in([first, last], EveningSpan(START_S + 3))
    with pytest.raises(UnusableReplay, match="segment-1: damaged at byte 7: torn"):
        evening_in([first, Damage(Path("segment-1"), 7, "torn")], EveningSpan())
    told_at_the_end = evening_in([first, Hole(2, 2, 0.0, 1.0)], EveningSpan())
    assert len(told_at_the_end.recording.orders) == 1
