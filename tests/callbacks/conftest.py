"""Misbehaving workers on real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from sanic_dispatch.callbacks.callback_client import CallbackClient
from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.resolver import system_lookup

NAME = "worker.example"
"""A name that resolves to 127.0.0.1: names are called by aiohttp, addresses by our own client."""

Behaviour = Callable[["Worker", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Worker:
    """A raw server that counts connections and records each request."""

    def __init__(self, behave: Behaviour, host: str) -> None:
        self.behave = behave
        self.host = host
        self.connections = 0
        self.connected = asyncio.Event()
        self.requests: list[bytes] = []
        self.origin = ""
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None, at: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._serve, at, 0, ssl=tls, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://{self.host}:{self.port}"
        self.url = f"{self.origin}/cb/1/?secret=s3cret"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """Read and record one request. Raises IncompleteReadError at the end of the connection."""
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
    """Read a request, write these bytes, then close, or keep the connection open and silent."""

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


def answering_endlessly(cut: asyncio.Event) -> Behaviour:
    """Answer 200 with a body without end; set ``cut`` once the connection is closed."""

    async def behave(
        worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await worker.read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b" " * 65536)
                await writer.drain()
        finally:
            cut.set()

    return behave


StartWorker = Callable[..., Awaitable[Worker]]


def lookup(host: str) -> Sequence[str]:
    """Resolve NAME to this machine, and ask the system for other names."""
    return ["127.0.0.1"] if host == NAME else system_lookup(host)


@pytest.fixture(params=["127.0.0.1", NAME])
def each_host(request: pytest.FixtureRequest) -> str:
    """How a worker is addressed: by address and by name, so that both clients are tested."""
    return request.param


@pytest.fixture
def host() -> str:
    """How a worker is addressed; a module can override it by ``each_host``."""
    return "127.0.0.1"


@pytest.fixture
async def start_worker(host: str) -> AsyncIterator[StartWorker]:
    """Start a worker with a behaviour, or with the bytes that it answers."""
    workers: list[Worker] = []

    async def start(behave: Behaviour | bytes, keep_open: bool = False, **where: Any) -> Worker:
        behave = answering(behave, keep_open) if isinstance(behave, bytes) else behave
        worker = Worker(behave, host)
        await worker.start(**where)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        await worker.stop()


@pytest.fixture
async def open_callbacks() -> AsyncIterator[Callable[..., Awaitable[CallbackClient]]]:
    """Open callbacks with ample time-outs, or those given; closed at the end."""
    opened: list[CallbackClient] = []

    async def make(guard: Guard | None = None, **settings: object) -> CallbackClient:
        defaults: dict[str, object] = {
            "timeout_s": 20.0,
            "connect_timeout_s": 20.0,
            "lookup": lookup,
        }
        callbacks = CallbackClient(guard or Guard(), **{**defaults, **settings})  # type: ignore[arg-type]
        opened.append(callbacks)
        return callbacks

    yield make
    for callbacks in opened:
        await callbacks.close()


@pytest.fixture
async def callbacks(open_callbacks: Callable[..., Awaitable[CallbackClient]]) -> CallbackClient:
    """Callbacks with ample time-outs and no allow list."""
    return await open_callbacks()


@pytest.fixture
async def hasty(open_callbacks: Callable[..., Awaitable[CallbackClient]]) -> CallbackClient:
    """CallbackClient with small time-outs, for workers that will exceed them."""
    return await open_callbacks(timeout_s=0.5, connect_timeout_s=0.5)


@pytest.fixture
def answering_every() -> Callable[[bytes], Behaviour]:
    """The behaviour that answers every request alike and keeps the connection open."""
    return answering_all


@pytest.fixture
def endless() -> Callable[[asyncio.Event], Behaviour]:
    """The behaviour that answers with a body without end."""
    return answering_endlessly
