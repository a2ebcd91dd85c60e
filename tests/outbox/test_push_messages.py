"""Messages to phones: what they say, their lifetime and their push topic."""

from __future__ import annotations

import re

import pytest
import ujson

from sanic_dispatch.core.push_subscriptions import PushKind, PushSubscription
from sanic_dispatch.outbox.push_messages import (
    SHORTEST_S,
    TRUE_S,
    headers_of_push,
    origin_of,
    payload_of,
    push_topic,
    signed_until_s,
    ttl_s,
)

SECRET, NOW_S, JOB = "ab" * 32, 1_732_412_340.0, "2f6c1d0e" * 4
PHONE = PushSubscription("https://push.example/1", "p256dh", "auth", "de-AT")


def test_what_is_said() -> None:
    said = ujson.loads(payload_of(PHONE, JOB, 42, PushKind.TWO_BEFORE))
    assert said == {"job": JOB, "ticket": 42, "kind": "two_before", "lang": "de-AT"}


@pytest.mark.parametrize("kind", PushKind)
def test_how_long_it_may_wait(kind: PushKind) -> None:
    """Never longer than it is true, as far as that is known, and never not at all."""
    ends = kind in (PushKind.TWO_BEFORE, PushKind.MAKING)
    assert ttl_s(kind, None, NOW_S) == TRUE_S[kind]
    assert ttl_s(kind, NOW_S + 40.7, NOW_S) == (40 if ends else TRUE_S[kind])
    assert ttl_s(kind, NOW_S - 100, NOW_S) == (SHORTEST_S if ends else TRUE_S[kind])
    assert ttl_s(kind, NOW_S + 9999, NOW_S) == TRUE_S[kind]


def test_the_push_topic() -> None:
    """The same for all messages of an order on a phone, and nothing of the order is in it."""
    topic = push_topic(SECRET, JOB, PHONE.endpoint)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", topic)  # RFC 8030, section 5.4
    assert topic == push_topic(SECRET, JOB, PHONE.endpoint)
    others = {
        push_topic(SECRET, "0" * 32, PHONE.endpoint),
        push_topic(SECRET, JOB, "https://push.example/2"),
        push_topic("ac" * 32, JOB, PHONE.endpoint),
    }
    assert len(others | {topic}) == 4


def test_headers() -> None:
    """Urgent is what somebody has to get up for."""
    urgencies = {k.value: headers_of_push(k, "t", 60, "vapid t=")["Urgency"] for k in PushKind}
    assert urgencies == {
        "two_before": "high",
        "making": "normal",
        "ready": "high",
        "late": "normal",
        "failed": "high",
    }


def test_signatures_are_good_for_hours() -> None:
    """Never for more than a day, and one for many messages."""
    times = [signed_until_s(NOW_S + hours * 3600) for hours in range(24)]
    assert all(6 * 3600 < until - NOW_S - h * 3600 <= 12 * 3600 for h, until in enumerate(times))
    assert len(set(times)) == 5


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://push.example/a?b", "https://push.example"),
        ("https://Push.Example:443/", "https://push.example"),
        ("https://push.example:8443/", "https://push.example:8443"),
        ("http://push.example:80/", "http://push.example"),
        ("https://[2606:4700::1111]:9/x", "https://[2606:4700::1111]:9"),
    ],
)
def test_origins(endpoint: str, origin: str) -> None:
    """As RFC 6454 serializes them: lower case, without a port that goes without saying."""
    assert origin_of(endpoint) == origin
