"""Errors as answers: one problem document (RFC 9457) for everything that goes wrong."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
import ujson
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import SanicException
from sanic.response import raw

from sanic_dispatch.errors import (
    BodyTooLarge,
    CallbackForbidden,
    DispatchError,
    InvalidCallback,
    InvalidJson,
    NotTheHolder,
    QueueFull,
    ShuttingDown,
    StorageError,
    UnknownJob,
    UnknownWorker,
    WrongMediaType,
    WrongState,
)

STATUS: dict[type[DispatchError], tuple[int, str]] = {
    WrongMediaType: (415, "UnsupportedMediaType"),
    BodyTooLarge: (413, "TooLarge"),
    InvalidJson: (400, "InvalidJson"),
    InvalidCallback: (400, "InvalidCallback"),
    CallbackForbidden: (403, "NotAllowed"),
    UnknownJob: (404, "UnknownJob"),
    UnknownWorker: (404, "UnknownWorker"),
    WrongState: (409, "WrongState"),
    NotTheHolder: (409, "NotTheHolder"),
    QueueFull: (503, "QueueFull"),
    ShuttingDown: (503, "ShuttingDown"),
    StorageError: (503, "StorageFailed"),
}
"""The status of each error of ours, and the word for it in ``Error``."""

RETRY_AFTER_S = 1

_log = structlog.get_logger("sanic_dispatch.web")


def problem(status: int, error: str, detail: str, **extra: Any) -> HTTPResponse:
    """A problem document; ``error`` is one word that programs can rely on."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "Error": error,
        **extra,
    }
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else {}
    body = ujson.dumps(document, ensure_ascii=False, escape_forward_slashes=False)
    return raw(body, status=status, headers=headers, content_type="application/problem+json")


def problem_of(error: DispatchError) -> HTTPResponse:
    """The answer to one of our own errors."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS)
    status, word = STATUS[kind]
    extra = {"state": error.state} if isinstance(error, (WrongState, NotTheHolder)) else {}
    return problem(status, getattr(error, "code", word), str(error), **extra)


def install(app: Sanic[Any, Any]) -> None:
    """Answer every error with a problem document, also those that Sanic finds itself."""
    app.error_handler.add(DispatchError, lambda _, error: problem_of(error))
    app.error_handler.add(SanicException, _on_sanic_error)
    app.error_handler.add(Exception, _on_unexpected)


def _on_sanic_error(_: Request, error: SanicException) -> HTTPResponse:
    status = error.status_code or 500
    word = "".join(part.capitalize() for part in HTTPStatus(status).phrase.split())
    answer = problem(status, word, HTTPStatus(status).description or HTTPStatus(status).phrase)
    answer.headers.update(getattr(error, "headers", {}))
    return answer


def _on_unexpected(request: Request, error: Exception) -> HTTPResponse:
    """A fault of ours: told to the log, not to the sender."""
    _log.exception("unexpected error", path=request.path, exc_info=error)
    return problem(500, "InternalServerError", "the service made a mistake; it has been logged")
