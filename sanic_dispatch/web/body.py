"""Reading a request's body with a limit, so that the sender gets to see the answer."""

from __future__ import annotations

import asyncio
from typing import cast

from sanic import Request
from sanic.exceptions import PayloadTooLarge, SanicException
from sanic.http import Http

from sanic_dispatch.errors import BodyTooLarge, WrongMediaType

DRAIN_BYTES = 1 << 20
DRAIN_S = 1.0
"""How much of a body that is too large is read all the same: whoever still writes when the
connection is closed sees a reset instead of the answer."""


async def read_json_bytes(request: Request, limit: int) -> bytes:
    """The body of a request that says that it is JSON. Raises WrongMediaType or BodyTooLarge."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        await _drain(request, limit + DRAIN_BYTES)
        raise WrongMediaType
    return await read_bytes(request, limit)


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body, if it is not larger than the limit. Raises BodyTooLarge."""
    stream = _stream_of(request)
    stream.request_max_size = limit + DRAIN_BYTES
    parts, size = [], 0
    try:
        while part := await stream.read():
            size += len(part)
            parts.append(part)
            if size > limit:
                await _drain(request, DRAIN_BYTES)
                raise BodyTooLarge(limit)
    except PayloadTooLarge:
        raise BodyTooLarge(limit) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _drain(request: Request, most: int) -> None:
    """Read on for a while and throw it away."""
    stream = _stream_of(request)
    stream.request_max_size = most
    try:
        async with asyncio.timeout(DRAIN_S):
            while most > 0 and (part := await stream.read()):
                most -= len(part)
    except (TimeoutError, SanicException):
        return


def _stream_of(request: Request) -> Http:
    return cast(Http, request.stream)
