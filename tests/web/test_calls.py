"""What other processes may call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from inspect import iscoroutinefunction
from typing import Any, cast

import pytest

from sanic_dispatch.cluster.codec import encode
from sanic_dispatch.cluster.forwarding import Leave, TakeWord
from sanic_dispatch.cluster.members import Member
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.connections import Message, MessageKind
from sanic_dispatch.errors import StandingBy
from sanic_dispatch.web import calls
from sanic_dispatch.web.calls import FUNCTIONS, Handout
from sanic_dispatch.web.context import Context

AT = "2024-11-24T01:39:00Z"


class LosingDispatcher:
    """A dispatcher whose topic goes to another process, at the latest while a worker registers."""

    owner = Member("other", "http://other/")

    def __init__(self, *, is_elsewhere: bool) -> None:
        self.is_elsewhere = is_elsewhere

    async def register(self, _: Worker, *, lost: bool) -> None:
        self.is_elsewhere = True
        raise StandingBy("other")


class SlowOwner:
    """Calls another process, which gives a job once it has loaded the topic."""

    def __init__(self) -> None:
        self.is_asked, self.is_loaded = asyncio.Event(), asyncio.Event()
        self.kept: list[str] = []

    async def call(self, *_: Any) -> Any:
        self.is_asked.set()
        await self.is_loaded.wait()
        return json.loads(encode(Handout(Job("a" * 32, 1, b"1", AT, 1), "receipt")))

    def keep(self, report: Coroutine[Any, Any, None]) -> None:
        self.kept.append(report.__qualname__)
        report.close()


@pytest.mark.parametrize("is_elsewhere", [True, False])
async def test_a_worker_that_goes_while_the_topic_changes_hands(*, is_elsewhere: bool) -> None:
    """The job that the next owner gave it goes back, wherever the topic was when it came."""
    owner = SlowOwner()
    context = Context.__new__(Context)
    context.dispatcher = cast(Any, LosingDispatcher(is_elsewhere=is_elsewhere))
    context.forwarder, context.settings = cast(Any, owner), Settings()
    worker = Worker("http://127.0.0.1:1/1/", AT)
    registering = asyncio.create_task(calls.register(context, worker, lost=False))
    await owner.is_asked.wait()
    registering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await registering
    owner.is_loaded.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert owner.kept == ["_report_answer"]


class StreamingOwner:
    """Sends what a connection is told, until it is left."""

    def __init__(self) -> None:
        self.has_left = False

    async def follow(self, _: Member, __: str, ___: Any, take: TakeWord) -> Leave:
        self.tell = take
        return self.leave

    def leave(self) -> None:
        self.has_left = True


@pytest.mark.parametrize("word", ["told", "error"])
async def test_a_connection_that_is_lost_leaves_its_stream(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """Nothing more comes: neither an end when the link breaks, nor anything to be kept for it.

    One that was refused is told later, since it would be refused again.
    """
    monkeypatch.setattr(calls, "ATTACH_AGAIN_S", 0.01)
    owner, heard = StreamingOwner(), list[Message]()
    context = Context.__new__(Context)
    context.dispatcher = cast(Any, LosingDispatcher(is_elsewhere=True))
    context.forwarder, context.settings = cast(Any, owner), Settings()
    await calls.attach(context, "connection", heard.append)
    owner.tell("told", json.loads(encode(Message(MessageKind.STOP, "a" * 32))))
    assert not owner.has_left
    lost = Message(MessageKind.LOST)
    owner.tell(word, json.loads(encode(lost)) if word == "told" else StandingBy("other"))
    assert owner.has_left
    if word == "error":
        assert not heard[1:]
        await asyncio.sleep(0.05)
    assert heard[1:] == [lost]


def test_every_function_can_be_awaited() -> None:
    """Here and at the owner of the topic they are called in the same way."""
    assert [each.__qualname__ for each in FUNCTIONS if not iscoroutinefunction(each)] == []
