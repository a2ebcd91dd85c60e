"""Events as a replay reads them from a running service: whole, but without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2s
from typing import Any

import ujson

from sanic_dispatch.core.worker import CONNECTED
from sanic_dispatch.history.event_fields import Fields, gaps_of
from sanic_dispatch.history.history_queries import RecordedPage
from sanic_dispatch.observability.log import masked
from sanic_dispatch.storage.event_facts import EventFacts
from sanic_dispatch.storage.event_record import LoggedEvent, decode_event, encode_event


def recording_fields(found: RecordedPage) -> Fields:
    """Return a page: ``events`` as arrays, ``data`` by number, ``next``, what may be missing."""
    page = found.page
    return {
        "events": [ujson.loads(encode_event(_without_secrets(each))) for each in page.events],
        "data": {str(each.n): each.json.decode() for each in found.payloads},
        "next": page.next,
        **gaps_of(page.damage, page.holes),
    }


def recorded_in(said: Mapping[str, Any]) -> Iterator[tuple[LoggedEvent, bytes | None]]:
    """Yield the events of a page, each with the data that came with it. Raises ValueError."""
    for values in said["events"]:
        event = decode_event(values)
        data = said["data"].get(str(event.n))
        yield event, None if data is None else data.encode()


def _without_secrets(event: LoggedEvent) -> LoggedEvent:
    """Return an event without ids of jobs and requests; callbacks can be told apart only."""
    return event._replace(
        job="",
        request="",
        reason=masked(event.reason),
        facts=event.facts and _facts_without_secrets(event.facts),
        callback=_disguised(event.callback) if event.callback else "",
    )


def _facts_without_secrets(facts: EventFacts) -> EventFacts:
    """Return what a robot takes and where an order stands, but nothing of process instances."""
    return facts._replace(
        key=None, instance_url="", reason=None, refused="", aside=None, registered_at=""
    )


def _disguised(callback: str) -> str:
    if callback.startswith(CONNECTED):
        return callback
    scheme, separator, rest = callback.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    return f"{scheme}{separator}{host}/{blake2s(callback.encode(), digest_size=12).hexdigest()}"
