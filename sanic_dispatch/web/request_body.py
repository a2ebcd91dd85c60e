"""Reading a request's body, with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import inf
from typing import Any
from urllib.parse import parse_qsl

from sanic.exceptions import PayloadTooLarge, SanicException
from sanic.http import Http

from sanic_dispatch import strict_json
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import BodyTooLarge, InvalidJson, InvalidRequest, WrongMediaType
from sanic_dispatch.web.context import Call, settings_of

DRAIN_BYTES = 1 << 20
DRAIN_S = 1.0
"""How much of a body that is too large is read and dropped: a client that still writes when the
connection is closed would see a reset instead of the answer."""


FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 100
MAX_FORM_BYTES = 2**16
"""The most bytes of a form at a registration: to read more would take longer than its answer."""

MAX_TEXT_CHARS = 200
"""The most characters of a text for people, such as a reason."""


async def read_json(request: Call, settings: Settings) -> bytes:
    """Return the body as it came, after checking that it is strict JSON.

    Raises WrongMediaType, BodyTooLarge or InvalidJson, checked in this order.
    """
    if not _says_json(request):
        await _drain(request.stream, settings.max_body_bytes + DRAIN_BYTES)
        raise WrongMediaType
    data = await read_bytes(request, settings.max_body_bytes)
    strict_json.parse(data, settings.max_depth)
    return data


async def read_value(request: Call, default: Any) -> Any:
    """Return the value of the JSON body, or the default without a body: no media type is needed.

    Raises WrongMediaType, BodyTooLarge or InvalidJson.
    """
    data = await _read_if_json(request)
    return strict_json.parse(data, settings_of(request).max_depth) if data else default


async def read_object(request: Call) -> dict[str, Any]:
    """Return the body's JSON object, empty without a body. Raises InvalidRequest for other JSON."""
    values = await read_value(request, {})
    if not isinstance(values, dict):
        raise InvalidRequest("send a JSON object")
    return values


async def read_result(request: Call) -> bytes | None:
    """Return the result in a report: the JSON body, or the field ``result`` of a form.

    None if there is none. Raises WrongMediaType, BodyTooLarge, InvalidJson, InvalidRequest.
    """
    if _says_form(request):
        result = (await _read_form(request)).get("result", "").encode()
    else:
        result = await _read_if_json(request)
    if not result:
        return None
    strict_json.parse(result, settings_of(request).max_depth)
    return result


async def read_form_text(request: Call) -> str:
    """Return the body of a request with a form as text; empty for any other body.

    Raises BodyTooLarge.
    """
    data = await read_bytes(request, settings_of(request).max_body_bytes)
    if not data or not _says_form(request):
        return ""
    if len(data) > MAX_FORM_BYTES:
        raise BodyTooLarge(MAX_FORM_BYTES)
    return data.decode(errors="replace")


async def read_fields(request: Call, *values: str) -> dict[str, Any]:
    """Return a JSON object, or the fields of a form, in which ``values`` are JSON."""
    if not _says_form(request):
        return await read_object(request)
    fields: dict[str, Any] = dict(await _read_form(request))
    for name in fields.keys() & {*values}:
        with suppress(InvalidJson):
            fields[name] = strict_json.parse(fields[name].encode())
    return fields


async def _read_if_json(request: Call) -> bytes:
    """Return the body, which is not parsed yet. Raises WrongMediaType, but not for no body."""
    data = await read_bytes(request, settings_of(request).max_body_bytes)
    if data and not _says_json(request):
        raise WrongMediaType
    return data


async def _read_form(request: Call) -> dict[str, str]:
    """Return the fields of a form, which is how engines send arguments; a later one replaces."""
    data = await read_bytes(request, settings_of(request).max_body_bytes)
    try:
        fields = parse_qsl(
            data.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise InvalidRequest("the form cannot be read") from error
    return dict(fields)


def check_members(values: Iterable[str], known: Sequence[str]) -> None:
    """Raise InvalidRequest, which names it, if an object has a member that is not known."""
    for name in values:
        if name not in known:
            others = f", only {', '.join(known)}" if known else ""
            raise InvalidRequest(f"there is no member {name!r:.100}{others}")


def text_in(values: dict[str, Any], name: str) -> str:
    """Return a short text for people, empty if there is none. Raises InvalidRequest."""
    text = values.get(name, "")
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS or not text.isprintable():
        raise InvalidRequest(f"{name} is a line of at most {MAX_TEXT_CHARS} characters")
    return text


def flag_in(said: dict[str, Any], name: str) -> bool:
    """Return a member that is true or false, or missing. Raises InvalidRequest."""
    flag = said.get(name, False)
    if not isinstance(flag, bool):
        raise InvalidRequest(f"{name} is true or false")
    return flag


async def read_bytes(request: Call, limit_bytes: int) -> bytes:
    """Return the body. Raises BodyTooLarge if it exceeds the limit."""
    stream: Http | None = request.stream
    if stream is not None:
        return await _read_stream(stream, limit_bytes)
    if len(request.body) > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return request.body


async def _read_stream(stream: Http, limit_bytes: int) -> bytes:
    stream.request_max_size = limit_bytes + DRAIN_BYTES
    parts, size_bytes = [], 0
    try:
        while part := await stream.read():
            size_bytes += len(part)
            parts.append(part)
            if size_bytes > limit_bytes:
                await _drain(stream, DRAIN_BYTES)
                raise BodyTooLarge(limit_bytes)
    except PayloadTooLarge:
        raise BodyTooLarge(limit_bytes) from None
    return b"".join(parts)


async def _drain(stream: Http | None, most_bytes: int) -> None:
    """Read and drop up to ``most_bytes``, for DRAIN_S at most."""
    if stream is None:
        return
    stream.request_max_size = inf  # Sanic would count what was read before, too
    try:
        async with asyncio.timeout(DRAIN_S):
            while most_bytes > 0 and (part := await stream.read()):
                most_bytes -= len(part)
    except (TimeoutError, SanicException):
        return


def _says_form(request: Call) -> bool:
    return _media_type(request) == FORM


def _media_type(request: Call) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _says_json(request: Call) -> bool:
    media_type = _media_type(request)
    return media_type == "application/json" or media_type.endswith("+json")
