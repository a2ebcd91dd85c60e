"""What the engine makes of a body, in both directions."""

from __future__ import annotations

import json
from base64 import b64encode


class EmptyJson(Exception):
    """A body that is declared to be JSON and is empty."""


def read_content(body: bytes, content_type: str) -> object:
    """The value that a process sees.

    Plain JSON is parsed, and becomes None where it is invalid; other types that are not text
    arrive as base64. Raises EmptyJson.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json":
        return _read_json(body)
    if not media_type or media_type.startswith("text/"):
        return body.decode("utf-8", "replace")
    return b64encode(body).decode("ascii")


def _read_json(body: bytes) -> object:
    if not body:
        raise EmptyJson
    try:
        return json.loads(body)
    except ValueError:
        return None
