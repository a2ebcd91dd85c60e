"""Convert HTTP bodies to process values, as CPEE does."""

from __future__ import annotations

import json
from base64 import b64encode


class EmptyJson(Exception):
    """The content type is JSON, but the body is empty."""


def read_content(body: bytes, content_type: str) -> object:
    """Return the value that a process sees.

    ``application/json`` is parsed, and None if invalid; text is decoded; other types are encoded as
    base64. Raises EmptyJson.
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
