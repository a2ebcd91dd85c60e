"""Whether the service is alive."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.web.answers import json_answer

health = Blueprint("health")


@health.get("/health")
async def alive(_: Request) -> HTTPResponse:
    """The process answers."""
    return json_answer({"status": "ok"})
