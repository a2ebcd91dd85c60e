"""Conditional requests: ETag, Last-Modified and 304 (RFC 9110, section 13)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from hashlib import blake2b
from types import MappingProxyType

from sanic import HTTPResponse, Request
from sanic.response import raw

from sanic_dispatch.web.responses import NOSNIFF

_NOTHING: Mapping[str, str] = MappingProxyType({})


def conditional_response(
    request: Request,
    body: bytes,
    content_type: str,
    headers: Mapping[str, str] = _NOTHING,
    modified_s: float | None = None,
) -> HTTPResponse:
    """Return 200 with validators, or 304 if the client has these bytes already."""
    tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = {**NOSNIFF, "Cache-Control": "no-cache", **headers, "ETag": tag}
    if modified_s is not None:
        headers["Last-Modified"] = formatdate(modified_s, usegmt=True)
    if _is_known(request, tag, modified_s):
        return HTTPResponse(status=304, headers=headers)
    return raw(body, headers=headers, content_type=content_type)


def _is_known(request: Request, tag: str, modified_s: float | None) -> bool:
    """Whether the client has this version; a time counts only without an ETag (13.2.2)."""
    known = ",".join(request.headers.getall("if-none-match", []))
    if known:
        tags = {one.strip().removeprefix("W/") for one in known.split(",")}
        return tag in tags or known.strip() == "*"
    since_s = _seconds(request.headers.get("if-modified-since", ""))
    return since_s is not None and modified_s is not None and int(modified_s) <= since_s


def _seconds(date: str) -> float | None:
    """Return an HTTP date as Unix seconds; None if it is not one."""
    try:
        time = parsedate_to_datetime(date)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
