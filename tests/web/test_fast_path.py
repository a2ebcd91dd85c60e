"""Ordinary requests take the fast path, and get the same answers as from Sanic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sanic_dispatch.server import runner
from sanic_dispatch.web import problems
from sanic_dispatch.web.deadlines import PunctualProtocol
from sanic_dispatch.web.fast_path import FastPathProtocol, FastRequest
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


def masked(answer: bytes) -> bytes:
    """Return the answer without random values: ids, receipts, request ids, times."""
    answer = re.sub(rb"[0-9a-f]{16,}", b"#", answer)
    return re.sub(rb"\d{4}-\d\d-\d\dT[0-9:.]+", b"@", answer)


def effects(service: Service) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """Return the numbers of jobs and workers of each topic, and the counted answers."""
    contexts = (service.app.ctx, *service.app.ctx.topics.values())
    tables = [context.dispatcher._machine.tables for context in contexts]
    numbers = [(len(each.jobs), len(each.workers)) for each in tables]
    return numbers, dict(service.app.ctx.responses)


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


@asynccontextmanager
async def worker() -> AsyncIterator[bytes]:
    """The address of a worker that accepts each job at once."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                found = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(found[1]) if found else 0)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield b"http://%b:%d/" % (host.encode(), port)


# ---- requests of all kinds

TARGETS = st.sampled_from(
    [b"/submit-job"] * 8
    + [b"/register-worker"] * 8
    + [b"/jobs/0f1e/complete", b"/jobs/0f1e/fail"]
    + [b"/topics/roof/submit-job"] * 4
    + [b"/topics/roof/register-worker"] * 4
    + [b"/topics/roof/jobs/0f1e/complete", b"/topics/rof/submit-job", b"/topics/roof/topics"]
)
QUERIES = st.sampled_from(
    [b""] * 20
    + [b"?token=" + TOKEN.encode(), b"?token=" + TOKEN.encode().replace(b"-", b"%2D"), b"?lost"]
    + [b"?match.drink=mojito%7Cbeer", b"?not.drink=beer&lost", b"?match.=x"]
    + [b"?", b"?lost=1&token=x&token=y", b"?lost&a=b%20c+d", b"?%6Cost", b"#lost", b"?a#b", b"??"]
    + [b"/", b"//", b"?\xc3\xa9", b"?\x7f", b"%20", b"?a=%FF"]
)
KINDS = st.sampled_from(
    [b"Content-Type: application/json"] * 8
    + [b"CONTENT-type:application/vnd.x+json ; charset=utf-8", b"Content-Type: text/plain"]
    + [b"Content-Type: application/x-www-form-urlencoded", b"X-Nothing:"]
)
HEADERS = [
    b"Authorization: Bearer " + TOKEN.encode(),
    b"aUTHORIZATION: bEARER  " + TOKEN.encode() + b" ",
    b"Authorization: Bearer wrong",
    b"Authorization: Bearer \xff",
    b"Idempotency-Key: a1",
    b'Idempotency-Key: "a2"',
    b"Idempotency-Key: a,b",
    b"idempotency-key:\ta3 ",
    b"X-Request-ID: called-so",
    b"X-Request-ID: \xc3\xa9",
    b"x-request-id: two",
    b"CPEE-INSTANCE-UUID: i1",
    b"CPEE-ACTIVITY: a1",
    b"CPEE-LABEL: caf\xc3\xa9",
    b"CPEE-LABEL: caf\xe9 \xe2\x82",
    b"CPEE-ATTR-INFO: \xc2\xa0Robot\xc2\x85",
    b"CPEE-INSTANCE-URL: http://127.0.0.1:1/4/",
    b"CPEE-CALLBACK: http://127.0.0.1/",
    b"cpee-callback: ftp://x/",
    b"CPEE-CALLBACK: http://b\xc3\xbc.example/",
    b"X-Forwarded-For: 10.0.0.1, 10.0.0.2",
    b"Connection: keep-alive",
    b"connection: Keep-Alive",
    b"Host: y",
    b"Cookie: a=b; c",
    b"Origin: http://elsewhere.example",
    b"Accept: text/html",
    b"Empty:",
    b"Job-Receipt: 0f1e2d",
]
ODD = [
    b"Connection: close",
    b"Connection: keep-alive, x",
    b"Connection: keep-alive ",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"Expect: a miracle",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"transfer-encoding : chunked",
    b"Content-Length: 1",
    b"Content-Length: +1",
    b"Content-Length: 1, 1",
    b"Content-Length: -1",
    b"Content-Length: 1_0",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 2000",
    b"Content-Length:",
    b"Name : value",
    b" folded: line",
    b"\tfolded",
    b"no colon",
    b": no name",
    b"",
    b"A: b\nC: d",
    b"A: b\rc",
    b"A: \0",
    b"A: \x0b\x1b\x7f",
    b"A\x80: b",
    b"A(: b",
    b"Long: " + b"x" * 9000,
]
BODIES = st.sampled_from(
    [ORDER] * 6
    + [b"1", b" [1, 2]\r\n", b"", b"{", b"NaN", b"[" * 9 + b"]" * 9, b'"\xff"', b'"\\ud800"']
    + [b"match.drink=mojito%7Cbeer&kind=drinks", b"not.a..b=1"]
    + [b"result=1", b'"%b"' % (b"x" * 1022), b'"%b"' % (b"x" * 1023), b"1\r\n\r\n"]
)


@st.composite
def requests(draw: Callable[..., Any], callback: bytes = b"http://127.0.0.1:1/") -> bytes:
    """Requests, most of them ordinary; the callback is inserted when they are sent."""
    target, body = draw(TARGETS), draw(BODIES)
    headers = [b"Host: x", draw(KINDS), *draw(st.lists(st.sampled_from(HEADERS), max_size=4))]
    headers.append(b"CPEE-Callback: {callback}%d" % draw(st.integers(0, 3)))
    length = draw(st.sampled_from([b"%d"] * 12 + [b"0%d", b"%d ", b""]))
    if length:
        headers.append(b"content-length: " + length % len(body))
    method, version, end, before = b"POST", b"HTTP/1.1", b"\r\n", b""
    if draw(st.integers(0, 3)) == 0:  # something about it is odd
        kind = draw(st.integers(0, 5))
        if kind == 0:
            method = draw(st.sampled_from([b"GET", b"PUT", b"post", b"POST ", b"HEAD", b"P"]))
        elif kind == 1:
            version = draw(st.sampled_from([b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2", b"http/1.1", b""]))
        elif kind == 2:
            end = b"\n"
        elif kind == 3:
            before = draw(st.sampled_from([b"\r\n", b"\n", b" ", b"\0"]))
        elif kind == 4:
            target = draw(st.sampled_from([b"http://x", b"/", b"", b"/%73ubmit-job"])) + target
        else:
            at = draw(st.integers(0, len(headers)))
            headers.insert(at, draw(st.sampled_from(ODD)))
    target += draw(QUERIES)
    lines = [b"%b %b %b" % (method, target, version), *headers, b"", body]
    return before + end.join(lines)


@st.composite
def conversations(draw: Callable[..., Any]) -> list[bytes]:
    """Requests on one connection: one by one, cut into pieces, or pipelined."""
    pieces: list[bytes] = []
    for request in draw(st.lists(requests(), min_size=1, max_size=4)):
        how = draw(st.sampled_from(["whole"] * 6 + ["cut", "pipelined"]))
        if how == "pipelined" and pieces:
            pieces[-1] += request
        elif how == "cut":
            at = draw(st.integers(0, len(request)))
            pieces += [request[:at], request[at:]]
        else:
            pieces.append(request)
    return pieces


@pytest.mark.parametrize("tokens", [(), (TOKEN,)], ids=["open", "with-tokens"])
def test_both_ways_give_the_same_answers(tokens: tuple[str, ...]) -> None:
    """The same bytes get the same answers, to the byte, and leave queues of the same length."""
    values = {**SETTINGS, "worker_tokens": tokens, "submit_tokens": tokens}

    async def start() -> tuple[Service, Service, bytes]:
        return (
            await opened.enter_async_context(running_service(**values)),
            await opened.enter_async_context(without_fast_path(**values)),
            await opened.enter_async_context(worker()),
        )

    async def compare(pieces: list[bytes]) -> None:
        ways = [await answers_to(service, pieces, ANSWER_S) for service in (fast, plain)]
        assert masked(ways[0]) == masked(ways[1])
        assert effects(fast) == effects(plain)

    opened = AsyncExitStack()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop, counted() as seen:
        fast, plain, callback = loop.run(start())

        @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
        @given(conversations())
        @example([submission(), registration(), registration(target=b"/register-worker?lost")])
        @example([submission(body=b'"%b"' % (b"x" * 1022)), submission(body=b"x" * 1025)])
        @example([submission() + registration(), registration() + b"\r\n"])
        def check(pieces: list[bytes]) -> None:
            loop.run(compare([piece.replace(b"{callback}", callback) for piece in pieces]))

        check()
        loop.run(opened.aclose())
    print(f"{len(seen)} requests took the fast path")  # noqa: T201 - pytest shows it on failure
    assert len(seen) > 40


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


async def test_a_busy_connection_is_not_idle() -> None:
    """It is closed only KEEP_ALIVE_TIMEOUT after its last request."""
    async with running_service() as service:
        service.app.config.KEEP_ALIVE_TIMEOUT = 0.4
        async with visit(service) as client:
            for _ in range(8):
                client.transport.write(submission())
                await asyncio.sleep(0.15)
                assert not client.is_over.is_set()
            async with asyncio.timeout(2):
                await client.is_over.wait()
    assert client.got.count(b"HTTP/1.1 202") == 8


async def test_time_to_answer_begins_with_the_request() -> None:
    """Idle time does not count, and a connection that answers is not idle."""
    async with running_service() as service:
        service.app.config.RESPONSE_TIMEOUT = 0.5
        service.app.config.KEEP_ALIVE_TIMEOUT = 0.8
        async with visit(service) as client:
            await asyncio.sleep(0.6)
            commits = HeldCommits(service)
            client.transport.write(submission())
            await asyncio.sleep(0.3)
            commits.may_go_on.set()
            await asyncio.sleep(0.05)
    assert client.got.startswith(b"HTTP/1.1 202")


async def test_what_takes_too_long_is_503_both_ways() -> None:
    """After RESPONSE_TIMEOUT, and later requests of the connection are ignored."""
    answers = []
    for service_of in (running_service, without_fast_path):
        async with service_of() as service:
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


# ---- the end


async def test_a_request_under_way_at_a_stop_gets_503() -> None:
    """It is not closed as idle."""
    loop = asyncio.get_running_loop()
    silent = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    callback = b"CPEE-CALLBACK: http://127.0.0.1:%d/" % port
    with counted() as seen:
        async with running_service(stop_grace_s=0.0, submit_wait_s=60.0) as service:
            transport, client = await loop.create_connection(Visit, *address_of(service))
            transport.write(post(b"/register-worker", callback))
            await asyncio.sleep(0.05)
            transport.write(submission())
            await asyncio.sleep(0.05)
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
            await asyncio.sleep(0.05)
            assert client.got.startswith(b"HTTP/1.1 202")
            assert protocols[0].close_if_idle() is True
