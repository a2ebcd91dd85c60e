"""Sessions: what other processes have forwarded to this one, over all their links.

A call that is repeated while it is carried out, or after that, gets the reply of the first one.
What must not be done twice is also known to the state machine, so that the next owner knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from sanic_dispatch.cluster.codec import encode, encode_error, mistake
from sanic_dispatch.cluster.forwarded_origin import ORIGIN, Origin
from sanic_dispatch.cluster.forwarding import FOLLOW, LEAVE, RemoteCall, SeldomLog
from sanic_dispatch.cluster.link import Identity, IncomingLink, Message
from sanic_dispatch.errors import DispatchError
from sanic_dispatch.observability.request_id import REQUEST_ID

SESSION_S = 5.0
"""How long to wait for a process whose link broke; it repeats nothing after that."""

MAX_STRANGERS = 32
"""How many links there may be whose other side has not proved yet who it is."""

_log = structlog.get_logger("sanic_dispatch.cluster")


class Sink:
    """Where a stream goes: under the number of the call that asked for it, over its link."""

    def __init__(self, number: int, link: IncomingLink) -> None:
        self._number = number
        self._link = link

    def send_json(self, word: str, value: bytes) -> None:
        """Send a word and JSON."""
        self._link.send_encoded(b'[%d,"%b",%b]' % (self._number, word.encode(), value))

    def buffered(self) -> int:
        """Return the number of bytes that the link has not taken yet."""
        return self._link.buffered()

    def abort(self) -> None:
        """Break the link."""
        self._link.abort()


class Service(Protocol):
    """What other processes ask for."""

    async def execute(self, call: RemoteCall) -> Any:
        """Carry out a call, and return its reply."""

    def follow(self, call: RemoteCall, sink: Sink) -> Callable[[], None]:
        """Begin a stream; return what ends it."""

    def end_session(self, run: str) -> None:
        """Note that a process, of which ``run`` is the id, repeats and reports nothing more."""


class Sessions:
    """Carries out the calls of other processes, once each."""

    def __init__(self, identity: Identity, service: Service) -> None:
        self.identity = identity
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[str, _Session] = {}
        self._strangers: dict[IncomingLink, None] = {}
        """The links whose other side has not proved yet who it is, the oldest first."""
        self._log = SeldomLog(self._loop.time)

    def connected(self, link: IncomingLink) -> None:
        """Note a new link, and break the oldest one that proves nothing if there are too many.

        A process proves who it is in milliseconds, so strangers do not keep it out.
        """
        self._strangers[link] = None
        if len(self._strangers) > MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            self._strangers.pop(oldest)
            self.refused(oldest.address, "too many connect and do not prove who they are")
            oldest.abort()

    def opened(self, run: str, link: IncomingLink) -> Callable[[Message], None]:
        """Begin a session, or go on with it; return what takes in its messages."""
        self._strangers.pop(link, None)
        session = self._sessions.get(run)
        if session is None:
            session = self._sessions[run] = _Session(run, self._service)
        session.connect(link)
        return session.take

    def lost(self, link: IncomingLink) -> None:
        """Wait for the process to come back over another link; forget it if it does not."""
        self._strangers.pop(link, None)
        for session in self._sessions.values():
            if session.link is link:
                session.disconnect()
                session.ending = self._loop.call_later(SESSION_S, self._end, session)

    def refused(self, address: str, reason: str) -> None:
        """Log that a process was refused."""
        self._log.warning("link.refused", address, reason)

    def close(self) -> None:
        """Close all links."""
        for session in self._sessions.values():
            if session.link is not None:
                session.link.close()

    def _end(self, session: _Session) -> None:
        if session.is_busy:  # what it has asked for may yet concern a worker
            session.ending = self._loop.call_later(SESSION_S, self._end, session)
            return
        del self._sessions[session.run]
        self._service.end_session(session.run)


class _Session:
    """The calls of one process whose replies it may not have yet, by their numbers."""

    def __init__(self, run: str, service: Service) -> None:
        self.run = run
        self.link: IncomingLink | None = None
        self.ending: asyncio.TimerHandle | None = None
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, asyncio.Task[bytes]] = {}
        self._running: set[asyncio.Task[bytes]] = set()
        self._streams: dict[int, Callable[[], None]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a call is being carried out."""
        return bool(self._running)

    def connect(self, link: IncomingLink) -> None:
        """Send replies over this link from now on."""
        if self.ending is not None:
            self.ending.cancel()
            self.ending = None
        if self.link is not None:
            self.link.abort()
            self.disconnect()
        self.link = link

    def disconnect(self) -> None:
        """End the streams, since the link broke."""
        self.link = None
        streams, self._streams = self._streams, {}
        for end in streams.values():
            end()

    def take(self, message: Message) -> None:
        """Carry out a call, or send the reply of a repeated one again."""
        number, oldest, topic, name, arguments, keywords, request = message
        while self._calls and (first := next(iter(self._calls))) < oldest:
            del self._calls[first]
        call = RemoteCall(topic, name, arguments, keywords)
        if name == FOLLOW:
            self._follow(number, call)
            return
        if name == LEAVE:
            self._streams.pop(arguments[0], _nothing)()
            return
        task = self._calls.get(number)
        if task is None:
            origin = Origin(self.run, number, oldest)
            task = self._loop.create_task(self._reply(call, origin, request))
            self._calls[number] = task
            self._running.add(task)
            task.add_done_callback(self._send)
        elif task.done():
            self._send(task)

    def _follow(self, number: int, call: RemoteCall) -> None:
        if self.link is None:
            return
        try:
            self._streams[number] = self._service.follow(call, Sink(number, self.link))
        except DispatchError as error:
            self.link.send([number, "error", encode_error(error)])

    def _send(self, task: asyncio.Task[bytes]) -> None:
        self._running.discard(task)
        if self.link is not None and not task.cancelled():
            self.link.send_encoded(task.result())

    async def _reply(self, call: RemoteCall, origin: Origin, request: str) -> bytes:
        ORIGIN.set(origin)
        REQUEST_ID.set(request)
        number = origin.number
        try:
            return encode([number, "ok", await self._service.execute(call)])
        except DispatchError as error:
            reply = [number, "error", encode_error(error)]
        except Exception:
            _log.exception("call.failed", call=call.name)
            reply = [number, "error", encode_error(mistake())]
        self._calls.pop(number, None)  # a repeat is decided afresh
        return encode(reply)


def _nothing() -> None:
    """Do nothing: the stream has ended."""
