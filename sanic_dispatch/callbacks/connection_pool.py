"""A pool of TCP connections to literal addresses, for one exchange at a time on each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError

from sanic_dispatch.callbacks import http_client
from sanic_dispatch.callbacks.answer_reader import AnswerReader
from sanic_dispatch.callbacks.http_client import Broken, Disconnected, NotSent

AddressAndPort = tuple[str, int]
"""An IP address and a port."""


class PooledConnection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(
        self, address: AddressAndPort, on_lost: Callable[[PooledConnection], None]
    ) -> None:
        self.address = address
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = AnswerReader()
        self._outcome: asyncio.Future[Broken | None] | None = None
        """That of the exchange under way: its error, or None for a complete answer."""

    async def exchange(
        self, request: bytes, limit_bytes: int, deadline_s: float
    ) -> tuple[int, bytes]:
        """Send a request, and return the answer's status and at most ``limit_bytes`` of its body.

        ``deadline_s`` is a time of the loop's clock. Raises Broken; after that, and after a
        cancellation, the connection is closed.
        """
        self._reader.begin(limit_bytes)
        self._outcome = self._loop.create_future()
        timer = self._loop.call_at(deadline_s, self._break, http_client.NOT_ANSWERED_IN_TIME)
        try:
            self._transport.write(request)
            if (error := await self._outcome) is not None:
                raise error
        except BaseException:
            self.abort()
            raise
        finally:
            self._outcome = None
            timer.cancel()
        return self._reader.status, bytes(self._reader.body)

    @property
    def is_open(self) -> bool:
        """Whether the connection is not known to be closed."""
        return not self._transport.is_closing()

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent on this connection."""
        if not (self._reader.allows_reuse and self.is_open):
            return False
        # An answer may come before the whole request was sent: the rest is still in the buffer.
        return self._transport.get_write_buffer_size() == 0

    def abort(self) -> None:
        """Close at once, and discard unwritten data."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse the answer; close the connection if no request is waiting for one."""
        if self._outcome is None or self._outcome.done():
            self.abort()
            return
        try:
            self._reader.feed(data)
        except HttpParserError:
            self._break(http_client.NOT_HTTP)
        else:
            if self._reader.is_done:
                self._finish(None)

    def connection_lost(self, error: Exception | None) -> None:
        """End the exchange under way.

        Broken and Disconnected say the same, but only after Disconnected is a GET retried.
        """
        self._on_lost(self)
        if self._reader.ends_by_close:
            self._finish(None)
        elif self._reader.status:
            self._finish(Broken(http_client.DISCONNECTED))
        else:
            self._finish(Disconnected())
        self._reader.close()

    def _break(self, reason: str) -> None:
        self._finish(Broken(reason))
        self.abort()

    def _finish(self, error: Broken | None) -> None:
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(error)


class Pool:
    """Connections by address, without an upper limit, last in, first out."""

    def __init__(self, keep_alive_s: float) -> None:
        """Close connections that were idle for ``keep_alive_s``; needs the running event loop."""
        self._keep_alive_s = keep_alive_s
        self._loop = asyncio.get_running_loop()
        self._connections: set[PooledConnection] = set()
        self._idle: dict[AddressAndPort, dict[PooledConnection, float]] = {}
        """When each connection became idle, the earliest first."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._emptied = asyncio.Event()

    async def take(self, address: AddressAndPort, timeout_s: float) -> PooledConnection:
        """Take an idle connection, or connect within ``timeout_s``. Raises NotSent."""
        if self._is_closed:
            raise RuntimeError("closed")
        idle = self._idle.get(address)
        while idle:
            connection, since_s = idle.popitem()
            if connection.is_open and self._loop.time() - since_s < self._keep_alive_s:
                return connection
            connection.abort()
        return await self._connect(address, timeout_s)

    def put_back(self, connection: PooledConnection) -> None:
        """Keep a connection after its exchange, or close it if it cannot be reused."""
        if self._is_closed or not connection.is_reusable:
            connection.abort()
            return
        now_s = self._loop.time()
        self._idle.setdefault(connection.address, {})[connection] = now_s
        if self._sweeper is None:
            self._sweeper = self._loop.call_at(now_s + self._keep_alive_s, self._sweep)

    async def close(self) -> None:
        """Cancel all exchanges and close all connections."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in self._connections:
            connection.abort()
        if self._connections:
            await self._emptied.wait()

    async def _connect(self, address: AddressAndPort, timeout_s: float) -> PooledConnection:
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await self._loop.create_connection(
                    lambda: PooledConnection(address, self._forget), *address
                )
        except OSError as error:
            if isinstance(error, TimeoutError) and not error.errno:  # ours, not ETIMEDOUT
                raise NotSent(http_client.NOT_CONNECTED_IN_TIME) from error
            raise NotSent(http_client.not_connected(error)) from error
        if self._is_closed or not connection.is_open:  # or the server sent something unasked
            connection.abort()
            raise NotSent(http_client.NOT_SENT)
        self._connections.add(connection)
        return connection

    def _forget(self, connection: PooledConnection) -> None:
        self._connections.discard(connection)
        self._idle.get(connection.address, {}).pop(connection, None)
        if self._is_closed and not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        """Close connections idle for ``keep_alive_s``, and schedule the next sweep."""
        latest_s = self._loop.time() - self._keep_alive_s
        for address, idle in list(self._idle.items()):
            for connection, since_s in list(idle.items()):
                if since_s > latest_s:
                    break
                del idle[connection]
                connection.abort()
            if not idle:
                del self._idle[address]
        self._sweeper = None
        if self._idle:
            since_s = min(next(iter(idle.values())) for idle in self._idle.values())
            self._sweeper = self._loop.call_at(since_s + self._keep_alive_s, self._sweep)
