"""Sessions: the owner's side of forwarding, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import ujson

from sanic_dispatch.cluster import sessions as module
from sanic_dispatch.cluster.forwarding import RemoteCall
from sanic_dispatch.cluster.link import Identity, IncomingLink, Message
from sanic_dispatch.cluster.sessions import Sessions, Sink
from sanic_dispatch.errors import StandingBy
from sanic_dispatch.observability.request_id import REQUEST_ID

IDENTITY = Identity("bar-1", "r1", "secret")


class FakeLink:
    """A link that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.address = "127.0.0.1"
        self.is_broken = False

    def send_encoded(self, message: bytes) -> None:
        self.sent.append(ujson.loads(message))

    def abort(self) -> None:
        """Break, as a connection does."""
        self.is_broken = True


class FakeService:
    """A service whose calls end when a test says so."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.replies: asyncio.Queue[Any] = asyncio.Queue()
        self.ended: list[str] = []

    async def execute(self, call: RemoteCall) -> Any:
        self.calls.append(REQUEST_ID.get())
        reply = await self.replies.get()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def follow(self, call: RemoteCall, sink: Sink) -> Callable[[], None]:
        raise StandingBy

    def end_session(self, run: str) -> None:
        self.ended.append(run)


def call(number: int, oldest: int = 1) -> Message:
    return [number, oldest, "", "Dispatcher.submit", [], {}, f"request {number}"]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


def opened(sessions: Sessions) -> tuple[FakeLink, Callable[[Message], None]]:
    """Return a link of the same process, and what takes in its messages."""
    link = FakeLink()
    return link, sessions.opened("run", cast(IncomingLink, link))


async def quiet() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_repeat_gets_the_same_reply(service: FakeService) -> None:
    """Over the next link, while the call is carried out, and after it."""
    sessions = Sessions(IDENTITY, service)
    link, take = opened(sessions)
    take(call(1))
    sessions.lost(cast(IncomingLink, link))
    link, take = opened(sessions)
    take(call(1))
    service.replies.put_nowait("done")
    await quiet()
    take(call(1))
    assert link.sent == [[1, "ok", "done"]] * 2
    assert service.calls == ["request 1"]


async def test_an_error_is_no_reply_to_a_repeat(service: FakeService) -> None:
    """The process may own the topic by then."""
    sessions = Sessions(IDENTITY, service)
    link, take = opened(sessions)
    for reply in (StandingBy("bar-2"), "done"):
        service.replies.put_nowait(reply)
        take(call(1))
        await quiet()
    assert [message[1] for message in link.sent] == ["error", "ok"]


async def test_replies_are_kept_until_they_have_arrived(service: FakeService) -> None:
    """A process says with each call which is the oldest one that it waits for."""
    sessions = Sessions(IDENTITY, service)
    _, take = opened(sessions)
    for number in (1, 2, 3):
        service.replies.put_nowait(number)
        take(call(number, oldest=1 if number < 3 else 3))
        await quiet()
    service.replies.put_nowait("again")
    take(call(1, oldest=3))
    await quiet()
    assert service.calls == ["request 1", "request 2", "request 3", "request 1"]


async def test_a_session_ends_a_while_after_its_link(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the process comes back, and not while a call is carried out."""
    monkeypatch.setattr(module, "SESSION_S", 0.0)
    sessions = Sessions(IDENTITY, service)
    link, take = opened(sessions)
    take(call(1))
    sessions.lost(cast(IncomingLink, link))
    link, _ = opened(sessions)
    sessions.lost(cast(IncomingLink, link))
    await quiet()
    assert service.ended == []
    service.replies.put_nowait("done")
    await quiet()
    assert service.ended == ["run"]


async def test_strangers_are_bounded(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes for a new one; a process that has proved who it is stays."""
    monkeypatch.setattr(module, "MAX_STRANGERS", 2)
    sessions = Sessions(IDENTITY, service)
    links = [FakeLink() for _ in range(5)]
    for link in links:
        sessions.connected(cast(IncomingLink, link))
        if link is links[0]:
            sessions.opened("run", cast(IncomingLink, link))
        if link is links[1]:
            sessions.lost(cast(IncomingLink, link))
    assert [link.is_broken for link in links] == [False, False, True, False, False]
