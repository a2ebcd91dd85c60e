"""What both HTTP clients have in common: what they are asked, and how they fail."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

USER_AGENT = "sanic-dispatch"

NOT_SENT = "the request could not be sent"
NOT_CONNECTED_IN_TIME = "no connection in time"
NOT_ANSWERED_IN_TIME = "no answer in time"
NOT_HTTP = "the answer is not HTTP"
DISCONNECTED = "the connection broke before an answer came"


def not_connected(error: OSError) -> str:
    """Say why there is no connection, in the system's words for the error's number.

    They hold no part of the URL.
    """
    words = os.strerror(error.errno).lower() if error.errno else "the connection failed"
    return f"no connection: {words}"


class NotSent(Exception):
    """Nothing of the request was sent; the text is why, without any part of the URL."""


class Broken(Exception):
    """A part of the request may have been sent, and no whole answer came; the text is why."""


class Disconnected(Broken):
    """The connection broke before the head of an answer came."""

    def __init__(self) -> None:
        super().__init__(DISCONNECTED)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a client waits, in seconds."""

    total_s: float
    """For a whole call."""
    connect_s: float
    """For resolving and connecting, within that."""
    keep_alive_s: float
    """How long a connection may be idle before it is closed."""


class HttpClient(Protocol):
    """Sends requests to URLs that the guard let pass.

    Follows no redirect, asks no proxy, keeps no cookie. Each call raises NotSent or Broken, and a
    call that is cancelled closes its connection.
    """

    async def put(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """PUT the body exactly once and return the status; no answer's body is waited for.

        Of the answer's body no more is read than came along with the head, and a connection with
        more to come is closed. Raises ValueError for headers that cannot be sent.
        """

    async def get(self, url: str, limit: int, patience_s: float) -> tuple[int, bytes]:
        """GET the status and at most ``limit`` bytes of the body, within ``patience_s``.

        Asks once more where the connection breaks before an answer came: a GET changes nothing.
        """

    async def close(self) -> None:
        """Cancel all calls and close all connections."""
