"""A fast path for submissions, registrations and reports, in front of Sanic.

Sanic's connection task, header parsing, routing and response streaming cost more than all that a
submission or a registration does here. So an ordinary request to these routes that arrives whole
and alone is parsed with httptools and given to the handler of Sanic's route. Every other request
goes to Sanic as the bytes that came: one that is split, pipelined, chunked, odd, malformed or too
large, or that arrives while Sanic is busy.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, cast
from urllib.parse import parse_qs

import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from sanic import HTTPResponse
from sanic.compat import Header
from sanic.exceptions import RequestCancelled, ServiceUnavailable
from sanic.http import Stage
from sanic.request import RequestParameters
from sanic.response import BaseHTTPResponse

from sanic_dispatch.observability.request_id import begin
from sanic_dispatch.web.context import TOPICS_PATH, Call
from sanic_dispatch.web.deadlines import PunctualProtocol
from sanic_dispatch.web.responses import Response, sign
from sanic_dispatch.web.routes.jobs import submit
from sanic_dispatch.web.routes.reports import complete, extend, fail
from sanic_dispatch.web.routes.workers import register

Handler = Callable[[Call], Awaitable[HTTPResponse | None]]

HANDLERS: dict[bytes, Any] = {b"/submit-job": submit, b"/register-worker": register}
REPORTS: dict[bytes, Any] = {b"complete": complete, b"fail": fail, b"extend": extend}
"""The handlers of POST requests, as in the blueprints."""

_REPORT = re.compile(rb"/jobs/(?P<id>[0-9A-Za-z]+)/(?P<act>complete|fail|extend)")
_BEGINNINGS = tuple(b"POST " + path for path in (*HANDLERS, b"/jobs/", TOPICS_PATH.encode()))
_TOPIC = re.compile(rb"/topics/(?P<name>[^/]+)(?P<rest>/.+)")

_SANICS = frozenset(("transfer-encoding", "expect", "upgrade", "worker-id"))
"""Headers of requests that only Sanic handles; a poll may wait for longer than other requests."""

MAX_LENGTH_CHARS = 20
"""A longer Content-Length is left to Sanic: int() fails for thousands of digits."""

_log = structlog.get_logger("sanic_dispatch.web")


class RequestHead:
    """The head of a request, parsed strictly by httptools."""

    __slots__ = ("_add", "headers", "url")

    def __init__(self, data: bytes) -> None:
        """Raises HttpParserError or HttpParserUpgrade."""
        self.url = b""
        self.headers = Header()
        self._add = self.headers.add
        HttpRequestParser(self).feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Decode it as Sanic does."""
        self._add(name.decode().lower(), value.decode("utf-8", "surrogateescape").lstrip())


class FastRequest:
    """A request on the fast path: a ``Call`` with its body."""

    __slots__ = (
        "_answer", "_protocol", "app", "body", "headers", "keep_alive", "path", "query_string",
    )  # fmt: skip

    name = None
    """Read by Sanic's error handler, for handlers of single routes; there are none."""

    stream = None
    """Nothing is left to be read."""

    _answer: BaseHTTPResponse

    def __init__(
        self, protocol: FastPathProtocol, headers: Header, path: str, query: str, body: bytes
    ) -> None:
        self._protocol = protocol
        self.app = protocol.app
        self.body = body
        self.headers = headers
        self.path = path
        self.query_string = query
        self.keep_alive = True

    @property
    def args(self) -> RequestParameters:
        return RequestParameters(parse_qs(self.query_string))

    @property
    def ip(self) -> str:
        return self._protocol.conn_info.client_ip  # type: ignore[union-attr]

    @property
    def transport(self) -> Any:
        return self._protocol.transport

    @property
    def protocol(self) -> FastPathProtocol:
        return self._protocol

    async def respond(self, response: BaseHTTPResponse) -> FastRequest:
        """Set the answer, to be written by ``send``."""
        sign(response, self.app)
        self._answer = response
        return self

    async def send(self, *, end_stream: bool) -> None:
        """Write the whole answer. Raises RequestCancelled if the client is gone."""
        answer = self._answer
        assert isinstance(answer, Response)
        assert end_stream, "it is written in one piece"
        piece = answer.in_one_piece(keep_alive=self.keep_alive, head_only=False)
        assert piece is not None, "none of these answers has a header that has to be cleaned"
        await self._protocol.send(piece)  # type: ignore[no-untyped-call]


class FastPathProtocol(PunctualProtocol):
    """A connection that answers ordinary requests itself and passes all others to Sanic.

    Sanic's task waits meanwhile, as between requests. Bytes that arrive while a request is in
    progress go into Sanic's buffer, and Sanic is held back until the answer is written.
    """

    __slots__ = ("_in_progress", "_takes")

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self._in_progress: asyncio.Task[None] | None = None
        """The task of the request in progress."""
        app = self.app
        self._takes = not (app.request_middleware or app.response_middleware or self.access_log)

    def data_received(self, data: bytes) -> None:
        """Answer an ordinary request, or pass the bytes to Sanic."""
        if self._in_progress is not None and self.http is None:  # Sanic's task begins in a moment:
            self.loop.call_soon(self.data_received, data)  # it must not find this before it waits
        elif not (data.startswith(_BEGINNINGS) and self._is_free() and self._begin(data)):
            super().data_received(data)  # type: ignore[no-untyped-call]

    def _is_free(self) -> bool:
        """Whether no request is in progress; Sanic's task may not have begun yet."""
        http = self.http
        return (
            self._takes
            and self._in_progress is None
            and self._task is not None
            and (http is None or (http.stage is Stage.IDLE and http.request is None))
            and not self.recv_buffer
            and self._can_write.is_set()
            and not self.transport.is_closing()  # type: ignore[union-attr]
        )

    def _begin(self, data: bytes) -> bool:
        """Begin to answer if the bytes are one ordinary request; return whether they are."""
        end = data.find(b"\r\n\r\n") + 4
        if not 4 <= end < self.HTTP_CLASS.HEADER_MAX_SIZE + 4:
            return False
        try:
            head = RequestHead(data[:end])
            url = parse_url(head.url)
        except (HttpParserError, HttpParserUpgrade):
            return False
        if not (head.url.isascii() and data.startswith(b"POST %b HTTP/1.1\r\n" % head.url)):
            return False
        handler = self._handler_of(url.path)
        body = data[end:]
        if handler is None or not self._is_ordinary(head.headers, len(body)):
            return False
        query = (url.query or b"").decode()
        request = FastRequest(self, head.headers, url.path.decode(), query, body)
        self._time = monotonic()
        self._in_progress = self.loop.create_task(self._serve(request, handler))
        return True

    def _handler_of(self, path: bytes) -> Handler | None:
        """Return the handler of a path, of the unnamed topic or of a named one that exists."""
        topic = _TOPIC.fullmatch(path) if self.app.ctx.topics else None
        if topic is None:
            return _handler_of(path)
        return _handler_of(topic["rest"]) if topic["name"].decode() in self.app.ctx.topics else None

    def _is_ordinary(self, headers: Header, size: int) -> bool:
        """Whether the request is framed by Content-Length alone, and not too large."""
        length = headers.get("content-length", "0")
        return (
            _SANICS.isdisjoint(headers)
            and all(it.lower() == "keep-alive" for it in headers.getall("connection", ()))
            and len(length) <= MAX_LENGTH_CHARS
            and int(length) == size <= self.request_max_size
        )

    async def _serve(self, request: FastRequest, handler: Handler) -> None:
        """Answer a request; a CancelledError means that the connection is gone."""
        http = self._http
        assert http is not None  # Sanic's task has begun before
        http.stage = Stage.HANDLER  # not idle: for Sanic's timers, and when the server stops
        begin(request.headers.get("x-request-id"))
        try:
            response = await self._response_of(request, handler)
            if response is not None:
                await (await request.respond(response)).send(end_stream=True)
        except Exception:
            _log.exception("answer not written", path=request.path)
            request.keep_alive = False
        finally:
            self._in_progress = None
            http.stage = Stage.IDLE
        if not request.keep_alive:
            self.close()

    async def _response_of(self, request: FastRequest, handler: Handler) -> HTTPResponse | None:
        """Return the handler's answer, or the answer to its error."""
        try:
            return await handler(request)
        except Exception as error:
            return _answer_to_error(request, error)
        except asyncio.CancelledError:
            if self._http is None or self._http.exception is None:
                raise
            request.keep_alive = False
            return _answer_to_error(request, self._http.exception)

    def check_timeouts(self) -> None:
        """Answer 503 after RESPONSE_TIMEOUT, as Sanic does."""
        is_late = monotonic() - self._time > self.response_timeout
        if self._in_progress is None or self._http is None or not is_late:
            super().check_timeouts()  # type: ignore[no-untyped-call]
            return
        self._http.exception = ServiceUnavailable("Response Timeout")
        self._in_progress.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request in progress: its handler may have a job to give back."""
        super().connection_lost(exc)  # type: ignore[no-untyped-call]
        if self._in_progress is not None:
            self._in_progress.cancel()

    async def _wait(self) -> None:
        """Wait for more bytes, and for the end of the request in progress."""
        await super()._wait()
        if self._in_progress is not None:
            await asyncio.wait([self._in_progress])
            if self.transport is None or self.transport.is_closing():
                raise RequestCancelled


def _handler_of(path: bytes) -> Handler | None:
    if handler := HANDLERS.get(path):
        return cast(Handler, handler)
    report = _REPORT.fullmatch(path)
    return report and partial(REPORTS[report["act"]], job_id=report["id"].decode())


def _answer_to_error(request: FastRequest, error: Exception) -> Response:
    """Return the answer to an error: a problem document, or Sanic's 500 if making that fails."""
    answer = request.app.error_handler.response(request, error)  # type: ignore[no-untyped-call]
    if isinstance(answer, Response):
        return answer
    return Response(answer.body, answer.status, answer.headers, answer.content_type)
