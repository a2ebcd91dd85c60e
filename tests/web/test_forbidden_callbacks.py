"""Forbidden callbacks: a running service calls none (server-side request forgery)."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.errors import CallbackForbidden, SettingsError
from tests.callbacks.test_guard import FORBIDDEN, NEVER
from tests.support.http_requests import ask, register
from tests.support.server import eventually, running_service

connected: list[tuple[Any, ...]] = []
"""The addresses that this process connected to, while a test records them."""
_listening = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "socket.connect":
        connected.append(arguments[1])


sys.addaudithook(_hear)


@contextmanager
def connections() -> Iterator[list[tuple[Any, ...]]]:
    """Record all outgoing connections."""
    global _listening
    connected.clear()
    _listening = True
    try:
        yield connected
    finally:
        _listening = False


class Worker:
    """A worker on this machine that counts its requests, and redirects or accepts."""

    def __init__(self, redirects_to: str = "") -> None:
        self.requests: list[str] = []
        self.redirects_to = redirects_to
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readline()).decode())
        await reader.readuntil(b"\r\n\r\n")
        status = f"307 Go\r\nLocation: {self.redirects_to}" if self.redirects_to else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        writer.close()

    def puts(self) -> int:
        return sum(line.startswith("PUT ") for line in self.requests)


@asynccontextmanager
async def running_worker(redirects_to: str = "") -> AsyncIterator[Worker]:
    worker = Worker(redirects_to)
    async with await asyncio.start_server(worker.answer, "127.0.0.1", 0) as server:
        worker.port = server.sockets[0].getsockname()[1]
        yield worker


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], Sequence[str]]]:
    """What names resolve to, each time they are looked up; others as usual."""
    known: dict[str, Callable[[], Sequence[str]]] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            return real(host, *arguments, **options)
        return [(0, 0, 0, "", (address, 0)) for address in known[name]()]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


async def test_no_forbidden_url_is_taken_or_called() -> None:
    """Each of 120 URLs, registered and offered a job, is 400 or 403 without a connection."""
    assert len(set(FORBIDDEN)) >= 115
    async with running_service() as service:
        for url in [*FORBIDDEN, *(f"http://[{ip}]/" for ip in NEVER if ":" in ip)]:
            answer = await register(service, url)
            assert answer.status in (400, 403), url
            assert answer.body["Error"] in ("NotAllowed", "NotAUrl", "NotAString", "Missing")
        with connections() as made:
            for n in range(10):
                assert (await service.submit(n))[0] == 202
            assert set(made) <= {("127.0.0.1", service.app.ctx.settings.port)}


@pytest.mark.parametrize("address", NEVER)
async def test_a_name_is_no_better_than_its_address(
    names: dict[str, Callable[[], Sequence[str]]], address: str
) -> None:
    """A name is judged by its addresses, when it registers and when it is called."""
    bound: list[str] = [address]
    names["engine.test"] = lambda: bound
    async with running_service(submit_wait_s=1) as service:
        assert (await register(service, "http://engine.test:8298/cb/")).status == 403
        bound[:] = []
        assert (await register(service, "http://engine.test:8298/cb/")).status == 202
        bound[:] = [address]
        with connections() as made:
            assert (await service.submit(1))[0] == 202
            assert {host for host, *_ in made} <= {"127.0.0.1"}


async def test_dns_rebinding(
    names: dict[str, Callable[[], Sequence[str]]],
) -> None:
    """Allowed when it was probed, and a metadata service at the delivery: it is not called."""
    bound = ["127.0.0.1"]
    looked_up: list[str] = []

    def rebind() -> list[str]:
        looked_up.extend(bound)
        return list(bound)

    names["rebind.test"] = rebind
    async with running_worker() as worker, running_service(submit_wait_s=1) as service:
        callback = f"http://rebind.test:{worker.port}/cb/"
        assert await service.app.ctx.callbacks.is_pending(callback) is True
        await register(service, callback)
        bound[:] = ["169.254.169.254"]
        with connections() as made:
            assert (await service.submit(1))[0] == 202
            assert {host for host, *_ in made} <= {"127.0.0.1"}  # this test's own request
        assert worker.puts() == 0
        assert looked_up == ["127.0.0.1", "127.0.0.1", "169.254.169.254"]


async def test_what_was_checked_is_what_is_called(
    names: dict[str, Callable[[], Sequence[str]]],
) -> None:
    """With a resolver that changes its answer, one look-up per call, and that address is used."""
    answers = iter([["127.0.0.1"], ["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1"]])
    names["flip.test"] = lambda: next(answers)
    async with running_worker() as worker, running_service() as service:
        await register(service, f"http://flip.test:{worker.port}/cb/")
        with connections() as made:
            assert (await service.submit(1))[:2] == (200, "Assigned")
            assert {host for host, *_ in made} == {"127.0.0.1"}
        assert worker.puts() == 1
        assert next(answers) == ["169.254.169.254"]


async def test_redirects_are_not_followed() -> None:
    """A worker that redirects has refused."""
    async with running_worker() as secret:
        elsewhere = f"http://127.0.0.1:{secret.port}/admin"
        async with running_worker(elsewhere) as worker, running_service(submit_wait_s=1) as service:
            await register(service, f"http://127.0.0.1:{worker.port}/cb/")
            assert (await service.submit(1))[0] == 202
            assert worker.puts() == 1
            assert not secret.requests


async def test_an_allow_list_narrows_it_all(
    names: dict[str, Callable[[], Sequence[str]]],
) -> None:
    """--allow-callback: host, network and port; addresses never called stay forbidden."""
    async with running_worker() as worker:
        names["engine.test"] = lambda: ["127.0.0.1"]
        names["stranger.test"] = lambda: ["127.0.0.1"]
        allowed = (f"engine.test:{worker.port}", "10.0.0.0/8:80", "0.0.0.0/0:81")
        async with running_service(allow_callback=allowed, submit_wait_s=1) as service:
            for url, status in (
                (f"http://engine.test:{worker.port}/cb/", 202),
                ("http://10.1.2.3/cb/", 202),
                (f"http://engine.test:{worker.port + 1}/cb/", 403),
                (f"http://127.0.0.1:{worker.port}/cb/", 403),
                ("http://169.254.169.254:81/", 403),
            ):
                assert (await register(service, url)).status == status, url
            assert (await service.submit(1))[0] == 200
            assert worker.puts() == 1


@pytest.mark.parametrize(
    "entry",
    ["", "http://engine/", "a b", "10.0.0.0/40", "engine:0", "169.254.0.0/16", "[fe80::1]:80"],
)
def test_an_entry_that_cannot_be_read(entry: str) -> None:
    """The service does not start with a malformed list."""
    with pytest.raises(SettingsError):
        Guard([entry])


# ---- the instance's address


@pytest.mark.parametrize(
    ("instance", "counts"),
    [
        ("http://engine.test:8298/4/", True),
        ("HTTP://ENGINE.TEST:8298/4/", True),
        ("http://engine.test/4/", False),
        ("https://engine.test:8298/4/", False),
        ("http://engine.test:8298@evil.test/4/", False),
        ("http://user@engine.test:8298/4/", False),
        ("http://engine.test:8298.evil.test/4/", False),
        ("http://evil.test/?http://engine.test:8298/", False),
        ("http://engine.test:8298\\@evil.test/", False),
        ("http://engine.test:8298/\x1b[31m", False),
        ("javascript:alert(1)//engine.test:8298/", False),
        ("//engine.test:8298/4/", False),
        ("", False),
    ],
)
async def test_an_instance_counts_only_at_the_callbacks_origin(instance: str, counts: bool) -> None:
    """Clients can claim to be an instance elsewhere: that is neither probed nor linked to."""
    async with running_service(operator_tokens=("operator-token",)) as service:
        request = (
            f"POST /register-worker HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"CPEE-CALLBACK: http://engine.test:8298/4/callbacks/1/\r\n"
            f"CPEE-INSTANCE-URL: {instance}\r\n\r\n"
        )
        host, port = service.base_url.removeprefix("http://").strip("/").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        writer.close()
        (worker,) = await service.app.ctx.dispatcher.queries.workers()
        assert worker.instance_url == (instance if counts else "")
        monitor = await ask(service, "GET", "state?view=monitor", "operator-token")
        assert (b'"link"' in monitor.raw) is counts


async def test_an_allowed_callback_is_called() -> None:
    """Control: a worker on this machine gets its job."""
    async with running_worker() as worker, running_service() as service:
        await register(service, f"http://127.0.0.1:{worker.port}/cb/")
        await service.submit(1)

        async def was_called() -> bool:
            return worker.puts() == 1

        await eventually(was_called)
        with pytest.raises(CallbackForbidden):
            service.app.ctx.guard.check_url("http://169.254.169.254/")
