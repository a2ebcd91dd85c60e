"""Probes: GET requests for the state of a callback or a process instance."""

from __future__ import annotations

import re

from sanic_dispatch.callbacks.http_client import Broken, HttpClient, NotSent
from sanic_dispatch.core.worker import GONE

PATIENCE_S = 3.0
"""The timeout of a probe; it is short, since an order may be waiting for the answer."""

_STATES = frozenset(
    ("ready", "running", "simulating", "stopping", "stopped", "finishing", "finished", "abandoned")
)

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


async def is_pending(
    client: HttpClient, callback_url: str, silence: bool | None = None
) -> bool | None:
    """Return whether the callback is pending; None if the answer is unclear.

    Returns ``silence`` without an answer: no connection, or none within PATIENCE_S.
    """
    answer = await _get(client, callback_url, 0)
    return silence if answer is None else {200: True, 404: False}.get(answer[0])


async def instance_state(client: HttpClient, instance_url: str, body_limit: int) -> str | None:
    """Return the instance's state in the engine's word, ``gone``, or None if unclear."""
    answer = await _get(client, instance_url.rstrip("/") + "/properties/state/", body_limit)
    if answer is None:
        return None
    status, body = answer
    if status == 404:
        return GONE
    word = body.decode("ascii", "replace").strip()
    return word if status == 200 and word in _STATES else None


async def instance_uuid(client: HttpClient, instance_url: str, body_limit: int) -> str | None:
    """Return the UUID of the instance that has this address now; None if that is unclear.

    Empty if the engine does not know this attribute, or its value is not a UUID.
    """
    url = instance_url.rstrip("/") + "/properties/attributes/uuid/"
    answer = await _get(client, url, body_limit)
    if answer is None:
        return None
    status, body = answer
    if status not in (200, 404):
        return None
    uuid = body.decode("ascii", "replace").strip()
    return uuid if status == 200 and _UUID.fullmatch(uuid) else ""


async def _get(client: HttpClient, url: str, limit: int) -> tuple[int, bytes] | None:
    """Return the status and at most ``limit`` bytes of the body; None without an answer."""
    try:
        return await client.get(url, limit, PATIENCE_S)
    except (NotSent, Broken):
        return None
