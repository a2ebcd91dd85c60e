"""The client's side of the live channel: frames, the reducer that applies them, and reconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import ujson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from yarl import URL

from sanic_dispatch.client.answers import TEMPORARY, ServiceError, error_in, error_text
from sanic_dispatch.live import close_codes

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 15.0
"""Limits of the exponential backoff before reconnecting."""

WATCHDOG_S = 45.0
"""How long a channel may be silent; the service sends a heartbeat every 20 s."""

MAX_FRAME_BYTES = 64 * 2**20


class Lost(NamedTuple):
    """The live channel broke: why, and after how many seconds the client reconnects."""

    reason: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class ViewState:
    """A view at the cursor ``at``: ``map`` has its objects by key, and must not be changed.

    ``now`` is the service's clock in Unix seconds.
    """

    at: str
    now: float
    map: Mapping[str, Any]


class ChannelLost(Exception):
    """A connection of the live channel ended; ``code`` is its close code, 0 if unknown."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code

    def cursor_after(self, since: str | None) -> str | None:
        """Return the cursor to reconnect with. Raises ServiceError if that is of no use.

        Code 4400 may be about the cursor ``since``, so None is returned: reconnect without it.
        """
        if not close_codes.is_final(self.code):
            return since
        if self.code == close_codes.CLIENT_SPOKE and since:
            return None
        raise ServiceError(close_codes.status_of(self.code), detail=self.reason)


def reduce(state: ViewState | None, frame: Mapping[str, Any]) -> ViewState:
    """Return the view after a frame; after a heartbeat the map is the same object."""
    return ViewState(frame["at"], frame["now"], _merge(state.map if state else {}, frame))


def delay_s(attempt: int, share: float) -> float:
    """Return the backoff before attempt n (from 0) in seconds; ``share`` (0 to 1) is the jitter."""
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt, 10) * (1 + share / 2))


async def frames_of(
    url: URL, headers: Mapping[str, str], watchdog_s: float
) -> AsyncGenerator[dict[str, Any]]:
    """Connect and yield frames. Raises ChannelLost when the connection ends."""
    scheme = "wss" if url.scheme == "https" else "ws"
    connection = connect(
        str(url.with_scheme(scheme)),
        additional_headers=headers,
        compression=None,
        ping_interval=None,
        close_timeout=1,
        max_size=MAX_FRAME_BYTES,
        proxy=None,  # as aiohttp, which sends the requests: none of the environment
    )
    with raising_channel_lost():
        async with connection as socket:
            while True:
                yield ujson.loads(await _receive(socket, watchdog_s))


async def _receive(socket: ClientConnection, watchdog_s: float) -> str | bytes:
    try:
        async with asyncio.timeout(watchdog_s):
            return await socket.recv()
    except TimeoutError:
        raise ChannelLost(f"silent for {watchdog_s:g} s") from None


@contextmanager
def raising_channel_lost() -> Iterator[None]:
    """Turn every way in which a connection ends into ChannelLost."""
    try:
        yield
    except ConnectionClosed as closed:
        raise _lost_by(closed) from None
    except InvalidStatus as refused:
        status, body = refused.response.status_code, refused.response.body or b""
        code = 0 if status in TEMPORARY else close_codes.of_status(status)
        raise ChannelLost(error_in(status, body, f"answered {status}").detail, code) from None
    except (WebSocketException, OSError, ValueError) as error:
        raise ChannelLost(error_text(error)) from None


def _lost_by(closed: ConnectionClosed) -> ChannelLost:
    if closed.rcvd is None:
        return ChannelLost("the connection broke")
    return ChannelLost(closed.rcvd.reason or f"closed with {closed.rcvd.code}", closed.rcvd.code)


def _merge(entries: Mapping[str, Any], frame: Mapping[str, Any]) -> Mapping[str, Any]:
    if "state" in frame:
        state: Mapping[str, Any] = frame["state"]
        return state
    if "patch" not in frame:
        return entries
    patched = {**entries, **frame["patch"]}
    return {key: value for key, value in patched.items() if value is not None}
