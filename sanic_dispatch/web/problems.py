"""Problem documents (RFC 9457): the answer to every error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from math import ceil
from types import MappingProxyType
from typing import Any, cast

import structlog
from sanic import HTTPResponse, Sanic
from sanic.exceptions import SanicException
from websockets.http11 import Response as Handshake

from sanic_dispatch.errors import (
    PROBLEMS,
    DispatchError,
    InvalidMatch,
    NotTheHolder,
    TooManyOrders,
    Unauthorized,
    UnknownTopic,
    WorkerHasJob,
    WrongState,
)
from sanic_dispatch.observability.log import masked
from sanic_dispatch.web.context import Call, context_of
from sanic_dispatch.web.responses import json_answer

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
"""The methods that routes use."""

MISTAKE = "the service made a mistake; it has been logged"

_NOTHING: Mapping[str, str] = MappingProxyType({})

_log = structlog.get_logger("sanic_dispatch.web")


def problem(
    status: int, error: str, detail: str, headers: Mapping[str, str] = _NOTHING, **extra: Any
) -> HTTPResponse:
    """Return a problem document; ``error`` is its code in ``PROBLEMS``."""
    document = _document(status, error, detail, extra)
    if retry_after_s := PROBLEMS[error].headers.get("Retry-After"):
        headers = {"Retry-After": retry_after_s, **headers}
    return json_answer(document, status, headers, "application/problem+json")


def problem_of(error: DispatchError, **extra: Any) -> HTTPResponse:
    """Return the answer to one of our own errors."""
    headers = challenge(error.role) if isinstance(error, Unauthorized) else _NOTHING
    members = _members_of(error) | extra
    return problem(PROBLEMS[error.code].status, error.code, str(error), headers, **members)


def document_of(error: Exception, **extra: Any) -> dict[str, Any]:
    """Return the problem document of an error alone, for a websocket."""
    if not isinstance(error, DispatchError):
        return _document(500, "InternalServerError", MISTAKE, {})
    members = _members_of(error) | extra
    return _document(PROBLEMS[error.code].status, error.code, str(error), members)


def _document(status: int, error: str, detail: str, members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "Error": error,
        **members,
    }


def _members_of(error: DispatchError) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if isinstance(error, (WrongState, NotTheHolder)) and error.state:
        members["state"] = error.state
    if isinstance(error, WorkerHasJob):
        members["job"] = error.job
    if isinstance(error, InvalidMatch):
        members |= {"where": error.where, "why": error.why}
    return members


def word_of(status: int) -> str:
    """Return the code of an error of Sanic's, made from its status: ``NotFound``."""
    if status == 413:  # Python's phrase for it is not the same in all versions
        return "TooLarge"
    return "".join(part.capitalize() for part in HTTPStatus(status).phrase.split())


def challenge(role: str) -> dict[str, str]:
    """Return the WWW-Authenticate header of a 401."""
    return {"WWW-Authenticate": f'Bearer realm="{role}"'}


def no_websocket(answer: Handshake) -> HTTPResponse:
    """Return why the handshake failed; the connection is still plain HTTP."""
    status = answer.status_code
    headers = {"Upgrade": "websocket"} if status == HTTPStatus.UPGRADE_REQUIRED else {}
    detail = bytes(answer.body or b"").decode().strip()
    return problem(status, word_of(status), detail, headers)


def install(app: Sanic[Any, Any], on_error: Callable[[Call, Exception], None]) -> None:
    """Answer every error with a problem document, also the errors that Sanic raises.

    ``on_error`` is called with each error first.
    """
    for kind, answer in _ANSWERS.items():

        def answered(request: Call, error: Any, answer: Any = answer) -> HTTPResponse:
            unknown = _unknown_topic(request)
            if unknown is not None:
                return problem_of(unknown)
            on_error(request, error)
            return cast(HTTPResponse, answer(request, error))

        app.error_handler.add(kind, answered)


def _unknown_topic(request: Call) -> UnknownTopic | None:
    """Return the error that a path has no route because there is no such topic."""
    try:
        context_of(request)
    except UnknownTopic as error:
        return error
    return None


def _on_sanic_error(request: Call, error: SanicException) -> HTTPResponse:
    status = error.status_code or 500
    detail = HTTPStatus(status).description or HTTPStatus(status).phrase
    answer = problem(status, word_of(status), detail)
    answer.headers.update(getattr(error, "headers", {}))
    if status == 405:
        answer.headers["Allow"] = ", ".join(_allowed(request))
    return answer


def _allowed(request: Call) -> Iterator[str]:
    """Yield the methods of a path; Sanic does not know them if it has several routes."""
    for method in METHODS:
        with suppress(SanicException):
            request.app.router.get(request.path, method, None)
            yield method


def _on_too_many(request: Call, error: TooManyOrders) -> HTTPResponse:
    quota = context_of(request).quota
    assert quota is not None, "without one there is no such error"
    headers = {"Retry-After": str(ceil(error.wait_s)), **quota.headers(0, error.wait_s)}
    return problem(429, error.code, str(error), headers)


def _on_unexpected(request: Call, error: Exception) -> HTTPResponse:
    """Log a fault of the service; the client only learns that there was one."""
    _log.exception("unexpected error", path=masked(request.path), exc_info=error)
    return problem(500, "InternalServerError", MISTAKE)


_ANSWERS: dict[type[Exception], Callable[[Call, Any], HTTPResponse]] = {
    DispatchError: lambda _, error: problem_of(error),
    TooManyOrders: _on_too_many,
    SanicException: _on_sanic_error,
    Exception: _on_unexpected,
}
