"""Probes: what they request, and what each answer means."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

UUID = "b0bc965b-11b4-4dfa-91bb-4a145ab2d3b2"


@pytest.fixture
def host(each_host):
    """Both clients are tested."""
    return each_host


def answer(status, body=b""):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "pending"),
    [
        (answer(200, b'{"uuid":"u","type":"callback","position":"a1","label":"l"}'), True),
        (answer(200), True),
        (answer(404), False),
        (answer(204), None),
        (answer(302), None),
        (answer(410), None),
        (answer(500), None),
        (answer(503), None),
        (b"", None),
        (b"garbage\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", True),
    ],
)
async def test_is_pending(callbacks, start_worker, reply, pending):
    """200 means that the callback waits, 404 that it does not; other answers mean nothing."""
    worker = await start_worker(reply)
    assert await callbacks.is_pending(worker.url) is pending
    assert worker.requests[0].startswith(b"GET /cb/1/?secret=s3cret HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        *(
            (answer(200, word), word.decode())
            for word in (b"ready", b"running", b"simulating", b"stopping", b"stopped")
        ),
        *((answer(200, word), word.decode()) for word in (b"finishing", b"finished", b"abandoned")),
        (answer(200, b"running\n"), "running"),
        (answer(404), "gone"),
        (answer(200, b""), None),
        (answer(200, b"fine"), None),
        (answer(200, b"running!"), None),
        (answer(200, b"<html>running</html>"), None),
        (answer(200, b"\xff\x00"), None),
        (answer(500, b"running"), None),
        (answer(302), None),
        (b"", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nrunning", None),
        (b"HTTP/1.1 200 OK\r\n\r\nrunning", "running"),
        (CHUNKED + b"4\r\nrunn\r\n3\r\ning\r\n0\r\n\r\n", "running"),
        (CHUNKED + b"7\r\nrunning\r\n0\r\nTrailer: x\r\n\r\n", "running"),
        (CHUNKED + b"7\r\nrunning\r\n", None),
        (CHUNKED + b"7\r\nrunning\r\nzz\r\n", None),
        (b"HTTP/1.1 103 Hints\r\nContent-Length: 7\r\n\r\n" + answer(200, b"ready"), "ready"),
    ],
)
async def test_instance_state(callbacks, start_worker, reply, state):
    """Only the engine's own words count; an unknown instance is gone."""
    worker = await start_worker(reply)
    assert await callbacks.instance_state(f"{worker.origin}/4/") == state
    assert worker.requests[0].startswith(b"GET /4/properties/state/ HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("reply", "uuid"),
    [
        (answer(200, UUID.encode()), UUID),
        (answer(200, UUID.encode() + b"\n"), UUID),
        (answer(404), ""),
        (answer(200, b"running"), ""),
        (answer(200), ""),
        (answer(503), None),
        (answer(302), None),
        (b"", None),
    ],
)
async def test_instance_uuid(callbacks, start_worker, reply, uuid):
    """The instance's UUID; empty if the engine knows none, None if unknown."""
    worker = await start_worker(reply)
    assert await callbacks.instance_uuid(f"{worker.origin}/4/") == uuid
    assert worker.requests[0].startswith(b"GET /4/properties/attributes/uuid/ HTTP/1.1\r\n")


async def test_instance_url_without_a_slash(callbacks, start_worker):
    """The state is below the instance, with or without a slash at the end of its URL."""
    worker = await start_worker(answer(200, b"running"))
    assert await callbacks.instance_state(f"{worker.origin}/4") == "running"
    assert worker.requests[0].startswith(b"GET /4/properties/state/ HTTP/1.1\r\n")


async def test_redirects_are_not_followed(callbacks, start_worker):
    """A probe does not follow redirects: the guard has judged this address only."""
    other = await start_worker(answer(200, b"running"))
    moved = b"HTTP/1.1 302 X\r\nLocation: %b\r\n\r\n" % other.url.encode()
    worker = await start_worker(moved)
    assert await callbacks.is_pending(worker.url) is None
    assert await callbacks.instance_state(worker.url.partition("cb/")[0]) is None
    assert (worker.connections, other.connections) == (2, 0)


async def test_connections_are_reused(callbacks, start_worker, answering_every):
    """A probe that has read all of its answer leaves its connection to the next one."""
    worker = await start_worker(answering_every(answer(200, b"running")))
    for _ in range(3):
        assert await callbacks.instance_state(worker.origin) == "running"
    assert (len(worker.requests), worker.connections) == (3, 1)


async def test_limit(open_callbacks, start_worker, answering_every):
    """No more than the limit is read of a body, and its connection is closed."""
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nrunning!!"
    worker = await start_worker(answering_every(endless))
    callbacks = await open_callbacks(body_limit_bytes=7)
    for _ in range(2):
        assert await callbacks.instance_state(worker.origin) == "running"
    assert worker.connections == 2


async def test_a_broken_connection_is_tried_once_more(callbacks, start_worker):
    """A connection that breaks unanswered says nothing, so the probe is repeated once."""

    async def behave(worker, reader, writer):
        await worker.read(reader)
        if len(worker.requests) == 2:
            writer.write(answer(200))

    worker = await start_worker(behave)
    assert await callbacks.is_pending(worker.url) is True
    assert len(worker.requests) == 2


async def test_unreachable(callbacks, host):
    """An unreachable worker is unknown."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://{host}:{free.getsockname()[1]}/4/"
    assert await callbacks.is_pending(url) is None
    assert await callbacks.instance_state(url) is None


async def test_hanging(hasty, start_worker):
    """A probe has the same limits as a delivery."""
    began = time.monotonic()
    worker = await start_worker(b"HTTP/1.1 200 OK\r\n", keep_open=True)
    assert await hasty.is_pending(worker.url) is None
    half = await start_worker(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrun", keep_open=True)
    assert await hasty.instance_state(f"{half.origin}/4/") is None
    assert time.monotonic() - began < 2.5


async def test_patience(callbacks, start_worker, monkeypatch):
    """With ``if_silent``, a probe has a shorter limit, after which that value is the answer."""
    monkeypatch.setattr("sanic_dispatch.callbacks.probe.PROBE_TIMEOUT_S", 0.3)
    began = time.monotonic()
    worker = await start_worker(b"", keep_open=True)
    assert await callbacks.is_pending(worker.url, if_silent=False) is False
    assert time.monotonic() - began < 5


async def test_endless_state(callbacks, start_worker, endless):
    """Of a body no more than the limit is read; then the connection is closed."""
    cut = asyncio.Event()
    worker = await start_worker(endless(cut))
    assert await callbacks.instance_state(f"{worker.origin}/4/") is None
    await asyncio.wait_for(cut.wait(), 9)
