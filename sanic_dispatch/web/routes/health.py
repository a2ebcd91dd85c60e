"""Health: alive, ready, and metrics."""

from __future__ import annotations

import asyncio
from typing import cast

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw

from sanic_dispatch.dispatch.readiness import Readiness
from sanic_dispatch.errors import DispatchError
from sanic_dispatch.web.calls import ask
from sanic_dispatch.web.context import Context, context_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import HEALTH, METRICS, READY
from sanic_dispatch.web.problems import problem
from sanic_dispatch.web.responses import GET_AND_HEAD, PRIVATE, json_answer

health = Blueprint("health")


@describe(HEALTH)
async def alive(request: Request) -> HTTPResponse:
    """Say that the process answers."""
    return _status(request, "ok")


@describe(READY)
async def ready(request: Request) -> HTTPResponse:
    """Say whether the service can do its work; 503 and why not."""
    context = context_of(request)
    try:
        reasons = await ask(context, Readiness.reasons)
    except DispatchError as error:
        reasons = [str(error)]
    if reasons:
        return problem(503, "NotReady", "; ".join(reasons))
    return _status(request, "ready")


@describe(METRICS)
async def metrics(request: Request) -> HTTPResponse:
    """Return the metrics for Prometheus."""
    service = cast(Context, request.app.ctx)
    contexts = (service, *service.topics.values())
    await asyncio.gather(*(each.readiness.look_again() for each in contexts))
    exposition = context_of(request).exposition
    text, media_type = exposition.render(request.headers.get("accept", ""))
    return raw(text, headers=PRIVATE, content_type=media_type)


def _status(request: Request, word: str) -> HTTPResponse:
    """Say how the process is, and who owns the topic if several processes share it."""
    ownership = context_of(request).sources.ownership
    return json_answer({"status": word} | ({"owner": ownership.owner} if ownership else {}))


health.add_route(alive, "/health", GET_AND_HEAD)
health.add_route(ready, "/ready", GET_AND_HEAD)
health.add_route(metrics, "/metrics", GET_AND_HEAD)
