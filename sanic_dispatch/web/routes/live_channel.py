"""The live channel: the websocket ``/live``, and ``/state`` as JSON or as an event stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from http import HTTPStatus
from typing import NamedTuple, TypeVar, cast

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw

from sanic_dispatch import __version__
from sanic_dispatch.cluster.forwarding import PATIENCE_S
from sanic_dispatch.errors import (
    InvalidRequest,
    OwnerUnreachable,
    ShuttingDown,
    StandingBy,
    StorageFailed,
    UnknownJob,
)
from sanic_dispatch.history.questions import time_in
from sanic_dispatch.live import close_codes
from sanic_dispatch.live.asyncapi import asyncapi
from sanic_dispatch.live.connection import Connection, ViewKey
from sanic_dispatch.live.event_stream import EventStream
from sanic_dispatch.live.frames import Cursor, encode
from sanic_dispatch.live.playback import SPEEDS, past_frame
from sanic_dispatch.live.relay import FirstFrame
from sanic_dispatch.live.rewinder import PastView, Rewinder
from sanic_dispatch.live.subscription import Client, OutOfReach, TooManyClients
from sanic_dispatch.web.auth import OPERATOR
from sanic_dispatch.web.calls import ask
from sanic_dispatch.web.context import Context, context_of, hub_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import ASYNCAPI, FOLLOW, VIEW_STATE
from sanic_dispatch.web.problems import challenge, no_websocket, problem, word_of
from sanic_dispatch.web.responses import GET_AND_HEAD, NOSNIFF, PRIVATE
from sanic_dispatch.web.websocket import Follower, handshake, limit_kernel, take_over

ASK_AGAIN_S = 0.25
"""How long to wait before a view is asked for again that could not be reached."""

_PASSING = (
    TooManyClients, OutOfReach, StandingBy, ShuttingDown, OwnerUnreachable, StorageFailed,
)  # fmt: skip

R = TypeVar("R")

live = Blueprint("live")


class Refusal(Exception):
    """Why a view is refused: a close code, or the HTTP status in it."""

    def __init__(self, code: int, reason: str, word: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.status = close_codes.status_of(code)
        self.reason = reason
        self.word = word or word_of(self.status)

    def to_answer(self) -> HTTPResponse:
        """Return the refusal as an answer over HTTP."""
        headers = challenge(OPERATOR) if self.code == close_codes.UNAUTHORIZED else {}
        return problem(self.status, self.word, self.reason, headers)


@live.get("/live")
@describe(FOLLOW)
async def follow(request: Request) -> HTTPResponse:
    """Send the frames of a view until the client leaves; it must not send messages."""
    frames, answer = handshake(request)
    if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        return no_websocket(answer)
    hub, first_frame, refused = hub_of(request), None, None
    try:
        if not context_of(request).origins.may_follow(request):
            raise Refusal(close_codes.OTHER_SITE, "not from a page of another site")
        since, past = _parameter(request, "since"), _past(request)
        if past is None:
            first_frame = await _reach(request, since)
        else:
            first = await _look_back(request, past)
    except Refusal as refusal:
        refused = refusal
    follower = Follower(frames, hub, context_of(request).followers)
    take_over(request, answer, follower)
    try:
        if refused is not None:
            raise refused
        if past is None:
            follower.client = _follow(request, follower, since, first_frame)
        else:
            follower.playing = _play(request, follower, past, first)
    except Refusal as refusal:
        # A browser cannot see why a handshake was refused: accept it first, then close.
        follower.close(refusal.code, refusal.reason)
    raise asyncio.CancelledError


@live.get("/state")
@describe(VIEW_STATE)
async def look(request: Request) -> HTTPResponse | None:
    """Return a view once as JSON, or its frames as an event stream if the client accepts that."""
    try:
        if "text/event-stream" in request.headers.get("accept", ""):
            await _stream(request)
            return None
        past = _past(request)
        if past is not None:
            view = await _look_back(request, past)
            frame = past_frame(view, state=view.entries)
            return raw(frame.json, headers=PRIVATE, content_type="application/json")
        with _refusing():
            _cursor(_parameter(request, "since"))
            hub, key = hub_of(request), _view_key(request)
            frame = await _settled(context_of(request), lambda: hub.look(key))
    except Refusal as refusal:
        return refusal.to_answer()
    return raw(frame.json, headers=PRIVATE, content_type="application/json")


@describe(ASYNCAPI)
async def document(_: Request) -> HTTPResponse:
    """Return the live channel as an AsyncAPI document."""
    return raw(_document(), headers=NOSNIFF, content_type="application/json")


live.add_route(document, "/asyncapi.json", GET_AND_HEAD)


@cache
def _document() -> bytes:
    return encode(asyncapi(__version__))


async def _stream(request: Request) -> None:
    past = _past(request)
    transport = cast(asyncio.Transport, request.transport)
    limit_kernel(transport)
    connection = EventStream(transport.abort)
    if past is not None:
        playing = _play(request, connection, past, await _look_back(request, past))
        leave: Callable[[], object] = playing.cancel
    else:
        last_id = request.headers.get("last-event-id")
        since = last_id or _parameter(request, "since")
        client = _follow(request, connection, since, await _reach(request, since))
        leave = partial(hub_of(request).leave, client)
    try:
        headers = {**PRIVATE, "X-Accel-Buffering": "no"}
        response = await request.respond(content_type="text/event-stream", headers=headers)
        await connection.send_by(cast(HTTPResponse, response).send)
    finally:
        leave()


class Past(NamedTuple):
    """From which moment (Unix seconds) on to show the past, and at what speed."""

    moment_s: float
    speed: int


def _past(request: Request) -> Past | None:
    """Return what the query says of the past; None if it is about the present. Raises Refusal."""
    moment, speed = _parameter(request, "moment"), _parameter(request, "speed")
    with _refusing():
        if moment is None and speed is not None:
            raise InvalidRequest("speed goes with moment")
        if moment is None:
            return None
        if _view_key(request).view != "monitor":
            raise InvalidRequest("moment goes with view=monitor")
        if _parameter(request, "since") is not None:
            raise InvalidRequest("either since or moment, not both")
        if speed not in (None, *map(str, SPEEDS)):
            raise InvalidRequest(f"speed is one of {', '.join(map(str, SPEEDS))}")
        return Past(time_in("moment", moment), int(speed or SPEEDS[0]))


async def _look_back(request: Request, past: Past) -> PastView:
    """Return the monitor at a moment. Raises Refusal."""
    context = context_of(request)
    with _refusing():
        return await ask(context, Rewinder.look, past.moment_s)


def _play(
    request: Request, connection: Connection, past: Past, first: PastView
) -> asyncio.Task[None]:
    """Send the view from a moment on. Raises Refusal."""
    context = context_of(request)

    async def look(moment_s: float, player: str) -> PastView:
        return await ask(context, Rewinder.look, moment_s, player)

    with _refusing():
        return context.playbacks.begin(connection, look, first, past.speed)


async def _reach(request: Request, since: str | None) -> FirstFrame | None:
    with _refusing():
        hub, key, cursor = hub_of(request), _view_key(request), _cursor(since)
        return await _settled(context_of(request), lambda: hub.reach(key, cursor))


async def _settled(context: Context, ask: Callable[[], Awaitable[R]]) -> R:
    """Return what ``ask`` does; while the topic changes hands, wait as all other requests do.

    Raises as ``ask``, and OutOfReach.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while _may_be_reached(context):
                with suppress(OutOfReach, StandingBy, ShuttingDown):
                    return await ask()
                await asyncio.sleep(ASK_AGAIN_S)
            return await ask()
    raise OutOfReach


def _may_be_reached(context: Context) -> bool:
    """Whether another process owns the topic, or is to, and can be asked."""
    if context.forwarder is None or not context.dispatcher.is_elsewhere:
        return False
    owner = context.dispatcher.owner
    return bool(owner.url or not owner.name)


def _follow(
    request: Request, connection: Connection, since: str | None, first_frame: FirstFrame | None
) -> Client:
    with _refusing():
        return hub_of(request).follow(connection, _view_key(request), _cursor(since), first_frame)


def _cursor(since: str | None) -> Cursor | None:
    return None if since is None else Cursor.parse(since)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn the errors of the hub and of the query into a Refusal."""
    try:
        yield
    except ValueError as error:
        raise Refusal(close_codes.CLIENT_SPOKE, str(error)) from error
    except UnknownJob as error:
        raise Refusal(close_codes.UNKNOWN_JOB, str(error), error.code) from error
    except InvalidRequest as error:
        raise Refusal(close_codes.CLIENT_SPOKE, str(error), error.code) from error
    except _PASSING as error:
        raise Refusal(close_codes.TRY_LATER, str(error), error.code) from error


def _view_key(request: Request) -> ViewKey:
    """Return the view that the query names, if this client may see it."""
    view, order_id = _parameter(request, "view"), _parameter(request, "order")
    if view is not None and order_id is not None:
        raise ValueError("either view or order, not both")
    if order_id is not None:
        return ViewKey("order", order_id)
    if view not in (None, "board", "monitor"):
        raise ValueError("view is board or monitor")
    if view == "monitor" and not context_of(request).access.may_monitor(request):
        raise Refusal(close_codes.UNAUTHORIZED, "the monitor is for operators")
    return ViewKey(view or "board")


def _parameter(request: Request, name: str) -> str | None:
    """Return a parameter of the query, even if empty. Raises Refusal if it occurs twice."""
    values = request.get_args(keep_blank_values=True).getlist(name, [])
    if len(values) > 1:
        raise Refusal(close_codes.CLIENT_SPOKE, f"{name} is there twice")
    return values[0] if values else None
