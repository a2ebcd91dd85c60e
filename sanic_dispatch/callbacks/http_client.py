"""The interface of both HTTP clients, and their errors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sanic_dispatch.errors import CallbackForbidden

USER_AGENT = "sanic-dispatch"

NOT_SENT = "the request could not be sent"
NOT_CONNECTED_IN_TIME = "no connection in time"
NOT_ANSWERED_IN_TIME = "no answer in time"
NOT_HTTP = "the answer is not HTTP"
DISCONNECTED = "the connection broke before an answer came"


def not_connected(error: OSError) -> str:
    """Return why there is no connection: the system's text for the error's number.

    That text has no part of the URL.
    """
    words = os.strerror(error.errno).lower() if error.errno else "the connection failed"
    return f"no connection: {words}"


def not_allowed(error: CallbackForbidden) -> str:
    """Return why a URL is not called."""
    return f"may not be called: {error}"


class NotSent(Exception):
    """Nothing of the request was sent; the reason has no part of the URL."""


class Broken(Exception):
    """A part of the request may have been sent, and no complete answer came."""


class Disconnected(Broken):
    """The connection broke before the head of an answer came."""

    def __init__(self) -> None:
        super().__init__(DISCONNECTED)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts of a client, in seconds."""

    total_s: float
    """The whole call."""
    connect_s: float
    """Resolving and connecting, as a part of that."""
    keep_alive_s: float
    """How long a connection may be idle before it is closed."""


class HttpClient(Protocol):
    """Sends requests to URLs that the guard has checked.

    Follows no redirects, uses no proxy, keeps no cookies. Each call raises NotSent or Broken;
    cancelling a call closes its connection.
    """

    async def put(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """PUT the body exactly once and return the status, without waiting for the answer's body.

        If the answer's body did not come along with its head, the connection is closed. Raises
        ValueError for headers that cannot be sent.
        """

    async def get(self, url: str, limit_bytes: int, timeout_s: float) -> tuple[int, bytes]:
        """GET the status and at most ``limit_bytes`` of the body, within ``timeout_s``.

        Retries once if the connection breaks before an answer: a GET changes nothing.
        """

    async def close(self) -> None:
        """Cancel all calls and close all connections."""
