"""Rate limiting of orders by client address, with GCRA (the generic cell rate algorithm).

The headers are those of draft-ietf-httpapi-ratelimit-headers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import ceil

from sanic_dispatch.errors import TooManyOrders
from sanic_dispatch.web.client_address import client_of, network_of
from sanic_dispatch.web.context import Call

MINUTE_S = 60.0

MAX_ADDRESSES = 10_000
"""How many addresses are remembered; the one that was quiet longest is forgotten first."""


class Quota:
    """A limit per minute and address; the whole minute's orders may come at once."""

    def __init__(self, per_minute: int, now_s: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self.each_s = MINUTE_S / per_minute
        """The seconds between two orders at the limit."""
        self._now_s = now_s
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        """By address: when its bucket will be full again (monotonic seconds)."""

    def take(self, address: str) -> int:
        """Count an order; return how many more may come now. Raises TooManyOrders."""
        now_s = self._now_s()
        refill_s = max(self._full_at_s.get(address, now_s) - now_s, 0.0) + self.each_s
        if refill_s > MINUTE_S + 1e-9:
            raise TooManyOrders(self._per_minute, refill_s - MINUTE_S)
        self._full_at_s[address] = now_s + refill_s
        self._full_at_s.move_to_end(address)
        self._forget(now_s)
        return int((MINUTE_S - refill_s) / self.each_s + 1e-9)

    def headers(self, left: int, wait_s: float) -> dict[str, str]:
        """Return the RateLimit headers: how many are left, and when there will be more."""
        return {
            "RateLimit-Policy": f'"orders";q={self._per_minute};w={MINUTE_S:.0f}',
            "RateLimit": f'"orders";r={left};t={ceil(wait_s)}',
        }

    def _forget(self, now_s: float) -> None:
        while self._full_at_s:
            address, full_at_s = next(iter(self._full_at_s.items()))
            if full_at_s > now_s and len(self._full_at_s) <= MAX_ADDRESSES:
                return
            del self._full_at_s[address]


_NOTHING: Mapping[str, str] = {}


def take_one(quota: Quota | None, request: Call) -> Mapping[str, str]:
    """Count an order of this client, and return the headers for the answer.

    Without a quota there are none. Raises TooManyOrders.
    """
    if quota is None:
        return _NOTHING
    left = quota.take(network_of(client_of(request)))
    return quota.headers(left, quota.each_s)
