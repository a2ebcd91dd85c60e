"""Answers in JSON, with the headers that all of them have, and quickly written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import ujson
from sanic import HTTPResponse

NOSNIFF = {"X-Content-Type-Options": "nosniff"}
"""For every answer that a browser can be led to: it is what it says that it is.

Those to workers and to submissions do without: a header costs a few microseconds there.
"""

LOOKED_AT = ("GET", "HEAD")
"""The methods of what is the same for everybody: who only wants to know of it asks with HEAD."""

PRIVATE = {**NOSNIFF, "Cache-Control": "no-store"}

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Response(HTTPResponse):
    """An answer with a body. Its headers are looked at together, and only cleaned where one of them
    needs it: Sanic goes through each of them by character, which costs more than all the rest."""

    __slots__ = ()

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """What Sanic says that it is."""
        self.headers.setdefault("content-type", self.content_type)
        head = [(name, str(value)) for name, value in self.headers.items()]
        if not all(name.isprintable() and value.isprintable() for name, value in head):
            return super().processed_headers
        return iter([(name.encode("ascii"), value.encode()) for name, value in head])


def json_answer(
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] = _NOTHING,
    media_type: str = "application/json",
) -> HTTPResponse:
    """An answer that no cache keeps."""
    body = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return Response(body, status, {**PRIVATE, **headers}, media_type)
