"""One connection to Redis: commands go out at once, answers come back in their order.

This is asyncio's transport with hiredis's parser and no more: a HSET costs the event loop 25 µs
this way, and 111 to 160 µs through redis-py's asyncio client (uvloop, best of 25 rounds).
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from time import monotonic
from typing import Any, cast

import hiredis

from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.redis_address import RedisAddress

TRY_S = 1.4
"""How long to wait for a connection, and for the answer to a command (seconds)."""

BYTES_PER_S = 5_000_000
"""A command that is longer than this gets another second, and so on."""

Word = str | bytes | int | float


class Refused(StorageFailed):
    """Redis answered with an error: it did nothing. ``code`` is the error's first word."""

    def __init__(self, answer: str) -> None:
        super().__init__(f"Redis: {answer}")
        self.code = answer.partition(" ")[0]


class Script:
    """A Lua script, with the key by which Redis knows it."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def digest(self) -> str:
        """Its SHA-1, which EVALSHA names it by."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Sends commands over one connection, which is made when it is needed.

    A command is sent once. Raises StorageFailed where it was certainly not carried out: there is no
    connection, or Redis refuses it (Refused). Raises OutcomeUnknown where it was sent and no answer
    came in time, or the connection broke; the connection is then given up.
    """

    def __init__(self, address: RedisAddress, try_s: float = TRY_S) -> None:
        self.address = address
        self._try_s = try_s
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    async def call(self, *words: Word, patience_s: float = 0.0) -> Any:
        """Send a command, and return its answer; ``patience_s`` is added to the time it may take.

        Raises StorageFailed or OutcomeUnknown.
        """
        connection = self._connection
        if connection is None or connection.is_lost:
            connection = await self._connect()
        return await connection.call(words, patience_s)

    async def run(
        self, script: Script, keys: Sequence[str], *words: Word, patience_s: float = 0.0
    ) -> Any:
        """Call a script, which Redis is told first where it does not know it.

        Raises StorageFailed or OutcomeUnknown.
        """
        try:
            return await self.call(
                "EVALSHA", script.digest, len(keys), *keys, *words, patience_s=patience_s
            )
        except Refused as error:
            if error.code != "NOSCRIPT":
                raise
        return await self.call("EVAL", script.text, len(keys), *keys, *words, patience_s=patience_s)

    async def close(self) -> None:
        """Hang up; calls that are under way end with OutcomeUnknown."""
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError, StorageFailed):
                await self._connecting
        if self._connection is not None:
            self._connection.give_up("the connection was closed")
            self._connection = None

    async def _connect(self) -> _Connection:
        """Connect, or wait for who is connecting already. Raises StorageFailed."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._note_end)
        return await asyncio.shield(self._connecting)

    def _note_end(self, task: asyncio.Task[_Connection]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _open(self) -> _Connection:
        try:
            async with asyncio.timeout(self._try_s):
                connection = await open_connection(self.address, self._try_s)
                try:
                    for command in self.address.greeting:
                        await connection.call(command)
                except BaseException:
                    connection.give_up("it does not let us in")
                    raise
        except Refused:
            raise
        except TimeoutError as error:
            raise _unreachable("it does not answer") from error
        except (OSError, OutcomeUnknown) as error:
            raise _unreachable(str(error)) from error
        return connection


async def open_connection(address: RedisAddress, try_s: float) -> _Connection:
    """Open one connection. Raises OSError."""
    loop = asyncio.get_running_loop()

    def protocol() -> _Connection:
        return _Connection(try_s)

    if address.path:
        return (await loop.create_unix_connection(protocol, address.path))[1]
    opened = await _open_socket(address, try_s)
    try:
        name = address.host if address.tls else None
        return (
            await loop.create_connection(
                protocol, sock=opened, ssl=address.tls, server_hostname=name
            )
        )[1]
    except BaseException:
        opened.close()
        raise


async def _open_socket(address: RedisAddress, try_s: float) -> socket.socket:
    """Connect to the first of the host's addresses that answers. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    failure = OSError("the host has no address")
    for family, kind, number, _, where in found:
        opened = socket.socket(family, kind, number)
        try:
            opened.setblocking(False)
            _set_options(opened, try_s)
            await loop.sock_connect(opened, where)
        except OSError as error:
            opened.close()
            failure = error
        except BaseException:
            opened.close()
            raise
        else:
            return opened
    raise failure


def _set_options(opened: socket.socket, try_s: float) -> None:
    """Send at once, and have the kernel give up when we do.

    By itself it would bring what we sent long after we gave up: it sends again, later and later
    each time, also what a connection that was closed had left.
    """
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(try_s * 1000))


class _Connection(asyncio.Protocol):
    """A connection that is open: futures wait in the order in which answers come."""

    def __init__(self, try_s: float) -> None:
        self.is_lost = False
        self._reason = ""
        self._try_s = try_s
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()

    async def call(self, words: Sequence[Word], patience_s: float = 0.0) -> Any:
        """Send a command, and return its answer. Raises StorageFailed or OutcomeUnknown."""
        if self.is_lost:
            raise _unreachable(self._reason)
        packed: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type]  # its stub
        until_s = monotonic() + self._try_s + patience_s + len(packed) // BYTES_PER_S
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((answer, until_s))
        if self._watch is None:
            self._watch = self._loop.call_later(self._try_s, self._look_at_time)
        self._transport.write(packed)
        return await answer

    def give_up(self, reason: str) -> None:
        """Drop the connection: the outcome of what has no answer yet is unknown."""
        if not self.is_lost:
            self.is_lost, self._reason = True, reason
        self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(OutcomeUnknown(f"Redis gave no answer: {reason}"))

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has another base

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._hand_out(answer)
        except (hiredis.ProtocolError, IndexError):
            self.give_up("what answers is not Redis")

    def eof_received(self) -> None:
        self.give_up("it closed the connection")

    def connection_lost(self, error: Exception | None) -> None:
        self.give_up(str(error) if error else "it closed the connection")

    def _hand_out(self, answer: Any) -> None:
        future, _ = self._waiting.popleft()
        if future.done():  # whoever asked was cancelled
            return
        if isinstance(answer, hiredis.ReplyError):
            refused = Refused(str(answer))
            future.set_exception(refused)
            if refused.code == "READONLY":  # the name may lead to another server by now
                self.give_up("it is a replica")
        else:
            future.set_result(answer)

    def _look_at_time(self) -> None:
        """Give up where the oldest call has waited too long; look again while any waits.

        One timer for all calls: one for each would cost as much as the rest of a call.
        """
        self._watch = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] - monotonic()
        if left_s <= 0:
            self.give_up("it took too long")
        else:
            self._watch = self._loop.call_later(left_s, self._look_at_time)


def _unreachable(reason: str) -> StorageFailed:
    return StorageFailed(f"Redis cannot be reached: {reason}")
