"""The HTTP interface, described: for programs, and as a page that needs nothing from elsewhere."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.live.frames import encode
from sanic_dispatch.web.compression import packed
from sanic_dispatch.web.conditional import validated
from sanic_dispatch.web.openapi.document import document
from sanic_dispatch.web.openapi.operation import NOT_MODIFIED, Answer, describe, in_json
from sanic_dispatch.web.openapi.page import page
from sanic_dispatch.web.responses import LOOKED_AT

docs = Blueprint("docs")

_JSON = "application/json"
_HTML = "text/html; charset=utf-8"


@describe(
    tag="service",
    answers={
        200: Answer("OpenAPI 3.1.", in_json({"type": "object"}, None)),
        304: NOT_MODIFIED,
    },
)
async def openapi(request: Request) -> HTTPResponse:
    """This interface as an OpenAPI document."""
    text, headers = await packed(request, encode(document(request.app)), _JSON, {})
    return validated(request, text, _JSON, headers)


@describe(
    tag="service",
    answers={
        200: Answer("A page.", {"text/html": ({"type": "string"}, None)}),
        304: NOT_MODIFIED,
    },
)
async def human(request: Request) -> HTTPResponse:
    """This interface for people."""
    text = page(document(request.app)).encode()
    text, headers = await packed(request, text, _HTML, request.app.ctx.page_headers)
    return validated(request, text, _HTML, headers)


docs.add_route(openapi, "/openapi.json", LOOKED_AT)
docs.add_route(human, "/docs", LOOKED_AT)
