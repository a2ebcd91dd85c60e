"""Answers: common headers, JSON, and writing a plain answer in one piece."""

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
"""For every answer that a browser may open. Answers to workers and submissions go without it: a
header costs them a few microseconds.
"""

GET_AND_HEAD = ("GET", "HEAD")
"""The methods of GET routes that also answer HEAD."""

PRIVATE = {**NOSNIFF, "Cache-Control": "no-store"}

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Response(HTTPResponse):
    """An answer with a body that can be written in one piece.

    Sanic keeps headers in a multidict, formats each separately and cleans it character by
    character, which costs more than the rest of the answer. Here they are a plain dictionary: a
    name has to be spelt alike wherever it is used.
    """

    __slots__ = ()

    def __init__(
        self,
        body: str | bytes,
        status: int = 200,
        headers: Mapping[str, str] = _NOTHING,
        content_type: str = "application/json",
    ) -> None:
        self.asgi, self.stream, self._cookies = False, None, None  # as Sanic begins
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.headers = dict(headers)  # type: ignore[assignment]
        self.content_type = content_type

    def in_one_piece(self, *, keep_alive: bool, head_only: bool) -> bytes | None:
        """Return the bytes that Sanic would write; None if a header has to be cleaned.

        ``head_only``: the answer to HEAD, without the body. The status must be one with a body, and
        the headers must not have Content-Length or Connection.
        """
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        if "content-type" not in self.headers:
            lines.append(f"content-type: {self.content_type}")
        if not "".join(lines).isprintable():
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
    """Count the answer by its status, and add X-Request-ID."""
    app.ctx.responses[response.status] += 1
    if request_id := REQUEST_ID.get():
        response.headers["X-Request-ID"] = request_id


def relative_to(path: str, address: str) -> str:
    """Return an address beside that of a request, also if its path ends with a slash.

    Sanic takes either, and a client resolves what is relative against the one that it used.
    """
    return f"../{address}" if path.endswith("/") else address


def json_answer(
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] = _NOTHING,
    media_type: str = "application/json",
) -> HTTPResponse:
    """Return an answer in JSON that no cache stores."""
    body = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return Response(body, status, {**PRIVATE, **headers}, media_type)
