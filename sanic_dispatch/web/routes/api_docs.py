"""The description of the HTTP interface: OpenAPI, and a page that loads nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import redirect

from sanic_dispatch.live.frames import encode
from sanic_dispatch.web.browser_policy import PERMISSIONS
from sanic_dispatch.web.compression import gzipped
from sanic_dispatch.web.conditional import conditional_response
from sanic_dispatch.web.context import context_of, settings_of
from sanic_dispatch.web.openapi.document import openapi_document
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import DOCS, OPENAPI
from sanic_dispatch.web.openapi.page import docs_page
from sanic_dispatch.web.responses import GET_AND_HEAD

docs = Blueprint("docs")

_JSON = "application/json"
_HTML = "text/html; charset=utf-8"


@describe(OPENAPI)
async def openapi(request: Request) -> HTTPResponse:
    """Return this interface as an OpenAPI document."""
    text, headers = await gzipped(request, encode(_document(request)), _JSON, {})
    return conditional_response(request, text, _JSON, headers)


@describe(DOCS)
async def human(request: Request) -> HTTPResponse:
    """Return this interface as a page; its links are relative to an address without a slash."""
    if request.path.endswith("/"):
        return redirect("../docs")
    text = docs_page(_document(request)).encode()
    headers = {**context_of(request).page_headers, **PERMISSIONS}
    text, headers = await gzipped(request, text, _HTML, headers)
    return conditional_response(request, text, _HTML, headers)


def _document(request: Request) -> dict[str, Any]:
    return openapi_document(request.app, of_named_topic=bool(settings_of(request).topic))


docs.add_route(openapi, "/openapi.json", GET_AND_HEAD)
docs.add_route(human, "/docs", GET_AND_HEAD)
