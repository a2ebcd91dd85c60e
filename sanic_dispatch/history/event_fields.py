"""Events as operators see them: the fields of the log's line, escaped and without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ujson

from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.observability.log import masked, printable, short_id, without_secrets
from sanic_dispatch.storage.event_log import Damage, Hole, Page
from sanic_dispatch.storage.event_record import LoggedEvent

Fields = dict[str, Any]

NAMES = (
    *("n", "at", "event", "ticket", "job", "attempt", "waiting_s", "service_s"),
    *("worker", "callback", "reason", "request", "percent"),
)
"""The names of all fields, in their order."""


def fields_of(event: LoggedEvent) -> Fields:
    """Return an event's fields.

    Number, time, event, ticket, worker and reason are always there; ticket and worker may be null,
    and the reason may be empty. Others are left out if there is nothing to say.
    """
    fields: Fields = {
        "n": event.n,
        "at": to_rfc3339(event.at_s),
        "event": event.event,
        "ticket": event.ticket or None,
    }
    fields |= _rest_of(event)
    fields.setdefault("worker", None)
    fields.setdefault("reason", "")
    return fields


def step_of(event: LoggedEvent) -> Fields:
    """Return an event of a job as ``/operator/history`` has it: only what the log's line has."""
    head: Fields = {"timestamp": to_rfc3339(event.at_s), "event": event.event}
    if event.ticket:
        head["ticket"] = event.ticket
    return head | _rest_of(event)


def page_fields(page: Page) -> Fields:
    """Return a page of events: ``events``, ``next``, and what may be missing."""
    events = list(map(fields_of, page.events))
    return {"events": events, "next": page.next, **gaps_of(page.damage, page.holes)}


def gaps_of(damage: Sequence[Damage], holes: Sequence[Hole]) -> Fields:
    """Return what may be missing, as members of an answer; none if everything is there."""
    gaps: Fields = {}
    if damage:
        gaps["damage"] = [
            {"file": str(each.path), "byte": each.byte, "why": each.why} for each in damage
        ]
    if holes:
        gaps["holes"] = [
            {
                "first": hole.first_n,
                "last": hole.last_n,
                "from": to_rfc3339(hole.from_s),
                "to": to_rfc3339(hole.to_s),
            }
            for hole in holes
        ]
    return gaps


def describe_gaps(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each part that an answer says may be missing."""
    for damage in answer.get("damage", ()):
        yield f"{damage['file']}: damaged at byte {damage['byte']}: {damage['why']}"
    for hole in answer.get("holes", ()):
        numbers, times = (hole["first"], hole["last"]), (hole["from"], hole["to"])
        yield "events {} to {} are missing, from {} to {}".format(*numbers, *times)


def json_line(fields: Fields) -> str:
    """Return an event's fields as a line of JSON, with its newline."""
    return ujson.dumps(fields, ensure_ascii=False, escape_forward_slashes=False) + "\n"


def _rest_of(event: LoggedEvent) -> Fields:
    fields: Fields = {}
    if event.job:
        fields["job"] = short_id(event.job)
    if event.job and event.attempt:
        fields["attempt"] = event.attempt
    if event.waiting_s is not None:
        fields["waiting_s"] = event.waiting_s
    if event.service_s is not None:
        fields["service_s"] = event.service_s
    if event.worker:
        fields["worker"] = printable(event.worker)
    if event.callback:
        fields["callback"] = without_secrets(event.callback)
    if event.reason:
        fields["reason"] = printable(masked(event.reason))
    if event.request:
        fields["request"] = printable(event.request)
    if event.percent is not None:
        fields["percent"] = event.percent
    return fields
