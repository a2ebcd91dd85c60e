"""How the service is: alive, ready, and in numbers."""

from __future__ import annotations

from typing import cast

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw

from sanic_dispatch.dispatch.readiness import Readiness
from sanic_dispatch.observability.metrics import Exposition
from sanic_dispatch.web.openapi.operation import Answer, describe, in_json
from sanic_dispatch.web.problems import problem
from sanic_dispatch.web.responses import LOOKED_AT, PRIVATE, json_answer

health = Blueprint("health")


_STATUS = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "string"}},
    "additionalProperties": False,
}


@describe(
    tag="service",
    answers={200: Answer("It is alive.", in_json(_STATUS, {"status": "ok"}))},
)
async def alive(_: Request) -> HTTPResponse:
    """The process answers."""
    return json_answer({"status": "ok"})


@describe(
    tag="service",
    answers={200: Answer("It is ready.", in_json(_STATUS, {"status": "ready"}))},
    errors=("NotReady",),
)
async def ready(request: Request) -> HTTPResponse:
    """It can do its work; or 503 and why not."""
    reasons = await cast(Readiness, request.app.ctx.readiness).reasons()
    if reasons:
        return problem(503, "NotReady", "; ".join(reasons))
    return json_answer({"status": "ready"})


@describe(
    tag="service",
    answers={
        200: Answer(
            "Prometheus' text format, or OpenMetrics for whoever asks for that.",
            {
                "text/plain": ({"type": "string"}, "dispatch_paused 0.0\n"),
                "application/openmetrics-text": ({"type": "string"}, "dispatch_paused 0.0\n"),
            },
        )
    },
)
async def metrics(request: Request) -> HTTPResponse:
    """The numbers, as Prometheus reads them."""
    exposition = cast(Exposition, request.app.ctx.exposition)
    text, media_type = exposition.render(request.headers.get("accept", ""))
    return raw(text, headers=PRIVATE, content_type=media_type)


health.add_route(alive, "/health", LOOKED_AT)
health.add_route(ready, "/ready", LOOKED_AT)
health.add_route(metrics, "/metrics", LOOKED_AT)
