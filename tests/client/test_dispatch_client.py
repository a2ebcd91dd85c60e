"""DispatchClient against the real server and a misbehaving one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientConnectorError, web

from sanic_dispatch.client import (
    BadAddress,
    DispatchClient,
    JobStatus,
    Lost,
    ServiceError,
    Submitted,
    Unreachable,
    Worker,
)
from sanic_dispatch.client.answers import error_text
from tests.client.conftest import TOKEN
from tests.support.server import free_port, running_service

CALLBACK = "http://127.0.0.1:9/1/callbacks/5480964890e4a865b1cee2b2fe93f45a/"


async def test_submit_look_up_cancel(client: DispatchClient) -> None:
    """A job is submitted with an id and a position, looked up, and cancelled while it waits."""
    assert (await client.submit(1)).position == 1
    job_id, position = await client.submit({"drink": "mojito"})
    status = await client.job(job_id)
    assert (position, status.state, status.position, status.ticket) == (2, "waiting", 2, 2)
    assert not status.is_final
    await client.cancel(job_id)
    assert (await client.job(job_id)).is_final


async def test_the_bytes_that_are_given_are_sent(client: DispatchClient) -> None:
    """Bytes are sent unchanged; a string is encoded as JSON."""
    for data in (b'{ "a" : 1.0 }', "text"):
        await client.submit(data)
    jobs = [await client.register(CALLBACK.replace("/1/", f"/{n}/")) for n in (1, 2)]
    assert [job and job["data"] for job in jobs] == [{"a": 1.0}, "text"]


async def test_register(client: DispatchClient) -> None:
    """A worker waits or gets a job; with ``lost`` it gets the job of the lost answer."""
    assert await client.register(CALLBACK) is None
    second = CALLBACK.replace("/1/", "/2/")
    key = {"CPEE-INSTANCE-UUID": "i", "CPEE-ACTIVITY": "a1"}
    await client.submit(1)  # refused by the first worker, which is unreachable
    job = await client.register(second, key)
    assert job is not None
    again = await client.register(CALLBACK.replace("/1/", "/3/"), key, lost=True)
    assert again == job


async def test_a_worker_with_a_rule(client: DispatchClient) -> None:
    """It gets the first job that its rule admits; a name may be there twice."""
    for drink in ("beer", "mojito", "gin & tonic"):
        await client.submit({"drink": drink})
    rule = [("match.drink", "mojito|gin & tonic"), ("match.drink", "gin & tonic|beer")]
    job = await client.register(CALLBACK, rule=rule)
    assert job is not None
    assert job["data"] == {"drink": "gin & tonic"}


@pytest.mark.parametrize("result", [None, {"glasses": 1}, False])
async def test_a_worker_that_polls(client: DispatchClient, result: Any) -> None:
    """It gets a job with its receipt, and completes it with a result or without one."""
    job_id, _ = await client.submit("one")
    job = await client.poll("shell-1", wait_s=0)
    assert job is not None
    await client.complete(job_id, job["receipt"], result)
    assert (await client.job(job_id)).raw.get("result") == result
    assert ("result" in (await client.job(job_id)).raw) is (result is not None)
    assert await client.poll("shell-1", wait_s=0) is None


async def test_a_poll_whose_job_fails(client: DispatchClient) -> None:
    """A reason may be any text: it is made one line of at most 200 characters."""
    job_id, _ = await client.submit("one")
    job = await client.poll("shell-1", wait_s=0)
    assert job is not None
    await client.fail(job_id, job["receipt"], "no ice\n" * 100)
    reason = (await client.job(job_id)).raw["reason"]
    assert (len(reason), reason[:13], reason[-1]) == (200, "no ice no ice", "…")


async def test_problems_are_one_exception(client: DispatchClient) -> None:
    """A refusal is a ServiceError with status, code and reason."""
    with pytest.raises(ServiceError) as caught:
        await client.job("f" * 32)
    error = caught.value
    assert (error.status, error.error) == (404, "UnknownJob")
    assert str(error) == "no such job is known (404)"
    with pytest.raises(ServiceError) as caught:
        await client.submit(b"{")
    assert (caught.value.status, caught.value.error) == (400, "InvalidJson")


async def test_https_to_a_plain_port() -> None:
    """The reason is in words, of a request and of a websocket."""
    losses: list[Lost] = []

    def note(lost: Lost) -> None:
        losses.append(lost)
        worker.stop()

    async with running_service(request_timeout_s=0.1) as service, asyncio.timeout(10):
        url = service.base_url.replace("http", "https", 1)
        worker = Worker(url, "Robot-1", on_lost=note)
        async with DispatchClient(url) as client:
            with pytest.raises(Unreachable) as caught:
                await client.job("x")
        assert [job async for job in worker] == []
    reason = "the server there speaks no TLS: try http://"
    assert (str(caught.value), losses[0].reason) == (f"{url}: {reason}", reason)


@pytest.mark.parametrize("data", [float("nan"), [float("inf")], {"name": "\ud800"}])
async def test_what_is_not_json(data: Any) -> None:
    """It is refused as the service would, before anything is sent, and as by a Worker."""
    async with DispatchClient(f"http://127.0.0.1:{free_port()}/") as client:
        for sending in (client.submit(data), client.complete("x", "y", data)):
            with pytest.raises(ServiceError, match="^not JSON: ") as caught:
                await sending
            assert (caught.value.status, caught.value.error) == (400, "InvalidJson")


async def test_unreachable() -> None:
    """Unreachable is raised if the server does not answer."""
    async with DispatchClient(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(Unreachable, match="connection refused"):
            await client.submit(1)


def test_the_name_of_the_host_is_unknown() -> None:
    """The reason is in words, without the resolver's number."""
    key, reason = SimpleNamespace(host="bar.example"), "Name or service not known"
    error = ClientConnectorError(cast(Any, key), socket.gaierror(socket.EAI_NONAME, reason))
    assert error_text(error) == "name or service not known"


MAKERS: list[Any] = [DispatchClient, partial(Worker, name="Robot-1")]


@pytest.mark.parametrize("url", ["localhost:2567", "ftp://localhost/", "http://", ""])
def test_malformed_addresses(url: str) -> None:
    """Only http and https URLs are accepted."""
    with pytest.raises(ValueError, match="not an http or https address"):
        DispatchClient(url)


@pytest.mark.parametrize("make", MAKERS)
def test_a_port_out_of_range(make: Any) -> None:
    """It is an address that cannot be used, as any other."""
    with pytest.raises(BadAddress, match=r"'http://bar\.example:65536/': Port out of range"):
        make("http://bar.example:65536/")


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("end", ["\n", "\r\nX-Operator: Eve", "\x00", "ö"])
def test_a_token_that_cannot_be_sent(make: Any, end: str) -> None:
    """It is refused at once, without repeating it: a worker would try to connect for ever."""
    with pytest.raises(BadAddress, match="a line break, or another") as caught:
        make("http://bar.example/", token=TOKEN + end)
    assert TOKEN not in str(caught.value)


async def test_a_user_name_and_a_token() -> None:
    """Both would be the header Authorization: a URL has a user name, or there is a token."""
    url = "http://ada:pw@bar.example/"
    for make in MAKERS:
        with pytest.raises(BadAddress, match="only one of them"):
            make(url, token=TOKEN)
        make(url)


async def test_not_open() -> None:
    """Using the client before opening it raises."""
    with pytest.raises(RuntimeError, match="async with"):
        await DispatchClient("http://localhost/").job("1")


@asynccontextmanager
async def answering(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Run a server that answers every request alike; yields its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_service_that_waits_with_its_answer() -> None:
    """A submission may take longer than other requests."""

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return web.json_response("Assigned")

    async with answering(answer) as url, DispatchClient(url, timeout_s=0.2) as client:
        assert await client.submit(1, wait_s=10) == Submitted("", None)
        with pytest.raises(Unreachable, match="no answer"):
            await client.submit(1)


@pytest.mark.parametrize("base", ["", "/", "/ports/2567", "/ports/2567/", "/p?token=secret#x"])
async def test_any_path_prefix(base: str) -> None:
    """Requests go below the base's path; token, key and priority are headers."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.json_response({"Queued": {"position": 3}}, status=202)

    async with answering(answer) as url, DispatchClient(url + base, TOKEN) as client:
        assert await client.submit(1, idempotency_key="k", priority=0) == Submitted("", 3)
    prefix = base.partition("?")[0].rstrip("/")
    assert seen[0].path_qs == f"{prefix}/submit-job"
    assert seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen[0].headers["Idempotency-Key"] == "k"
    assert seen[0].headers["Job-Priority"] == "0"


@pytest.mark.parametrize(
    ("status", "body", "error", "detail"),
    [
        (502, b"<html>", "BadGateway", "Bad Gateway"),
        (500, b"[]", "InternalServerError", "Internal Server Error"),
        (302, b"", "Found", "Found"),
        (202, b"<html>", "NotUnderstood", "the answer is not that of a dispatcher"),
        (202, b"[]", "NotUnderstood", "the answer is not that of a dispatcher"),
    ],
)
async def test_answers_of_other_servers(status: int, body: bytes, error: str, detail: str) -> None:
    """Answers of a proxy or another service are errors with their status."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    async with answering(answer) as url, DispatchClient(url) as client:
        with pytest.raises(ServiceError) as caught:
            await client.submit(1)
    assert (caught.value.status, caught.value.error, caught.value.detail) == (status, error, detail)


def test_a_job_status_keeps_unknown_fields() -> None:
    """Fields that a later service adds are in ``raw``."""
    said = {
        "id": "1",
        "ticket": 2,
        "state": "done",
        "position": None,
        "submitted_at": "",
        "news": 1,
    }
    assert JobStatus.of(said).raw["news"] == 1
