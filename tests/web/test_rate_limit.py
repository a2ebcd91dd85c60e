"""Orders per minute and address, and the address of a request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from sanic_dispatch.errors import TooManyOrders
from sanic_dispatch.web.client_address import Proxies, network_of
from sanic_dispatch.web.rate_limit import MAX_ADDRESSES, Quota
from tests.support.clock import FakeClock


def taken(quota: Quota, address: str = "a", times: int = 100) -> int:
    """Return how many of so many orders were accepted."""
    count = 0
    for _ in range(times):
        try:
            quota.take(address)
        except TooManyOrders:
            continue
        count += 1
    return count


async def test_a_bucket_refills_evenly() -> None:
    """All at once, then evenly; never more than the limit."""
    clock = FakeClock()
    quota = Quota(6, clock.monotonic_s)
    assert taken(quota) == 6
    assert taken(quota, "b") == 6
    await clock.advance(9.9)
    assert taken(quota) == 0
    await clock.advance(0.1)
    assert taken(quota) == 1
    await clock.advance(3600)
    assert taken(quota) == 6


async def test_a_refusal_has_the_time_to_wait() -> None:
    """Until there is room for one; refusals do not make it longer."""
    clock = FakeClock()
    quota = Quota(6, clock.monotonic_s)
    taken(quota)
    await clock.advance(4)
    for _ in range(3):
        with pytest.raises(TooManyOrders) as refused:
            quota.take("a")
        assert refused.value.wait_s == pytest.approx(6)


async def test_addresses_are_forgotten() -> None:
    """Those with full buckets, and beyond a maximum the quietest ones."""
    clock = FakeClock()
    quota = Quota(6, clock.monotonic_s)
    for n in range(MAX_ADDRESSES + 10):
        quota.take(str(n))
    assert len(quota._full_at_s) == MAX_ADDRESSES
    await clock.advance(11)
    quota.take("x")
    assert len(quota._full_at_s) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, network: str) -> None:
    """All addresses of a /64 share one limit."""
    assert network_of(address) == network


def request(ip: str, *forwarded: str, **headers: str) -> Any:
    values = CIMultiDict([("x-forwarded-for", hops) for hops in forwarded])
    values.update({name.replace("_", "-"): value for name, value in headers.items()})
    return SimpleNamespace(ip=ip, headers=values)


@pytest.mark.parametrize(
    ("ip", "forwarded", "client"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["8.8.8.8"], "8.8.8.8"),
        ("10.0.0.1", ["6.6.6.6, 8.8.8.8"], "8.8.8.8"),
        ("10.0.0.1", ["6.6.6.6, 8.8.8.8, 10.0.0.2"], "8.8.8.8"),
        ("10.0.0.1", ["6.6.6.6", "8.8.8.8"], "8.8.8.8"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["8.8.8.8, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:8.8.8.8"], "8.8.8.8"),
        ("9.9.9.9", ["8.8.8.8"], "9.9.9.9"),
        ("nonsense", ["8.8.8.8"], "unknown"),
    ],
)
def test_the_client_behind_proxies(ip: str, forwarded: list[str], client: str) -> None:
    """The last hop that no trusted proxy added; headers of others are ignored."""
    assert Proxies(["10.0.0.0/8"]).client_of(request(ip, *forwarded)) == client


@pytest.mark.parametrize(("ip", "host"), [("10.0.0.1", "bar.example"), ("9.9.9.9", "inner")])
def test_the_host_behind_proxies(ip: str, host: str) -> None:
    """The host that the browser requested, if a trusted proxy says so."""
    asked = request(ip, host="inner", x_forwarded_host="evil.example, bar.example")
    assert Proxies(["10.0.0.0/8"]).host_of(asked) == host
