"""A websocket between two processes, over which one calls the other.

The process that forwards opens it at ``LINK_PATH`` of the other's URL. Both prove by HMAC-SHA256
that they know the secret of the cluster, without sending it: each signs the random text of the
other. So a process is not taken in by one that is not of the cluster, and an address that leads to
another process of it is found out, since the answer names the process. Both have to be of the same
version, since what travels is made from the signatures of functions. The first call is sent once
the proof is accepted: what is read together with that may be no larger than a greeting.

Messages are JSON arrays. Those that are sent in one turn of the event loop travel in one frame,
which is an array of them.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

import ujson
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from sanic_dispatch import __version__
from sanic_dispatch.cluster.codec import encode

LINK_PATH = "link"

GREETING_BYTES = 4096
"""The largest message of a process that has not proved yet who it is."""

MAX_MESSAGE_BYTES = 256 * 2**20
"""The largest frame."""

PING_S = 0.5
"""How often the process that forwards asks whether the other one is there."""

SILENCE_S = 1.75
"""After how long without a word from the other side a link counts as broken."""

OPEN_S = 1.5
"""How long opening a link may take, until both sides have proved who they are."""

GOODBYE_S = 1.0
"""How long the other side has to close the connection, once this one has said why it does."""

REFUSED = 4403
"""The close code of a link that the other side does not accept; its reason says why."""

MAX_REASON_BYTES = 123
"""The longest reason of a close; one that quotes the other side may be longer."""

NO_MESSAGE = "that is no message of a link"

TOO_LATE = f"it has not proved within {OPEN_S} s who it is"

Message = list[Any]


class LinkRefused(Exception):
    """The other side is not the process that was meant, or does not accept this one."""


class LinkLost(Exception):
    """A link broke; what was sent over it may have arrived."""


@dataclass(slots=True)
class Identity:
    """What a process shows to others: its public name, a random id of this run, and the secret.

    The secret is another one after the store has lost it.
    """

    name: str
    run: str
    secret: str

    def proof(self, role: str, name: str, nonce: str) -> str:
        """Return the proof that somebody of this role and name gives to who made the nonce."""
        text = f"{role}\n{name}\n{nonce}"
        return hmac.new(self.secret.encode(), text.encode(), "sha256").hexdigest()


class Link(asyncio.Protocol, ABC):
    """One end of a link."""

    def __init__(self, frames: ClientProtocol | ServerProtocol) -> None:
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._outgoing: list[bytes] = []
        self._parts: list[bytes] = []
        self._heard_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._tick_s = self._heard_s
        """When the next tick is due."""
        self._nonce = secrets.token_hex(16)

    def send(self, message: Sequence[Any]) -> None:
        """Send a message with the others of this turn of the event loop.

        Raises as ``codec.encode``, and then sends nothing.
        """
        self.send_encoded(encode(message))

    def send_encoded(self, message: bytes) -> None:
        """Send a message that is encoded already."""
        self._outgoing.append(message)
        if len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)

    def buffered(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the link, after what was sent."""
        if self._frames.state is OPEN:
            self._flush()
            shown = reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
            self._frames.send_close(code, shown)
            self._write()
            self._loop.call_later(GOODBYE_S, self.abort)

    def abort(self) -> None:
        """Break the connection."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._tick()

    def data_received(self, data: bytes) -> None:
        """Take in messages."""
        self._heard_s = self._loop.time()
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
            else:
                self._opened(cast(Response, event))
        self._write()

    def eof_received(self) -> None:
        """Close after what is buffered."""
        self._frames.receive_eof()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching the connection."""
        if self._timer is not None:
            self._timer.cancel()
        self._lost(self._frames.close_rcvd.reason if self._frames.close_rcvd else "")

    def _opened(self, answer: Response) -> None:
        """Take in the answer to the handshake of HTTP."""

    @abstractmethod
    def _take(self, message: Message) -> None:
        """Take in a message."""

    @abstractmethod
    def _lost(self, reason: str) -> None:
        """Note that the connection is gone, and why, if the other side has said so."""

    def _tick(self) -> None:
        """Ask whether the other side is there, unless it was silent for too long.

        After a late tick this process was held up, and what has come is not read yet.
        """
        now_s = self._loop.time()
        if now_s - self._heard_s > SILENCE_S and now_s - self._tick_s < PING_S:
            self._transport.abort()
            return
        self._tick_s = now_s + PING_S
        self._timer = self._loop.call_at(self._tick_s, self._tick)
        if self._frames.state is OPEN:
            self._frames.send_ping(b"")
            self._write()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self._refuse(NO_MESSAGE)
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            data, self._parts = b"".join(self._parts), []
            for message in self._parsed(data):
                self._take(message)

    def _parsed(self, data: bytes) -> list[Message]:
        try:
            messages = ujson.loads(data)
        except ValueError:
            messages = None
        is_array = bool(messages) and isinstance(messages, list)
        if not (is_array and all(isinstance(each, list) for each in messages)):
            self._refuse(NO_MESSAGE)
            return []
        return cast(list[Message], messages)

    def _refuse(self, reason: str) -> None:
        """Close the link, and tell the other side why."""
        self.close(REFUSED, reason)

    def _admit(self) -> None:
        """Let the other side, which has proved who it is, send large messages."""
        self._frames.max_message_size = MAX_MESSAGE_BYTES

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self._frames.state is OPEN:
            self._frames.send_text(b"[%b]" % b",".join(outgoing))
            self._write()

    def _write(self) -> None:
        """Write the library's output; an empty piece means end of stream."""
        for piece in self._frames.data_to_send():
            if piece:
                self._transport.write(piece)
            else:
                self._transport.close()


class OutgoingLink(Link):
    """The end of the process that forwards. ``until_open`` has to be awaited first."""

    def __init__(
        self,
        frames: ClientProtocol,
        identity: Identity,
        owner: str,
        take: Callable[[Message], None],
        lost: Callable[[], None],
    ) -> None:
        """``owner`` is the name of the process that is meant.

        ``take`` gets each message of an open link, ``lost`` is called when it breaks.
        """
        super().__init__(frames)
        self._identity = identity
        self._owner = owner
        self._tell = take
        self._tell_lost = lost
        self._has_proved = False
        """Whether this side has proved who it is; the other one still has to accept that."""
        self._open: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether calls can be sent."""
        return self._frames.state is OPEN and self._open.done() and not self._transport.is_closing()

    async def until_open(self) -> None:
        """Return once both sides have proved who they are. Raises LinkRefused and LinkLost."""
        await self._open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake of HTTP."""
        frames = cast(ClientProtocol, self._frames)
        super().connection_made(transport)
        frames.send_request(frames.connect())
        self._write()

    def _opened(self, answer: Response) -> None:
        error = self._frames.handshake_exc
        if error is not None:
            self._refuse(f"it answers {answer.status_code} {answer.reason_phrase}")
            return
        self.send(["hello", __version__, self._identity.run, self._nonce])

    def _take(self, message: Message) -> None:
        if self._open.done():
            self._tell(message)
            return
        if self._has_proved:
            self._open.set_result(None)
            return
        try:
            _, version, name, proof, nonce = map(str, message)
        except ValueError:
            self._refuse(NO_MESSAGE)
            return
        expected = self._identity.proof("owner", name, self._nonce)
        if version != __version__:
            self._refuse(f"it is of version {version}, and this process of {__version__}")
        elif not hmac.compare_digest(expected.encode(), proof.encode()):
            self._refuse("it does not know the secret of this cluster")
        elif name != self._owner:
            self._refuse(f"that address leads to {name}")
        else:
            self._admit()
            self.send(["proof", self._identity.proof("peer", self._identity.run, nonce)])
            self._has_proved = True

    def _lost(self, reason: str) -> None:
        if not self._open.done():
            refused = LinkRefused(reason) if reason else LinkLost("the connection broke")
            self._open.set_exception(refused)
        self._tell_lost()

    def _refuse(self, reason: str) -> None:
        if not self._open.done():
            self._open.set_exception(LinkRefused(reason))
        super()._refuse(reason)
        self._transport.close()


class Host(Protocol):
    """The object that accepts links: ``sessions.Sessions``."""

    identity: Identity

    def connected(self, link: IncomingLink) -> None:
        """Note a link whose other side has not proved yet who it is."""

    def opened(self, run: str, link: IncomingLink) -> Callable[[Message], None]:
        """Return what takes in the messages of a process that has proved who it is."""

    def lost(self, link: IncomingLink) -> None:
        """Note that a link broke."""

    def refused(self, address: str, reason: str) -> None:
        """Note that a process was refused."""


class IncomingLink(Link):
    """The end of the process that is called; ``take_over`` of web/websocket.py connects it."""

    def __init__(self, frames: ServerProtocol, host: Host) -> None:
        super().__init__(frames)
        self._host = host
        self._identity = host.identity
        self._run = ""
        self._tell: Callable[[Message], None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """The address of the other side."""
        address = self._transport.get_extra_info("peername")
        return str(address[0] if address else "")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the other side OPEN_S to prove who it is."""
        super().connection_made(transport)
        self._host.connected(self)
        self._deadline = self._loop.call_later(OPEN_S, self._refuse, TOO_LATE)

    def _take(self, message: Message) -> None:
        if self._tell is not None:
            self._tell(message)
        elif self._frames.state is OPEN:
            try:
                self._greet(*map(str, message))
            except (TypeError, ValueError):
                self._refuse(NO_MESSAGE)

    def _greet(self, word: str, *rest: str) -> None:
        if word == "hello":
            version, run, nonce = rest
            if version != __version__:
                self._refuse(f"it is of version {version}, and this process of {__version__}")
                return
            self._run = run
            identity = self._identity
            proof = identity.proof("owner", identity.name, nonce)
            self.send(["welcome", __version__, identity.name, proof, self._nonce])
            return
        (proof,) = rest
        expected = self._identity.proof("peer", self._run, self._nonce)
        if not (self._run and hmac.compare_digest(expected.encode(), proof.encode())):
            self._refuse("it does not know the secret of this cluster")
            return
        self._end_deadline()
        self._admit()
        self.send(["accepted"])
        self._tell = self._host.opened(self._run, self)

    def _refuse(self, reason: str) -> None:
        self._end_deadline()
        self._host.refused(self.address, reason)
        super()._refuse(reason)

    def _lost(self, reason: str) -> None:
        self._end_deadline()
        self._host.lost(self)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


async def open_link(
    url: str,
    identity: Identity,
    owner: str,
    take: Callable[[Message], None],
    lost: Callable[[], None],
) -> OutgoingLink:
    """Open a link to the process at a URL. Raises LinkRefused or LinkLost."""
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    path = f"{parts.path.rstrip('/')}/{LINK_PATH}"
    uri = parse_uri(urlunsplit((scheme, parts.netloc, path, "", "")))
    frames = ClientProtocol(uri, max_size=GREETING_BYTES)
    tls = ssl.create_default_context() if uri.secure else None
    try:
        async with asyncio.timeout(OPEN_S):
            _, link = await asyncio.get_running_loop().create_connection(
                lambda: OutgoingLink(frames, identity, owner, take, lost),
                uri.host,
                uri.port,
                ssl=tls,
                server_hostname=uri.host if tls else None,
            )
            try:
                await link.until_open()
            except BaseException:
                link.abort()
                raise
    except TimeoutError:
        raise LinkLost("it does not answer") from None
    except (OSError, InvalidHandshake) as error:
        raise LinkLost(str(error)) from error
    return link
