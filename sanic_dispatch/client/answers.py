"""Parse the service's answers: submissions, job states and errors."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import aiohttp
import ujson

TEMPORARY = (408, 425, 429)
"""Statuses 4xx after which the same request, handshake or message may succeed."""

T = TypeVar("T")


class ServiceError(Exception):
    """The service refused a request: ``status``, ``error`` (a word for programs) and ``detail``."""

    def __init__(self, status: int, error: str = "", detail: str = "") -> None:
        self.status = status
        self.error = error or _status_word(status)
        self.detail = detail
        super().__init__(f"{detail or self.error} ({status})")


class Unreachable(Exception):
    """There was no answer; the request may or may not have had an effect."""


class BadAddress(ValueError):
    """The address of the service, or the token, cannot be used; nothing was sent."""


class Submitted(NamedTuple):
    """A submitted job; ``position`` is None if a worker has it already.

    After a repeat with the same idempotency key it can be 0: the job waits no longer, and nobody
    got it. ``job_id`` is a secret that allows to read and cancel the job. It is empty if the
    service sends none; the original service never does.
    """

    job_id: str
    position: int | None


class JobStatus(NamedTuple):
    """The state of a job; ``raw`` is the service's whole answer."""

    id: str
    ticket: int
    state: str
    position: int | None
    submitted_at: str
    raw: Mapping[str, Any]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> JobStatus:
        """Return the status from an answer's JSON. Raises KeyError if a member is missing."""
        return cls(**{name: said[name] for name in cls._fields if name != "raw"}, raw=said)

    @property
    def is_final(self) -> bool:
        """Whether it is done, failed or cancelled, so that only an operator can still change it."""
        return self.state in ("done", "failed", "cancelled")


async def read_answer(response: aiohttp.ClientResponse, find: Callable[[Any], T]) -> T:
    """Return what ``find`` finds in an answer's JSON. Raises ServiceError if it fails."""
    body = await response.read()
    try:
        return find(ujson.loads(body))
    except (ValueError, KeyError, TypeError) as error:
        detail = "the answer is not that of a dispatcher"
        raise ServiceError(response.status, "NotUnderstood", detail) from error


async def error_of(response: aiohttp.ClientResponse) -> ServiceError:
    """Return the error in a problem document, or one made of the status line."""
    return error_in(response.status, await response.read(), response.reason or "")


def error_in(status: int, body: bytes | bytearray, reason: str) -> ServiceError:
    """Return the error in the body of an answer, or one made of its status and reason."""
    try:
        said = ujson.loads(body)
        return ServiceError(status, said["Error"], said.get("detail", reason))
    except (ValueError, KeyError, TypeError):
        return ServiceError(status, detail=reason)


def error_text(error: Exception) -> str:
    """Return the cause of a connection error, for people."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):  # errno is a TLS code here, not the system's
        if cause.reason == "WRONG_VERSION_NUMBER":  # it read text, such as an answer in HTTP
            return "the server there speaks no TLS: try http://"
        return str(cause)
    if isinstance(cause, socket.gaierror):  # its numbers are not the system's
        return f"{cause.strerror}".lower()
    number = cause.errno if isinstance(cause, OSError) else None
    return (os.strerror(number).lower() if number else str(cause)) or "no answer"


def _status_word(status: int) -> str:
    """Return the default ``error`` of a status, such as ``NotFound``."""
    try:
        return "".join(part.capitalize() for part in HTTPStatus(status).phrase.split())
    except ValueError:
        return f"Status{status}"
