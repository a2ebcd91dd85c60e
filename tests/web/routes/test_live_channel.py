"""The live channel over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from sanic import Sanic
from websockets.asyncio.client import ClientConnection, connect

from sanic_dispatch import __version__
from sanic_dispatch.app import new_context
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import DispatchError, OwnerUnreachable, ShuttingDown, StandingBy
from sanic_dispatch.live.asyncapi import asyncapi
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.subscription import OutOfReach, TooManyClients
from sanic_dispatch.web import problems
from sanic_dispatch.web.routes import live_channel
from sanic_dispatch.web.routes.live_channel import live
from tests.support.clock import START_S
from tests.support.story import Story, reduced, secret
from tests.support.valid_frames import every_frame_is_valid

__all__ = ["every_frame_is_valid"]


class Bar:
    """A server with only the live channel, and a story of events."""

    def __init__(self, app: Sanic[Any, Any], port: int, http: aiohttp.ClientSession) -> None:
        self.app, self.port, self.http = app, port, http
        self.story: Story = app.ctx.story
        self.hub: Hub = app.ctx.hub

    def connect(self, query: str = "") -> Any:
        return connect(f"ws://127.0.0.1:{self.port}/live{query}", compression=None)

    def get(self, query: str = "", **headers: str) -> Any:
        return self.http.get(f"http://127.0.0.1:{self.port}/state{query}", headers=headers)


class StoryClock(SystemClock):
    """The machine's clock, but with the date of the story."""

    now_s = staticmethod(lambda: START_S)


@asynccontextmanager
async def running_bar(**values: Any) -> AsyncIterator[Bar]:
    app: Sanic[Any, Any] = Sanic(
        f"live_{secrets.token_hex(4)}",
        ctx=new_context(Settings().with_operator_token()),
        configure_logging=False,
    )
    app.config.update(TOUCHUP=False, AUTO_EXTEND=False, ACCESS_LOG=False)
    app.blueprint(live.copy("live"))
    problems.install(app, lambda *_: None)
    app.ctx.story = Story()
    app.ctx.hub = Hub(app.ctx.story.bus, StoryClock(), **values)
    app.ctx.hub.start()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = await app.create_server(sock=sock, return_asyncio_server=True)
        assert server is not None
        await server.startup()
        try:
            async with aiohttp.ClientSession() as http:
                yield Bar(app, sock.getsockname()[1], http)
        finally:
            app.ctx.hub.stop()
            await server.before_stop()
            server.close()


@pytest.fixture
async def bar() -> AsyncIterator[Bar]:
    async with running_bar() as bar:
        yield bar


async def frame(ws: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(ws.recv(), 5))


async def close_code(ws: ClientConnection) -> int | None:
    """Return the code that the server closed with."""
    await asyncio.wait_for(ws.wait_closed(), 3)
    return ws.close_code


async def test_first_the_state_then_patches(bar: Bar) -> None:
    """A follower gets the whole state once, then changes."""
    bar.story.submit({"drink": "Mojito", "logo": "lion", "name": "Ada"})
    async with bar.connect() as ws:
        first = await frame(ws)
        assert first["state"]["order/1"]["drink"] == "Mojito"
        bar.story.submit({"drink": "Lemonade"})
        second = await frame(ws)
        assert second["patch"]["order/2"]["state"] == "waiting"
        assert "Ada" not in json.dumps([first, second])


async def test_resume_with_the_last_cursor(bar: Bar) -> None:
    """A client that reconnects gets exactly what it missed."""
    async with bar.connect() as ws:
        at = (await frame(ws))["at"]
    bar.story.submit()
    bar.story.submit()
    async with bar.connect(f"?view=board&since={at}") as ws:
        missed = await frame(ws)
    assert set(missed["patch"]) == {"order/1", "order/2", "bar"}
    async with bar.connect(f"?since={missed['at']}") as ws:
        assert set(await frame(ws)) == {"at", "now"}


async def test_another_epoch_gets_the_whole_state(bar: Bar) -> None:
    """A cursor from before a restart gets the whole state."""
    async with bar.connect("?since=0badcafe:3") as ws:
        assert "state" in await frame(ws)


async def test_an_order_by_its_secret_id(bar: Bar) -> None:
    """The customer sees the name, and every frame is a state."""
    ticket = bar.story.submit({"drink": "Mojito", "name": "Ada"})
    async with bar.connect(f"?order={secret(ticket)}") as ws:
        first = await frame(ws)
        bar.story.assign(ticket)
        second = await frame(ws)
    assert first["state"]["order"] == {
        "n": 1,
        "name": "Ada",
        "drink": "Mojito",
        "state": "waiting",
        "ahead": 0,
        "position": 1,
        "eta": None,
        "t": bar.story.now_s,
        "why": {"reason": "no_worker"},
    }
    assert second["state"]["order"]["state"] == "assigned"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?view=kitchen", 400),
        ("?view=", 400),
        ("?view=board&order=1", 400),
        ("?view=board&view=board", 400),
        ("?order=" + "f" * 32, 404),
        ("?order=", 404),
    ],
)
async def test_refusals_are_the_same_everywhere(bar: Bar, query: str, status: int) -> None:
    """The close code is 4000 plus the status, after the handshake: browsers see no other reason."""
    async with bar.connect(query) as ws:
        assert await close_code(ws) == 4000 + status
    async with bar.get(query) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
    async with bar.get(query, Accept="text/event-stream") as response:
        assert response.status == status


@pytest.mark.parametrize("since", ["", "x", "a:", ":1", "a:-1", "a:1:1", "a:1 ", "a:" + "9" * 16])
async def test_a_malformed_cursor_is_refused(bar: Bar, since: str) -> None:
    """4400, and 400 for an event stream."""
    async with bar.connect(f"?since={since.replace(' ', '%20')}") as ws:
        assert await close_code(ws) == 4400
    query = f"?since={since.replace(' ', '%20')}"
    async with bar.get(query, Accept="text/event-stream") as response:
        assert response.status == 400


async def test_the_monitor_is_for_operators(bar: Bar) -> None:
    """4401, and 401 at /state, without the operator's token, also from this machine."""
    async with bar.connect("?view=monitor") as ws:
        assert await close_code(ws) == 4401
    async with bar.get("?view=monitor") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="operator"'
    bar.app.ctx.access.may_monitor = lambda request: True
    async with bar.connect("?view=monitor") as ws:
        assert "state" in await frame(ws)


async def test_pages_of_other_sites_do_not_follow(bar: Bar) -> None:
    """4403 if the app rejects the origin."""
    bar.app.ctx.origins.may_follow = lambda request: False
    async with bar.connect() as ws:
        assert await close_code(ws) == 4403


async def test_too_many_followers() -> None:
    """4503 over the limit, 503 for an event stream; a client that leaves makes room."""
    async with running_bar(max_clients=1) as bar:
        async with bar.connect() as ws:
            await frame(ws)
            async with bar.connect() as second:
                assert await close_code(second) == 4503
            async with bar.get(Accept="text/event-stream") as response:
                assert response.status == 503
        await left(bar)
        async with bar.connect() as ws:
            await frame(ws)


async def left(bar: Bar, size: int = 0) -> None:
    """Wait until only so many follow."""
    async with asyncio.timeout(5):
        while bar.hub.size != size:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


@pytest.mark.parametrize("message", ["hello", b"hello", "", "x" * 1000])
async def test_a_client_that_sends_a_message_is_closed(bar: Bar, message: str | bytes) -> None:
    """4400 with the reason: only the server sends messages."""
    async with bar.connect() as ws:
        await frame(ws)
        await ws.send(message)
        assert await close_code(ws) == 4400
        assert ws.close_reason == "a client sends nothing here"
    await left(bar)


async def test_a_client_that_leaves_is_forgotten(bar: Bar) -> None:
    """With a close frame, or by breaking the connection."""
    async with bar.connect() as ws:
        await frame(ws)
        assert bar.hub.size == 1
    await left(bar)
    ws = await bar.connect()
    await frame(ws)
    ws.transport.abort()
    await left(bar)


async def test_the_client_may_ping(bar: Bar) -> None:
    """Control frames are answered, and do not count as messages."""
    async with bar.connect() as ws:
        await frame(ws)
        await asyncio.wait_for(await ws.ping(), 3)
        bar.story.submit()
        assert "patch" in await frame(ws)


async def test_the_server_closes_with_1012(bar: Bar) -> None:
    """At a stop, so that clients reconnect."""
    async with bar.connect() as ws:
        await frame(ws)
        bar.hub.stop()
        assert await close_code(ws) == 1012


async def test_a_connection_is_taken_over_whole(bar: Bar) -> None:
    """Sanic forgets it, no task waits for it, and bytes behind the handshake are not lost."""
    tasks = len(asyncio.all_tasks())
    async with raw_client(bar, then=masked(0x81, b"hello")) as client:
        assert await client.close_code() == 4400
        assert len(asyncio.all_tasks()) == tasks
    await left(bar)


async def test_a_client_that_does_not_close_is_aborted(bar: Bar) -> None:
    """It does not delay the stop of the service."""
    async with raw_client(bar) as client:
        await client.frame()
        bar.hub.stop()
        assert await client.close_code() == 1012
        await asyncio.wait_for(bar.app.ctx.followers.gone(), 3)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 426),
        ({"Connection": "Upgrade", "Upgrade": "h2c"}, 426),
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, 400),
    ],
)
async def test_a_request_that_is_no_handshake(
    bar: Bar, headers: dict[str, str], status: int
) -> None:
    """It gets a problem document, and the connection can be used for other requests."""
    url = f"http://127.0.0.1:{bar.port}/live"
    async with bar.http.get(url, headers=headers) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        assert response.headers.get("Upgrade") == ("websocket" if status == 426 else None)
    assert bar.app.ctx.followers._connected == set()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"Cookie", 101),
        (b"X-Forwarded-For", 101),
        (b"Sec-WebSocket-Extensions", 101),
        (b"Sec-WebSocket-Key", 400),
        (b"Sec-WebSocket-Version", 400),
        (b"Upgrade", 426),
    ],
)
@pytest.mark.parametrize("value", ["\u00e4".encode(), b"\xff", b"\x01"], ids=repr)
async def test_non_ascii_in_a_handshake(bar: Bar, name: bytes, value: bytes, status: int) -> None:
    """In unrelated headers it is ignored; elsewhere it is not a handshake; never 500."""
    headers = {
        b"Connection": b"Upgrade",
        b"Upgrade": b"websocket",
        b"Sec-WebSocket-Version": b"13",
        b"Sec-WebSocket-Key": b"A" * 22 + b"==",
        name: value,
    }
    reader, writer = await asyncio.open_connection("127.0.0.1", bar.port)
    writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n")
    writer.writelines(b"%s: %s\r\n" % header for header in headers.items())
    writer.write(b"\r\n")
    assert (await reader.readline()).split()[1] == b"%d" % status
    writer.close()
    await writer.wait_closed()


# ---- frames that no client should send


class RawClient:
    """A client that sends any bytes after a proper handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        head = await self.reader.readexactly(2)
        assert head[0] & 0x70 == 0, "no extension was agreed on"
        assert head[1] & 0x80 == 0, "a server does not mask"
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return head[0] & 0x0F, await self.reader.readexactly(length)

    async def close_code(self) -> int:
        """Return the code of the close frame, which has to come within a second."""
        async with asyncio.timeout(1):
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big")


@asynccontextmanager
async def raw_client(
    bar: Bar, query: str = "", then: bytes = b"", **socket_options: int
) -> AsyncIterator[RawClient]:
    sock = socket.socket()
    for name, value in socket_options.items():
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", bar.port))
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.write(
        f"GET /live{query} HTTP/1.1\r\nHost: bar\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        + then
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


def masked(first: int, payload: bytes, length: bytes | None = None) -> bytes:
    """Return a client's frame; ``length`` may contradict the payload."""
    mask = os.urandom(4)
    sized = bytes([0x80 | len(payload)]) if length is None else length
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([first]) + sized + mask + body


@pytest.mark.parametrize(
    ("sent", "codes"),
    [
        (b"\x81\x02hi", {1002}),
        (masked(0xC1, b"hi"), {1002}),
        (masked(0x83, b"hi"), {1002}),
        (masked(0x80, b"hi"), {1002}),
        (masked(0x09, b"hi"), {1002}),
        (masked(0x89, b"x" * 126, b"\xfe\x00\x7e"), {1002}),
        (masked(0x81, b"\xff\xfe"), {1007}),
        (masked(0x81, b"x", b"\xfe\x10\x00"), {1009}),
        (masked(0x81, b"x", b"\xff" + b"\xff" * 8), {1002, 1009}),
        (masked(0x01, b"half"), {4400}),
        (masked(0x88, b"\x03"), {1002}),
        (masked(0x88, struct.pack("!H", 999)), {1002}),
        (masked(0x88, struct.pack("!H", 1000) + b"\xff"), {1007}),
        (masked(0x88, struct.pack("!H", 1000)), {1000}),
        (masked(0x88, b""), {1005, 1000, 0}),
    ],
    ids=[
        "unmasked", "reserved-bit", "reserved-opcode", "continuation-of-nothing",
        "fragmented-ping", "long-ping", "not-utf-8", "oversize", "false-length", "fragment",
        "close-of-one-byte", "close-999", "close-not-utf-8", "close", "close-without-code",
    ],
)  # fmt: skip
async def test_bad_frames_are_closed_within_a_second(
    bar: Bar, sent: bytes, codes: set[int]
) -> None:
    """Each with its own code, and then the client is forgotten."""
    async with raw_client(bar) as client:
        await client.frame()
        client.writer.write(sent)
        assert await client.close_code() in codes
    await left(bar)


async def test_nothing_follows_a_close_frame(bar: Bar) -> None:
    """While the client does not answer it, nothing is sent; and it is not waited for long."""
    async with raw_client(bar) as client:
        await client.frame()
        client.writer.write(masked(0x81, b"hello"))
        assert await client.close_code() == 4400
        bar.story.submit()
        assert await asyncio.wait_for(client.reader.read(), 3) == b""
    await left(bar)


async def test_a_partial_frame_does_no_harm(bar: Bar) -> None:
    """The rest is waited for; frames are still sent, and a broken connection ends it."""
    async with raw_client(bar) as client:
        await client.frame()
        client.writer.write(masked(0x81, b"", b"\x85"))
        bar.story.submit()
        opcode, payload = await client.frame()
        assert (opcode, "patch" in json.loads(payload)) == (1, True)
    await left(bar)


async def test_a_slow_reader_is_aborted_and_buffers_little(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never buffers more than 1 MiB, and is aborted while others are served."""
    monkeypatch.setattr("sanic_dispatch.live.hub.STALL_TIMEOUT_S", 0.3)
    async with raw_client(bar, SO_RCVBUF=4096), bar.connect() as reader:
        state = reduced({}, await frame(reader))
        held = 0
        async with asyncio.timeout(20):
            while bar.hub.size > 1:
                for _ in range(40):
                    ticket = bar.story.submit({"drink": secrets.token_hex(40)})
                    if ticket > 40:
                        bar.story.cancel(ticket - 40)
                state = reduced(state, await frame(reader))
                held = max(held, *(c.connection.buffered() for c in bar.hub._clients))
        assert 0 < held <= 1024 * 1024
        assert state["bar"]["waiting"] == 40


async def test_pings_of_a_slow_reader_do_not_pile_up(bar: Bar) -> None:
    """A client that pings without reading is no longer read from."""
    async with raw_client(bar, SO_RCVBUF=4096) as client:
        await client.frame()
        (follower,) = (each.connection for each in bar.hub._clients)
        pings = masked(0x89, b"x" * 125) * 1000
        async with asyncio.timeout(20):
            while follower._transport.is_reading():
                client.writer.write(pings)
                await asyncio.sleep(0)
        for _ in range(100):
            client.writer.write(pings)
            await asyncio.sleep(0)
        assert 0 < follower.buffered() <= 1024 * 1024
        client.writer.transport.abort()


# ---- the same without a websocket


async def test_state_as_json(bar: Bar) -> None:
    """/state is the first frame of a follower."""
    bar.story.submit()
    async with bar.get() as response:
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        look = await response.json()
    assert set(look) == {"at", "now", "state"}
    assert set(look["state"]) == {"order/1", "bar"}


async def next_event(response: aiohttp.ClientResponse) -> tuple[str, dict[str, Any]]:
    """Return id and data of the next event."""
    event = await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
    first, second = event.decode().rstrip().split("\n")
    return first.removeprefix("id: "), json.loads(second.removeprefix("data: "))


async def test_the_same_frames_as_an_event_stream(bar: Bar) -> None:
    """The id is the cursor; proxies are told not to buffer."""
    async with bar.get(Accept="text/event-stream") as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Accel-Buffering"] == "no"
        cursor, first = await next_event(response)
        assert cursor == first["at"]
        assert "state" in first
        bar.story.submit()
        cursor, second = await next_event(response)
        assert cursor == second["at"]
        assert "order/1" in second["patch"]
    await left(bar)


async def test_last_event_id_wins_over_since(bar: Bar) -> None:
    """Browsers send it when they reconnect, with the same URL."""
    async with bar.get() as response:
        old = (await response.json())["at"]
    bar.story.submit()
    async with bar.get() as response:
        new = (await response.json())["at"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": new}
    async with bar.get(f"?since={old}", **headers) as response:
        assert set((await next_event(response))[1]) == {"at", "now"}


async def test_an_event_stream_without_a_reader_is_aborted(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed, and its buffer freed."""
    monkeypatch.setattr("sanic_dispatch.live.hub.STALL_TIMEOUT_S", 0.3)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", bar.port))
        sock.sendall(b"GET /state HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        async with asyncio.timeout(20), bar.connect() as reader:
            while not bar.hub.stats.dropped:
                await frame(reader)
                for _ in range(40):
                    ticket = bar.story.submit({"drink": secrets.token_hex(40)})
                    if ticket > 40:
                        bar.story.cancel(ticket - 40)
        sock.setblocking(False)
        async with asyncio.timeout(5):
            while data := await asyncio.get_running_loop().sock_recv(sock, 65536):
                assert not data.endswith(b"\r\n0\r\n\r\n")


async def test_an_event_stream_ends_when_the_server_stops(bar: Bar) -> None:
    """It does not delay the stop."""
    async with bar.get(Accept="text/event-stream") as response:
        await next_event(response)
        bar.hub.stop()
        assert await asyncio.wait_for(response.content.read(), 3) == b""


@pytest.mark.parametrize(
    "error",
    [
        TooManyClients(1),
        OutOfReach(),
        ShuttingDown(),
        StandingBy("bar-1:2567"),
        OwnerUnreachable("bar-1:2567", "the link broke", was_sent=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_view_that_cannot_be_shown_now(error: DispatchError) -> None:
    """503 with the error's own code, as of other requests; StandingBy is NotReady."""
    with pytest.raises(live_channel.Refusal) as refused, live_channel._refusing():
        raise error
    answer = refused.value.to_answer()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert json.loads(answer.body or b"")["Error"] == error.code


async def test_the_document_of_the_channel(bar: Bar) -> None:
    """/asyncapi.json is the AsyncAPI document of this version; HEAD works too."""
    async with bar.http.get(f"http://127.0.0.1:{bar.port}/asyncapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.json() == asyncapi(__version__)
        length = response.headers["Content-Length"]
    async with bar.http.head(f"http://127.0.0.1:{bar.port}/asyncapi.json") as response:
        assert (response.status, response.headers["Content-Length"]) == (200, length)
