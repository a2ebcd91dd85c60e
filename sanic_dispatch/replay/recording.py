"""A recording: what came from outside on an evening, as the event log tells it.

Orders come and are cancelled, robots come and go, and each hand-over takes its time and ends in
some way. Who gets which order is not part of it: the core decides that again.

Times are whole ticks, in which each time of a record is exact, so that a time plus a duration is
the very time that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.rules import ANYTHING

TICKS_PER_S = 2**22
"""As fine as a float is that holds Unix seconds."""


class Moment(NamedTuple):
    """A time, and what comes first of two things at the same time.

    ``rank`` is twice the number of the event, so that there is room just before each event.
    """

    tick: int
    rank: int

    @property
    def just_before(self) -> Moment:
        """The moment before the event, after all earlier ones."""
        return Moment(self.tick, self.rank - 1)


NEVER = Moment(2**63, 2**63)


def ticks_of(seconds: float) -> int:
    """Return seconds as ticks."""
    return round(seconds * TICKS_PER_S)


def seconds_of(ticks: int) -> float:
    """Return ticks as seconds."""
    return ticks / TICKS_PER_S


class Ending(StrEnum):
    """How a robot's time with an order ends."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    """The order went back to its place, and the robot has left the queue."""
    REFUSED = "refused"
    """The same, but the robot keeps its place, and gets no orders until it is back."""


@dataclass(slots=True, eq=False)
class HandOver:
    """An order's time with a robot.

    ``robot`` is the robot's number in the recording. ``taken`` is when it had the order for sure.
    After the end it registered again (``registered``), or came back to its old place (``back``),
    None if it did neither within a few minutes. If it was set aside from its registration on,
    ``aside_until`` is when that ended.
    """

    robot: int
    at: Moment
    taken: Moment | None = None
    ending: Ending | None = None
    ended: Moment | None = None
    is_by_answer: bool = False
    """Whether the robot was not in the queue."""
    is_faulty: bool = False
    """Whether a fault interfered: it was refused, in doubt, lost, or its robot was away."""
    late: Moment | None = None
    """When its robot was done all the same, after its lease had ended."""
    registered: Moment | None = None
    back: Moment | None = None
    aside_until: Moment | None = None
    rule: str | None = None
    """What the robot took when it registered again."""
    reports: list[tuple[Moment, float]] | None = None
    """When the robot said how far it was, in percent."""

    @property
    def served_from(self) -> int:
        """The tick at which its service began."""
        return (self.taken or self.at).tick


@dataclass(slots=True, eq=False)
class RecordedOrder:
    """An order, and what became of it; ``cancelled`` is when that was asked for."""

    ticket: int
    at: Moment
    data: bytes
    priority: int
    promise: Promise | None = None
    hand_overs: list[HandOver] = field(default_factory=list)
    cancelled: Moment | None = None
    is_data_kept: bool = True
    """Whether ``data`` is what came, and not made up from the rule of the robot that took it."""

    @property
    def done(self) -> Moment | None:
        """When it was ready; None if no robot has made it."""
        if not self.hand_overs:
            return None
        last = self.hand_overs[-1]
        return last.ended if last.ending is Ending.DONE else last.late


class RobotAct(StrEnum):
    """What a robot does, or an operator with it, of which the time is its own."""

    COMES = "comes"
    LEAVES = "leaves"
    SET_ASIDE = "set aside"
    """From then on it gets no orders, until ``until``."""


@dataclass(slots=True, eq=False)
class RobotEntry:
    """An entry in a robot's timetable.

    ``replaces``: it registers again although it waits, and goes to the end of the queue. ``until``
    is when a set-aside ends; None if it does not. One that comes may be set aside at once.
    """

    at: Moment
    act: RobotAct
    rule: str = ANYTHING
    replaces: bool = False
    until: Moment | None = None


@dataclass(slots=True, eq=False)
class RecordedRobot:
    """A robot, and what it does besides making drinks."""

    name: str
    timetable: list[RobotEntry] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """What it takes when it comes first."""
        rules = (entry.rule for entry in self.timetable if entry.act is RobotAct.COMES)
        return next(rules, ANYTHING)


class OperatorAct(StrEnum):
    """What an operator does besides setting robots aside."""

    PAUSES = "pauses"
    RESUMES = "resumes"
    MOVES_TO_FRONT = "moves to front"
    SETS_PRIORITY = "sets priority"
    PUTS_BACK = "puts back"


class OperatorEntry(NamedTuple):
    """An act, and the order that it is about."""

    at: Moment
    act: OperatorAct
    ticket: int = 0
    priority: int = 0


@dataclass(slots=True, eq=False)
class Recording:
    """An evening. The orders that count came within the span; some before and after are there too.

    ``begin`` and ``end`` are the span, ``last`` the last event (ticks). ``ordering`` is what
    ordered the line, None if no event said it.
    """

    begin: int
    end: int
    last: int
    ordering: str | None = None
    orders: list[RecordedOrder] = field(default_factory=list)
    robots: list[RecordedRobot] = field(default_factory=list)
    acts: list[OperatorEntry] = field(default_factory=list)

    def counted(self) -> Iterator[RecordedOrder]:
        """Yield the orders that came within the span."""
        return (order for order in self.orders if self.begin <= order.at.tick < self.end)
