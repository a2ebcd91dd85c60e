"""The websocket by which another process of the cluster forwards requests to this one."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import NotFound

from sanic_dispatch.cluster.link import GREETING_BYTES, LINK_PATH, IncomingLink
from sanic_dispatch.web.context import context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import LINK
from sanic_dispatch.web.problems import no_websocket
from sanic_dispatch.web.websocket import handshake, take_over

links = Blueprint("links")


@links.get(f"/{LINK_PATH}")
@describe(LINK)
async def link(request: Request) -> HTTPResponse:
    """Take in what another process of the cluster forwards, once it has proved that it is one.

    It is not for clients. A service that shares its queues with no other process has no links: 404.
    """
    sessions = context_of(request).sessions
    if sessions is None:
        raise NotFound
    frames, answer = handshake(request, GREETING_BYTES)
    if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        return no_websocket(answer)
    take_over(request, answer, IncomingLink(frames, sessions))
    raise asyncio.CancelledError
