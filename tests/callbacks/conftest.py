"""Workers as bad as one likes, on real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from sanic_dispatch.callbacks import Callbacks, Guard

Behaviour = Callable[["Worker", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Worker:
    """A raw server: counts connections, records each request that it reads."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.connections = 0
        self.connected = asyncio.Event()
        self.requests: list[bytes] = []
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/cb/1/?secret=s3cret"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """One whole request, also recorded; raises IncompleteReadError at the end."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        request = head + await reader.readexactly(length)
        self.requests.append(request)
        return request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected.set()
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self.behave(self, reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)


def answering(answer: bytes, keep_open: bool = False) -> Behaviour:
    """Read a request, write these bytes, and close (or hang with the connection open)."""

    async def behave(
        worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await worker.read(reader)
        writer.write(answer)
        await writer.drain()
        if keep_open:
            await reader.read()

    return behave


def answering_all(answer: bytes) -> Behaviour:
    """Answer every request on a connection that is kept alive."""

    async def behave(
        worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await worker.read(reader)
            writer.write(answer)
            await writer.drain()

    return behave


StartWorker = Callable[..., Awaitable[Worker]]


@pytest.fixture
async def start_worker() -> AsyncIterator[StartWorker]:
    """Start a worker with a behaviour, or with the bytes that it answers."""
    workers: list[Worker] = []

    async def start(
        behave: Behaviour | bytes, keep_open: bool = False, tls: ssl.SSLContext | None = None
    ) -> Worker:
        worker = Worker(answering(behave, keep_open) if isinstance(behave, bytes) else behave)
        await worker.start(tls)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        await worker.stop()


@pytest.fixture
async def open_callbacks() -> AsyncIterator[Callable[..., Awaitable[Callbacks]]]:
    """Callbacks with ample time-outs, or those given; closed at the end."""
    opened: list[Callbacks] = []

    async def make(guard: Guard | None = None, **settings: object) -> Callbacks:
        defaults: dict[str, object] = {"timeout_s": 20.0, "connect_timeout_s": 20.0}
        callbacks = Callbacks(guard or Guard(), **{**defaults, **settings})  # type: ignore[arg-type]
        await callbacks.open()
        opened.append(callbacks)
        return callbacks

    yield make
    for callbacks in opened:
        await callbacks.close()


@pytest.fixture
async def callbacks(open_callbacks: Callable[..., Awaitable[Callbacks]]) -> Callbacks:
    """Callbacks with ample time-outs and no allow list."""
    return await open_callbacks()


@pytest.fixture
async def hasty(open_callbacks: Callable[..., Awaitable[Callbacks]]) -> Callbacks:
    """Callbacks with small time-outs, for workers that are known to exceed them."""
    return await open_callbacks(timeout_s=0.5, connect_timeout_s=0.5)


@pytest.fixture
def answering_every() -> Callable[[bytes], Behaviour]:
    """The behaviour that answers every request the same and keeps the connection."""
    return answering_all
