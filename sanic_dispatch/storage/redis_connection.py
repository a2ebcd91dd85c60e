"""A Redis client with one pipelined connection: commands do not wait for each other's answers.

It is asyncio's transport with hiredis's parser: a HSET costs the event loop 25 µs, and 111 to 160
µs with redis-py's asyncio client (uvloop, best of 25 rounds). The next command replaces a lost
connection; what was lost with it is repeated by ``RedisStore``, not here.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from time import monotonic
from typing import Any, TypeVar, cast

import hiredis

from sanic_dispatch.errors import OutcomeUnknown, RedisUnusable, StorageFailed
from sanic_dispatch.storage.redis_address import RedisAddress

TIMEOUT_S = 1.4
"""How long to wait for a connection, and for the answer to a command."""

OPEN_S = 3.0
"""How long to try to reach Redis at start."""

RETRY_S = 0.1
"""How long to wait before a retry."""

PERMANENT_ERRORS = ("ERR", "NOAUTH", "NOPERM", "WRONGPASS", "WRONGTYPE")
"""Codes of errors not worth a retry, as a wrong password; LOADING, for example, is worth one."""

MOVED = "MOVED"
"""The code with which a node of a Redis cluster says that another one has the key."""

BYTES_PER_S = 5_000_000
"""A command gets another second for each so many bytes."""

Argument = str | bytes | int | float

T = TypeVar("T")


class RedisRefused(StorageFailed):
    """Redis answered with an error and did nothing; ``redis_code`` is its first word."""

    def __init__(self, answer: str) -> None:
        super().__init__(f"Redis: {answer}")
        self.redis_code = answer.partition(" ")[0]


class Script:
    """A Lua script and its digest."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def digest(self) -> str:
        """The SHA-1 that EVALSHA takes."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def lua_script(name: str) -> Script:
    """Return one of the scripts in the folder ``lua``."""
    return Script((files("sanic_dispatch.storage") / "lua" / f"{name}.lua").read_text())


class RedisClient:
    """Sends commands over one connection, which it opens when needed.

    A command is sent once, and never retried. Commands raise StorageFailed if they certainly had no
    effect: there is no connection, or Redis answers with an error (RedisRefused). They raise
    OutcomeUnknown if they were sent and the answer does not come in time or the connection breaks;
    the connection is closed then.

    In a Redis cluster all keys of a client have to be in one slot. It finds the node that has it by
    asking the one in ``address``.
    """

    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        self._node = address
        """The node that was found."""
        self._connection: _RedisProtocol | None = None
        self._connecting: asyncio.Task[_RedisProtocol] | None = None

    async def call(self, *arguments: Argument, extra_s: float = 0.0) -> Any:
        """Send a command and return its answer; ``extra_s`` is added to its timeout.

        Raises StorageFailed or OutcomeUnknown.
        """
        try:
            return await self._call(arguments, extra_s)
        except RedisRefused as error:
            if error.redis_code != MOVED:
                raise
            self._go_to(error)
        return await self._call(arguments, extra_s)

    async def _call(self, arguments: Sequence[Argument], extra_s: float) -> Any:
        connection = self._connection
        if connection is None or connection.is_lost:
            connection = await self._connect()
        return await connection.call(arguments, extra_s)

    def _go_to(self, moved: RedisRefused) -> None:
        """Go on at the node that an answer names: ``MOVED 3999 10.0.0.2:6379``."""
        host, _, port = str(moved).rpartition(" ")[2].rpartition(":")
        node = replace(self.address, host=host or self._node.host, port=int(port), path="")
        if node != self._node:
            self._node = node
            self._disconnect("another node has the keys")

    async def run(
        self, script: Script, keys: Sequence[str], *arguments: Argument, extra_s: float = 0.0
    ) -> Any:
        """Run a Lua script with EVALSHA, or with EVAL if Redis has not cached it.

        Raises StorageFailed or OutcomeUnknown.
        """
        try:
            return await self.call(
                "EVALSHA", script.digest, len(keys), *keys, *arguments, extra_s=extra_s
            )
        except RedisRefused as error:
            if error.redis_code != "NOSCRIPT":
                raise
        return await self.call("EVAL", script.text, len(keys), *keys, *arguments, extra_s=extra_s)

    async def close(self) -> None:
        """Close the connection; commands without an answer raise OutcomeUnknown."""
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError, StorageFailed):
                await self._connecting
        self._disconnect("the connection was closed")

    def _disconnect(self, reason: str) -> None:
        if self._connection is not None:
            self._connection.abort(reason)
            self._connection = None

    async def _connect(self) -> _RedisProtocol:
        """Connect, or wait for the attempt under way. Raises StorageFailed."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._note_connected)
        return await asyncio.shield(self._connecting)

    def _note_connected(self, task: asyncio.Task[_RedisProtocol]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _open(self) -> _RedisProtocol:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                connection = await open_connection(self._node)
                try:
                    for command in self.address.greeting:
                        await connection.call(command)
                except BaseException:
                    connection.abort("it refused the login")
                    raise
        except RedisRefused:
            raise
        except (OSError, OutcomeUnknown) as error:
            self._node = self.address  # the cluster may have another node by now
            is_silent = isinstance(error, TimeoutError)
            raise _unreachable("it does not answer" if is_silent else str(error)) from error
        return connection


async def reach(address: RedisAddress, call: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a first call to Redis, which is repeated for OPEN_S if it fails.

    Raises RedisUnusable.
    """
    until_s = monotonic() + OPEN_S
    while True:
        try:
            return await call()
        except (StorageFailed, OutcomeUnknown) as error:
            is_permanent = isinstance(error, RedisRefused) and error.redis_code in PERMANENT_ERRORS
            if is_permanent or monotonic() >= until_s:
                raise RedisUnusable(address.shown, str(error)) from error
        await asyncio.sleep(RETRY_S)


async def open_connection(address: RedisAddress) -> _RedisProtocol:
    """Open one connection. Raises OSError."""
    loop = asyncio.get_running_loop()
    if address.path:
        return (await loop.create_unix_connection(_RedisProtocol, address.path))[1]
    opened = await _open_socket(address)
    try:
        name = address.host if address.tls else None
        return (
            await loop.create_connection(
                _RedisProtocol, sock=opened, ssl=address.tls, server_hostname=name
            )
        )[1]
    except BaseException:
        opened.close()
        raise


async def _open_socket(address: RedisAddress) -> socket.socket:
    """Return a socket to the first of the host's addresses that accepts. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    failure = OSError("the host has no address")
    for family, kind, number, _, where in found:
        opened = socket.socket(family, kind, number)
        try:
            opened.setblocking(False)
            _set_options(opened)
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


def _set_options(opened: socket.socket) -> None:
    """Disable Nagle's algorithm, and set the kernel's timeout to ours.

    By default the kernel retransmits for minutes, even after the connection was closed, so that a
    command could arrive long after we reported its outcome as unknown.
    """
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TIMEOUT_S * 1000))


class _RedisProtocol(asyncio.Protocol):
    """An open connection; ``_waiting`` are the futures of sent commands, oldest first."""

    def __init__(self) -> None:
        self.is_lost = False
        self._reason = ""
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()

    async def call(self, arguments: Sequence[Argument], extra_s: float = 0.0) -> Any:
        """Send a command, and return its answer. Raises StorageFailed or OutcomeUnknown."""
        if self.is_lost:
            raise _unreachable(self._reason)
        packed: bytes = hiredis.pack_command(tuple(arguments))  # type: ignore[arg-type]  # wrong stub
        until_s = monotonic() + TIMEOUT_S + extra_s + len(packed) // BYTES_PER_S
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._watch is None:
            self._watch = self._loop.call_later(TIMEOUT_S, self._check_timeouts)
        self._waiting.append((answer, until_s))
        try:
            self._transport.write(packed)
        except Exception as error:  # such as MemoryError: a part of it may be on its way
            self.abort(f"it could not be written to: {error!r}")
        return await answer

    def abort(self, reason: str) -> None:
        """Close the connection; commands without an answer raise OutcomeUnknown."""
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
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._resolve_next(answer)
        except (hiredis.ProtocolError, IndexError):
            self.abort("the answer is not in the Redis protocol")

    def eof_received(self) -> None:
        self.abort("it closed the connection")

    def connection_lost(self, error: Exception | None) -> None:
        self.abort(str(error) if error else "it closed the connection")

    def _resolve_next(self, answer: Any) -> None:
        future, _ = self._waiting.popleft()
        if future.done():  # the caller was cancelled
            return
        if isinstance(answer, hiredis.ReplyError):
            refused = RedisRefused(str(answer))
            future.set_exception(refused)
            if refused.redis_code == "READONLY":  # a failover: the name may lead elsewhere now
                self.abort("it is a replica")
        else:
            future.set_result(answer)

    def _check_timeouts(self) -> None:
        """Abort if the oldest command has timed out; check again as long as any has no answer.

        One timer for all: a timer for each would cost as much as the rest of a command.
        """
        self._watch = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] - monotonic()
        if left_s <= 0:
            self.abort("it took too long")
        else:
            self._watch = self._loop.call_later(left_s, self._check_timeouts)


def _unreachable(reason: str) -> StorageFailed:
    return StorageFailed(f"Redis cannot be reached: {reason}")
