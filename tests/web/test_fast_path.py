"""Ordinary requests take the fast path, others do not, and both ways obey the same rules.

``test_both_ways.py`` compares the answers to random requests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
from sanic.server.protocols import http_protocol

from sanic_dispatch.server import runner
from sanic_dispatch.web import fast_path, problems
from sanic_dispatch.web.deadlines import PunctualProtocol
from sanic_dispatch.web.fast_path import FastPathProtocol, FastRequest
from sanic_dispatch.web.routes import jobs
from tests.support.both_ways import Clock, masked
from tests.support.clock import settle
from tests.support.http_requests import CALLBACK, address_of
from tests.support.server import Service, eventually, running_service

TOKEN = "a-token-of-the-tests"
SETTINGS: dict[str, Any] = {
    "max_body_bytes": 1024,
    "request_timeout_s": 0.3,
    "unconsumed_after_s": 3600.0,
    "max_depth": 5,
    "topic_names": ("roof",),
}
BYE = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""The last request of a connection: the server closes after its answer."""

PAUSE_S = 0.004
"""Usually enough for the server in the same loop to read what was sent."""

ANSWER_S = 0.05
"""How long to wait for an answer, since some requests have none."""

ORDER = b'{"drink": "mojito"}'


def post(target: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """Return an ordinary request."""
    lines = [b"POST %b HTTP/1.1" % target, b"Host: x", *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def submission(*headers: bytes, body: bytes = ORDER, target: bytes = b"/submit-job") -> bytes:
    return post(target, b"Content-Type: application/json", *headers, body=body)


def registration(*headers: bytes, target: bytes = b"/register-worker") -> bytes:
    return post(target, b"CPEE-CALLBACK: " + CALLBACK.encode(), *headers)


# ---- two services, one of them without a fast path


class Visit(asyncio.Protocol):
    """A connection that records all that it receives, also if it is reset."""

    def __init__(self) -> None:
        self.got = b""
        self.is_over = asyncio.Event()
        self.has_more = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data
        self.has_more.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over.set()
        self.has_more.set()

    async def say(self, piece: bytes, within_s: float) -> None:
        """Send, and return the answer, if one comes soon."""
        if self.is_over.is_set():
            return
        self.has_more.clear()
        self.transport.write(piece)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.has_more.wait()


@asynccontextmanager
async def visit(service: Service) -> AsyncIterator[Visit]:
    loop = asyncio.get_running_loop()
    transport, visit = await loop.create_connection(Visit, *address_of(service))
    try:
        yield visit
    finally:
        transport.abort()
        await visit.is_over.wait()


async def answers_to(service: Service, pieces: list[bytes], within_s: float = 5.0) -> bytes:
    """Return all that comes back when these pieces are sent one after the other."""
    async with visit(service) as client:
        for piece in (*pieces, BYE):
            await client.say(piece, within_s)
        async with asyncio.timeout(5):
            await client.is_over.wait()
        return client.got


@asynccontextmanager
async def without_fast_path(**values: Any) -> AsyncIterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "FastPathProtocol", PunctualProtocol)
        service = running_service(**values)
        running = await service.__aenter__()
    try:
        yield running
    finally:
        await service.__aexit__(None, None, None)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Yield the paths of the requests that take the fast path inside the block."""
    seen: list[str] = []
    serve = FastPathProtocol._serve

    async def noted(protocol: FastPathProtocol, request: FastRequest, handler: Any) -> None:
        seen.append(request.path)
        await serve(protocol, request, handler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastPathProtocol, "_serve", noted)
        yield seen


# ---- which way, and that both obey the same rules


@pytest.mark.parametrize(
    "request_bytes",
    [
        submission(),
        submission(target=b"/submit-job?token=x"),
        submission(b"Connection: Keep-Alive", b"X-Request-ID: mine"),
        submission(b"Idempotency-Key: k", body=b""),
        registration(),
        registration(target=b"/register-worker?lost"),
        b"POST /register-worker HTTP/1.1\r\n\r\n",
        *(post(b"/jobs/0f1e/" + act) for act in (b"complete", b"fail", b"extend")),
        submission(target=b"/topics/roof/submit-job"),
        registration(target=b"/topics/roof/register-worker?lost"),
        post(b"/topics/roof/jobs/0f1e/complete"),
    ],
)
async def test_ordinary_requests_take_the_fast_path(request_bytes: bytes) -> None:
    """Also the first of a connection, before Sanic's task has begun."""
    with counted() as seen:
        async with running_service(topic_names=("roof",)) as service:
            await answers_to(service, [request_bytes, request_bytes])
    assert len(seen) == 2


@pytest.mark.parametrize(
    "pieces",
    [
        [submission()[:-1], submission()[-1:]],
        [submission() + submission()],
        [submission() + b"\r\n"],
        [b"\r\n" + submission()],
        [submission().replace(b"POST", b"PUT")],
        [submission().replace(b"1.1", b"1.0")],
        [submission().replace(b"\r\n", b"\n")],
        [submission(target=b"http://x/submit-job")],
        [submission(target=b"/submit%2Djob")],
        [submission(target=b"/submit-job/")],
        [submission(target=b"/submit-jobs")],
        [submission(target=b"/topics/rof/submit-job")],
        [submission(target=b"/topics//submit-job")],
        [submission(target=b"/topics/r%6Fof/submit-job")],
        [post(b"/jobs/%C3%A9/complete")],
        [post(b"/jobs/1/2/complete")],
        [submission(body=b"1" * (1 << 10) + b"1")],
        *(
            [submission(header)]
            for header in [
                b"Connection: close",
                b"Connection: keep-alive, x",
                b"Expect: 100-continue",
                b"Upgrade: h2c",
                b"Transfer-Encoding: identity",
                b"Content-Length: 19",
                b"A : b",
                b"A: b\r\n c",
                b"A: \x1b",
                b"A: " + b"x" * 9000,
            ]
        ),
    ],
)
async def test_everything_else_goes_to_sanic(pieces: list[bytes]) -> None:
    """Unchanged, for Sanic to answer."""
    with counted() as seen:
        async with running_service(**SETTINGS) as service:
            assert (await answers_to(service, pieces, ANSWER_S)).startswith(b"HTTP/1.1 ")
    assert not seen


async def test_a_length_of_thousands_of_digits_goes_to_sanic() -> None:
    """llhttp takes any number of zeros in front, and Python does not."""
    long = submission().replace(b"Content-Length: ", b"Content-Length: " + b"0" * 4400)
    async with running_service() as service:
        assert (await answers_to(service, [long], ANSWER_S)).startswith(b"HTTP/1.1 400 ")


async def test_what_passes_middleware_goes_to_sanic() -> None:
    """Requests that middleware adds headers to, such as those of other sites."""
    with counted() as seen:
        async with running_service(cors_origins=("http://a.example",)) as service:
            answer = await answers_to(service, [submission(b"Origin: http://a.example")])
    assert b"Access-Control-Allow-Origin: http://a.example" in answer
    assert not seen


@pytest.mark.parametrize(
    ("values", "request_bytes", "expected"),
    [
        ({"orders_per_minute": 1}, submission(), b"429"),
        ({"max_jobs": 1}, submission(), b"503"),
        ({"submit_tokens": (TOKEN,)}, submission(), b"401"),
        ({"worker_tokens": (TOKEN,)}, registration(), b"401"),
    ],
)
async def test_both_ways_refuse_alike(
    values: dict[str, Any], request_bytes: bytes, expected: bytes
) -> None:
    """With the same status, headers and problem document."""
    answers = []
    with counted() as seen:
        for service_of in (running_service, without_fast_path):
            async with service_of(**values) as service:
                answers.append(masked(await answers_to(service, [request_bytes, request_bytes])))
    assert answers[0] == answers[1]
    assert b"HTTP/1.1 " + expected in answers[0]
    assert len(seen) == 2


async def test_a_mistake_of_ours_is_500_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stays open."""

    async def fail(*_: Any) -> None:
        raise RuntimeError("a mistake")

    answers = []
    for service_of in (running_service, without_fast_path):
        async with service_of() as service:
            monkeypatch.setattr(service.app.ctx.dispatcher, "_submit", fail)
            answers.append(masked(await answers_to(service, [submission(), submission()])))
    assert answers[0] == answers[1]
    assert answers[0].count(b"HTTP/1.1 500") == 2


async def test_a_mistake_in_an_error_handler_is_500_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer is Sanic's own, but for an empty header and their order; the connection stays."""

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a mistake in the handler")

    answers = []
    monkeypatch.setattr(problems, "problem", fail)
    with counted() as seen:
        for service_of in (running_service, without_fast_path):
            async with service_of() as service:
                answer = masked(await answers_to(service, [submission(body=b"{")] * 2))
                answers.append(answer.replace(b"alt-svc: \r\n", b""))
    assert sorted(answers[0].split(b"\r\n")) == sorted(answers[1].split(b"\r\n"))
    assert answers[0].count(b"HTTP/1.1 500") == 3
    assert answers[0].count(b"An error occurred while handling an error") == 3
    assert len(seen) == 2


# ---- while one is under way


class HeldCommits:
    """HeldCommits that are held back until a test lets them go on."""

    def __init__(self, service: Service) -> None:
        self.may_go_on = asyncio.Event()
        self.are_waiting = asyncio.Event()
        store = service.app.ctx.dispatcher._store
        store.commit = self._commit
        store.lasts = True  # or there is nothing to commit

    async def _commit(self, _: Any) -> None:
        self.are_waiting.set()
        await self.may_go_on.wait()


async def test_a_client_that_leaves_takes_no_job_along() -> None:
    """A registration cancelled before its commit: the job waits again."""
    with counted() as seen:
        async with running_service() as service:
            *_, job_id = await service.submit(1)
            commits = HeldCommits(service)
            async with visit(service) as client:
                client.transport.write(registration())
                await commits.are_waiting.wait()
            commits.may_go_on.set()

            async def waits_again() -> bool:
                return bool((await service.job(job_id))["state"] == "waiting")

            await eventually(waits_again)
    assert seen[-1] == "/register-worker"


async def test_answers_come_in_the_order_of_the_requests() -> None:
    """A request that arrives during one on the fast path waits for its answer."""
    async with running_service() as service:
        commits = HeldCommits(service)
        async with visit(service) as client:
            client.transport.write(submission(b"X-Request-ID: first"))
            await commits.are_waiting.wait()
            for piece in (BYE[:9], BYE[9:]):
                client.transport.write(piece)
                await asyncio.sleep(PAUSE_S)
            assert client.got == b""
            commits.may_go_on.set()
            await client.is_over.wait()
    assert re.findall(rb"HTTP/1.1 (\d+)", client.got) == [b"202", b"404"]
    assert client.got.index(b"first") < client.got.index(b"HTTP/1.1 404")


async def test_order_of_answers_on_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both arrive in the turn of the loop in which the connection was made."""
    made = FastPathProtocol.connection_made

    def connection_made(protocol: FastPathProtocol, transport: Any) -> None:
        made(protocol, transport)
        for piece in (submission(), BYE[:9], BYE[9:]):
            protocol.data_received(piece)

    async with running_service() as service:
        commits = HeldCommits(service)
        monkeypatch.setattr(FastPathProtocol, "connection_made", connection_made)
        async with visit(service) as client:
            await commits.are_waiting.wait()
            await asyncio.sleep(PAUSE_S)
            assert client.got == b""
            commits.may_go_on.set()
            await client.is_over.wait()
    assert re.findall(rb"HTTP/1.1 (\d+)", client.got) == [b"202", b"404"]


# ---- time


@asynccontextmanager
async def timed_visit() -> AsyncIterator[tuple[Service, Visit, Callable[[float], Awaitable[None]]]]:
    """A connection, and a way to let time pass, after which it looks whether its own is over."""
    clock, protocols, made = Clock(), list[FastPathProtocol](), FastPathProtocol.connection_made

    def connection_made(protocol: FastPathProtocol, transport: Any) -> None:
        protocols.append(protocol)
        made(protocol, transport)

    async def is_made() -> bool:
        return bool(protocols)

    async def let_pass(time_s: float) -> None:
        clock.now_s += time_s
        protocols[0].check_timeouts()
        await settle()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastPathProtocol, "connection_made", connection_made)
        patch.setattr(http_protocol, "current_time", clock)
        patch.setattr(fast_path, "monotonic", clock)
        async with running_service() as service, visit(service) as client:
            await eventually(is_made)
            yield service, client, let_pass


async def test_a_busy_connection_is_not_idle() -> None:
    """It is closed only KEEP_ALIVE_TIMEOUT after its last request."""
    async with timed_visit() as (service, client, let_pass):
        some_s = 0.6 * service.app.config.KEEP_ALIVE_TIMEOUT
        for _ in range(8):
            await client.say(submission(), 5.0)
            await let_pass(some_s)
            assert not client.is_over.is_set()
        await let_pass(some_s)
        await client.is_over.wait()
    assert client.got.count(b"HTTP/1.1 202") == 8


async def test_time_to_answer_begins_with_the_request() -> None:
    """Idle time does not count, and a connection that answers is not idle."""
    async with timed_visit() as (service, client, let_pass):
        config = service.app.config
        await let_pass(0.9 * config.KEEP_ALIVE_TIMEOUT)
        commits = HeldCommits(service)
        client.transport.write(submission())
        await commits.are_waiting.wait()
        await let_pass(0.9 * config.RESPONSE_TIMEOUT)
        commits.may_go_on.set()
        await client.has_more.wait()
    assert client.got.startswith(b"HTTP/1.1 202")


async def test_what_takes_too_long_is_503_both_ways() -> None:
    """After RESPONSE_TIMEOUT, and later requests of the connection are ignored."""
    answers = []
    for service_of in (running_service, without_fast_path):
        async with service_of(submit_wait_s=0.0) as service:
            service.app.config.RESPONSE_TIMEOUT = 0.2
            commits = HeldCommits(service)
            async with visit(service) as client:
                client.transport.write(submission())
                await commits.are_waiting.wait()
                client.transport.write(BYE)
                await client.is_over.wait()
            commits.may_go_on.set()
            answers.append(masked(client.got))
            assert service.app.ctx.responses[404] == 0
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 503")
    assert b"connection: close" in answers[0]


async def test_a_new_job_may_wait_longer_than_other_answers_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For --submit-wait, both ways: 503 would be for a job that is stored."""
    monkeypatch.setattr(jobs, "SHORT_WAIT_S", 0.5)
    loop = asyncio.get_running_loop()
    silent = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    callback = b"CPEE-CALLBACK: http://127.0.0.1:%d/" % silent.sockets[0].getsockname()[1]
    for service_of in (running_service, without_fast_path):
        async with service_of(submit_wait_s=1.0, stop_grace_s=0.0) as service:
            assert service.app.config.RESPONSE_TIMEOUT == 60
            service.app.config.RESPONSE_TIMEOUT = 0.3
            async with visit(service) as client:
                client.transport.write(post(b"/register-worker", callback))
                client.transport.write(submission() + BYE)
                await client.is_over.wait()
        assert re.findall(rb"HTTP/1.1 (\d+)", client.got) == [b"202", b"202", b"404"]
    silent.close()


# ---- the end


async def test_a_request_under_way_at_a_stop_gets_503() -> None:
    """It is not closed as idle."""
    loop = asyncio.get_running_loop()
    silent = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    callback = b"CPEE-CALLBACK: http://127.0.0.1:%d/" % port

    async def is_under_way() -> bool:
        return "/submit-job" in seen

    with counted() as seen:
        async with running_service(stop_grace_s=0.0, submit_wait_s=60.0) as service:
            transport, client = await loop.create_connection(Visit, *address_of(service))
            await client.say(post(b"/register-worker", callback), 5.0)
            transport.write(submission())
            await eventually(is_under_way)
        await client.is_over.wait()
    silent.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", client.got) == [b"202", b"503"]
    assert b"ShuttingDown" in client.got
    assert seen == ["/register-worker", "/submit-job"]


async def test_a_connection_that_answers_is_not_closed_as_idle() -> None:
    """At a stop, idle connections are closed first."""
    protocols: list[FastPathProtocol] = []
    made = FastPathProtocol.connection_made

    def connection_made(protocol: FastPathProtocol, transport: Any) -> None:
        protocols.append(protocol)
        made(protocol, transport)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FastPathProtocol, "connection_made", connection_made)
        async with running_service() as service, visit(service) as client:
            commits = HeldCommits(service)
            client.transport.write(submission())
            await commits.are_waiting.wait()
            assert protocols[0].close_if_idle() is False
            commits.may_go_on.set()
            await client.has_more.wait()
            assert client.got.startswith(b"HTTP/1.1 202")
            assert protocols[0].close_if_idle() is True
