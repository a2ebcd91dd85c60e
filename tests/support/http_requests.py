"""Requests to a running service, and connections of misbehaving clients."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from io import BytesIO
from typing import Any, NamedTuple

from multidict import CIMultiDictProxy

from tests.support.server import Service

CALLBACK = "http://127.0.0.1:1/4/callbacks/5480964890e4a865b1cee2b2fe93f45a/"


class Answer(NamedTuple):
    """An answer; ``body`` is the JSON in it, or None."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]
    raw: bytes


async def ask(
    service: Service, method: str, path: str, token: str | None = None, **options: Any
) -> Answer:
    """Send a request; check that an error is a problem document."""
    headers = dict(options.pop("headers", {}))
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if isinstance(data := options.get("data"), bytes):
        options["data"] = BytesIO(data)
    url = service.base_url + path
    async with service.http.request(
        method, url, headers=headers, allow_redirects=False, **options
    ) as response:
        raw = await response.read()
        if response.status >= 400:
            assert response.content_type == "application/problem+json"
        is_json = response.content_type.endswith(("/json", "+json")) and raw
        body = await response.json(content_type=None) if is_json else None
        return Answer(response.status, body, response.headers, raw)


async def register(service: Service, callback: str = CALLBACK, **headers: str) -> Answer:
    """Register a worker; ``_`` in header names stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask(
        service, "POST", "register-worker", headers={"CPEE-CALLBACK": callback, **named}
    )


def address_of(service: Service) -> tuple[str, int]:
    """Return host and port of the service."""
    host, port = service.base_url.removeprefix("http://").strip("/").split(":")
    return host, int(port)


async def send_raw(service: Service, request: bytes, within_s: float = 5.0) -> bytes:
    """Send these bytes, and return all that is received until the server closes."""
    reader, writer = await asyncio.open_connection(*address_of(service))
    writer.write(request)
    try:
        async with asyncio.timeout(within_s):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
