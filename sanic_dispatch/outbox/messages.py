"""Messages to webhooks, in the form of Standard Webhooks: the body, its id and its signature."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import ujson
from standardwebhooks import Webhook

from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.history.event_fields import fields_of
from sanic_dispatch.storage.event_record import LoggedEvent

TEST = "webhook.test"
"""The type of a message that an operator has asked for."""


class WebhookMessage(NamedTuple):
    """A message: its id, which is the same each time that it is sent, and its JSON."""

    id: str
    body: str


def message_of(
    endpoint_id: str, event: LoggedEvent, payload: bytes | None, *, with_payload: bool
) -> WebhookMessage:
    """Return the message that tells an endpoint of an event.

    With payload it has the job's data, or null if that is not kept any more.
    """
    data = ujson.dumps(fields_of(event), ensure_ascii=False, escape_forward_slashes=False)
    if with_payload and event.job:
        data = f'{data[:-1]},"payload":{(payload or b"null").decode()}}}'
    return WebhookMessage(message_id(endpoint_id, event), _body(event.event, event.at_s, data))


def trial_message(message_id: str, at_s: float) -> WebhookMessage:
    """Return a message that tells of nothing."""
    return WebhookMessage(message_id, _body(TEST, at_s, "{}"))


def message_id(endpoint_id: str, event: LoggedEvent) -> str:
    """Return the id of the message for an event.

    The time is in it because events may be numbered from 1 again, as in memory after a restart.
    """
    name = f"{endpoint_id} {event.n} {event.at_s!r}"
    return f"msg_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def as_json(endpoint_id: str, event: LoggedEvent) -> dict[str, Any]:
    """Return the message for an event as a member of an answer, without a job's data."""
    message = message_of(endpoint_id, event, None, with_payload=False)
    return {"id": message.id, **ujson.loads(message.body)}


def headers_of(message: WebhookMessage, secrets: Sequence[str], at_s: float) -> Mapping[str, str]:
    """Return the headers of a message that is sent now, signed with each of the secrets."""
    at = datetime.fromtimestamp(int(at_s), UTC)
    signatures = [Webhook(secret).sign(message.id, at, message.body) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(at_s)),
        "webhook-signature": " ".join(signatures),
    }


def _body(kind: str, at_s: float, data: str) -> str:
    return f'{{"type":{ujson.dumps(kind)},"timestamp":"{to_rfc3339(at_s)}","data":{data}}}'
