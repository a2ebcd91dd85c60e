"""What browsers may do: security headers of pages, CORS, and origins of the live channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import structlog
from sanic import HTTPResponse, Request, Sanic
from sanic.response import BaseHTTPResponse, empty

from sanic_dispatch.config.origins import ANY, is_same_site
from sanic_dispatch.config.settings import SELF, Settings
from sanic_dispatch.web.client_address import Proxies
from sanic_dispatch.web.responses import NOSNIFF

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "media-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",  # the live channel too: 'self' is also its ws: and wss:
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
)

_ALLOWED = ("screen-wake-lock", "clipboard-write")
_FORBIDDEN = ("camera", "microphone", "geolocation", "payment", "usb", "serial", "midi")
PERMISSIONS = {
    "Permissions-Policy": ", ".join(
        [*(f"{name}=(self)" for name in _ALLOWED), *(f"{name}=()" for name in _FORBIDDEN)]
    )
}
"""A header of pages only: browsers do not read it with a script, a style or a picture in a page.

Notifications and vibration are not governed by it.
"""

_CORS_HEADERS = {
    "Access-Control-Expose-Headers": "Location, Retry-After, RateLimit, RateLimit-Policy, "
    "X-Request-ID",
}
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, "
    "Job-Priority, X-Operator, X-Request-ID",
    "Access-Control-Max-Age": "600",
}

_log = structlog.get_logger("sanic_dispatch.web")


def page_headers(settings: Settings) -> dict[str, str]:
    """Return the security headers of pages and of the files that they load, but PERMISSIONS."""
    ancestors = " ".join(map(_ancestor, settings.frame_ancestors)) or "'none'"
    return {
        "Content-Security-Policy": "; ".join((*_POLICY, f"frame-ancestors {ancestors}")),
        "Referrer-Policy": "no-referrer",
        **NOSNIFF,
    }


class Origins:
    """The origins whose pages may open the live channel."""

    def __init__(self, allowed: Sequence[str], proxies: Proxies) -> None:
        self._allowed = frozenset(allowed)
        self._proxies = proxies
        self._refused: set[str] = set()

    def may_follow(self, request: Request) -> bool:
        """Whether the request is from no browser, from our own page, or from an allowed origin."""
        origin = request.headers.get("origin")
        if origin is None or ANY in self._allowed or origin in self._allowed:
            return True
        host = self._proxies.host_of(request)
        return is_same_site(origin, host) or self._refuse(origin, host)

    def _refuse(self, origin: str, host: str) -> bool:
        """Log each refused origin once: the cause may be a proxy that hides the host."""
        if origin not in self._refused and len(self._refused) < 100:
            self._refused.add(origin)
            _log.warning("origin.refused", origin=origin, host=host, hint="see --allow-origin")
        return False


def install_cors(app: Sanic[Any, Any], origins: Sequence[str]) -> None:
    """Answer CORS requests of these origins; without any, do nothing."""
    if not origins:
        return
    allowed = frozenset(origins)

    def allow(request: Request, response: BaseHTTPResponse) -> None:
        origin = request.headers.get("origin")
        if ANY in allowed or origin in allowed:
            named = ANY if ANY in allowed else cast(str, origin)
            vary = ", ".join(filter(None, [response.headers.get("Vary"), "Origin"]))
            origin_headers = {"Access-Control-Allow-Origin": named, "Vary": vary}
            response.headers.update({**_CORS_HEADERS, **origin_headers})

    def preflight(request: Request) -> HTTPResponse | None:
        """Answer a preflight request; no route handles OPTIONS itself."""
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
            return None
        return empty(headers=_PREFLIGHT_HEADERS)

    app.register_middleware(preflight, "request")
    app.register_middleware(allow, "response")


def _ancestor(source: str) -> str:
    return "'self'" if source == SELF else source
