"""A delivery: exactly one PUT, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping

from sanic_dispatch.callbacks.http_client import Broken, HttpClient, NotSent
from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused

_DOUBTFUL_STATUSES = (502, 504)

_OF_THE_WORKER = (401, 403, 404, 405, 407, 408, 409, 410, 421, 425, 426, 429, 503)
"""Statuses that say nothing about the job: any other job would have got them too."""


async def put(client: HttpClient, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """PUT the JSON body once, to a URL that the guard has checked; the status decides."""
    try:
        status = await client.put(url, body, {**headers, "Content-Type": "application/json"})
    except NotSent as error:
        return Refused(str(error))
    except Broken as error:
        return InDoubt(str(error))
    return _outcome(status)


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Accepted()
    if status in _DOUBTFUL_STATUSES:
        return InDoubt(f"answered {status}")
    return Refused(f"answered {status}", status >= 400 and status not in _OF_THE_WORKER)
