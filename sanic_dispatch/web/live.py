"""The live channel: the websocket ``/live``, and ``/state`` as JSON or as an event stream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, cast

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw
from sanic.server.websockets.impl import OPEN, WebsocketImplProtocol
from websockets.frames import Frame as WebsocketFrame
from websockets.frames import Opcode

from sanic_dispatch import __version__
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.live.event_stream import EventStream
from sanic_dispatch.live.frame import Cursor, Frame, encode
from sanic_dispatch.live.hub import Client, TooManyClients, Topic, Wire
from sanic_dispatch.live.schema import asyncapi
from sanic_dispatch.web.access import OPERATOR
from sanic_dispatch.web.answers import NOSNIFF, PRIVATE
from sanic_dispatch.web.context import hub_of
from sanic_dispatch.web.errors import challenge, problem, word_of

live = Blueprint("live")

SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel may hold for one client: what is more stays with us, where it is counted."""

UNHEARD_MS = 30_000
"""How long the kernel waits for a sign of life; heartbeats go out often enough to miss one."""

SPOKE, NOT_UTF8 = 4400, 1007
"""Close codes: only we speak here; a text that is none."""

GOODBYE_S = 1.0
"""How long to wait for the answer to a close frame."""

Judge = Callable[[Request], bool]


class Refusal(Exception):
    """A request that gets no view: an HTTP status; the close code is the same plus 4000."""

    def __init__(self, status: int, reason: str, word: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.word = word or word_of(status)

    def to_answer(self) -> HTTPResponse:
        """The same as an answer over HTTP."""
        headers = challenge(OPERATOR) if self.status == 401 else {}
        return problem(self.status, self.word, self.reason, headers)


async def follow(request: Request, ws: WebsocketImplProtocol) -> None:
    """Frames of one view until the client leaves; it must not speak."""
    wire = Socket(ws)
    try:
        if not _asked(request, "may_follow", unless_wired=True):
            raise Refusal(403, "not from a page of another site")
        client = _follow(request, wire, _parameter(request, "since"))
    except Refusal as refusal:
        # A browser cannot see why a handshake was refused: accept it first, then close.
        await _close(ws, 4000 + refusal.status, refusal.reason)
        return
    try:
        await _close(ws, await wire.ended)
    finally:
        hub_of(request).leave(client)


live.add_websocket_route(follow, "/live")


@live.get("/state")
async def look(request: Request) -> HTTPResponse | None:
    """One look at a view as JSON; or its frames as an event stream, if that is asked for."""
    try:
        if "text/event-stream" in request.headers.get("accept", ""):
            await _stream(request)
            return None
        with _refusing():
            frame = hub_of(request).look(_topic(request))
    except Refusal as refusal:
        return refusal.to_answer()
    return raw(frame.json, headers=PRIVATE, content_type="application/json")


@live.get("/asyncapi.json")
async def document(_: Request) -> HTTPResponse:
    """The channel as an AsyncAPI document."""
    return raw(_document(), headers=NOSNIFF, content_type="application/json")


class Socket:
    """A websocket's transport, written to directly: whole frames, so that Sanic may write too.

    It also listens, in the place where Sanic collects a client's messages: the first frame of
    one is one too many.
    """

    __slots__ = ("_protocol", "_transport", "ended")

    def __init__(self, ws: WebsocketImplProtocol) -> None:
        assert ws.io_proto
        assert ws.io_proto.transport
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._protocol = ws.ws_proto
        self._transport = ws.io_proto.transport
        ws.assembler = cast(Any, self)
        with suppress(OSError):
            _limit(self._transport.get_extra_info("socket"))

    def buffered(self) -> int:
        """How many bytes the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def write(self, frame: Frame) -> None:
        """Send a frame, if nobody has said good-bye yet."""
        if self._protocol.state is OPEN:
            self._transport.write(frame.websocket)

    def close(self, code: int) -> None:
        """Have a close frame sent."""
        if not self.ended.done():
            self.ended.set_result(code)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    async def put(self, frame: WebsocketFrame) -> None:
        """A frame of the client's; control frames do not count."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self.close(SPOKE if _can_be_read(frame) else NOT_UTF8)


def _limit(sock: socket.socket) -> None:
    """Let the kernel neither hold much for a client nor believe for long that it is there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)


@cache
def _document() -> bytes:
    return encode(asyncapi(__version__))


async def _close(ws: WebsocketImplProtocol, code: int, reason: str = "") -> None:
    await ws.close(code, reason)
    await ws.wait_for_connection_lost(GOODBYE_S)


async def _stream(request: Request) -> None:
    since = request.headers.get("last-event-id") or _parameter(request, "since")
    wire = EventStream()
    client = _follow(request, wire, since)
    try:
        headers = {**PRIVATE, "X-Accel-Buffering": "no"}
        response = await request.respond(content_type="text/event-stream", headers=headers)
        await wire.send_by(cast(HTTPResponse, response).send)
    finally:
        hub_of(request).leave(client)


def _follow(request: Request, wire: Wire, since: str | None) -> Client:
    with _refusing():
        cursor = None if since is None else Cursor.parse(since)
        return hub_of(request).follow(wire, _topic(request), cursor)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise Refusal(400, str(error)) from error
    except UnknownJob as error:
        raise Refusal(404, str(error), "UnknownJob") from error
    except TooManyClients as error:
        raise Refusal(503, str(error), "TooManyClients") from error


def _topic(request: Request) -> Topic:
    """What the query asks for, if that exists and this client may see it."""
    view, order_id = _parameter(request, "view"), _parameter(request, "order")
    if view is not None and order_id is not None:
        raise ValueError("either view or order, not both")
    if order_id is not None:
        return Topic("order", order_id)
    if view not in (None, "board", "monitor"):
        raise ValueError("view is board or monitor")
    if view == "monitor" and not _asked(request, "may_monitor", unless_wired=False):
        raise Refusal(401, "the monitor is for operators")
    return Topic(view or "board")


def _asked(request: Request, judge: str, *, unless_wired: bool) -> bool:
    """What the judge that the app was wired with says of this request."""
    judged = cast("Judge | None", getattr(request.app.ctx, judge, None))
    return judged(request) if judged else unless_wired


def _parameter(request: Request, name: str) -> str | None:
    """A parameter of the query, also an empty one. Raises Refusal where it is there twice."""
    values = request.get_args(keep_blank_values=True).getlist(name, [])
    if len(values) > 1:
        raise Refusal(400, f"{name} is there twice")
    return values[0] if values else None


def _can_be_read(frame: WebsocketFrame) -> bool:
    """False for a text that is not UTF-8; one that goes on in other frames is not judged."""
    if frame.opcode is Opcode.BINARY or not frame.fin:
        return True
    try:
        bytes(frame.data).decode()
    except UnicodeDecodeError:
        return False
    return True
