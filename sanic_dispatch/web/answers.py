"""Answers in JSON, with the headers that all of them have."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import ujson
from sanic import HTTPResponse
from sanic.response import raw

NOSNIFF = {"X-Content-Type-Options": "nosniff"}
"""For every answer that a browser can be led to: it is what it says that it is.

Those to workers and to submissions do without: a header costs a few microseconds there.
"""

LOOKED_AT = ("GET", "HEAD")
"""The methods of what is the same for everybody: who only wants to know of it asks with HEAD."""

PRIVATE = {**NOSNIFF, "Cache-Control": "no-store"}

_NOTHING: Mapping[str, str] = MappingProxyType({})


def json_answer(
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] = _NOTHING,
    media_type: str = "application/json",
) -> HTTPResponse:
    """An answer that no cache keeps."""
    body = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return raw(body, status, {**PRIVATE, **headers}, media_type)
