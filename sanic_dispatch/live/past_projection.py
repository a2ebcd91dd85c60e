"""The projection of past events, and its state as bytes, from which it goes on.

It is the projection of the live views, fed from the event log: so what they show then is the same.
Promises are those in the log; no others are made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from msgspec import Struct, msgpack

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.turns import KeptTurn
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.live.delta_view import Version
from sanic_dispatch.live.last_hour import HourState
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.past_events import PastEvents
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.tracked_robots import RobotsState
from sanic_dispatch.live.views import MONITOR_LOG
from sanic_dispatch.storage.event_log import EventWithPayload, Rest
from sanic_dispatch.storage.event_record import LoggedEvent

EXPIRE_EVERY_S = 60.0
"""How often, by the time of the events, what is no longer shown is removed."""

CHUNK_ORDERS = 200
"""How many orders are encoded at once: no other thread runs meanwhile."""

STATE_VERSION = 2
"""The version of the state. Before 2 a forgotten job had a flag, and a turn of a job that had left
the table did not name it."""


class OrderState(NamedTuple):
    """An order: its job, since when it is in its state, and what its customer was told."""

    job: Job
    changed_s: float | None
    promise: Promise | None


class PastState(Struct, frozen=True):
    """A projection as of an event.

    ``orders`` are chunks of encoded OrderStates; ``recent`` and ``failed`` are places among them.
    """

    version: int
    number: int
    at_s: float
    paused: bool
    orders: list[bytes]
    recent: list[int]
    failed: list[int]
    last_finished_s: float
    robots: RobotsState
    turns: list[KeptTurn]
    hour: HourState
    listed: list[LoggedEvent]
    hits: list[bool]


def _state_of(order: Order) -> OrderState:
    """Return the state of an order; of the worker that had a finished one only its id is shown."""
    job, hold = order.job, order.job.hold
    if hold is not None and job.state.is_final:
        job = job._replace(hold=hold._replace(worker=Worker(hold.worker.id, "")))
    return OrderState(job, order.changed_s, order.promise)


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(PastState)
_orders = msgpack.Decoder(list[OrderState])


class PastProjection(Projection):
    """Folds what the event log tells."""

    at_s = 0.0
    """The time of the last event."""
    _expired_s = 0.0

    @cached_property
    def _events(self) -> PastEvents:
        takes_turns = self.ordering.fair_by is not None
        return PastEvents(self._job, self.robots.waiting_at, takes_turns=takes_turns)

    @property
    def orders(self) -> int:
        """How many orders there are, of which a snapshot has each."""
        return len(self._orders)

    @property
    def number(self) -> int:
        """The number of the last event."""
        return self.version.number

    def tell(self, entry: EventWithPayload) -> None:
        """Fold the next event; ``catch_up`` has to follow before anything is shown."""
        self.at_s = max(self.at_s, entry.event.at_s)
        if self.at_s >= self._expired_s + EXPIRE_EVERY_S:
            self.catch_up(self.at_s)
        event = self._events.event_of(entry)
        self.version = Version(entry.event.n)
        if event is None:
            return
        if event.job is not None and event.kind is not EventKind.JOB_FORGOTTEN:
            self.last_hour.fold(event)
        self._fold(event)
        if self.listed and self.listed[-1] is event:
            self.listed[-1] = entry.event

    def catch_up(self, now_s: float) -> None:
        """Show everything as of ``now_s`` (Unix seconds)."""
        self._expired_s = now_s
        self._line_up_newest()
        self.expire(now_s)
        while self.line.is_matching:
            self.match_more()

    def _job(self, job_id: str) -> Job | None:
        return self._orders.job(job_id)

    def _promise(self, order: Order, now_s: float) -> Promise | None:
        return None

    def _learn_progress(self, order: Order, at_s: float) -> None:
        return

    # ---- its state

    def encode(self, rest: Rest) -> bytes:
        """Return the state as of the last event."""
        self.catch_up(self.at_s)
        orders = list(self._encoded_orders(rest))
        places = {job_id: place for place, job_id in enumerate(self._orders.ids)}
        lines = list(islice(reversed(self.listed), MONITOR_LOG))
        state = PastState(
            STATE_VERSION,
            self.number,
            self.at_s,
            self._paused,
            orders,
            [places[job_id] for job_id in self.finished.recent],
            [places[job_id] for job_id in self.finished.failed],
            self.finished.last_s,
            self.robots.state(),
            self._turns.state(),
            self.last_hour.state(),
            [each for each in reversed(lines) if isinstance(each, LoggedEvent)],
            self.forecast.estimator.hits(),
        )
        return _encoder.encode(state)

    def _encoded_orders(self, rest: Rest) -> Iterator[bytes]:
        orders = iter(self._orders)
        while some := [_state_of(order) for order in islice(orders, CHUNK_ORDERS)]:
            yield _encoder.encode(some)
            rest()

    def restore(self, encoded: bytes, rest: Rest) -> None:
        """Go on from a state. Raises ValueError if it is not one of this version."""
        state = _decoder.decode(encoded)  # msgspec's errors are ValueErrors
        if state.version != STATE_VERSION:
            raise ValueError("it is of another version")
        self.version, self.at_s, self._paused = Version(state.number), state.at_s, state.paused
        self._expired_s = state.at_s
        self.line.advance(state.at_s)
        for chunk in state.orders:
            for each in _orders.decode(chunk):
                self._orders.add(Order(each.job, each.changed_s, each.promise))
            rest()
        in_order = list(self._orders)
        self.robots.restore(state.robots, {order.job.id: order.job for order in in_order})
        for order in in_order:
            if order.job.state is State.ASSIGNED:
                self._assigned[order.job.id] = order
        self._turns.restore(state.turns)
        self.line.add_all([order.job for order in in_order if order.job.is_waiting])
        self.finished.restore(
            [in_order[place] for place in state.recent],
            [in_order[place] for place in state.failed],
            state.last_finished_s,
        )
        self.last_hour.restore(state.hour)
        self.listed = deque(state.listed, maxlen=self.listed.maxlen)
        self.forecast.estimator.restore_hits(state.hits)
        while self.line.is_matching:
            self.match_more()
