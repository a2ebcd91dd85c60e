"""The client for webhooks: endpoints that misbehave, and addresses that are not called."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.utils import formatdate

import pytest

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.http_client import NOT_SENT, Timeouts
from sanic_dispatch.callbacks.resolver import Lookup, system_lookup
from sanic_dispatch.errors import CallbackForbidden
from sanic_dispatch.outbox.message_client import MAX_RETRY_AFTER_S, MessageClient, Posted
from tests.callbacks.test_guard import FORBIDDEN, NEVER, NOT_PUBLIC, url_of
from tests.support.clock import FakeClock
from tests.support.receiver import Received, Receiver, drip, hang, running_receiver, status

MESSAGE = (b'{"type":"x"}', {"webhook-id": "msg_1"})
AMPLE = Timeouts(total_s=20.0, connect_s=20.0, keep_alive_s=2.0)
SHORT = Timeouts(total_s=0.4, connect_s=0.4, keep_alive_s=2.0)


def client_of(
    *allow: str, timeouts: Timeouts = AMPLE, lookup: Lookup = system_lookup
) -> MessageClient:
    guard = Guard(allow, public_only=True)
    return MessageClient(guard, FakeClock(), timeouts=timeouts, lookup=lookup)


async def posted_to(receiver: Receiver, **options: Timeouts) -> Posted:
    client = client_of("127.0.0.0/8", **options)
    try:
        return await client.post(receiver.url(), *MESSAGE)
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("answer", "posted"),
    [
        (status(200), Posted()),
        (status(299), Posted()),
        (status(500), Posted("status 500")),
        (status(302, "Location: /elsewhere"), Posted("status 302")),
        (status(429, "Retry-After: 120"), Posted("status 429", 120.0)),
        (status(503, "Retry-After: soon"), Posted("status 503")),
        (status(503, "Retry-After: 99999999999999"), Posted("status 503", MAX_RETRY_AFTER_S)),
        (b"what?\r\n\r\n", Posted("the answer is not HTTP")),
    ],
)
async def test_only_2xx_is_a_delivery(answer: bytes, posted: Posted) -> None:
    """Redirects are not followed; Retry-After is understood where it has a meaning."""
    async with running_receiver() as receiver:
        receiver.answer = answer
        assert await posted_to(receiver) == posted
        assert [each.path for each in receiver.received] == ["/hook"]


async def test_a_message_that_cannot_be_sent_by_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without descriptors, when its module cannot be loaded: it is tried again, like others."""
    client = client_of("127.0.0.0/8")

    def cannot_be_loaded() -> None:
        raise ImportError("No module named 'aiohttp'")

    with monkeypatch.context() as patch:
        patch.setattr(client, "_client", cannot_be_loaded)
        assert await client.post("http://127.0.0.1:1/hook", *MESSAGE) == Posted(NOT_SENT)
    await client.close()


async def test_retry_after_a_date() -> None:
    """A date is as good as seconds; one that is past means now."""
    now_s = FakeClock().now_s()
    async with running_receiver() as receiver:
        for ahead_s, waits_s in ((60, 60.0), (-60, 0.0)):
            date = formatdate(now_s + ahead_s, usegmt=True)
            receiver.answer = status(503, f"Retry-After: {date}")
            assert await posted_to(receiver) == Posted("status 503", waits_s)


@pytest.mark.parametrize("behave", [hang, drip])
async def test_an_endpoint_that_takes_its_time(behave: object) -> None:
    """It is given up in bounded time."""
    async with running_receiver() as receiver:
        receiver.answer = behave  # type: ignore[assignment]
        async with asyncio.timeout(5):
            assert await posted_to(receiver, timeouts=SHORT) == Posted("no answer in time")


async def test_an_endpoint_that_sends_a_gigabyte() -> None:
    """The status counts; of the body next to nothing is taken from the connection."""
    written, cut = 0, asyncio.Event()

    async def flood(writer: asyncio.StreamWriter, _message: Received) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        try:
            while written < 2**30:
                writer.write(b" " * 65536)
                written += 65536
                await writer.drain()
        finally:
            cut.set()

    async with running_receiver() as receiver:
        receiver.answer = flood
        assert await posted_to(receiver) == Posted()
        async with asyncio.timeout(5):
            await cut.wait()
    assert written < 2**25  # what fits into the buffers of the system


@pytest.mark.parametrize("head", ["102 Processing", "204 No Content"])
async def test_an_endpoint_that_answers_without_end(head: str) -> None:
    """It is given up at once, so that nothing else of this process has to wait."""
    written, cut = 0, asyncio.Event()
    heads = f"HTTP/1.1 {head}\r\n\r\n".encode() * 10_000

    async def flood(writer: asyncio.StreamWriter, _message: Received) -> None:
        nonlocal written
        try:
            while True:
                writer.write(heads)
                written += len(heads)
                await writer.drain()
        finally:
            cut.set()

    async with running_receiver() as receiver:
        receiver.answer = flood
        posted = await posted_to(receiver)
        assert posted == (Posted("the answer is not HTTP") if head < "200" else Posted())
        async with asyncio.timeout(5):
            await cut.wait()
    assert written < 2**25  # what fits into the buffers of the system


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the door a name that takes long to resolve is accepted: none does here."""
    monkeypatch.setattr("sanic_dispatch.callbacks.resolver.CHECK_S", 60.0)


async def test_forbidden_addresses() -> None:
    """None of them passes the door, and none is called."""
    client = client_of()
    for url in [*FORBIDDEN, *map(url_of, NOT_PUBLIC)]:
        with pytest.raises(CallbackForbidden):
            await client.check(url)
        assert (await client.post(url, *MESSAGE)).reason.startswith("may not be called: ")
    await client.close()


@pytest.mark.parametrize("address", [*NEVER, *NOT_PUBLIC])
async def test_names_are_no_better_than_their_addresses(address: str) -> None:
    """A name is judged at the door and at the delivery."""
    client = client_of(lookup=lambda _: [address])
    with pytest.raises(CallbackForbidden):
        await client.check("https://till.example/")
    posted = await client.post("https://till.example/", *MESSAGE)
    assert posted.reason.startswith("may not be called: ")
    await client.close()


async def test_rebinding() -> None:
    """A name that is public at the door and local at the delivery is not called."""
    answers = iter([["8.8.8.8"], ["127.0.0.1"], ["127.0.0.1"]])

    def look_up(_host: str) -> Sequence[str]:
        return next(answers)

    async with running_receiver() as receiver:
        url = f"http://till.example:{receiver.port}/hook"
        client = client_of(lookup=look_up)
        await client.check(url)
        for _ in range(2):
            assert await client.post(url, *MESSAGE) == Posted(
                "may not be called: the address is not public"
            )
        assert receiver.connections == 0
        await client.close()
