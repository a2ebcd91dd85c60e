"""Orders that are over: the last ones for a while, the failed ones for as long as they are kept."""

from __future__ import annotations

from collections import OrderedDict

from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.core.job import State
from sanic_dispatch.live.order import Order

SHOWN_S = 600.0
"""How long an order is shown that was served or cancelled."""

MOST_SHOWN = 10_000
"""How many of them are shown at most, however short the time."""

KEEP_FAILED_S = DEFAULTS.keep_done_s
MOST_FAILED = 10_000
"""How long, and how many of, the failed ones are shown: somebody may still put them back."""

Orders = OrderedDict[str, Order]


class Over:
    """Both kinds by secret id, in the order in which they came here."""

    def __init__(self, keep_failed_s: float) -> None:
        self.finished: Orders = OrderedDict()
        self.failed: Orders = OrderedDict()
        self._keep_failed_s = keep_failed_s
        self._last_s = 0.0

    def add(self, order: Order) -> list[Order]:
        """One more; returns those that are too many now."""
        job = order.job
        self._last_s = max(self._last_s, job.finished_s or 0.0)
        is_failed = job.state is State.FAILED
        orders, most = (self.failed, MOST_FAILED) if is_failed else (self.finished, MOST_SHOWN)
        orders[job.id] = order
        return [orders.popitem(last=False)[1]] if len(orders) > most else []

    def remove(self, job_id: str) -> None:
        """It is not over any more."""
        self.finished.pop(job_id, None)
        self.failed.pop(job_id, None)

    def expire(self, now_s: float) -> list[Order]:
        """Let go of those that are too old, and return them.

        As where they are kept, the age of a failed one counts until the last order finished.
        """
        return [
            *_pop_until(self.finished, now_s - SHOWN_S),
            *_pop_until(self.failed, self._last_s - self._keep_failed_s),
        ]


def _pop_until(orders: Orders, time_s: float) -> list[Order]:
    gone = []
    while orders and next(iter(orders.values())).since_s < time_s:
        gone.append(orders.popitem(last=False)[1])
    return gone
