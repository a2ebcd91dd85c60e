"""A follower's websocket: a connection with nothing but this protocol on it.

Sanic keeps four tasks and twenty kilobytes for each of its websockets. A follower only listens, so
after the handshake its connection is taken over from Sanic: the websockets library reads and
writes its frames, and no task waits for it.
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

MESSAGE_BYTES = 1024
"""What a client may say: nothing, but that is judged by its message."""

SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel may hold for one client: what is more stays with us, where it is counted."""

UNHEARD_MS = 30_000
"""How long the kernel waits for a sign of life; heartbeats go out often enough to miss one."""

_HANDSHAKE = ("connection", "upgrade", "sec-websocket-")
"""What the headers of a handshake begin with."""

GOODBYE_S = 1.0
"""How long to wait for the other side to close the connection."""


class Followers:
    """All websockets that are connected."""

    def __init__(self) -> None:
        self._connected: set[Follower] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()

    def add(self, follower: Follower) -> None:
        """It is connected from now on."""
        self._connected.add(follower)
        self._nobody.clear()

    def discard(self, follower: Follower) -> None:
        """It is connected no longer."""
        self._connected.discard(follower)
        if not self._connected:
            self._nobody.set()

    async def gone(self) -> None:
        """Return when nobody is connected any more: those who were told to go have little time."""
        await self._nobody.wait()


class Follower(asyncio.Protocol):
    """Frames go out as they are; the first message that comes in is one too many."""

    __slots__ = (
        "_fd", "_followers", "_frames", "_hub", "_is_ending", "_is_sealed", "_transport", "client",
    )  # fmt: skip

    transport = "websocket"

    def __init__(self, frames: ServerProtocol, hub: Hub, followers: Followers) -> None:
        self.client: Client | None = None
        self._frames = frames
        self._hub = hub
        self._followers = followers
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Its own transport, on which the handshake is done."""
        self._transport = cast(asyncio.Transport, transport)
        self._is_sealed = transport.get_extra_info("sslcontext") is not None
        self._fd = transport.get_extra_info("socket").fileno()
        self._followers.add(self)
        limit_kernel(transport)

    def buffered(self) -> int:
        """How many bytes the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def offer(self, frame: Frame) -> bool:
        """Send a frame if there is room for it; after a good-bye there is nothing to send.

        Straight into the kernel where nothing waits before it: that is half of what a transport
        costs, and most of what it costs to tell thousands.
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
            except OSError:  # no room; or nobody is there, which the transport finds out
                pass
        if sent < len(data):
            transport.write(data[sent:])
        return True

    def close(self, code: int, reason: str = "") -> None:
        """Say good-bye, unless that was said."""
        if self._frames.state is OPEN:
            self._frames.send_close(code, reason)
            self._send()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Control frames are answered; a message is not wanted."""
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if isinstance(event, WebsocketFrame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                is_text = _can_be_read(event)
                self.close(close_codes.CLIENT_SPOKE if is_text else close_codes.NOT_UTF8)
        self._send()

    def pause_writing(self) -> None:
        """Who does not read is not heard either: the answers to its pings would pile up here."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._transport.resume_reading()

    def eof_received(self) -> None:
        """The client has gone: the connection is closed after what is still to be sent."""
        self._frames.receive_eof()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is forgotten."""
        self._followers.discard(self)
        if self.client is not None:
            self._hub.leave(self.client)

    def _send(self) -> None:
        """Write what the frames demand; an empty piece means that it was the last."""
        for piece in self._frames.data_to_send():
            if piece:
                self._transport.write(piece)
            else:
                self._write_eof()
        if self._frames.close_expected() and not self._is_ending:
            self._is_ending = True
            asyncio.get_running_loop().call_later(GOODBYE_S, self._transport.abort)

    def _write_eof(self) -> None:
        """What the client still says is read, so that it is not told of a reset instead."""
        if not self._transport.can_write_eof():
            self._transport.close()
            return
        with suppress(OSError, RuntimeError):
            self._transport.write_eof()


def handshake(request: Request) -> tuple[ServerProtocol, Response]:
    """The websockets library's answer to a request for a websocket: 101, or why not.

    It sees the headers that are about that, where they can be read: what a proxy or a cookie says
    in others, and in which letters, must not keep anybody out.
    """
    frames = ServerProtocol(max_size=MESSAGE_BYTES, state=OPEN)
    about = [
        (name, value)
        for name, value in request.headers.items()
        if name.lower().startswith(_HANDSHAKE) and value.isascii() and value.isprintable()
    ]
    return frames, frames.accept(Handshake(request.path, Headers(about)))


def take_over(request: Request, answer: Response, follower: Follower) -> None:
    """Answer, and have the follower in Sanic's place; its task ends where it waits next."""
    transport = cast(asyncio.Transport, request.transport)
    protocol = cast(Any, transport.get_protocol())
    transport.write(answer.serialize())
    transport.set_protocol(follower)
    follower.connection_made(transport)
    protocol.transport = None
    protocol.connection_lost(None)
    if protocol.recv_buffer:
        follower.data_received(bytes(protocol.recv_buffer))


def limit_kernel(transport: asyncio.BaseTransport) -> None:
    """Let the kernel neither hold much for a client nor believe for long that it is there."""
    sock = transport.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)


def _can_be_read(frame: WebsocketFrame) -> bool:
    """False for a text that is not UTF-8; one that goes on in other frames is not judged."""
    if frame.opcode is Opcode.BINARY or not frame.fin:
        return True
    try:
        bytes(frame.data).decode()
    except UnicodeDecodeError:
        return False
    return True
