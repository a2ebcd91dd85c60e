"""What a page says of a phone: the browser's PushSubscription, with a language."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from sanic_dispatch.core.push_subscriptions import PushSubscription

MAX_ENDPOINT_CHARS = 2000

POINT_BYTES, AUTH_BYTES = 65, 16
"""The sizes of a browser's public key and of its secret."""

LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}")
"""A tag of a language, such as ``de`` or ``de-AT``."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")


def read_subscription(values: Mapping[str, Any]) -> PushSubscription:
    """Return a subscription from its members; others are ignored, as browsers may add some.

    Raises ValueError, which says what is allowed, and repeats nothing.
    """
    keys, lang = values.get("keys"), values.get("lang")
    endpoint = read_endpoint(values)
    if not isinstance(keys, dict):
        raise ValueError("keys has p256dh and auth, as the browser's PushSubscription does")
    point = _key(keys, "p256dh", POINT_BYTES)
    _key(keys, "auth", AUTH_BYTES)
    if not isinstance(lang, str) or not LANGUAGE.fullmatch(lang):
        raise ValueError("lang is the tag of a language, such as de or de-AT")
    from sanic_dispatch.outbox.push_crypto import check_point  # slow to import

    try:
        check_point(point)
    except ValueError:
        raise ValueError("keys.p256dh is no point of the curve P-256") from None
    return PushSubscription(
        endpoint, str(keys["p256dh"]).rstrip("="), str(keys["auth"]).rstrip("="), lang
    )


def read_endpoint(said: object) -> str:
    """Return the endpoint in a subscription, or one that is given alone. Raises ValueError."""
    endpoint = said.get("endpoint") if isinstance(said, Mapping) else said
    if not isinstance(endpoint, str) or not 0 < len(endpoint) <= MAX_ENDPOINT_CHARS:
        raise ValueError(f"endpoint is a URL of at most {MAX_ENDPOINT_CHARS} characters")
    if not (endpoint.isascii() and endpoint.isprintable() and " " not in endpoint):
        raise ValueError("endpoint is not visible ASCII")
    return endpoint


def to_base64url(data: bytes) -> str:
    """Return bytes in base64url, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Return the bytes of base64url, with or without padding. Raises ValueError."""
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def _key(keys: Mapping[str, Any], name: str, size: int) -> bytes:
    text, data = keys.get(name), b""
    if isinstance(text, str):
        try:
            data = from_base64url(text)
        except ValueError:
            data = b""
    if len(data) != size:
        raise ValueError(f"keys.{name} is {size} bytes in base64url")
    return data
