"""Finished orders that are still shown: recent ones for ten minutes, failed ones while kept."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.core.job import State
from sanic_dispatch.live.order import Order

RECENT_S = 600.0
"""How long a done or cancelled order is shown."""

MAX_RECENT = 10_000
"""How many done and cancelled orders are shown at most."""

KEEP_FAILED_S = DEFAULTS.keep_done_s
MAX_FAILED = 10_000
"""How many failed orders are shown at most, and ``KEEP_FAILED_S`` for how long by default: an
operator may still requeue them."""

MAX_EXPIRED = 500
"""How many orders are remembered that are not shown any more; no view shows more of a kind."""

Orders = OrderedDict[str, Order]


class FinishedOrders:
    """Done and cancelled orders (``recent``) and failed ones by secret id, oldest first.

    ``expired_recent``, ``expired_done`` of these, and ``expired_failed`` are the last ones that are
    not shown any more.
    """

    def __init__(self, keep_failed_s: float) -> None:
        self.recent: Orders = OrderedDict()
        self.failed: Orders = OrderedDict()
        self.expired_recent: deque[Order] = deque(maxlen=MAX_EXPIRED)
        self.expired_done: deque[Order] = deque(maxlen=MAX_EXPIRED)
        self.expired_failed: deque[Order] = deque(maxlen=MAX_EXPIRED)
        self._keep_failed_s = keep_failed_s
        self.last_s = 0.0
        """When the last order finished, Unix seconds."""

    def add(self, order: Order) -> list[Order]:
        """Add an order, and return the orders that this pushed out."""
        job = order.job
        self.last_s = max(self.last_s, job.finished_s or 0.0)
        is_failed = job.state is State.FAILED
        orders, most = (self.failed, MAX_FAILED) if is_failed else (self.recent, MAX_RECENT)
        orders[job.id] = order
        return [orders.popitem(last=False)[1]] if len(orders) > most else []

    def remove(self, job_id: str) -> None:
        """Forget an order that was requeued, if it is here."""
        self.recent.pop(job_id, None)
        self.failed.pop(job_id, None)

    def newest_recent(self) -> Iterator[Order]:
        """Yield the done and cancelled orders, the newest first, and after them the expired."""
        return chain(reversed(self.recent.values()), reversed(self.expired_recent))

    def newest_done(self) -> Iterator[Order]:
        """Yield the done orders, the newest first, and after them the expired."""
        return chain(filter(_is_done, reversed(self.recent.values())), reversed(self.expired_done))

    def newest_failed(self) -> Iterator[Order]:
        """Yield the failed orders, the newest first, and after them the expired."""
        return chain(reversed(self.failed.values()), reversed(self.expired_failed))

    def restore(self, recent: Iterable[Order], failed: Iterable[Order], last_s: float) -> None:
        """Go on with these orders, each kind in the order in which they were added."""
        self.recent.update((order.job.id, order) for order in recent)
        self.failed.update((order.job.id, order) for order in failed)
        self.last_s = last_s

    def expire(self, now_s: float) -> list[Order]:
        """Remove and return the orders that have been shown long enough.

        The age of failed orders counts up to the last finish, as in the tables. That of others
        counts in both directions, so a clock that was set back keeps none for longer.
        """
        recent = _pop_while(self.recent, lambda order: abs(now_s - order.since_s) > RECENT_S)
        failed_s = self.last_s - self._keep_failed_s
        failed = _pop_while(self.failed, lambda order: order.since_s < failed_s)
        self.expired_recent += recent
        self.expired_done += filter(_is_done, recent)
        self.expired_failed += failed
        return [*recent, *failed]


def _is_done(order: Order) -> bool:
    return order.job.state is State.DONE


def _pop_while(orders: Orders, is_over: Callable[[Order], bool]) -> list[Order]:
    gone = []
    while orders and is_over(next(iter(orders.values()))):
        gone.append(orders.popitem(last=False)[1])
    return gone
