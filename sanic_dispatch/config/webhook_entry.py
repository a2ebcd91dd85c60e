"""What somebody says of a webhook: a table ``[[webhooks]]`` of the settings file, or a request."""

from __future__ import annotations

import base64
import secrets
from binascii import Error as NoBase64
from collections.abc import Mapping
from typing import Any, NamedTuple

from sanic_dispatch.core.events import EventKind

PREFIX = "whsec_"
"""What a secret begins with, as in Standard Webhooks."""

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64

MAX_URL_CHARS = 2000

GROUPS = tuple(dict.fromkeys(f"{kind.partition('.')[0]}.*" for kind in EventKind))
"""The names of all events of a kind of record: ``job.*`` and so on."""

MEMBERS = ("url", "events", "payload", "secret")


class WebhookEntry(NamedTuple):
    """A webhook as somebody describes it; the secret is empty if one has to be made."""

    url: str
    events: tuple[str, ...]
    payload: bool
    secret: str

    def __repr__(self) -> str:
        """Return it without the URL and the secret, which are confidential."""
        return f"WebhookEntry(events={self.events}, payload={self.payload})"


def read_entry(values: Mapping[str, Any]) -> WebhookEntry:
    """Return the webhook of a JSON object or TOML table. Raises ValueError, which says why not."""
    for name in values:
        if name not in MEMBERS:
            raise ValueError(f"{name} is unknown; there are {', '.join(MEMBERS)}")
    url, events = values.get("url"), values.get("events", ["job.*"])
    payload, secret = values.get("payload", False), values.get("secret", "")
    if not isinstance(url, str) or not 0 < len(url) <= MAX_URL_CHARS:
        raise ValueError(f"url is a URL of at most {MAX_URL_CHARS} characters")
    if not (url.isascii() and url.isprintable() and " " not in url):
        raise ValueError("url is not visible ASCII")
    allowed = (*GROUPS, *EventKind)
    if not (isinstance(events, list) and events and all(each in allowed for each in events)):
        raise ValueError(f"events is a list of {', '.join(GROUPS)} or the names of events")
    if not isinstance(payload, bool):
        raise ValueError("payload is true or false")
    if secret != "" and not is_secret(secret):
        raise ValueError(
            f"secret is {PREFIX} and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        )
    return WebhookEntry(url, tuple(dict.fromkeys(events)), payload, secret)


def is_secret(text: object) -> bool:
    """Return whether this is a secret in the form of Standard Webhooks."""
    if not isinstance(text, str) or not text.startswith(PREFIX):
        return False
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (NoBase64, ValueError):
        return False
    return MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES


def new_secret() -> str:
    """Return a new random secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def new_webhook_id() -> str:
    """Return a new random id of a webhook."""
    return secrets.token_hex(8)
