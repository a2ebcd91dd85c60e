"""The way to the order page as a QR code."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from io import BytesIO
from typing import cast

import segno
from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.config.origins import is_same_site
from sanic_dispatch.config.public_url import is_page_url, order_page_of, origin_of
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web.client_address import Proxies
from sanic_dispatch.web.conditional import validated
from sanic_dispatch.web.context import settings_of
from sanic_dispatch.web.openapi.operation import NOT_MODIFIED, Answer, Parameter, describe
from sanic_dispatch.web.responses import LOOKED_AT

qr = Blueprint("qr")

QUIET = 2
"""Light squares around the code; the page has more of them."""

FRESH = {"Cache-Control": "max-age=300"}


@describe(
    tag="pages",
    parameters=(
        Parameter(
            "query", "url", "an address of this host; not needed with --public-url",
            {"type": "string", "format": "uri"}, "http://localhost:2567/public/order_drink.html",
        ),
    ),
    answers={
        200: Answer("A drawing.", {"image/svg+xml": ({"type": "string"}, None)}),
        304: NOT_MODIFIED,
    },
    errors=("InvalidRequest",),
)  # fmt: skip
async def code(request: Request) -> HTTPResponse:
    """The code of --public-url; without one, of the page's own address, which it tells."""
    public_url = settings_of(request).public_url
    url = order_page_of(public_url) if public_url else _told(request)
    drawing = await asyncio.to_thread(draw, url)
    return validated(request, drawing, "image/svg+xml", {**request.app.ctx.page_headers, **FRESH})


qr.add_route(code, "/qr.svg", LOOKED_AT)


@lru_cache(maxsize=64)
def draw(url: str) -> bytes:
    """The code as SVG; it has no size of its own."""
    drawing = BytesIO()
    made = segno.make(url, error="m", micro=False)
    made.save(drawing, kind="svg", xmldecl=False, omitsize=True, border=QUIET)
    return drawing.getvalue()


def _told(request: Request) -> str:
    """The address in the query: of this very host, so that nobody makes codes of others here."""
    url = cast(str, request.args.get("url", ""))
    host = cast(Proxies, request.app.ctx.proxies).host_of(request)
    if not (is_page_url(url) and is_same_site(origin_of(url), host)):
        raise InvalidRequest("url is an http or https address of this host; or set --public-url")
    return url
