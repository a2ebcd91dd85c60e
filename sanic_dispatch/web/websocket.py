"""Websockets without Sanic's overhead, and that of a follower.

Sanic needs four tasks and twenty kilobytes for a websocket. So the connection is taken over from
Sanic after the handshake: the websockets library parses and makes the frames, and no task waits for
it. So are the sockets of workers (``worker_socket.py``) and the links of other processes
(``cluster/link.py``).
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any, cast

from sanic import Request
from websockets.datastructures import Headers
from websockets.frames import Frame as WebsocketFrame
from websockets.frames import Opcode
from websockets.http11 import Request as Handshake
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from sanic_dispatch.live import close_codes
from sanic_dispatch.live.connection import MAX_BUFFERED_BYTES, has_room
from sanic_dispatch.live.frames import Frame
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.subscription import Client
from sanic_dispatch.observability.request_id import REQUEST_ID

MESSAGE_BYTES = 1024
"""The largest message that is read; any message is answered by closing."""

SEND_BUFFER_BYTES = 64 * 1024
"""The kernel's send buffer for a client; what exceeds it stays with us, where it is counted."""

UNHEARD_MS = 30_000
"""TCP_USER_TIMEOUT: long enough to miss one heartbeat."""

_HANDSHAKE = ("connection", "upgrade", "sec-websocket-")
"""The prefixes of the headers of a handshake."""

GOODBYE_S = 1.0
"""How long to wait for the other side to close the connection."""


class Followers:
    """The connected websockets."""

    def __init__(self) -> None:
        self._connected: set[Follower] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    def add(self, follower: Follower) -> None:
        """Add a websocket."""
        self._connected.add(follower)
        self._all_gone.clear()

    def discard(self, follower: Follower) -> None:
        """Remove a websocket."""
        self._connected.discard(follower)
        if not self._connected:
            self._all_gone.set()

    async def gone(self) -> None:
        """Return once no websocket is connected."""
        await self._all_gone.wait()


class Websocket(asyncio.Protocol):
    """The server's end of a websocket: how it is written to, and closed."""

    __slots__ = ("_frames", "_is_ending", "_transport")

    def __init__(self, frames: ServerProtocol) -> None:
        self._frames = frames
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over, after the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        limit_kernel(transport)

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake, unless it has begun."""
        if self._frames.state is OPEN:
            self._frames.send_close(code, reason)
            self._send()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def pause_writing(self) -> None:
        """Stop reading: the answers to the client's pings would pile up."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Resume reading."""
        self._transport.resume_reading()

    def eof_received(self) -> None:
        """Close after what is buffered: the client is gone."""
        self._frames.receive_eof()
        self._send()

    def _send(self) -> None:
        """Write the library's output; an empty piece means end of stream."""
        for piece in self._frames.data_to_send():
            if piece:
                self._transport.write(piece)
            else:
                self._write_eof()
        if self._frames.close_expected() and not self._is_ending:
            self._is_ending = True
            asyncio.get_running_loop().call_later(GOODBYE_S, self._transport.abort)

    def _write_eof(self) -> None:
        """Half-close, and keep reading: else the client may get a reset, not the close frame."""
        if not self._transport.can_write_eof():
            self._transport.close()
            return
        with suppress(OSError, RuntimeError):
            self._transport.write_eof()


class Follower(Websocket):
    """A websocket that sends frames, and closes at the first message that it gets."""

    __slots__ = ("_fd", "_followers", "_hub", "_is_sealed", "client", "playing")

    transport = "websocket"

    def __init__(self, frames: ServerProtocol, hub: Hub, followers: Followers) -> None:
        super().__init__(frames)
        self.client: Client | None = None
        self.playing: asyncio.Task[None] | None = None
        """What sends it frames of the past, if it is not a client of the hub."""
        self._hub = hub
        self._followers = followers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over, after the handshake."""
        super().connection_made(transport)
        self._is_sealed = transport.get_extra_info("sslcontext") is not None
        self._fd = transport.get_extra_info("socket").fileno()
        self._followers.add(self)

    def buffered(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def offer(self, frame: Frame) -> bool:
        """Send a frame, unless the connection is closing.

        Directly to the socket if nothing is buffered: half the cost of the transport's write, and
        most of the cost of telling thousands.
        """
        data, transport = frame.websocket, self._transport
        buffered = transport.get_write_buffer_size()
        # Mostly nothing waits before it: then a call less for each of thousands.
        if (buffered or len(data) > MAX_BUFFERED_BYTES) and not has_room(buffered, len(data)):
            return False
        if self._frames.state is not OPEN:
            return True
        sent = 0
        if not (buffered or self._is_sealed or transport.is_closing()):
            try:  # noqa: SIM105 - for every frame
                sent = os.write(self._fd, data)
            except OSError:  # no room, or the client is gone, which the transport finds out
                pass
        if sent < len(data):
            transport.write(data[sent:])
        return True

    def data_received(self, data: bytes) -> None:
        """Answer control frames, and close at a message."""
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if isinstance(event, WebsocketFrame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                if _can_be_read(event):
                    self.close(close_codes.CLIENT_SPOKE, "a client sends nothing here")
                else:
                    self.close(close_codes.NOT_UTF8)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the websocket, and tell the hub."""
        self._followers.discard(self)
        if self.client is not None:
            self._hub.leave(self.client)
        if self.playing is not None:
            self.playing.cancel()


def handshake(request: Request, max_bytes: int = MESSAGE_BYTES) -> tuple[ServerProtocol, Response]:
    """Return the websockets library's answer to a handshake: 101, or why not.

    No message may be larger than ``max_bytes``. The library gets only the headers of the handshake:
    an odd cookie or a proxy's header must not make it fail.
    """
    frames = ServerProtocol(max_size=max_bytes, state=OPEN)
    about = [
        (name, value)
        for name, value in request.headers.items()
        if name.lower().startswith(_HANDSHAKE) and value.isascii() and value.isprintable()
    ]
    return frames, frames.accept(Handshake(request.path, Headers(about)))


def take_over(request: Request, answer: Response, websocket: asyncio.Protocol) -> None:
    """Send the answer, with X-Request-ID, and replace Sanic by another protocol.

    Sanic's task ends at its next await.
    """
    transport = cast(asyncio.Transport, request.transport)
    protocol = cast(Any, transport.get_protocol())
    answer.headers["X-Request-ID"] = REQUEST_ID.get()
    transport.write(answer.serialize())
    transport.set_protocol(websocket)
    websocket.connection_made(transport)
    protocol.transport = None
    protocol.connection_lost(None)
    if protocol.recv_buffer:
        websocket.data_received(bytes(protocol.recv_buffer))


def limit_kernel(transport: asyncio.BaseTransport) -> None:
    """Limit the kernel's send buffer, and how long it waits for acknowledgements."""
    sock = transport.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)


def _can_be_read(frame: WebsocketFrame) -> bool:
    """Whether a text frame is UTF-8; a fragmented message counts as such."""
    return frame.opcode is Opcode.BINARY or not frame.fin or is_utf8(bytes(frame.data))


def is_utf8(data: bytes) -> bool:
    """Whether these bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
