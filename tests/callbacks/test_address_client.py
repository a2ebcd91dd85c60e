"""The client for literal addresses: its bytes on the wire, and its connection pool."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address
from unittest.mock import Mock

import pytest
from yarl import URL

from sanic_dispatch.callbacks.address_client import host_and_path
from sanic_dispatch.callbacks.connection_pool import Pool, PooledConnection
from sanic_dispatch.callbacks.http_client import NotSent
from sanic_dispatch.callbacks.outcome import Accepted

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

MAPPED = f"[{IPv6Address('::ffff:7f00:1')}]"
"""[::ffff:127.0.0.1] since Python 3.13, [::ffff:7f00:1] before."""

PATHS = [
    "",
    "/",
    "?",
    "?x=1",
    "#f",
    "/x?#y",
    "/4/callbacks/5480964890e4a865b1cee2b2fe93f45a/",
    "/a_b-c//d/",
    "/a/../b",
    "/..",
    "/a/./b/.",
    "/a/%2e%2e/b",
    "/a%2Fb/%7e%41%zz%",
    '/"<>^{}|`\\',
    '/?"<>^{}|`\\',
    "/a:b@c!$&'()*+,;=",
    "/;a=b?c;d&e==&f=%41%2b+%20%26",
    "/a?b/../c?d",
    "/[a]?[b]",
    "//evil/x",
]


@pytest.mark.parametrize("path", PATHS)
async def test_same_bytes_as_aiohttp(callbacks, start_worker, path):
    """A worker receives the same bytes from both clients."""
    worker = await start_worker(OK)
    for host in ("127.0.0.1", "worker.example"):
        url = f"http://{host}:{worker.port}{path}"
        await callbacks.deliver(url, b"{}", {"Job-Receipt": "r", "X": "\tü"})
        await callbacks.is_pending(url)
    by_address = [worker.requests[0], worker.requests[1]]
    by_name = [each.replace(b"worker.example", b"127.0.0.1") for each in worker.requests[2:]]
    assert by_address == by_name


@pytest.mark.parametrize("path", ["", "/", "/x", "/x.y"])
@pytest.mark.parametrize("port", ["", ":", ":80", ":080", ":8", ":800", ":0800", ":65535"])
def test_port_in_the_host_header(port, path):
    """The Host header has the port unless it is the scheme's default, as in aiohttp."""
    url = URL(f"http://127.0.0.1{port}{path}")
    assert host_and_path(f"http://127.0.0.1{port}{path}") == (
        url.host_port_subcomponent,
        url.raw_path_qs,
    )


@pytest.mark.parametrize(
    ("host", "at", "written"),
    [
        ("[::1]", "::1", b"[::1]"),
        ("[0:0::1]", "::1", b"[::1]"),
        ("[::FFFF:7f00:1]", "127.0.0.1", MAPPED.encode()),
    ],
)
async def test_ipv6(callbacks, start_worker, host, at, written):
    """An IPv6 address is called, with its short form in the Host header."""
    try:
        worker = await start_worker(OK, at=at)
    except OSError:
        pytest.skip("no IPv6 here")
    assert await callbacks.deliver(f"http://{host}:{worker.port}/", b"1") == Accepted()
    assert b"\r\nHost: %b:%d\r\n" % (written, worker.port) in worker.requests[0]


async def test_unexpected_bytes_end_a_connection(callbacks, start_worker):
    """A connection that received bytes without a request is not used again."""

    async def behave(worker, reader, writer):
        await worker.read(reader)
        writer.write(OK)
        await is_answered.acquire()
        writer.write(OK.replace(b"200", b"500"))
        closed.put_nowait(await reader.read())

    is_answered, closed = asyncio.Semaphore(0), asyncio.Queue()
    worker = await start_worker(behave)
    for _ in range(2):
        assert await callbacks.deliver(worker.url, b"1") == Accepted()
        is_answered.release()
        assert await closed.get() == b""
    assert worker.connections == 2


async def test_an_answer_before_the_request(monkeypatch):
    """A new connection that received bytes before its request is not used."""

    async def connect(make, *_):
        connection, transport = make(), Mock()
        transport.is_closing.side_effect = lambda: transport.abort.called
        connection.connection_made(transport)
        connection.data_received(OK)
        return transport, connection

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", connect)
    with pytest.raises(NotSent, match="^the request could not be sent$"):
        await Pool(keep_alive_s=2.0).take(("127.0.0.1", 1), timeout_s=9)


async def test_a_cancelled_call_closes_its_connection():
    """A cancelled call closes its connection, even in the moment of its answer."""
    connection, transport = PooledConnection(("127.0.0.1", 1), Mock()), Mock()
    connection.connection_made(transport)
    task = asyncio.create_task(connection.exchange(b"", 0, asyncio.get_running_loop().time() + 9))
    await asyncio.sleep(0)
    connection.data_received(OK)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    transport.abort.assert_called_once_with()


async def test_most_recent_idle_connection_first(callbacks, start_worker):
    """The most recently used idle connection is used first, so that others can expire."""

    async def behave(worker, reader, writer):
        number = worker.connections
        while await worker.read(reader):
            served.append(number)
            if len(served) == 3:
                all_there.set()
            await all_there.wait()
            writer.write(OK)

    served, all_there = [], asyncio.Event()
    worker = await start_worker(behave)
    await asyncio.gather(*(callbacks.deliver(worker.url, b"1") for _ in range(3)))
    for _ in range(3):
        await callbacks.deliver(worker.url, b"1")
    assert len(set(served[3:])) == 1
    assert worker.connections == 3
