"""Whether the service is alive."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.web.answers import LOOKED_AT, json_answer

health = Blueprint("health")


async def alive(_: Request) -> HTTPResponse:
    """The process answers."""
    return json_answer({"status": "ok"})


health.add_route(alive, "/health", LOOKED_AT)
