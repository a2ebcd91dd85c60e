"""Whether the service is alive."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import json

health = Blueprint("health")


@health.get("/health")
async def alive(_: Request) -> HTTPResponse:
    """The process answers."""
    return json({"status": "ok"})
