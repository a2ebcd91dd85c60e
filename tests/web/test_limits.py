"""Limits: nothing grows without bound, and refused clients learn when to come back."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import statistics
import threading
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest
from websockets.asyncio.client import connect

from sanic_dispatch.simulation import Engine
from sanic_dispatch.web.request_body import DRAIN_BYTES
from tests.support.clock import settle
from tests.support.http_requests import address_of, ask, register, send_raw
from tests.support.server import free_port, running_service, server_process

JSON = {"Content-Type": "application/json"}


# ---- what waits


async def test_a_full_queue_has_retry_after() -> None:
    """503 with Retry-After; the waiting-time range is null if unknown."""
    async with running_service(max_jobs=2) as service:
        for _ in range(2):
            assert (await service.submit(1))[0] == 202
        answer = await ask(service, "POST", "submit-job", json=1)
        assert (answer.status, answer.body["Error"]) == (503, "QueueFull")
        assert answer.headers["Retry-After"] == "10"
        assert answer.body["eta"] is None
        assert len(await service.app.ctx.dispatcher.queries.jobs(None, 0, 10)) == 2


async def test_a_full_queue_has_the_waiting_time() -> None:
    """Once services were seen, the problem document has the range for a new order."""
    async with running_service(max_jobs=1) as service, Engine() as engine:
        instance = engine.start_instance()
        for _ in range(6):
            await service.submit(1)
            await instance.call(service.base_url + "register-worker")
        await service.submit(1)
        answer = await ask(service, "POST", "submit-job", json=1)
        soonest, latest = answer.body["eta"]
        assert service.app.ctx.clock.now_s() - 1 < soonest <= latest


async def test_max_workers() -> None:
    """503 for a further worker; one that waits may repeat its registration."""
    async with running_service(max_workers=1) as service:
        assert (await register(service)).status == 202
        answer = await register(service, "http://127.0.0.1:1/other/")
        assert (answer.status, answer.body["Error"]) == (503, "QueueFull")
        assert (await register(service)).status == 202


async def test_max_connections() -> None:
    """4503 at the websocket, 503 for an event stream, counted together."""
    async with running_service(max_connections=1) as service:
        url = service.base_url.replace("http", "ws") + "live"
        async with connect(url) as first:
            await first.recv()
            async with connect(url) as second:
                await second.wait_closed()
                assert second.close_code == 4503
            stream = await ask(service, "GET", "state", headers={"Accept": "text/event-stream"})
            assert (stream.status, stream.body["Error"]) == (503, "TooManyClients")
            assert stream.headers["Retry-After"] == "1"


# ---- orders per minute


async def test_orders_per_minute() -> None:
    """429 with RateLimit headers and Retry-After; each answer has the remainder."""
    async with running_service(orders_per_minute=3) as service:
        for left in (2, 1, 0):
            answer = await ask(service, "POST", "submit-job", json=1)
            assert answer.headers["RateLimit-Policy"] == '"orders";q=3;w=60'
            assert answer.headers["RateLimit"] == f'"orders";r={left};t=20'
        answer = await ask(service, "POST", "submit-job", json=1)
        assert (answer.status, answer.body["Error"]) == (429, "TooManyOrders")
        assert answer.headers["RateLimit"] == '"orders";r=0;t=20'
        assert answer.headers["Retry-After"] == "20"
        assert len(await service.app.ctx.dispatcher.queries.jobs(None, 0, 10)) == 3


async def test_orders_are_counted_for_each_client_behind_a_trusted_proxy() -> None:
    """X-Forwarded-For counts from a trusted proxy, and only its last hops."""
    async with running_service(orders_per_minute=1, trusted_proxies=("127.0.0.0/8",)) as service:
        for client, status in (("10.0.0.1", 202), ("10.0.0.2", 202), ("6.6.6.6, 10.0.0.1", 429)):
            headers = {"X-Forwarded-For": client}
            answer = await ask(service, "POST", "submit-job", json=1, headers=headers)
            assert answer.status == status


async def test_x_forwarded_for_needs_a_trusted_proxy() -> None:
    """From others it is ignored."""
    async with running_service(orders_per_minute=1) as service:
        for client, status in (("10.0.0.1", 202), ("10.0.0.2", 429)):
            headers = {"X-Forwarded-For": client}
            answer = await ask(service, "POST", "submit-job", json=1, headers=headers)
            assert answer.status == status


# ---- JSON


@pytest.mark.parametrize(
    "body",
    [b"[" * 128 + b"]" * 128, b"[" * 1025 + b"]" * 1025, b"[" * 100_000 + b"]" * 100_000,
     b'{"a":' * 100_000, b"NaN", b"-", b"01", b"1e999", b'"\\ud800"', b"9" * 5000],
    ids=lambda body: repr(body[:12]) + f"x{len(body)}",
)  # fmt: skip
async def test_malformed_json_is_400(body: bytes) -> None:
    """Too deep, lone surrogates, endless: a problem document, and nothing is queued."""
    async with running_service() as service:
        answer = await ask(service, "POST", "submit-job", data=body, headers=JSON)
        assert (answer.status, answer.body["Error"]) == (400, "InvalidJson")
        assert (await service.submit(1))[1] == {"Queued": {"position": 1}}


async def test_depth_can_be_set() -> None:
    """--max-depth is the maximum."""
    async with running_service(max_depth=3) as service:
        answer = await ask(service, "POST", "submit-job", data=b"[[[]]]", headers=JSON)
        assert answer.status == 202
        answer = await ask(service, "POST", "submit-job", data=b"[[[[]]]]", headers=JSON)
        assert answer.status == 400


async def test_large_numbers_are_exact() -> None:
    """2^53 + 1 is delivered as it was sent."""
    async with running_service() as service:
        await ask(service, "POST", "submit-job", data=b"[9007199254740993]", headers=JSON)
        assert b'"data":[9007199254740993]' in (await register(service)).raw


async def test_bad_bodies_leave_no_memory_behind() -> None:
    """After 200 refused bodies at and over the limits, memory has grown by less than 20 MiB."""
    bodies = (b"[" * (1 << 20), b'"' + b"x" * (2 << 20), b'{"a":' * 200_000, b"1" * (1 << 20))
    async with running_service() as service:
        for body in bodies:  # objects that are allocated once are not growth
            await ask(service, "POST", "submit-job", data=body, headers=JSON)
        gc.collect()
        before = resident_bytes()
        for _ in range(50):
            for body in bodies:
                answer = await ask(service, "POST", "submit-job", data=body, headers=JSON)
                assert answer.status in (400, 413)
        gc.collect()
        assert resident_bytes() - before < 20 * 2**20


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


# ---- time


SLOW = {
    "head": [b"POST /submit-job HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"],
    "body": [
        b"POST /submit-job HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n",
        b"1",
    ],
    "chunks": [
        b"POST /submit-job HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n1\r\n",
    ],
    "ignored": [
        b"POST /register-worker HTTP/1.1\r\nHost: x\r\nCPEE-CALLBACK: http://127.0.0.1:1/\r\n"
        b"Content-Length: 1000\r\n\r\n",
        b"1",
    ],
    "refused": [
        b"POST /operator/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        b"1",
    ],
}
"""The beginning of a request, and what trickles in after it."""


class Drip:
    """A client that sends a little of a request again and again, until it is disconnected."""

    def __init__(self, base_url: str, kind: str, every_s: float) -> None:
        self.base_url, self.kind, self.every_s = base_url, kind, every_s
        self.answer = b""
        self.lasted_s = 0.0

    async def run(self) -> None:
        host, port = self.base_url.removeprefix("http://").strip("/").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        began = monotonic()
        first, drop = SLOW[self.kind]
        writer.write(first)
        dripping = asyncio.create_task(self._drip(writer, drop))
        try:
            while piece := await reader.read(2**16):
                self.answer += piece
        except ConnectionError:  # a drop came after the close: the answer can be lost with it
            pass
        finally:
            self.lasted_s = monotonic() - began
            dripping.cancel()
            writer.transport.abort()

    async def _drip(self, writer: asyncio.StreamWriter, drop: bytes) -> None:
        while not writer.transport.is_closing():
            writer.write(drop)
            await asyncio.sleep(self.every_s)


@pytest.mark.parametrize("kind", SLOW)
async def test_a_request_has_a_deadline(kind: str) -> None:
    """From its first byte to its last, however it trickles in; then 408 and a closed connection."""
    async with running_service(request_timeout_s=0.4) as service:
        for _ in range(5):
            drip = Drip(service.base_url, kind, 0.05)
            await asyncio.wait_for(drip.run(), 5)
            assert drip.lasted_s > 0.3
            if drip.answer:
                break
        status = b"401" if kind == "refused" else b"408"
        assert drip.answer.startswith(b"HTTP/1.1 " + status)
        assert b"application/problem+json" in drip.answer


async def test_each_request_of_a_connection_has_its_own_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The age of a connection does not count."""
    loop, passed_s = asyncio.get_running_loop(), 0.0
    now_s = loop.time
    monkeypatch.setattr(loop, "time", lambda: now_s() + passed_s)
    async with running_service(request_timeout_s=30.0) as service:
        reader, writer = await asyncio.open_connection(*address_of(service))
        for _ in range(4):
            writer.write(SLOW["body"][0] + b"[" + b" " * 998)
            await settle()
            passed_s += 20.0
            await settle()
            writer.write(b"]")
            assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 202 ")
        writer.close()
        await writer.wait_closed()


async def test_slow_clients_delay_no_others(tmp_path: Path) -> None:
    """200 slow connections are all closed, and the p99 of others stays below 100 ms."""
    port = free_port()
    arguments = ("--mode", "InMemory", "--request-timeout", "3", "--log-level", "error")
    with server_process(*arguments, port=port, cwd=tmp_path):
        base_url = f"http://127.0.0.1:{port}/"
        drips = [Drip(base_url, list(SLOW)[n % len(SLOW)], 1.0) for n in range(200)]
        over = threading.Event()
        asking = asyncio.create_task(asyncio.to_thread(latencies_s, port, over))
        async with asyncio.TaskGroup() as group:
            for drip in drips:
                group.create_task(drip.run())
                await asyncio.sleep(0.002)
        over.set()
        took_s = await asking
    assert statistics.quantiles(took_s, n=100)[98] < 0.1


def latencies_s(port: int, over: threading.Event) -> list[float]:
    """Return the durations of many requests, one after the other."""
    took_s = []
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        while not over.is_set():
            began = monotonic()
            connection.request("POST", "/submit-job", b"1", JSON)
            assert connection.getresponse().read().startswith(b'{"Queued"')
            took_s.append(monotonic() - began)
    return took_s


async def test_a_body_that_is_too_large_is_read_on() -> None:
    """Else a client that is still sending would see its connection reset, and not the answer."""
    async with running_service() as service:
        size = service.app.ctx.settings.max_body_bytes + DRAIN_BYTES // 2
        head = (
            "POST /submit-job HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        )
        answer = await send_raw(service, head.encode() + b" " * size)
        assert answer.startswith(b"HTTP/1.1 413 ")


# ---- heads


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /health HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 413),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 413),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9\r\n\r\n", 400),
        (b"POST /submit-job HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /submit-job HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /submit-job HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400),
        (b"POST /submit-job HTTP/1.1\r\nContent-Type: application/json\r\n"
         b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /submit-job HTTP/1.1\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n1", 417),
    ],
    ids=lambda value: repr(value)[:60],
)  # fmt: skip
async def test_a_malformed_head_is_a_problem_document(request_bytes: bytes, status: int) -> None:
    """Any malformed head gets one problem document, and the connection closes."""
    async with running_service() as service:
        answer = await send_raw(service, request_bytes)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        assert json.loads(body)["status"] == status
