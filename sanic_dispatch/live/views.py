"""The three views of the projection: the public board, one order, the operators' monitor.

A view is refreshed only when a client reads it. It shows at most a fixed number of entries of
each kind, so a refresh costs the same for any length of the queue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.line import BY_ARRIVAL
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.live import serializers
from sanic_dispatch.live.delta_view import (
    FRAME_REUSE_S,
    DeltaView,
    EarlierNumber,
    KnownVersion,
    Version,
)
from sanic_dispatch.live.frames import Cursor, Entries, Frame, encode
from sanic_dispatch.live.log_line import LoggedOrNew, number_of
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.projection import Projection, Situation
from sanic_dispatch.live.resumption import ENTRY_BYTES, ChangedKeys
from sanic_dispatch.live.serializers import Standing
from sanic_dispatch.live.tracked_robots import TrackedRobot
from sanic_dispatch.live.why import Reason

BOARD_WAITING = 50
BOARD_ASSIGNED = 100
BOARD_FINISHED = 100
MONITOR_WAITING = 500
MONITOR_ASSIGNED = 500
MONITOR_FINISHED = 200
MONITOR_FAILED = 500
MONITOR_WORKERS = 500
MONITOR_LOG = 200
"""How many entries of each kind are shown; the bar has the full counts."""

ORDERS_BYTES = 600 * 1024
WORKERS_BYTES = 250 * 1024
LOG_BYTES = 100 * 1024
REST_BYTES = 50 * 1024
"""Byte budget of each kind: together they fit into one frame, however long the texts are."""

NEAR = 10
"""An order with at most this many before it is pushed at every step."""

HEARTBEAT_S = 20.0
"""The longest time without a frame."""

NowS = Callable[[], float]


class View(Protocol):
    """What the hub needs of a view."""

    @property
    def head(self) -> Version:
        """The version of the last visible change."""

    def refresh(self) -> None:
        """Bring the view up to date with the projection."""

    def frame_since(self, known: KnownVersion) -> Frame:
        """Return the frame that leads from a known version to the head."""


class ViewItem(NamedTuple):
    """A key and how to render it: ``render(subject)``, again when ``record`` is another object.

    Records are immutable, so comparing their identity is enough.
    """

    key: str
    record: Any
    render: Callable[[Any], dict[str, Any]]
    subject: Any


class ShownItem(NamedTuple):
    """The record that a key was last rendered from, and the bytes of its rendering."""

    record: Any
    size: int


Section = tuple[int, Iterable[ViewItem]]
"""A byte budget, and the items to show within it, the most important first."""


class SharedView(ABC):
    """A view of keys and objects that any number of clients share."""

    def __init__(self, projection: Projection, epoch: str, now_s: NowS) -> None:
        self.head = Version(0)
        """The version of the last visible change."""
        self._projection = projection
        self._view = DeltaView(epoch, now_s)
        self._seen: Version | None = None
        self._shown: dict[str, ShownItem] = {}
        self._changed: ChangedKeys | None = None
        """What may have changed since an earlier run, until something does."""

    def refresh(self) -> None:
        """Bring the view up to date with the projection."""
        seen, self._seen = self._seen, self._projection.version
        if seen != self._seen:
            self._changed = None
        if seen is None:
            self._view.begin(self._seen, self._changes())
        elif seen != self._seen:
            self._view.apply(self._seen, self._changes())
        self.head = self._view.head

    def frame_since(self, known: KnownVersion) -> Frame:
        """Return the frame that leads from a known version to the head."""
        if not isinstance(known, EarlierNumber):
            return self._view.frame_since(known)
        if self._changed is None:
            self._changed = ChangedKeys(self._projection)
            self._add_changes(self._changed)
        return self._view.frame_since(known, self._changed.since(known.number))

    @abstractmethod
    def _sections(self) -> Iterable[Section]:
        """Return everything to show now."""

    @abstractmethod
    def _add_changes(self, changed: ChangedKeys) -> None:
        """Add what may have changed since an earlier run."""

    def _room_in(self, budget: int, kind: str) -> int:
        """Return how many more entries of a kind certainly fit into their byte budget."""
        shown = sum(each.size for key, each in self._shown.items() if key.startswith(kind))
        return (budget - shown) // ENTRY_BYTES

    def _changes(self) -> Entries:
        before, now, patch = self._shown, dict[str, ShownItem](), Entries()
        for room, items in self._sections():
            for item in items:
                shown, rendered = before.get(item.key), None
                if shown is None or shown.record is not item.record:
                    rendered = item.render(item.subject)
                    shown = ShownItem(item.record, len(item.key) + len(encode(rendered)))
                room -= shown.size
                if room < 0:
                    break
                now[item.key] = shown
                if rendered is not None:
                    patch[item.key] = rendered
        self._shown = now
        return patch | dict.fromkeys(before.keys() - now.keys(), None)

    def _line(self, waiting: Sequence[Order]) -> Iterator[ViewItem]:
        """Yield the item ``line``, unless waiting orders are sorted by their places."""
        is_by_arrival = self._projection.line.is_by_arrival
        if not is_by_arrival and (line := serializers.line(waiting)):
            yield self._item("line", line)

    def _add_line(self, changed: ChangedKeys) -> None:
        """Add the item ``line``; where the line is not by arrival, clients need the whole state."""
        changed.add_undated(("line",))
        if self._projection.ordering != BY_ARRIVAL:
            changed.need_state()

    def _item(self, key: str, rendered: dict[str, Any]) -> ViewItem:
        """Return an item; an equal one keeps the old record, so that nothing is sent."""
        before = self._shown.get(key)
        return ViewItem(
            key,
            before.record if before and before.record == rendered else rendered,
            dict,
            rendered,
        )


class Board(SharedView):
    """The public board."""

    def _sections(self) -> Iterable[Section]:
        projection = self._projection
        recent = reversed(projection.finished.recent.values())
        done = (order for order in recent if order.job.state is State.DONE)
        waiting = projection.first(BOARD_WAITING)
        orders = chain(
            islice(done, BOARD_FINISHED),
            islice(projection.assigned, BOARD_ASSIGNED),
            waiting,
        )
        yield ORDERS_BYTES, _order_items(orders, serializers.board_order)
        bar = self._item("bar", serializers.bar(projection.counts()))
        yield REST_BYTES, [bar, *self._line(waiting)]

    def _add_changes(self, changed: ChangedKeys) -> None:
        projection = self._projection
        self._add_line(changed)
        changed.add_orders(projection.finished.newest_done(), BOARD_FINISHED)
        changed.add_orders(projection.assigned, BOARD_ASSIGNED)
        changed.add_orders(projection.waiting, BOARD_WAITING)
        changed.need_room_for_orders(self._room_in(ORDERS_BYTES, "order/"))


class Monitor(SharedView):
    """The operators' monitor: orders, workers, the log, the last hour."""

    def entries(self) -> Entries:
        """Return what it shows, as of the last refresh."""
        return dict(self._view.entries)

    _situation: Situation | None = None
    """Of the last refresh."""

    def _sections(self) -> Iterable[Section]:
        projection = self._projection
        waiting = projection.first(MONITOR_WAITING)
        orders = chain(
            islice(projection.assigned, MONITOR_ASSIGNED),
            islice(reversed(projection.finished.failed.values()), MONITOR_FAILED),
            waiting,
            islice(reversed(projection.finished.recent.values()), MONITOR_FINISHED),
        )
        before, self._situation = self._situation, projection.situation()
        is_same = self._situation == before
        yield ORDERS_BYTES, (self._order_item(order, is_same) for order in orders)
        yield WORKERS_BYTES, map(_worker_item, islice(projection.robots, MONITOR_WORKERS))
        yield LOG_BYTES, map(_log_item, islice(reversed(projection.listed), MONITOR_LOG))
        yield REST_BYTES, chain(self._rest(), self._line(waiting), self._aheads(waiting))

    def _order_item(self, order: Order, is_same_situation: bool) -> ViewItem:
        """Return an order's item, rendered again when it waits for another reason.

        Why it waits is looked up when the situation has changed: that parses the order's data.
        """
        key, job = f"order/{order.job.ticket}", order.job
        before = self._shown.get(key)
        record = before.record if before and before.record[0] is job else None
        if record is None or not is_same_situation:
            why = self._projection.obstacle(order)
            if record is None or record[1] != why:
                record = (job, why)
        return ViewItem(key, record, partial(serializers.monitor_order, why=record[1]), order)

    def _aheads(self, waiting: Sequence[Order]) -> Iterator[ViewItem]:
        """Yield the item ``ahead``, unless positions say it.

        In the orders it would be sent again for all of them whenever one leaves.
        """
        counts = self._projection.aheads(waiting)
        if counts:
            yield self._item("ahead", {"counts": counts})

    def _rest(self) -> Iterator[ViewItem]:
        projection = self._projection
        more = {
            "failed": len(projection.finished.failed),
            "kept": projection.forecast.estimator.hit_rate,
            "priorities": projection.ordering.priority_step_s is not None,
        }
        yield self._item(
            "bar", serializers.bar(projection.counts()) | more | projection.last_hour.as_json()
        )
        for minute in projection.last_hour:
            rendered = minute.as_json()
            yield ViewItem(f"minute/{minute.number}", rendered, dict, rendered)

    def _add_changes(self, changed: ChangedKeys) -> None:
        projection = self._projection
        self._add_line(changed)
        shown = (f"order/{order.job.ticket}" for order in projection.first(MONITOR_WAITING))
        changed.add_with_robots(("ahead", *shown))
        changed.add_undated(
            f"worker/{robot.worker.id}" for robot in projection.robots if robot.worker.rule
        )
        changed.add_orders(projection.assigned, MONITOR_ASSIGNED)
        changed.add_orders(projection.finished.newest_failed(), MONITOR_FAILED)
        changed.add_orders(projection.waiting, MONITOR_WAITING)
        changed.add_orders(projection.finished.newest_recent(), MONITOR_FINISHED)
        changed.need_room_for_orders(self._room_in(ORDERS_BYTES, "order/"))
        changed.add_workers(sum(1 for _ in projection.robots), MONITOR_WORKERS)
        changed.need_room_for_workers(self._room_in(WORKERS_BYTES, "worker/"))
        changed.add_log(self._shown, MONITOR_LOG)
        changed.add_minutes([minute.number for minute in projection.last_hour])
        changed.need_failed()


class OrderStatus(NamedTuple):
    """The facts about an order of which its owner is told."""

    job: Job
    ahead: int
    has_robots: bool
    is_paused: bool
    is_late: bool
    unavailable: tuple[str, ...]
    reason: Reason | None

    def differs_noticeably_from(self, sent: OrderStatus) -> bool:
        """Return whether the owner should be sent this status after having seen another one.

        Near the front every step counts; further back a tenth of the way.
        """
        if self.job is not sent.job or self[2:] != sent[2:]:
            return True
        step = 1 if min(self.ahead, sent.ahead) <= NEAR else max(1, self.ahead // 10)
        return abs(self.ahead - sent.ahead) >= step


class OrderView:
    """One order, for its owner; every frame is a whole ``state``.

    The constructor and the methods raise UnknownJob when the order is not kept (any more).
    """

    def __init__(self, projection: Projection, epoch: str, now_s: NowS, job_id: str) -> None:
        self.head = Version(0)
        self._projection = projection
        self._epoch = epoch
        self._now_s = now_s
        self._job_id = job_id
        self._sent = self._status()
        self._frame = self._render()
        self._sent_s = self._rendered_s

    def refresh(self) -> None:
        """Move the head if the status changed noticeably, or if a heartbeat is due."""
        now_s, status = self._now_s(), self._status()
        is_silent = not 0 <= now_s - self._sent_s < HEARTBEAT_S
        if is_silent or status.differs_noticeably_from(self._sent):
            self._sent, self._sent_s = status, now_s
            self._frame = self._render()
            self.head = Version(self.head.number + 1)

    def frame_since(self, known: KnownVersion) -> Frame:
        """Return the whole state; the version that the client has does not matter."""
        if not 0 <= self._now_s() - self._rendered_s <= FRAME_REUSE_S:
            self._frame = self._render()
        return self._frame

    def _status(self) -> OrderStatus:
        order, bar = self._order(), self._projection.counts()
        ahead = self._projection.ahead(order) if order.job.state is State.WAITING else 0
        why = self._projection.obstacle(order)
        return OrderStatus(
            order.job,
            ahead,
            bar.robots > 0,
            bar.paused,
            order.is_late(self._now_s()),
            bar.unavailable,
            why.reason if why else None,
        )

    def _order(self) -> Order:
        order = self._projection.get(self._job_id)
        if order is None:
            raise UnknownJob
        return order

    def _render(self) -> Frame:
        projection, order, now_s = self._projection, self._order(), self._now_s()
        self._rendered_s = now_s
        rendered = serializers.own_order(
            order,
            self._standing(order),
            projection.window(order, now_s),
            now_s,
            can_stop=projection.can_stop(order),
        )
        state = {"order": rendered, "bar": serializers.bar(projection.counts())}
        return Frame(Cursor(self._epoch, projection.version.number), now_s, state=state)

    def _standing(self, order: Order) -> Standing | None:
        projection, why = self._projection, self._projection.why(order)
        if why is None:
            return None
        return Standing(projection.ahead(order), projection.position(order), why)


def _order_items(
    orders: Iterable[Order], render: Callable[[Order], dict[str, Any]]
) -> Iterator[ViewItem]:
    for order in orders:
        yield ViewItem(f"order/{order.job.ticket}", order.job, render, order)


def _worker_item(robot: TrackedRobot) -> ViewItem:
    return ViewItem(f"worker/{robot.worker.id}", robot, serializers.monitor_worker, robot)


def _log_item(event: LoggedOrNew) -> ViewItem:
    return ViewItem(f"log/{number_of(event)}", event, serializers.log_entry, event)
