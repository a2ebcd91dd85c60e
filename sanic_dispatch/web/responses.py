"""Answers in JSON, with the headers that all of them have, and quickly written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import ujson
from sanic import HTTPResponse, Sanic
from sanic.helpers import STATUS_CODES
from sanic.response import BaseHTTPResponse

from sanic_dispatch.observability.request_id import REQUEST_ID

NOSNIFF = {"X-Content-Type-Options": "nosniff"}
"""For every answer that a browser can be led to: it is what it says that it is.

Those to workers and to submissions do without: a header costs a few microseconds there.
"""

LOOKED_AT = ("GET", "HEAD")
"""The methods of what is the same for everybody: who only wants to know of it asks with HEAD."""

PRIVATE = {**NOSNIFF, "Cache-Control": "no-store"}

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Response(HTTPResponse):
    """An answer with a body, which is written in one piece where nothing about it is special: Sanic
    makes each header by itself and cleans it by character, which costs more than all the rest."""

    __slots__ = ()

    def in_one_piece(self, *, keep_alive: bool, head_only: bool) -> bytes | None:
        """What Sanic would write, but for an empty Alt-Svc; None where a header has to be cleaned.

        ``head_only``: without the body, to HEAD. The status is one that has a body; how long that
        is, and whether the connection stays, none of the headers says yet.
        """
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        if "content-type" not in self.headers:
            lines.append(f"content-type: {self.content_type}")
        if not all(map(str.isprintable, lines)):
            return None
        assert self.body is not None
        return b"%b%b\r\ncontent-length: %d\r\nconnection: %b\r\n\r\n%b" % (
            _status_line(self.status),
            "\r\n".join(lines).encode(),
            len(self.body),
            b"keep-alive" if keep_alive else b"close",
            b"" if head_only else self.body,
        )


@lru_cache
def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, STATUS_CODES[status])


def sign(response: BaseHTTPResponse, app: Sanic[Any, Any]) -> None:
    """Count the answer by its status, and say which request it is of."""
    app.ctx.responses[response.status] += 1
    if request_id := REQUEST_ID.get():
        response.headers["X-Request-ID"] = request_id


def json_answer(
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] = _NOTHING,
    media_type: str = "application/json",
) -> HTTPResponse:
    """An answer that no cache keeps."""
    body = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return Response(body, status, {**PRIVATE, **headers}, media_type)
