"""Deliveries: the bytes on the wire, and which outcome each kind of worker leads to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time

import aiohttp
import pytest

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Refused
from tests.support.certificates import make_certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BODY = b'{"Job":{"id":"1","data":{"drink":"mojito"},"submitted_at":"2024"}}'

IN_TIME = InDoubt("no answer in time")
BROKEN = InDoubt("the connection broke before an answer came")
NOT_HTTP = InDoubt("the answer is not HTTP")


@pytest.fixture
def host(each_host):
    """Both clients are tested."""
    return each_host


at_its_address = pytest.mark.parametrize("host", ["127.0.0.1"])
"""For tests where the name makes no difference: https goes through aiohttp."""


async def test_request_on_the_wire(callbacks, start_worker):
    """A delivery is a PUT with application/json, a Content-Length, and the bytes of the job."""
    worker = await start_worker(OK)
    assert await callbacks.deliver(worker.url, BODY, {"Job-Receipt": "r1"}) == Accepted()
    head, _, body = worker.requests[0].partition(b"\r\n\r\n")
    assert sorted(head.split(b"\r\n")) == [
        b"Accept: */*",
        b"Content-Length: %d" % len(BODY),
        b"Content-Type: application/json",
        b"Host: %b:%d" % (worker.host.encode(), worker.port),
        b"Job-Receipt: r1",
        b"PUT /cb/1/?secret=s3cret HTTP/1.1",
        b"User-Agent: sanic-dispatch",
    ]
    assert body == BODY


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**20 + 1, 3 * 2**20])
async def test_every_size_has_a_length(callbacks, start_worker, size):
    """No body is chunked, however large: an engine reads a chunked one as empty."""
    worker = await start_worker(OK)
    assert await callbacks.deliver(worker.url, b"1" * size) == Accepted()
    assert b"\r\nContent-Length: %d\r\n" % size in worker.requests[0]
    assert b"transfer-encoding" not in worker.requests[0].lower()


async def test_url_is_kept_as_it_is(callbacks, start_worker):
    """Escapes in path and query reach the worker as they were registered."""
    worker = await start_worker(OK)
    path = "/a%2Fb/;c/?x=a%3Db+c%26d&y=1"
    await callbacks.deliver(f"{worker.origin}{path}#here", BODY)
    assert worker.requests[0].startswith(f"PUT {path} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_accepted(callbacks, start_worker, status):
    """Any 2xx means that the worker has the job."""
    worker = await start_worker(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert await callbacks.deliver(worker.url, BODY) == Accepted()


@pytest.mark.parametrize(
    ("status", "blames_job"),
    [(300, False), (304, False), (401, False), (404, False), (409, False), (410, False),
     (503, False), (400, True), (413, True), (418, True), (500, True), (501, True), (505, True)],
)  # fmt: skip
async def test_refused(callbacks, start_worker, status, blames_job):
    """Other answers mean that the job was not taken; some of them blame the job."""
    worker = await start_worker(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    outcome = await callbacks.deliver(worker.url, BODY)
    assert outcome == Refused(f"answered {status}", blames_job)


@pytest.mark.parametrize("status", [502, 504])
async def test_gateway_in_doubt(callbacks, start_worker, status):
    """502 and 504 leave it open whether the worker behind the gateway took the job."""
    worker = await start_worker(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert await callbacks.deliver(worker.url, BODY) == InDoubt(f"answered {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(callbacks, start_worker, status):
    """A redirect is a refusal, and its target is not called."""
    other = await start_worker(OK)
    worker = await start_worker(
        b"HTTP/1.1 %d X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, other.url.encode())
    )
    assert await callbacks.deliver(worker.url, BODY) == Refused(f"answered {status}")
    assert other.connections == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", BROKEN),
        (b"HTTP/1.1 20", BROKEN),
        (b"HTTP/1.1 200 OK\r\nContent-", BROKEN),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", NOT_HTTP),
        (b"\x00\xff\x17 garbage\r\n\r\n", NOT_HTTP),
        (b"HTTP/1.1 abc OK\r\n\r\n", NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Accepted()),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", Accepted()),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NOT_HTTP),
        (b"HTTP/1.1 503 X\r\nContent-Length: 10\r\n\r\nhalf", Refused("answered 503")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\n" + OK, Accepted()),
        (b"HTTP/1.1 100 Continue\r\n\r\n", BROKEN),
        (b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n?", Refused("answered 101")),
        (b"HTTP/1.1 101 X\r\n\r\n", Refused("answered 101")),
        (b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", NOT_HTTP),
        (b"HTTP/1.1 200 OK\nX: a\x01b\n\n", Accepted()),
    ],
)
async def test_broken_answers(callbacks, start_worker, answer, expected):
    """A connection that breaks within the head leaves doubt; after it the status decides."""
    worker = await start_worker(answer)
    assert await callbacks.deliver(worker.url, BODY) == expected
    assert len(worker.requests) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", IN_TIME),
        (b"HTTP/1.1 200 OK\r\n", IN_TIME),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", Accepted()),
        (b"HTTP/1.1 409 X\r\nContent-Length: 10\r\n\r\nhalf", Refused("answered 409")),
    ],
)
async def test_hanging_answers(hasty, start_worker, answer, expected):
    """A worker that hangs within the head is in doubt; its body is not waited for."""
    worker = await start_worker(answer, keep_open=True)
    began = time.monotonic()
    assert await hasty.deliver(worker.url, BODY) == expected
    assert time.monotonic() - began < 5


async def drip(worker, reader, writer):
    await worker.read(reader)
    for byte in OK:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def informs(worker, reader, writer):
    await worker.read(reader)
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("behave", [drip, informs])
async def test_slow_answers(hasty, start_worker, behave):
    """The whole call has one limit, whatever trickles in meanwhile."""
    worker = await start_worker(behave)
    began = time.monotonic()
    assert await hasty.deliver(worker.url, BODY) == IN_TIME
    assert time.monotonic() - began < 5


async def test_never_reads(hasty, start_worker):
    """A worker that does not read a large job costs the time-out and no more."""

    async def behave(worker, reader, writer):
        await asyncio.Event().wait()

    worker = await start_worker(behave)
    assert await hasty.deliver(worker.url, b"1" * 2**25) == IN_TIME


async def test_endless_body(callbacks, start_worker, endless):
    """Of an endless body no more than the limit is read; then the connection is closed."""
    cut = asyncio.Event()
    worker = await start_worker(endless(cut))
    assert await callbacks.deliver(worker.url, BODY) == Accepted()
    await asyncio.wait_for(cut.wait(), 9)


async def test_an_early_answer(callbacks, start_worker):
    """An answer counts before the job was read; the rest of the job is not sent."""

    async def behave(worker, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
        await done.wait()

    done = asyncio.Event()
    worker = await start_worker(behave)
    for _ in range(2):
        assert await callbacks.deliver(worker.url, b"1" * 2**25) == Refused("answered 413", True)
    assert worker.connections == 2
    done.set()


@pytest.mark.parametrize("value", ["a\r\nX-Evil: b", "a\nb", "a\0b", "a\x7fb"])
async def test_headers_that_cannot_be_sent(callbacks, start_worker, value):
    """A header with a line break raises ValueError, and nothing is sent."""
    worker = await start_worker(OK)
    for headers in ({"X": value}, {value: "x"}):
        with pytest.raises(ValueError, match="control character"):
            await callbacks.deliver(worker.url, BODY, headers)
    assert worker.requests == []


async def test_slow_workers_delay_no_others(callbacks, start_worker):
    """While 200 workers hang, a delivery to a good one succeeds."""
    hanging, good = await start_worker(b"", keep_open=True), await start_worker(OK)
    stuck = [asyncio.create_task(callbacks.deliver(hanging.url, BODY)) for _ in range(200)]
    await hanging.connected.wait()
    assert await callbacks.deliver(good.url, BODY) == Accepted()
    assert not any(task.done() for task in stuck)
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_connection_refused(callbacks, host):
    """If the connection is refused, nothing was sent: refused."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = await callbacks.deliver(f"http://{host}:{port}/?token=s3cret", BODY)
    assert outcome == Refused("no connection: connection refused")


async def test_connect_time_out(hasty, host):
    """If connecting times out, nothing was sent: refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        outcome = await hasty.deliver(f"http://{host}:{full.getsockname()[1]}/", BODY)
        for one in crowd:
            one.close()
    assert outcome == Refused("no connection in time")


async def test_name_does_not_resolve(open_callbacks):
    """A name without an address is refused."""

    def lookup(host):
        raise socket.gaierror(-2, "Name or service not known")

    callbacks = await open_callbacks(lookup=lookup)
    outcome = await callbacks.deliver("http://nowhere.example/cb/", BODY)
    assert outcome == Refused("the name does not resolve")


async def test_name_resolves_too_slowly(open_callbacks):
    """Resolving counts as connecting: a time-out is refused."""
    never = threading.Event()
    callbacks = await open_callbacks(
        connect_timeout_s=0.3, lookup=lambda host: never.wait(9) and []
    )
    outcome = await callbacks.deliver("http://slow.example/cb/", BODY)
    never.set()
    assert outcome == Refused("no connection in time")


@at_its_address
async def test_not_tls(callbacks, start_worker):
    """If the TLS handshake fails, nothing was sent: refused."""
    worker = await start_worker(b"")

    async def behave(worker, reader, writer):
        writer.write(b"HTTP/1.1 400 plain HTTP\r\n\r\n")
        await writer.drain()

    worker.behave = behave
    outcome = await callbacks.deliver(f"https://{worker.host}:{worker.port}/", BODY)
    assert outcome == Refused("the TLS handshake failed")


@at_its_address
async def test_untrusted_certificate(callbacks, start_worker, self_signed):
    """A worker with an untrusted certificate is refused, and the job is not sent."""
    worker = await start_worker(OK, tls=self_signed)
    assert await callbacks.deliver(worker.url, BODY) == Refused("the TLS handshake failed")
    assert worker.requests == []


@at_its_address
async def test_tls_handshake_hangs(hasty, start_worker):
    """A hanging handshake ends at the connect time-out: refused."""

    async def behave(worker, reader, writer):
        await asyncio.Event().wait()

    worker = await start_worker(behave)
    outcome = await hasty.deliver(f"https://{worker.host}:{worker.port}/", BODY)
    assert outcome == Refused("no connection in time")


async def test_one_put_on_a_fresh_connection(callbacks, start_worker):
    """A fresh connection that breaks unanswered has carried the only PUT."""
    worker = await start_worker(b"")
    assert await callbacks.deliver(worker.url, BODY) == BROKEN
    assert (len(worker.requests), worker.connections) == (1, 1)


@pytest.mark.parametrize("reset", [False, True])
async def test_one_put_on_a_reused_connection(callbacks, start_worker, reset):
    """A reused connection that breaks unanswered has carried the only PUT."""

    async def behave(worker, reader, writer):
        await worker.read(reader)
        writer.write(OK)
        await worker.read(reader)
        if reset:
            writer.transport.abort()

    worker = await start_worker(behave)
    assert await callbacks.deliver(worker.url, BODY) == Accepted()
    assert await callbacks.deliver(worker.url, BODY) == BROKEN
    assert (len(worker.requests), worker.connections) == (2, 1)


@at_its_address
async def test_a_plain_client_would_send_twice(start_worker):
    """Control: aiohttp by itself would send a second PUT."""
    worker = await start_worker(b"")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.put(worker.url, data=BODY)
    assert len(worker.requests) == 2


async def test_connections_are_reused(callbacks, start_worker, answering_every):
    """A connection that the worker keeps alive carries the next job."""
    worker = await start_worker(answering_every(OK))
    for _ in range(5):
        assert await callbacks.deliver(worker.url, BODY) == Accepted()
    assert (len(worker.requests), worker.connections) == (5, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        OK + OK,
    ],
)
async def test_connections_that_are_not_reused(callbacks, start_worker, answering_every, answer):
    """An unread rest, extra bytes, or ``Connection: close`` mean a new connection."""
    worker = await start_worker(answering_every(answer))
    for _ in range(2):
        assert await callbacks.deliver(worker.url, BODY) == Accepted()
    assert (len(worker.requests), worker.connections) == (2, 2)


async def test_closed_while_idle(callbacks, start_worker):
    """A connection that the worker closed between two jobs is noticed, and not used."""
    worker = await start_worker(OK)
    for _ in range(2):
        assert await callbacks.deliver(worker.url, BODY) == Accepted()
        await asyncio.sleep(0.1)
    assert (len(worker.requests), worker.connections) == (2, 2)


async def test_idle_connections_are_closed(open_callbacks, start_worker, monkeypatch):
    """Each idle connection is closed some time after its last use."""

    async def behave(worker, reader, writer):
        delay_s = 0.05 * worker.connections
        await worker.read(reader)
        await asyncio.sleep(delay_s)
        writer.write(OK)
        read.put_nowait(await reader.read(1))

    read = asyncio.Queue()
    monkeypatch.setattr("sanic_dispatch.callbacks.callback_client._KEEP_ALIVE_S", 0.2)
    callbacks, worker = await open_callbacks(), await start_worker(behave)
    await asyncio.gather(*(callbacks.deliver(worker.url, BODY) for _ in range(3)))
    assert [await read.get() for _ in range(3)] == [b""] * 3


async def test_idle_for_too_long(open_callbacks, start_worker, answering_every, monkeypatch):
    """A connection that was idle for too long is not used, even if it is still open."""
    monkeypatch.setattr("sanic_dispatch.callbacks.callback_client._KEEP_ALIVE_S", 0.0)
    callbacks, worker = await open_callbacks(), await start_worker(answering_every(OK))
    for _ in range(2):
        assert await callbacks.deliver(worker.url, BODY) == Accepted()
    assert worker.connections == 2


async def test_closing(open_callbacks, start_worker):
    """Closing breaks off a delivery, which is then in doubt, and closes idle connections."""

    async def behave(worker, reader, writer):
        await worker.read(reader)
        writer.write(OK)
        await worker.read(reader)
        arrived.set()
        closed.append(await reader.read())

    arrived, closed = asyncio.Event(), []
    callbacks, worker = await open_callbacks(), await start_worker(behave)
    await asyncio.gather(*(callbacks.deliver(worker.url, BODY) for _ in range(2)))
    under_way = asyncio.create_task(callbacks.deliver(worker.url, BODY))
    await arrived.wait()
    await callbacks.close()
    assert await under_way == BROKEN
    await asyncio.sleep(0.1)
    assert closed == [b""]
    with pytest.raises(RuntimeError):
        await callbacks.deliver(worker.url, BODY)


async def test_no_cookies(callbacks, start_worker, answering_every):
    """Cookies of one worker are sent to none."""
    worker = await start_worker(
        answering_every(OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b\r\n"))
    )
    for _ in range(2):
        await callbacks.deliver(worker.url, BODY)
    assert b"Cookie" not in worker.requests[1]


async def test_no_proxy_from_the_environment(callbacks, start_worker, monkeypatch):
    """Proxies from the environment are not used: the guard judges the worker itself."""
    proxy, worker = await start_worker(OK), await start_worker(OK)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await callbacks.deliver(worker.url, BODY) == Accepted()
    assert proxy.connections == 0


async def test_reasons_are_plain(callbacks, start_worker):
    """No reason has text of a worker, or of a URL."""
    worker = await start_worker(b"HTTP/1.1 500 \x1b[31ms3cret\r\nContent-Length: 0\r\n\r\n")
    for url in (worker.url, "http://s3cret@h/", "http://[::s3cret]/", "http://169.254.0.1/?s3cret"):
        outcome = await callbacks.deliver(url, BODY)
        assert "s3cret" not in outcome.reason
        assert outcome.reason.isprintable()


async def test_a_cancelled_delivery_closes_its_connection(callbacks, start_worker):
    """A cancelled delivery leaves no connection that a later one could use."""
    closed = asyncio.Event()

    async def behave(worker, reader, writer):
        await worker.read(reader)
        arrived.set()
        await reader.read()
        closed.set()

    arrived = asyncio.Event()
    worker = await start_worker(behave)
    task = asyncio.create_task(callbacks.deliver(worker.url, BODY))
    await arrived.wait()
    task.cancel()
    await asyncio.wait_for(closed.wait(), 9)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def self_signed(tmp_path):
    """A server's TLS context with a self-signed certificate."""
    key, certificate = make_certificate(tmp_path, "worker", "IP:127.0.0.1,DNS:worker.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
