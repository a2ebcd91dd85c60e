"""The three views of the line: the board for all, an order for its owner, the monitor.

A view is brought up to date when somebody looks at it: what nobody watches costs nothing. It
shows at most so many of each kind, so that a look costs the same however long the line is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.live import serializers
from sanic_dispatch.live.frames import Cursor, Entries, Frame, encode
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.projection import Line
from sanic_dispatch.live.robots import Robot
from sanic_dispatch.live.view import FRESH_S, Known, Moment, View

BOARD_WAITING = 50
BOARD_ASSIGNED = 100
BOARD_FINISHED = 100
MONITOR_WAITING = 500
MONITOR_ASSIGNED = 500
MONITOR_FINISHED = 200
MONITOR_FAILED = 500
MONITOR_WORKERS = 500
"""How many of each kind are shown; the bar has the whole numbers."""

ORDERS_BYTES = 600 * 1024
WORKERS_BYTES = 250 * 1024
LOG_BYTES = 100 * 1024
REST_BYTES = 50 * 1024
"""How much of each kind is shown, where its texts are long: all fits into one frame."""

NEAR = 10
"""Whoever has so few before them, or fewer, is told of every step."""

BEAT_S = 20.0
"""How long a view may be silent."""

NowS = Callable[[], float]


class Watched(Protocol):
    """What the hub needs of a view."""

    @property
    def head(self) -> Moment:
        """Moves when there is something to tell."""

    def refresh(self) -> None:
        """Bring it up to date with the line."""

    def frame_since(self, known: Known) -> Frame:
        """What leads from there to the head."""


class Item(NamedTuple):
    """What a key shows: drawn anew when ``record``, which never changes, is another one."""

    key: str
    record: Any
    draw: Callable[[Any], dict[str, Any]]
    thing: Any


class Kept(NamedTuple):
    """What a key shows already, and how many bytes it takes."""

    record: Any
    size: int


Share = tuple[int, Iterable[Item]]
"""So many bytes for these items, the first of them first."""


class LineView(ABC):
    """A view of the line as keys and objects."""

    def __init__(self, line: Line, epoch: str, now_s: NowS) -> None:
        self.head = Moment(0)
        """The moment of the last change that is visible here."""
        self._line = line
        self._view = View(epoch, now_s)
        self._seen: Moment | None = None
        self._kept: dict[str, Kept] = {}

    def refresh(self) -> None:
        """Bring it up to date with the line."""
        seen, self._seen = self._seen, self._line.moment
        if seen is None:
            self._view.begin(self._seen, self._changes())
        elif seen != self._seen:
            self._view.apply(self._seen, self._changes())
        self.head = self._view.head

    def frame_since(self, known: Known) -> Frame:
        """What leads from there to the head."""
        return self._view.frame_since(known)

    @abstractmethod
    def _shares(self) -> Iterable[Share]:
        """What is to be seen now."""

    def _changes(self) -> Entries:
        before, now, patch = self._kept, dict[str, Kept](), Entries()
        for room, items in self._shares():
            for item in items:
                kept, drawn = before.get(item.key), None
                if kept is None or kept.record is not item.record:
                    drawn = item.draw(item.thing)
                    kept = Kept(item.record, len(item.key) + len(encode(drawn)))
                room -= kept.size
                if room < 0:
                    break
                now[item.key] = kept
                if drawn is not None:
                    patch[item.key] = drawn
        self._kept = now
        return patch | dict.fromkeys(before.keys() - now.keys(), None)

    def _bar(self, drawn: dict[str, Any]) -> Item:
        """The bar is counted anew each time: where it is the same, the old one stands for it."""
        before = self._kept.get("bar")
        return Item(
            "bar", before.record if before and before.record == drawn else drawn, dict, drawn
        )


class Board(LineView):
    """What everybody may see."""

    def _shares(self) -> Iterable[Share]:
        line = self._line
        finished = islice(reversed(line.over.finished.values()), BOARD_FINISHED)
        orders = chain(
            (order for order in finished if order.job.state is State.DONE),
            islice(line.assigned.values(), BOARD_ASSIGNED),
            islice(line.waiting.values(), BOARD_WAITING),
        )
        yield ORDERS_BYTES, _drawn(orders, serializers.board_order)
        yield REST_BYTES, [self._bar(serializers.bar(line.bar()))]


class Monitor(LineView):
    """What an operator sees: orders, workers, the log, the last hour."""

    def _shares(self) -> Iterable[Share]:
        line = self._line
        orders = chain(
            islice(line.assigned.values(), MONITOR_ASSIGNED),
            islice(reversed(line.over.failed.values()), MONITOR_FAILED),
            islice(line.waiting.values(), MONITOR_WAITING),
            islice(reversed(line.over.finished.values()), MONITOR_FINISHED),
        )
        yield ORDERS_BYTES, _drawn(orders, serializers.monitor_order)
        yield WORKERS_BYTES, map(_worker_item, islice(line.robots, MONITOR_WORKERS))
        yield LOG_BYTES, map(_log_item, reversed(line.log))
        yield REST_BYTES, self._rest()

    def _rest(self) -> Iterator[Item]:
        line = self._line
        more = {"failed": len(line.over.failed), "kept": line.forecast.estimator.hit_rate}
        yield self._bar(serializers.bar(line.bar()) | more | line.history.shown())
        for minute in line.history:
            drawn = minute.shown()
            yield Item(f"minute/{minute.number}", drawn, dict, drawn)


class News(NamedTuple):
    """What an order's owner may have to be told of."""

    job: Job
    ahead: int
    has_robots: bool
    is_paused: bool
    is_late: bool

    def matters_after(self, told: News) -> bool:
        """Each step for those who are near, a tenth of the way for those who are not."""
        if self.job is not told.job or self[2:] != told[2:]:
            return True
        step = 1 if min(self.ahead, told.ahead) <= NEAR else max(1, self.ahead // 10)
        return abs(self.ahead - told.ahead) >= step


class OrderView:
    """One order, for whoever has its link; every frame of it is a ``state``.

    Raises UnknownJob where there is no such order, also later on.
    """

    def __init__(self, line: Line, epoch: str, now_s: NowS, job_id: str) -> None:
        self.head = Moment(0)
        self._line = line
        self._epoch = epoch
        self._now_s = now_s
        self._job_id = job_id
        self._told = self._news()
        self._frame = self._draw()
        self._told_s = self._drawn_s

    def refresh(self) -> None:
        """Have something to tell if it matters, or if nothing was told for long."""
        now_s, news = self._now_s(), self._news()
        is_silent = not 0 <= now_s - self._told_s < BEAT_S
        if is_silent or news.matters_after(self._told):
            self._told, self._told_s = news, now_s
            self._frame = self._draw()
            self.head = Moment(self.head.number + 1)

    def frame_since(self, known: Known) -> Frame:
        """The order as it is, whatever is known already."""
        if not 0 <= self._now_s() - self._drawn_s <= FRESH_S:
            self._frame = self._draw()
        return self._frame

    def _news(self) -> News:
        order, bar = self._order(), self._line.bar()
        ahead = self._line.ahead(order) if order.job.state is State.WAITING else 0
        return News(order.job, ahead, bar.robots > 0, bar.paused, order.is_late(self._now_s()))

    def _order(self) -> Order:
        order = self._line.get(self._job_id)
        if order is None:
            raise UnknownJob
        return order

    def _draw(self) -> Frame:
        line, order, now_s = self._line, self._order(), self._now_s()
        self._drawn_s = now_s
        ahead = line.ahead(order) if order.job.state is State.WAITING else None
        drawn = serializers.own_order(order, ahead, line.window(order, now_s), now_s)
        state = {"order": drawn, "bar": serializers.bar(line.bar())}
        return Frame(Cursor(self._epoch, line.moment.number), now_s, state=state)


def _drawn(orders: Iterable[Order], draw: Callable[[Order], dict[str, Any]]) -> Iterator[Item]:
    for order in orders:
        yield Item(f"order/{order.job.ticket}", order.job, draw, order)


def _worker_item(robot: Robot) -> Item:
    return Item(f"worker/{robot.worker.id}", robot, serializers.monitor_worker, robot)


def _log_item(event: Event) -> Item:
    return Item(f"log/{event.number}", event, serializers.log_entry, event)
