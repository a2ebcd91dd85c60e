"""SIGTERM to real processes: work in progress ends or is put back, and the exit code is 0.

CRASH_SEED repeats the random numbers of an earlier run.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from sanic_dispatch.config.settings import Mode, Settings
from tests.crash.harness import Harness
from tests.crash.server import DURABLE, TOKEN, Server
from tests.crash.test_kill import SEED
from tests.support.seeds import IS_TORTURE
from tests.support.server import eventually

STOPS = 10 if IS_TORTURE else 2
GRACE_S = Settings().stop_grace_s

UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
STREAM = b"GET /state HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
IDLE = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"POST /submit-job HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


class SlowCallback:
    """A worker that answers its PUT when it is told to."""

    def __init__(self) -> None:
        self.got = asyncio.Event()
        self.answers = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Return the address of its callback."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback/1/"

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.got.set()
        await self.answers.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()


@asynccontextmanager
async def delivering(
    folder: Path, *options: str
) -> AsyncIterator[tuple[Server, SlowCallback, aiohttp.ClientSession]]:
    """Run a server that got SIGTERM in the middle of a delivery, and accepts nothing new."""
    server, worker = Server(folder, Mode.CACHED_JSON_FILE, *options), SlowCallback()
    async with worker.listening() as callback, aiohttp.ClientSession() as http:
        await server.start()
        headers = {"CPEE-CALLBACK": callback, "CPEE-INSTANCE-UUID": "i", "CPEE-ACTIVITY": "a"}
        async with http.post(server.url + "register-worker", headers=headers) as response:
            assert response.status == 202
        async with http.post(server.url + "submit-job", json="mojito") as response:
            await worker.got.wait()
            server.signal(signal.SIGTERM)
            await eventually(lambda: refuses(server, http))
            try:
                yield server, worker, http
            finally:
                worker.answers.set()
                server.kill()


async def refuses(server: Server, http: aiohttp.ClientSession) -> bool:
    """Return whether new jobs are refused with a Retry-After."""
    async with http.post(server.url + "submit-job", json="too late") as response:
        said = await response.json()
    if response.status in (200, 202):
        return False
    assert response.status == 503
    assert said["Error"] == "ShuttingDown"
    assert response.headers["Retry-After"] == "1"
    return True


async def jobs_of(server: Server) -> list[dict[str, Any]]:
    """Return all jobs, after another start."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    await server.start()
    url = server.url + "operator/jobs"
    async with aiohttp.request("GET", url, headers=headers) as response:
        jobs = (await response.json())["jobs"]
    assert await server.stop() == 0
    return [job for job in jobs if job["ticket"] == 1]


async def test_a_delivery_under_way_finishes(tmp_path: Path) -> None:
    """After SIGTERM new jobs get 503, the worker's late answer counts, and the server ends."""
    async with delivering(tmp_path) as (server, worker, _):
        worker.answers.set()
        assert await server.ended() == 0
        (job,) = await jobs_of(server)
        assert (job["state"], job["stage"]) == ("assigned", "confirmed")


async def test_a_delivery_that_does_not_end_is_left_in_doubt(tmp_path: Path) -> None:
    """The server ends with 0 after the grace; the job is not lost, nor given to another worker."""
    async with delivering(tmp_path, "--stop-grace", "1") as (server, _, _):
        assert await server.ended(GRACE_S) == 0
        (job,) = await jobs_of(server)
        assert (job["state"], job["stage"]) == ("assigned", "in doubt")


async def test_requests_that_wait_after_the_grace_get_503(tmp_path: Path) -> None:
    """With a Retry-After, and without an error in the log: the outcome shows later."""
    options = ("--stop-grace", "0", "--submit-wait", "60")
    server, worker = Server(tmp_path, Mode.CACHED_JSON_FILE, *options), SlowCallback()
    async with worker.listening() as callback, aiohttp.ClientSession() as http:
        await server.start()
        try:
            headers = {"CPEE-CALLBACK": callback}
            async with http.post(server.url + "register-worker", headers=headers) as response:
                assert response.status == 202
            async with asyncio.TaskGroup() as group:
                submitting = group.create_task(_submit(server, http))
                await worker.got.wait()
                server.signal(signal.SIGTERM)
            assert submitting.result() == (503, "ShuttingDown", "1")
            assert await server.ended() == 0
        finally:
            worker.answers.set()
            server.kill()
    assert "unexpected error" not in server.log.read_text()
    assert len(await jobs_of(server)) == 1


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """It does not wait for the grace; acknowledged jobs are on the disk."""
    async with delivering(tmp_path, "--stop-grace", "600") as (server, _, _):
        server.signal(signal.SIGTERM)
        assert await server.ended() == 128 + signal.SIGTERM
        (job,) = await jobs_of(server)
        assert (job["state"], job["stage"]) == ("assigned", "in doubt")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
async def test_a_signal_in_the_first_moment_counts(tmp_path: Path, number: signal.Signals) -> None:
    """A server can be told to stop as soon as its port answers."""
    server = Server(tmp_path, Mode.CACHED_JSON_FILE)
    for _ in range(STOPS):
        server.spawn()
        try:
            await eventually(lambda: _connects(server.port), within_s=30)
            server.signal(number)
            assert await server.ended() == 0
        finally:
            server.kill()


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one", "several"])
async def test_a_signal_while_the_start_waits_for_redis(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The exit code is 0 also where Redis never answers, and the log says what it waited for."""
    with socket.create_server(("127.0.0.1", 0)) as redis:
        redis.setblocking(False)
        url = f"redis://127.0.0.1:{redis.getsockname()[1]}"
        server = Server(tmp_path, Mode.REDIS, "--redis-url", url, *options)
        server.spawn()
        try:
            async with asyncio.timeout(30):
                connection, _ = await asyncio.get_running_loop().sock_accept(redis)
            with connection:
                server.signal(signal.SIGTERM)
                assert await server.ended() == 0
        finally:
            server.kill()
    (line,) = server.lines()
    assert line["event"] == "dispatch.stopped"
    assert url in line["reason"]


async def test_clients_that_never_close_do_not_delay_the_stop(tmp_path: Path) -> None:
    """Websockets get 1012, and the server ends whether they close or not."""
    server = Server(tmp_path, Mode.CACHED_JSON_FILE)
    await server.start()
    async with AsyncExitStack() as stack:
        stack.callback(server.kill)
        clients = [await _client(stack, server.port, said) for said in (UPGRADE, STREAM, IDLE)]
        for reader, _ in clients:
            assert b" 101 " in (line := await reader.readline()) or b" 200 " in line
        await _client(stack, server.port, HALF)
        began_s = monotonic()
        assert await server.stop() == 0
        assert monotonic() - began_s < GRACE_S + 1
        rest = await clients[0][0].read()
        assert b"\x88\x02\x03\xf4" in rest, "a close frame with the code 1012"


@pytest.mark.timeout(300 if IS_TORTURE else 120)
@pytest.mark.parametrize("mode", DURABLE if IS_TORTURE else [Mode.SQLITE], ids=str)
async def test_restarts_under_load_lose_nothing(mode: Mode, tmp_path: Path) -> None:
    """C1 to C6, and exit code 0 within the grace and a second, with a client that never closes."""
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(f"{SEED} {mode}")
    async with Harness(tmp_path / "data", mode, rng) as harness, AsyncExitStack() as stack:
        await harness.server.start()
        harness.open()
        for _ in range(STOPS):
            await _client(stack, harness.server.port, UPGRADE)
            await asyncio.sleep(rng.uniform(0.05, 1.0))
            began_s = monotonic()
            assert await harness.server.stop() == 0
            took_s = monotonic() - began_s
            assert took_s < GRACE_S + 1
            print(f"{mode}: stopped in {took_s:.2f} s")  # noqa: T201
            await harness.restart()
        assert await harness.close() == []


async def _submit(server: Server, http: aiohttp.ClientSession) -> tuple[int, str, str]:
    """Submit an order; return the status and the error."""
    async with http.post(server.url + "submit-job", json="mojito") as response:
        said = await response.json()
        return response.status, said["Error"], response.headers["Retry-After"]


async def _client(
    stack: AsyncExitStack, port: int, said: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has sent a request and sends nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    writer.write(said)
    return reader, writer


async def _connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
