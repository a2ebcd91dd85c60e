"""The QR code of the order page."""

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
from sanic_dispatch.web.conditional import conditional_response
from sanic_dispatch.web.context import context_of, settings_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import QR_CODE
from sanic_dispatch.web.responses import GET_AND_HEAD

qr = Blueprint("qr")

QUIET_ZONE_MODULES = 2
"""The page adds more."""

CACHE_5_MINUTES = {"Cache-Control": "max-age=300"}


@describe(QR_CODE)
async def code(request: Request) -> HTTPResponse:
    """Return the QR code of --public-url, or of the page's own address, which it sends."""
    public_url = settings_of(request).public_url
    url = order_page_of(public_url) if public_url else _page_url_of(request)
    drawing = await asyncio.to_thread(draw, url)
    return conditional_response(
        request, drawing, "image/svg+xml", {**context_of(request).page_headers, **CACHE_5_MINUTES}
    )


qr.add_route(code, "/qr.svg", GET_AND_HEAD)


@lru_cache(maxsize=64)
def draw(url: str) -> bytes:
    """Return the QR code as SVG, without a fixed size."""
    drawing = BytesIO()
    made = segno.make(url, error="m", micro=False)
    made.save(drawing, kind="svg", xmldecl=False, omitsize=True, border=QUIET_ZONE_MODULES)
    return drawing.getvalue()


def _page_url_of(request: Request) -> str:
    """Return the address in the query, if it is of this host: no codes of other sites here."""
    url = cast(str, request.args.get("url", ""))
    host = context_of(request).proxies.host_of(request)
    if not (is_page_url(url) and is_same_site(origin_of(url), host)):
        raise InvalidRequest("url is an http or https address of this host; or set --public-url")
    return url
