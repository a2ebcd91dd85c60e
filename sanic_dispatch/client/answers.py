"""What the service answers, read: what was taken in, what has become of a job, what went wrong."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import aiohttp
import ujson

T = TypeVar("T")


class ServiceError(Exception):
    """The service said no: ``status``, ``error`` (one word for programs) and ``detail``."""

    def __init__(self, status: int, error: str = "", detail: str = "") -> None:
        self.status = status
        self.error = error or _word(status)
        self.detail = detail
        super().__init__(f"{detail or self.error} ({status})")


class Unreachable(Exception):
    """No answer: what was asked for may or may not have happened."""


class Submitted(NamedTuple):
    """A job that was taken in; ``position`` is None where a worker has it already.

    ``job_id`` is a secret: whoever has it may read and cancel the job. It is empty where the
    service gives none, as the original does.
    """

    job_id: str
    position: int | None


class JobStatus(NamedTuple):
    """What has become of a job; ``raw`` is all that the service says of it."""

    id: str
    ticket: int
    state: str
    position: int | None
    submitted_at: str
    raw: Mapping[str, Any]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> JobStatus:
        """From the service's words. Raises KeyError where one is missing."""
        return cls(**{name: said[name] for name in cls._fields if name != "raw"}, raw=said)

    @property
    def is_final(self) -> bool:
        """Whether only an operator can still change it."""
        return self.state in ("done", "failed", "cancelled")


async def read(response: aiohttp.ClientResponse, find: Callable[[Any], T]) -> T:
    """What is looked for in an answer. Raises ServiceError where it is not there."""
    body = await response.read()
    try:
        return find(ujson.loads(body))
    except (ValueError, KeyError, TypeError) as error:
        detail = "the answer is not that of a dispatcher"
        raise ServiceError(response.status, "NotUnderstood", detail) from error


async def error_of(response: aiohttp.ClientResponse) -> ServiceError:
    """From a problem document, or whatever else came instead."""
    detail = response.reason or ""
    try:
        said = ujson.loads(await response.read())
        return ServiceError(response.status, said["Error"], said.get("detail", detail))
    except (ValueError, KeyError, TypeError):
        return ServiceError(response.status, detail=detail)


def words_of(error: Exception) -> str:
    """What went wrong, for people."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):  # its number is one of TLS' own
        return str(cause)
    number = cause.errno if isinstance(cause, OSError) else None
    return (os.strerror(number).lower() if number and number > 0 else str(cause)) or "no answer"


def _word(status: int) -> str:
    """The word for a status where the service gives none: ``NotFound``."""
    try:
        return "".join(part.capitalize() for part in HTTPStatus(status).phrase.split())
    except ValueError:
        return f"Status{status}"
