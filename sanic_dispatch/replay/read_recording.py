"""Read a recording from the events of a log.

The log does not tell robots apart: those with the same label (or, without one, the same host) are
one robot as long as they follow each other, and several where they overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import ujson

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import DEFAULT_PRIORITY
from sanic_dispatch.core.rules import ANYTHING, members_of, rule_of
from sanic_dispatch.core.worker import CONNECTED, REPLACED, UNSETTLED
from sanic_dispatch.replay.recording import (
    NEVER,
    Ending,
    HandOver,
    Moment,
    OperatorAct,
    OperatorEntry,
    RecordedOrder,
    RecordedRobot,
    Recording,
    RobotAct,
    RobotEntry,
    ticks_of,
)
from sanic_dispatch.storage.event_record import LoggedEvent

BREAK_S = 300.0
"""A robot that registers later than this after its last order has had a break: it comes back when
it did. One that registers sooner does so as soon after its order whenever that ends."""


class _Track:
    """A robot while the events are read."""

    __slots__ = (
        *("number", "robot", "callback", "rule", "is_waiting", "is_replaced", "is_aside"),
        *("order", "hand_over", "last", "coming", "entry", "awaits", "since"),
    )

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.robot = RecordedRobot(name)
        self.callback = ""
        self.rule = ANYTHING
        self.is_waiting = False
        self.is_replaced = False
        """Whether its registration is void, since it has come with a new callback."""
        self.is_aside = False
        self.since = NEVER
        """Since when it has its place in the queue."""
        self.awaits = False
        """Whether it has registered while its last order was unsettled."""
        self.order: RecordedOrder | None = None
        self.hand_over: HandOver | None = None
        """What it is at."""
        self.last: HandOver | None = None
        """What it was at before it was last in the queue."""
        self.coming: HandOver | RobotEntry | None = None
        """What says when it has last registered."""
        self.entry: RobotEntry | None = None
        """The set-aside that it is in, if an operator's."""


class RecordingReader:
    """Folds the events of a log, in the order of their numbers, into a recording."""

    def __init__(self, begin_s: float | None = None, end_s: float | None = None) -> None:
        self._begin_s = begin_s
        self._end = None if end_s is None else ticks_of(end_s)
        self._recording = Recording(0, 0, 0)
        self._has_begun = False
        """Whether there was an event."""
        self._orders: dict[int, RecordedOrder] = {}
        """The orders that are not over, or have failed."""
        self._tracks: dict[str, list[_Track]] = {}
        self._numbered: list[_Track] = []
        self._connected: list[_Track] = []
        self._at: dict[str, _Track] = {}
        """By callback."""
        self._tick = 0
        self._first = Moment(0, 0)
        """Before the first event: when robots came that were there already."""
        self._has_begun_before = False
        """Whether robots may have waited before the first event: until an order has waited."""
        self._waits_from: tuple[RecordedOrder, Moment] | None = None
        """An order that may have begun to wait, and when."""
        self._is_paused = False
        self._left = 0
        """How many orders of the span are not over."""

    @property
    def is_complete(self) -> bool:
        """Whether the span has ended, and all its orders too."""
        return self._end is not None and self._tick >= self._end and not self._left

    def add(self, event: LoggedEvent, data: bytes | None = None) -> None:
        """Take in an event; ``data`` is that of the order that it brought, if it is kept."""
        # A clock that was set back stands still until it is there again.
        self._tick = max(self._tick, ticks_of(event.at_s))
        at = Moment(self._tick, 2 * event.n)
        recording = self._recording
        if not self._has_begun:
            self._has_begun = True
            recording.begin = self._tick if self._begin_s is None else ticks_of(self._begin_s)
            self._first = Moment(self._tick, 0)
            self._has_begun_before = event.n > 1
        recording.last = self._tick
        if self._waits_from is not None:
            self._note_waiting(event, *self._waits_from)
        if event.ordering and (recording.ordering is None or self._tick <= recording.begin):
            recording.ordering = event.ordering
        if event.event == EventKind.JOB_SUBMITTED:
            self._submitted(at, event, data)
        elif on_order := _OF_ORDERS.get(event.event):
            order = self._orders.get(event.ticket) or self._earlier(event)
            if order is not None:
                on_order(self, at, event, order)
        elif on_robot := _OF_ROBOTS.get(event.event):
            on_robot(self, at, event)
        elif act := _PAUSES.get(event.event):
            if act is OperatorAct.RESUMES and not self._is_paused:  # it was before the first event
                recording.acts.append(OperatorEntry(Moment(0, 0), OperatorAct.PAUSES))
            recording.acts.append(OperatorEntry(at, act))
            self._is_paused = act is OperatorAct.PAUSES

    def recording(self) -> Recording | None:
        """Return the recording; None if there were no events in the span."""
        recording = self._recording
        if not self._has_begun:
            return None
        recording.end = recording.last + 1 if self._end is None else self._end
        for track in self._numbered:
            last = track.last
            is_away = last is not None and not track.is_waiting and track.hand_over is None
            if last and last.ended and is_away and _is_break(last.ended.tick, recording.last):
                self._leave(track, last.ended.just_before)
        recording.orders.sort(key=lambda order: order.at)
        for robot in recording.robots:
            robot.timetable.sort(key=lambda entry: entry.at)
        return recording

    # ---- orders

    def _submitted(self, at: Moment, event: LoggedEvent, data: bytes | None) -> None:
        priority = _priority_of(event)
        order = RecordedOrder(
            event.ticket, at, data or b"", priority, event.promise, is_data_kept=data is not None
        )
        self._orders[event.ticket] = order
        self._recording.orders.append(order)
        self._waits_from = order, at
        self._left += self._counts(order)

    def _earlier(self, event: LoggedEvent) -> RecordedOrder | None:
        """Return an order that came before the first event, if it is given to a robot again."""
        if event.event != EventKind.JOB_ASSIGNED or event.waiting_s is None:
            return None
        came = min(ticks_of(event.at_s - event.waiting_s), self._first.tick - 1)
        order = RecordedOrder(event.ticket, Moment(came, 0), b"", DEFAULT_PRIORITY)
        self._orders[event.ticket] = order
        self._recording.orders.append(order)
        return order

    def _counts(self, order: RecordedOrder) -> bool:
        end = self._end
        return self._recording.begin <= order.at.tick and (end is None or order.at.tick < end)

    def _assigned(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        if (unsettled := self._open(order)) is not None:
            # It is sent again to the robot that may have it.
            unsettled.is_faulty = True
            holder = self._numbered[unsettled.robot]
            holder.callback, holder.awaits = event.callback, False
            self._at[event.callback] = holder
            return
        known = self._at.get(event.callback)
        if not order.data:
            order.data = data_for(known.rule if known else _rule_of(event))
        is_new = order.at == Moment(at.tick, at.rank - 2)
        self._has_begun_before &= is_new
        is_by_answer = known is None or not known.is_waiting
        was_there = known is None and self._has_begun_before
        if known is not None and known.is_waiting:
            track = known
        else:
            track = self._come(self._first if was_there else at, event)
        if track.is_aside or track.entry:
            self._back(track, (order.at if is_new else at).just_before)
        hand_over = HandOver(track.number, at, is_by_answer=is_by_answer)
        order.hand_overs.append(hand_over)
        self._note_passed_over(order, order.at if is_new else at, track)
        track.order, track.hand_over, track.is_waiting = order, hand_over, False

    def _confirmed(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        hand_over = self._open(order)
        if hand_over is not None and hand_over.taken is None:
            hand_over.taken = at

    def _progressed(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        hand_over = self._open(order)
        if hand_over is not None and event.percent is not None:
            hand_over.reports = [*(hand_over.reports or ()), (at, event.percent)]

    def _doubted(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        hand_over = self._open(order)
        if hand_over is not None:
            hand_over.is_faulty = True

    def _returned(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        hand_over = self._open(order)
        if hand_over is None:
            self._recording.acts.append(OperatorEntry(at, OperatorAct.PUTS_BACK, order.ticket))
            self._left += self._counts(order)
            return
        hand_over.is_faulty = True
        self._waits_from = order, at
        stays = hand_over.taken is None and not hand_over.is_by_answer
        self._end_hand_over(order, at, Ending.REFUSED if stays else Ending.RETURNED)

    def _over(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        ending = _ENDINGS[event.event]
        if self._open(order) is not None:
            self._end_hand_over(order, at, ending)
        elif ending is Ending.DONE and order.hand_overs:
            order.hand_overs[-1].late = at
        elif order.cancelled is None:
            order.cancelled = at
        if ending is not Ending.FAILED:
            del self._orders[order.ticket]
        self._left -= self._counts(order)

    def _cancelling(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        order.cancelled = at

    def _moved(self, at: Moment, event: LoggedEvent, order: RecordedOrder) -> None:
        priority = _priority_of(event)
        known = next(
            (act.priority for act in reversed(self._recording.acts) if _sets_priority(act, order)),
            order.priority,
        )
        is_priority = priority != known
        act = OperatorAct.SETS_PRIORITY if is_priority else OperatorAct.MOVES_TO_FRONT
        self._recording.acts.append(OperatorEntry(at, act, order.ticket, priority))

    @staticmethod
    def _open(order: RecordedOrder) -> HandOver | None:
        """Return the hand-over that is not over, if there is one."""
        last = order.hand_overs[-1] if order.hand_overs else None
        return last if last is not None and last.ended is None else None

    def _end_hand_over(self, order: RecordedOrder, at: Moment, ending: Ending) -> None:
        hand_over = order.hand_overs[-1]
        hand_over.ending, hand_over.ended = ending, at
        track = self._numbered[hand_over.robot]
        track.order, track.hand_over, track.last = None, None, hand_over
        if ending is Ending.REFUSED:
            track.is_waiting = track.is_aside = True
            track.coming = hand_over
        if track.awaits:
            track.is_waiting = False

    # ---- connected robots that were out of reach, which no event says

    def _note_waiting(self, event: LoggedEvent, order: RecordedOrder, at: Moment) -> None:
        """Note who was out of reach if an order has begun to wait; ``event`` comes after that."""
        is_assigned = event.event == EventKind.JOB_ASSIGNED and event.ticket == order.ticket
        is_same_command = self._tick == at.tick and order.at != at
        if not is_assigned and is_same_command:
            return
        self._waits_from = None
        if not is_assigned and not self._is_paused:
            self._note_passed_over(order, at, None)

    def _note_passed_over(self, order: RecordedOrder, at: Moment, taker: _Track | None) -> None:
        """Note that robots were out of reach that would have got an order otherwise.

        They are those that can make it, and have waited longer than ``taker``, if there is one.
        """
        members = None
        for track in self._connected:
            if not track.is_waiting or track.is_aside or track.entry or track is taker:
                continue
            if taker is not None and track.since > taker.since:
                continue
            members = members_of(order.data) if members is None else members
            if not rule_of(track.rule).admits(members):
                continue
            self._begin_set_aside(track, at.just_before)
            if order.hand_overs:
                order.hand_overs[-1].is_faulty = True

    # ---- robots

    def _come(self, at: Moment, event: LoggedEvent, rule: str | None = None) -> _Track:
        """Return the robot that registers, and note when and after what it did.

        ``rule`` is what it takes, where the event does not say it.
        """
        track = self._track_for(event)
        last = track.last
        rule = _rule_of(event) if rule is None else rule
        track.awaits = False
        is_refused = track.is_aside and last is not None and track.coming is last
        is_in_queue = (track.is_waiting or track.is_replaced) and not is_refused
        if is_in_queue or last is None or last.ended is None:
            entry = RobotEntry(at, RobotAct.COMES, rule, replaces=track.is_waiting)
            track.robot.timetable.append(entry)
            track.coming = entry
        elif (last.registered is not None and not is_refused) or _is_break(
            last.ended.tick, at.tick
        ):
            if last.registered is None:
                self._leave(track, last.ended.just_before)
            entry = RobotEntry(at, RobotAct.COMES, rule)
            track.robot.timetable.append(entry)
            track.coming = entry
        else:
            last.registered, last.rule, last.aside_until = at, rule, None
            track.coming = last
        self._at.pop(track.callback, None)
        track.callback, track.rule = event.callback, rule
        self._at[event.callback] = track
        track.is_waiting, track.is_replaced, track.is_aside, track.entry = True, False, False, None
        track.since = at
        return track

    def _track_for(self, event: LoggedEvent) -> _Track:
        known = self._at.get(event.callback)
        if known is not None:
            return known
        name = _name_of(event)
        tracks = self._tracks.setdefault(name, [])
        for fits in (_is_set_aside, *_FITTING) if _stays_aside(event) else _FITTING:
            if found := list(filter(fits, tracks)):
                return max(found, key=_last_end)
        number = len(self._numbered)
        track = _Track(number, name if not tracks else f"{name} ({len(tracks) + 1})")
        self._numbered.append(track)
        if event.callback.startswith(CONNECTED):
            self._connected.append(track)
        tracks.append(track)
        self._recording.robots.append(track.robot)
        return track

    def _leave(self, track: _Track, at: Moment) -> None:
        track.robot.timetable.append(RobotEntry(at, RobotAct.LEAVES))

    def _back(self, track: _Track, at: Moment) -> None:
        """Note that a robot that was set aside, or away, gets orders again."""
        if track.entry is not None:
            track.entry.until = at
        elif track.last is not None and track.last.ending is Ending.REFUSED and track.is_aside:
            track.last.back = at
        elif isinstance(track.coming, RobotEntry):
            track.coming.until = at
        elif track.coming is not None:
            track.coming.aside_until = at
        track.is_aside, track.entry = False, None

    def _registered(self, at: Moment, event: LoggedEvent) -> None:
        known = self._at.get(event.callback)
        track = known or self._track_for(event)
        if track.hand_over is not None:  # its last order is unsettled: it gets none until then
            track.awaits = True
            track.hand_over.is_faulty = True
            self._at[event.callback] = track
            return
        track = self._come(at, event)
        if _begins_aside(event):
            self._begin_set_aside(track, at.just_before)

    def _begin_set_aside(self, track: _Track, at: Moment) -> None:
        track.entry = RobotEntry(at, RobotAct.SET_ASIDE)
        track.robot.timetable.append(track.entry)

    def _set_aside(self, at: Moment, event: LoggedEvent) -> None:
        track = self._at.get(event.callback)
        if track is None:
            return
        if event.reason == REPLACED:
            track.is_replaced = True
            return
        last = track.last
        if track.is_waiting and not track.is_aside and track.entry is None:
            self._begin_set_aside(track, at)
        elif not track.is_waiting and track.hand_over is None and last and last.ended:
            # It had taken the order, and is in the queue again, at the end.
            last.registered, last.rule, last.aside_until = at, track.rule, NEVER
            track.coming = last
            track.is_waiting, track.is_aside, track.since = True, True, at

    def _came_back(self, at: Moment, event: LoggedEvent) -> None:
        track = self._at.get(event.callback)
        if track is None:
            return
        if track.awaits:
            self._come(at, event, track.rule)
        elif track.is_waiting and not track.is_replaced:
            self._back(track, at)

    def _dropped(self, at: Moment, event: LoggedEvent) -> None:
        track = self._at.get(event.callback)
        if track is None or track.callback != event.callback or track.is_replaced:
            return
        if track.is_waiting:
            self._leave(track, at)
            track.is_waiting = track.is_aside = False
            track.entry = track.last = None

    def _used(self, at: Moment, event: LoggedEvent) -> None:
        """Note that a robot whose order went back has left the queue with that."""
        track = self._at.get(event.callback)
        last = track.last if track else None
        if track is None or last is None or last.ended is None or not track.is_waiting:
            return
        if track.is_aside and last.ended.tick == at.tick and last.ending is Ending.REFUSED:
            last.ending = Ending.RETURNED
            track.is_waiting = track.is_aside = False


def data_for(rule: str) -> bytes:
    """Return data of an order that a rule admits, for one whose data is not kept."""
    members: dict[str, object] = {}
    for condition in rule_of(rule).conditions:
        if not condition.is_negated:
            *parents, last = condition.path
            inner = members
            for each in parents:
                inner = inner.setdefault(each, {})  # type: ignore[assignment]
            inner[last] = min(condition.values)
    return ujson.dumps(members).encode()


def _rule_of(event: LoggedEvent) -> str:
    return event.facts.rule if event.facts else ANYTHING


def _priority_of(event: LoggedEvent) -> int:
    return event.facts.priority if event.facts else DEFAULT_PRIORITY


def _name_of(event: LoggedEvent) -> str:
    if event.worker:
        return event.worker
    if event.callback.startswith(CONNECTED):
        return event.callback.partition(":")[2]
    return urlsplit(event.callback).netloc or event.callback


def _begins_aside(event: LoggedEvent) -> bool:
    """Return whether a robot registers and is set aside."""
    return event.facts is not None and event.facts.aside is not None


def _stays_aside(event: LoggedEvent) -> bool:
    """Return whether a robot registers that an operator has set aside before."""
    aside = event.facts.aside if event.facts else None
    return aside is not None and aside.reason != UNSETTLED


def _is_set_aside(track: _Track) -> bool:
    return track.is_waiting and (track.is_aside or track.entry is not None)


def _last_end(track: _Track) -> int:
    return track.last.ended.tick if track.last and track.last.ended else 0


def _is_break(ended: int, registered: int) -> bool:
    return registered - ended > ticks_of(BREAK_S)


def _sets_priority(act: OperatorEntry, order: RecordedOrder) -> bool:
    return act.act is OperatorAct.SETS_PRIORITY and act.ticket == order.ticket


_FITTING: tuple[Callable[[_Track], bool], ...] = (
    lambda track: track.is_replaced,
    lambda track: not track.is_waiting and track.hand_over is None,
    lambda track: track.is_waiting and track.is_aside,
    lambda track: track.hand_over is not None and track.hand_over.is_faulty and not track.awaits,
)
"""Which robot of a label it is that registers, in this order; else it is another one."""

_ENDINGS: Mapping[str, Ending] = {
    EventKind.JOB_DONE: Ending.DONE,
    EventKind.JOB_FAILED: Ending.FAILED,
    EventKind.JOB_CANCELLED: Ending.CANCELLED,
}
_PAUSES: Mapping[str, OperatorAct] = {
    EventKind.DISPATCH_PAUSED: OperatorAct.PAUSES,
    EventKind.DISPATCH_RESUMED: OperatorAct.RESUMES,
}
_OF_ORDERS: Mapping[str, Callable[[RecordingReader, Moment, LoggedEvent, RecordedOrder], None]] = {
    EventKind.JOB_ASSIGNED: RecordingReader._assigned,
    EventKind.JOB_CONFIRMED: RecordingReader._confirmed,
    EventKind.JOB_PROGRESSED: RecordingReader._progressed,
    EventKind.JOB_DOUBTED: RecordingReader._doubted,
    EventKind.JOB_UNCONSUMED: RecordingReader._doubted,
    EventKind.JOB_RETURNED: RecordingReader._returned,
    EventKind.JOB_CANCELLING: RecordingReader._cancelling,
    EventKind.JOB_MOVED: RecordingReader._moved,
    EventKind.JOB_DONE: RecordingReader._over,
    EventKind.JOB_FAILED: RecordingReader._over,
    EventKind.JOB_CANCELLED: RecordingReader._over,
}
_OF_ROBOTS: Mapping[str, Callable[[RecordingReader, Moment, LoggedEvent], None]] = {
    EventKind.WORKER_REGISTERED: RecordingReader._registered,
    EventKind.WORKER_SET_ASIDE: RecordingReader._set_aside,
    EventKind.WORKER_CAME_BACK: RecordingReader._came_back,
    EventKind.WORKER_DROPPED: RecordingReader._dropped,
    EventKind.WORKER_USED: RecordingReader._used,
}
