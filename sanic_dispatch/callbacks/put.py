"""A delivery: exactly one PUT, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping

from sanic_dispatch.callbacks.http_client import Broken, HttpClient, NotSent
from sanic_dispatch.callbacks.outcome import InDoubt, Outcome, Refused, outcome_of


async def put(client: HttpClient, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """PUT the JSON body once, to a URL that the guard has checked; the status decides."""
    try:
        status = await client.put(url, body, {**headers, "Content-Type": "application/json"})
    except NotSent as error:
        return Refused(str(error))
    except Broken as error:
        return InDoubt(str(error))
    return outcome_of(status)
