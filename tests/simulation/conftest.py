"""Fixtures: a service with prepared answers, and a running engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from sanic_dispatch.simulation import Engine, Instance, Result

ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncpee-callback: true\r\nContent-Length: 0\r\n\r\n"


class Service:
    """Answers each call with the next of ``answers``, the last one for ever; None closes the
    connection.

    ``gate`` holds all answers back while it is clear.
    """

    def __init__(self) -> None:
        self.answers: list[bytes | None] = [ACCEPTED]
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}/"
        self.url = f"{self.base}register-worker"

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.requests.append(await _read(reader))
                self.arrived.set()
                await self.gate.wait()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def headers(self, nth: int = -1) -> list[tuple[str, str]]:
        """Return names and values of a request's headers, in order."""
        lines = self.requests[nth].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


async def _read(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service that makes calls wait for their callbacks."""
    service = Service()
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """A running engine."""
    async with Engine() as engine:
        yield engine


@pytest.fixture
def instance(engine: Engine) -> Instance:
    """A running instance of the engine."""
    return engine.start_instance()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client with a new connection for each request."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
async def waiting(
    instance: Instance, service: Service
) -> AsyncIterator[Callable[..., Awaitable[asyncio.Task[Result]]]]:
    """Start a call, and return its task once it waits for the callback."""
    tasks: list[asyncio.Task[Result]] = []

    async def start(of: Instance | None = None, **options: str) -> asyncio.Task[Result]:
        caller = of or instance
        before = len(caller.callback_urls)
        tasks.append(asyncio.create_task(caller.call(service.url, **options)))
        await caller.until(lambda: len(caller.callback_urls) > before and caller.waiting)
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
