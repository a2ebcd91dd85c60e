"""Questions to an engine that change nothing: does the callback wait, how is the instance."""

from __future__ import annotations

import re

from sanic_dispatch.callbacks.http_client import Broken, HttpClient, NotSent
from sanic_dispatch.core.transitions import GONE

PATIENCE_S = 3.0
"""How long to wait for an answer: an order may wait for it too."""

_STATES = frozenset(
    ("ready", "running", "simulating", "stopping", "stopped", "finishing", "finished", "abandoned")
)

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


async def is_pending(
    client: HttpClient, callback_url: str, silence: bool | None = None
) -> bool | None:
    """Whether the callback still waits; None where the answer is unclear.

    ``silence`` where there is no answer: a connection that cannot be made, or PATIENCE_S over.
    """
    answer = await _get(client, callback_url, 0)
    return silence if answer is None else {200: True, 404: False}.get(answer[0])


async def instance_state(client: HttpClient, instance_url: str, body_limit: int) -> str | None:
    """The engine's word for the instance's state, ``gone``, or None where it is unclear."""
    answer = await _get(client, instance_url.rstrip("/") + "/properties/state/", body_limit)
    if answer is None:
        return None
    status, body = answer
    if status == 404:
        return GONE
    word = body.decode("ascii", "replace").strip()
    return word if status == 200 and word in _STATES else None


async def instance_uuid(client: HttpClient, instance_url: str, body_limit: int) -> str | None:
    """The UUID of the instance that has this address now; None where it is unclear.

    Empty where the engine does not say: it knows no such attribute, or what is there is no UUID.
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
    """Status and at most so many bytes of the body, or None where that did not work."""
    try:
        return await client.get(url, limit, PATIENCE_S)
    except (NotSent, Broken):
        return None
