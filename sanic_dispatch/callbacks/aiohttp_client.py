"""The client for https and for host names: aiohttp, kept from sending a PUT twice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from sanic_dispatch.callbacks import http_client
from sanic_dispatch.callbacks.http_client import Broken, Disconnected, NotSent, Timeouts
from sanic_dispatch.callbacks.resolver import GuardedResolver
from sanic_dispatch.errors import CallbackForbidden

MAX_HEADS = 1000
"""The most heads of answers to one request: interim ones (1xx), and what follows the answer."""

_PIECE_BYTES = 4096
"""How much is parsed at once. uvloop can read megabytes in one turn of the event loop."""

_FAILURES = (aiohttp.ClientError, CallbackForbidden, Broken, OSError)


class Attempt:
    """The progress of a PUT or a POST."""

    sent = False
    """Whether a part of the request may have been sent."""


class AiohttpClient:
    """An HttpClient on an aiohttp session."""

    def __init__(
        self, resolver: GuardedResolver, timeouts: Timeouts, body_limit_bytes: int
    ) -> None:
        """Create the pool; needs the running event loop.

        A GET reads at most ``body_limit_bytes`` of a body.
        """
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0,
                keepalive_timeout=timeouts.keep_alive_s,
                use_dns_cache=False,
                resolver=_Resolver(resolver),
            ),
            timeout=aiohttp.ClientTimeout(
                total=timeouts.total_s,
                connect=timeouts.connect_s,
                ceil_threshold=timeouts.total_s + 1,  # no rounding up to whole seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": http_client.USER_AGENT},
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[_notes_of_sending()],
            read_bufsize=max(1, body_limit_bytes // 2),  # it reads up to twice as much ahead
        )

    async def put(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """PUT the body exactly once and return the status."""
        return (await self._send("PUT", url, body, headers)).status

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """POST the body exactly once; return the status, and Retry-After or an empty text."""
        response = await self._send("POST", url, body, headers)
        return response.status, response.headers.get("Retry-After", "")

    async def _send(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Send the body exactly once; return the released response, without waiting for its body.

        Raises NotSent and Broken.
        """
        attempt = Attempt()
        try:
            response = await self._session.request(
                method,
                url,
                data=BytesIO(body),  # sent with its length, never chunked
                headers=headers,
                allow_redirects=False,
                middlewares=(_send_once,),
                trace_request_ctx=attempt,
            )
        except _FAILURES as error:
            if attempt.sent:
                raise Broken(_why_broken(error)) from error
            raise NotSent(_why_not_sent(error)) from error
        response.release()
        return response

    async def get(self, url: str, limit_bytes: int, timeout_s: float) -> tuple[int, bytes]:
        """GET the status and at most ``limit_bytes`` of the body; aiohttp retries once."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._session.get(url, allow_redirects=False)
                try:
                    return response.status, await _read(response.content, limit_bytes)
                finally:
                    response.release()
        except _FAILURES as error:
            raise Broken(_why_broken(error)) from error

    async def close(self) -> None:
        """Cancel all calls and close all connections."""
        await self._session.close()


class _BoundedConnection(ResponseHandler):
    """A connection that breaks when heads of answers do not end.

    aiohttp skips interim answers for as long as they come, and would do nothing else.
    """

    _heads = 0

    def set_response_params(self, **params: Any) -> None:
        """Expect the answer to the next request."""
        self._heads = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse a piece at a time, until there are too many heads."""
        for start in range(0, len(data) or 1, _PIECE_BYTES):
            if self._heads > MAX_HEADS:
                return
            super().data_received(data[start : start + _PIECE_BYTES])

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take in the head of an answer."""
        self._heads += 1
        if self._heads <= MAX_HEADS:
            super().feed_data(data, size)
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.abort()
            self.set_exception(HttpProcessingError(code=400, message="too many answers"))


class _Connector(aiohttp.TCPConnector):
    """A connector whose connections are of our kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        factory = partial(_BoundedConnection, loop=self._loop)
        self._factory = cast("partial[ResponseHandler]", factory)


class _Resolver(AbstractResolver):
    """Asks the guarded resolver for each new connection."""

    def __init__(self, resolver: GuardedResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses that may be called. Raises as the guarded resolver does."""
        return [_result(host, ip, port) for ip in await self._resolver.resolve(host, port)]

    async def close(self) -> None:
        """Leave the guarded resolver open: it belongs to the callback client."""


def _notes_of_sending() -> aiohttp.TraceConfig:
    """Return a trace that marks an Attempt as sent, just before the session writes it."""

    async def note(_: object, context: SimpleNamespace, __: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.sent = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Raise Disconnected instead of the errors for which aiohttp would repeat the request.

    A worker that took the job from a first PUT would answer a second one with a refusal.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Disconnected from error


async def _read(content: aiohttp.StreamReader, limit_bytes: int) -> bytes:
    try:
        return await content.readexactly(limit_bytes)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _why_not_sent(error: Exception) -> str:
    """Return why a request could not be sent, without any part of the URL."""
    match error:
        case CallbackForbidden():
            return http_client.not_allowed(error)
        case TimeoutError():
            return http_client.NOT_CONNECTED_IN_TIME
        case aiohttp.ClientConnectorDNSError():
            return "the name does not resolve"
        case aiohttp.ClientSSLError():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorError():
            return http_client.not_connected(error.os_error)
    return http_client.NOT_SENT


def _why_broken(error: Exception) -> str:
    match error:
        case TimeoutError():
            return http_client.NOT_ANSWERED_IN_TIME
        case aiohttp.ClientResponseError():
            return http_client.NOT_HTTP
    return http_client.DISCONNECTED


def _result(host: str, ip: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=ip,
        port=port,
        family=socket.AF_INET6 if ":" in ip else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
