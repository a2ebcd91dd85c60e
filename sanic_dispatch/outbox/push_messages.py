"""Messages to phones: what they say, for how long that is true, and their headers (RFC 8030)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import ujson

from sanic_dispatch.callbacks.url import split_url
from sanic_dispatch.core.push_subscriptions import PushKind, PushSubscription
from sanic_dispatch.outbox.push_entry import to_base64url

TRUE_S = {
    PushKind.TWO_BEFORE: 120.0,
    PushKind.MAKING: 600.0,
    PushKind.LATE: 600.0,
    PushKind.READY: 3600.0,
    PushKind.FAILED: 3600.0,
}
"""For how long a push service keeps a message at most for a phone that it cannot reach."""

SHORTEST_S = 15.0
"""For how long it keeps any."""

_UNTIL_READY = (PushKind.TWO_BEFORE, PushKind.MAKING)
"""What is not true any more when the order is ready."""

_URGENCY = {PushKind.MAKING: "normal", PushKind.LATE: "normal"}
"""The others are urgent: somebody has to go and get a drink, or ask for another one."""

SIGNED_S = 6 * 3600
"""How long a signature is used, and how long it is good after that; a day is the most that RFC 8292
allows."""

TOPIC_BYTES = 24
"""As many as have 32 characters in base64url, which is what a push topic may have."""


def payload_of(subscription: PushSubscription, job_id: str, ticket: int, kind: PushKind) -> bytes:
    """Return what the page's service worker makes a text of; no name is in it."""
    said = {"job": job_id, "ticket": ticket, "kind": kind.value, "lang": subscription.lang}
    return ujson.dumps(said, ensure_ascii=False).encode()


def ttl_s(kind: PushKind, ready_s: float | None, now_s: float) -> int:
    """Return for how long a message may wait for its phone; no longer than it is true.

    ``ready_s`` is when the order is ready at the earliest, if that is known (Unix seconds).
    """
    longest_s = TRUE_S[kind]
    if kind in _UNTIL_READY and ready_s is not None:
        longest_s = min(longest_s, ready_s - now_s)
    return int(max(longest_s, SHORTEST_S))


def push_topic(secret: str, job_id: str, endpoint: str) -> str:
    """Return the push topic of an order on one phone.

    It is the same for all messages of the order, so that a newer one, or a repeat, replaces what
    the phone has not got yet. It tells nothing of the order, and each phone has another.
    """
    name = f"push topic {job_id} {endpoint}".encode()
    return to_base64url(hmac.digest(bytes.fromhex(secret), name, hashlib.sha256)[:TOPIC_BYTES])


def headers_of_push(kind: PushKind, topic: str, ttl: int, authorization: str) -> Mapping[str, str]:
    """Return the headers of a message."""
    return {
        "Authorization": authorization,
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(ttl),
        "Topic": topic,
        "Urgency": _URGENCY.get(kind, "high"),
    }


def signed_until_s(now_s: float) -> int:
    """Return until when the signature of a message is good (Unix seconds): for six to 12 hours.

    It is the same for six hours, so that one signature is made for many messages.
    """
    return (int(now_s) // SIGNED_S + 2) * SIGNED_S


def origin_of(endpoint: str) -> str:
    """Return the origin of a push service, as its signatures name it."""
    target = split_url(endpoint)
    host = f"[{target.host}]" if ":" in target.host else target.host
    is_default = target.port == {"http": 80, "https": 443}.get(target.scheme)
    return f"{target.scheme}://{host}" + ("" if is_default else f":{target.port}")


def subscription_id(job_id: str, endpoint: str) -> str:
    """Return the id by which operators and the log know a subscription."""
    return hashlib.sha256(f"{job_id} {endpoint}".encode()).hexdigest()[:16]
