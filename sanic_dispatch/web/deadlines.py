"""Sanic's protocol, with an absolute deadline for each request.

Sanic's own time-out starts again with every byte, so a client that sends a byte now and then keeps
a connection for ever. Here the time runs from the first byte of a request to the last one of its
body. A timer runs only while more bytes are awaited; a request that arrives in one piece needs
none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sanic import Request
from sanic.exceptions import BadURL, RequestTimeout
from sanic.http import Http, Stage
from sanic.response import BaseHTTPResponse
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from sanic_dispatch.observability.request_id import REQUEST_ID, begin
from sanic_dispatch.web.context import Call
from sanic_dispatch.web.responses import Response, sign


class NamedRequest(Request):
    """A request that sets the request id for all that it begins."""

    __slots__ = ()

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        begin(self.headers.get("x-request-id"))
        if self._parsed_url.path is None:  # as of http://host; whatever asks for it would fail
            raise BadURL("the URL has no path")


class PunctualHttp(Http):
    """Sanic's HTTP state machine, with the deadline of the current request."""

    __slots__ = ("deadline_s",)

    deadline_s: float | None

    def init_for_request(self) -> None:
        """Reset the deadline for the next request."""
        super().init_for_request()  # type: ignore[no-untyped-call]
        self.deadline_s = None
        REQUEST_ID.set("")

    def respond(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        """Count the answer by its status, and add X-Request-ID."""
        sign(response, self.protocol.app)
        return super().respond(response)

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """Write a plain answer in one piece; leave any other to Sanic."""
        piece = None if data else self._in_one_piece()
        if piece is None:
            await super().http1_response_header(data, end_stream)
            return
        self.response_func = None  # type: ignore[assignment]  # as Sanic does
        await self._send(piece)
        self.stage = Stage.IDLE

    def _in_one_piece(self) -> bytes | None:
        answer = self.response
        if self.expecting_continue or not isinstance(answer, Response):
            return None
        return answer.in_one_piece(keep_alive=self.keep_alive, head_only=bool(self.head_only))

    def create_empty_request(self) -> None:
        """Stand in for a request that could not be read; its URL is left out if that is why."""
        try:
            super().create_empty_request()
        except BadURL:  # as the first time: Sanic would close the connection without an answer
            self.url = None
            super().create_empty_request()

    @property
    def is_between_requests(self) -> bool:
        """Whether no request is in progress."""
        return self.stage is Stage.IDLE and not self.request_body


@contextmanager
def answering_within(request: Call, timeout_s: float) -> Iterator[None]:
    """Let the answer take this long, instead of Sanic's minute, in the block."""
    protocol = request.protocol
    before, protocol.response_timeout = protocol.response_timeout, timeout_s
    try:
        yield
    finally:
        protocol.response_timeout = before


class PunctualProtocol(WebSocketProtocol):
    """A connection whose requests must arrive within REQUEST_TIMEOUT, or get 408."""

    __slots__ = ()

    HTTP_CLASS = PunctualHttp

    _http: PunctualHttp | None

    async def receive_more(self) -> None:
        """Wait for more of a request, until its deadline at most."""
        http = self._http
        if http is None or http.is_between_requests:
            await self._wait()
            return
        if http.deadline_s is None:
            http.deadline_s = self.loop.time() + self.request_timeout
        timer = self.loop.call_at(http.deadline_s, self._cut)
        try:
            await self._wait()
        finally:
            timer.cancel()

    async def _wait(self) -> Any:
        return await super().receive_more()  # type: ignore[no-untyped-call]

    def _cut(self) -> None:
        """Answer 408, unless an answer has begun, and close."""
        if self._http is None or self._task is None:
            return
        self._http.exception = RequestTimeout()
        self._http.keep_alive = False
        self._http.request_body = None  # do not wait for the rest of the body
        self._task.cancel()
