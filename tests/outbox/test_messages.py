"""Messages: what is in them, and the library's own verification."""

from __future__ import annotations

import time

import ujson
from standardwebhooks import Webhook

from sanic_dispatch.config.webhook_entry import new_secret
from sanic_dispatch.outbox.messages import headers_of, message_of
from sanic_dispatch.storage.event_record import LoggedEvent

EVENT = LoggedEvent(7, 1732412340.5, "job.done", 42, "0" * 32, reason="späť")


def test_the_body() -> None:
    """Type, time, and the event as in the log: ids are cut."""
    message = message_of("till", EVENT, None, with_payload=False)
    at = "2024-11-24T01:39:00.500000Z"
    assert ujson.loads(message.body) == {
        "type": "job.done",
        "timestamp": at,
        "data": {
            "n": 7, "at": at, "event": "job.done", "ticket": 42, "job": "00000000",
            "worker": None, "reason": "späť",
        },
    }  # fmt: skip


def test_the_jobs_data() -> None:
    """It is there byte for byte if it is wanted, and null if it is gone."""
    data = b'{"drink": 1.50}'
    assert '"payload":{"drink": 1.50}' in message_of("t", EVENT, data, with_payload=True).body
    gone = message_of("t", EVENT, None, with_payload=True)
    assert ujson.loads(gone.body)["data"]["payload"] is None
    of_worker = message_of("t", EVENT._replace(job=""), None, with_payload=True)
    assert "payload" not in ujson.loads(of_worker.body)["data"]


def test_ids() -> None:
    """One for each event and endpoint, the same each time; another run's event has another."""
    ids = [
        message_of(endpoint, event, None, with_payload=False).id
        for endpoint in ("till", "shop")
        for event in (EVENT, EVENT._replace(n=8), EVENT._replace(at_s=1732412341.5))
    ]
    assert len(set(ids)) == 6
    assert message_of("till", EVENT, b"1", with_payload=True).id == ids[0]


def test_each_secret_signs() -> None:
    """A receiver with the old or the new one accepts the message, one with another does not."""
    old, new = new_secret(), new_secret()
    message = message_of("till", EVENT, None, with_payload=False)
    headers = dict(headers_of(message, (new, old), time.time()))
    for secret in (old, new):
        assert Webhook(secret).verify(message.body, headers)["type"] == "job.done"
    assert len(headers["webhook-signature"].split()) == 2
