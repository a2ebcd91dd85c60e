"""The websocket ``/work``: workers without an address."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.errors import DispatchError, ShuttingDown, Unauthorized
from sanic_dispatch.live import close_codes
from sanic_dispatch.web import auth
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import WORK
from sanic_dispatch.web.problems import no_websocket
from sanic_dispatch.web.websocket import handshake, take_over
from sanic_dispatch.web.worker_socket import MAX_FRAME_BYTES, WorkerSocket

worker_channel = Blueprint("worker_channel")


@worker_channel.get("/work")
@describe(WORK)
async def converse(request: Request) -> HTTPResponse:
    """Let a worker register, get jobs and report on them, by messages: see /asyncapi.json."""
    frames, answer = handshake(request, MAX_FRAME_BYTES)
    if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        return no_websocket(answer)
    refused = _refusal_of(request)
    websocket = WorkerSocket(frames, context_of(request))
    take_over(request, answer, websocket)
    if refused is None:
        websocket.open(request.args.get("session"))
    else:
        websocket.close(*refused)
    raise asyncio.CancelledError


def _refusal_of(request: Request) -> tuple[int, str] | None:
    """Return the close code and the reason if this worker is not let in.

    A browser cannot see why a handshake was refused, so the connection is closed after it.
    """
    context = context_of(request)
    if not context.origins.may_follow(request):
        return close_codes.OTHER_SITE, "not from a page of another site"
    try:
        context.access.check(request, auth.WORKER)
        context.worker_connections.check_room()
    except Unauthorized as error:
        return close_codes.UNAUTHORIZED, str(error)
    except ShuttingDown:
        return close_codes.RESTART, ""
    except DispatchError as error:
        return close_codes.TRY_LATER, str(error)
    return None
