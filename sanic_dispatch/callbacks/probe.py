"""Probes: GET requests for the state of a callback or a process instance."""

from __future__ import annotations

import re

from sanic_dispatch.callbacks.http_client import Broken, HttpClient, NotSent
from sanic_dispatch.core.worker import GONE

PROBE_TIMEOUT_S = 3.0
"""The timeout of a probe; it is short, since an order may be waiting for the answer."""

_STATES = frozenset(
    ("ready", "running", "simulating", "stopping", "stopped", "finishing", "finished", "abandoned")
)

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


async def is_pending(
    client: HttpClient, callback_url: str, if_silent: bool | None = None
) -> bool | None:
    """Return whether the callback is pending; None if the answer is unclear.

    An engine answers 200 while it waits on the callback, and 404 once the callback is used, or its
    instance is stopped. Returns ``if_silent`` without an answer: no connection, or none within
    PROBE_TIMEOUT_S.
    """
    answer = await _get(client, callback_url, 0)
    if answer is None:
        return if_silent
    status, _ = answer
    return {200: True, 404: False}.get(status)


async def instance_state(
    client: HttpClient, instance_url: str, body_limit_bytes: int
) -> str | None:
    """Return the instance's state in the engine's word; None if that is unclear.

    Or ``gone``, our word for a 404: every instance has a state, so there is no such instance.
    """
    answer = await _get(client, instance_url.rstrip("/") + "/properties/state/", body_limit_bytes)
    if answer is None:
        return None
    status, body = answer
    if status == 404:
        return GONE
    word = body.decode("ascii", "replace").strip()
    return word if status == 200 and word in _STATES else None


async def instance_uuid(client: HttpClient, instance_url: str, body_limit_bytes: int) -> str | None:
    """Return the UUID of the instance that has this address now; None if that is unclear.

    Empty if the engine does not know this attribute, or its value is not a UUID. A 404 says that
    not every instance has the attribute, and nothing of whether there is the instance.
    """
    url = instance_url.rstrip("/") + "/properties/attributes/uuid/"
    answer = await _get(client, url, body_limit_bytes)
    if answer is None:
        return None
    status, body = answer
    if status not in (200, 404):
        return None
    uuid = body.decode("ascii", "replace").strip()
    return uuid if status == 200 and _UUID.fullmatch(uuid) else ""


async def _get(client: HttpClient, url: str, limit_bytes: int) -> tuple[int, bytes] | None:
    """Return the status and at most ``limit_bytes`` of the body; None without an answer."""
    try:
        return await client.get(url, limit_bytes, PROBE_TIMEOUT_S)
    except (NotSent, Broken):
        return None
