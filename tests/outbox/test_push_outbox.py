"""The push outbox: what phones are told, over failures, changes of mind and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.http_client import Timeouts
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.push_subscriptions import END_TRUE_S, subscriptions_of
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.dispatch.batches import COMMIT_RETRY_S
from sanic_dispatch.errors import (
    StandingBy,
    StorageFailed,
    TooManySubscriptions,
    UnknownSubscription,
)
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.outbox import push_outbox, sender
from sanic_dispatch.outbox.message_client import TIMEOUTS, Posted
from sanic_dispatch.outbox.push_client import PushClient
from sanic_dispatch.outbox.push_entry import read_subscription
from sanic_dispatch.outbox.push_outbox import LOOK_S, SLICE, PushOutbox
from sanic_dispatch.storage.store import Batch
from tests.outbox.conftest import settings_of
from tests.support.push_phone import PushPhone, Told
from tests.support.receiver import OK, Received, Receiver, drip, hang, running_receiver, status
from tests.support.world import World, running_world, worker

SHORT = Timeouts(total_s=0.4, connect_s=0.4, keep_alive_s=2.0)


class Cafe:
    """A dispatcher with its push outbox and its projection, and a push service."""

    def __init__(self, world: World, receiver: Receiver, timeouts: Timeouts) -> None:
        self.world, self.receiver = world, receiver
        self.projection = Projection()
        self.projection.seed(world.dispatcher.snapshot(), world.bus.number, world.clock.now_s())
        world.bus.subscribe(lambda events: self.projection.fold(*events))
        allow = ["127.0.0.0/8"]
        self.client = PushClient(
            Guard(allow, public_only=True), Guard(allow), world.clock, timeouts=timeouts
        )
        self.outbox = PushOutbox(
            world.dispatcher, lambda: self.projection, world.bus, world.clock,
            self.client,
        )  # fmt: skip
        world.dispatcher.companions = (self.outbox,)

    async def order(self) -> str:
        """Submit an order, and return its id."""
        return (await self.world.submit("mojito")).job.id

    async def subscribe(self, job: str, path: str = "send/1") -> PushPhone:
        """Have a phone told of an order."""
        phone = PushPhone(self.receiver.url(path))
        await self.outbox.subscribe(job, read_subscription(phone.subscription()))
        return phone

    async def serve(self, number: int, *, done: bool = True) -> str:
        """Let a robot make the next order, and return its id."""
        job = await self.world.dispatcher.register(worker(f"c{number}", str(number)))
        assert job is not None
        self.world.dispatcher.answer_written(job)
        await self.world.quiet()
        if done:
            await self.finish(job.id, number)
        return job.id

    async def finish(self, job: str, number: int) -> None:
        """Let the robot say that an order is ready."""
        proof = Proof(instance=str(number))
        await self.world.dispatcher.complete(job, proof)
        await self.world.quiet()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, on real sockets."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - it depends on sockets
                await asyncio.sleep(0.001)

    async def told(self, phone: PushPhone, count: int) -> list[Told]:
        """Wait until the push service has so many messages, and return those for the phone."""
        await self.until(lambda: len(self.receiver.received) >= count)
        await self.idle()
        path = phone.endpoint.partition("/send/")[2]
        return [phone.read(each) for each in self.receiver.of_path(f"send/{path}")]

    async def idle(self) -> None:
        """Wait until nothing is sent without time passing."""
        for _ in range(3):
            await self.until(lambda: self.outbox._sender.is_idle)
            await self.world.quiet()
            await asyncio.sleep(0.005)
        await self.until(lambda: self.outbox._sender.is_idle)

    async def look(self) -> None:
        """Let the outbox see which orders have come near, or are late."""
        await self.world.clock.advance(LOOK_S + 0.1)
        await self.idle()

    @property
    def kept(self) -> list[str]:
        """The facts about phones."""
        facts = self.world.dispatcher._machine.tables.facts
        return [fact.id for fact in facts if fact.id.startswith("push:")]


@asynccontextmanager
async def opened(
    receiver: Receiver, folder: Path | None = None, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[Cafe]:
    """Run a café in memory, or in a folder."""
    async with running_world(settings_of(folder)) as world:
        cafe = Cafe(world, receiver, timeouts)
        await cafe.outbox.start()
        try:
            yield cafe
        finally:
            await cafe.outbox.abandon()
            await cafe.client.close()


@pytest.fixture
async def cafe(receiver: Receiver) -> AsyncIterator[Cafe]:
    async with opened(receiver) as cafe:
        yield cafe


@pytest.fixture
async def hasty_cafe(receiver: Receiver) -> AsyncIterator[Cafe]:
    """A café that soon gives up waiting for an answer."""
    async with opened(receiver, timeouts=SHORT) as cafe:
        yield cafe


def kinds(messages: list[Told]) -> list[str]:
    return [each.kind for each in messages]


async def test_an_order_from_its_beginning_to_its_end(cafe: Cafe) -> None:
    """Each kind once, in order, with one push topic; then nothing is kept."""
    for _ in range(3):
        await cafe.order()
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    await cafe.look()
    assert cafe.receiver.received == []  # three before it
    await cafe.serve(1)
    await cafe.look()
    assert kinds(await cafe.told(phone, 1)) == ["two_before"]
    for number in (2, 3):
        await cafe.serve(number)
        await cafe.look()
    assert await cafe.serve(4, done=False) == job
    assert kinds(await cafe.told(phone, 2)) == ["two_before", "making"]
    await cafe.look()
    await cafe.finish(job, 4)
    messages = await cafe.told(phone, 3)
    assert kinds(messages) == ["two_before", "making", "ready"]
    assert len({each.topic for each in messages}) == 1
    assert [each.said["job"] for each in messages] == [job] * 3
    await cafe.look()
    assert cafe.kept == []
    assert list(cafe.outbox.phones) == []
    assert len(cafe.receiver.received) == 3


async def test_what_is_so_already_is_not_told(cafe: Cafe) -> None:
    """The page shows it; what comes later is told."""
    jobs = [await cafe.order() for _ in range(3)]
    phone = await cafe.subscribe(jobs[2])
    await cafe.look()
    await cafe.serve(1, done=False)
    late = await cafe.subscribe(jobs[0], "send/2")
    await cafe.look()
    assert cafe.receiver.received == []
    await cafe.finish(jobs[0], 1)
    assert kinds(await cafe.told(late, 1)) == ["ready"]
    assert kinds(await cafe.told(phone, 1)) == []


@pytest.mark.parametrize("turns", range(6))
async def test_a_page_that_is_closed_while_it_subscribes(cafe: Cafe, turns: int) -> None:
    """Its phone is told, unless nothing was stored."""
    job = await cafe.order()
    subscribing = asyncio.create_task(cafe.subscribe(job))
    for _ in range(turns):
        await asyncio.sleep(0)
    subscribing.cancel()
    await asyncio.wait([subscribing])
    is_stored = bool(cafe.kept)
    await cafe.serve(1)
    await cafe.idle()
    assert bool(cafe.receiver.received) == is_stored


async def test_two_before_is_passed_by(cafe: Cafe) -> None:
    """If two leave the line between two looks, it is not true any more."""
    for _ in range(3):
        await cafe.order()
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    await cafe.idle()
    for number in (1, 2):
        await cafe.serve(number)
    await cafe.look()
    await cafe.serve(3)
    await cafe.serve(4)
    assert "two_before" not in kinds(await cafe.told(phone, 1))


async def test_an_order_that_is_late(cafe: Cafe) -> None:
    """Once, when the end of its promise has passed; not after it is ready."""
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    order = cafe.projection.get(job)
    assert order is not None
    order.promise = Promise(cafe.world.clock.now_s(), 60.0, 50.0, 70.0)
    await cafe.world.clock.advance(60)
    await cafe.idle()
    assert cafe.receiver.received == []
    await cafe.world.clock.advance(11)
    assert kinds(await cafe.told(phone, 1)) == ["late"]
    await cafe.look()
    await cafe.serve(1)
    assert kinds(await cafe.told(phone, 2))[:1] == ["late"]
    assert kinds(await cafe.told(phone, 2))[-1] == "ready"


async def test_an_order_that_fails(cafe: Cafe) -> None:
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    await cafe.serve(1, done=False)
    await cafe.told(phone, 1)
    await cafe.world.dispatcher.fail(job, Proof(instance="1"), "no ice")
    assert kinds(await cafe.told(phone, 2)) == ["making", "failed"]
    assert cafe.kept == []


async def test_a_failure_is_repeated_with_the_same_topic(cafe: Cafe) -> None:
    """With backoff, until the push service takes it."""
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    cafe.receiver.answer = status(500)
    await cafe.serve(1, done=False)
    await cafe.told(phone, 1)
    (shown,) = (await cafe.outbox.overview())["pending"]
    assert (shown["kind"], shown["reason"], shown["attempts"]) == ("making", "status 500", 1)
    assert 0 < shown["retry_in_s"] <= 5
    await cafe.world.clock.advance(5)
    await cafe.told(phone, 2)
    cafe.receiver.answer = OK
    await cafe.world.clock.advance(10)
    messages = await cafe.told(phone, 3)
    assert kinds(messages) == ["making"] * 3
    assert len({each.topic for each in messages}) == 1
    assert (cafe.outbox.counts.delivered, cafe.outbox.counts.failed) == (1, 2)
    assert (await cafe.outbox.overview())["pending"] == []


async def test_a_message_that_became_untrue_is_dropped(cafe: Cafe) -> None:
    """What is true by then is told instead; what the push service has said still counts."""
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    cafe.receiver.answer = status(503, "Retry-After: 30")
    await cafe.serve(1, done=False)
    await cafe.told(phone, 1)
    await cafe.finish(job, 1)
    await cafe.world.clock.advance(29)
    await cafe.idle()
    assert len(cafe.receiver.received) == 1
    cafe.receiver.answer = OK
    await cafe.world.clock.advance(1.1)
    assert kinds(await cafe.told(phone, 2)) == ["making", "ready"]
    assert cafe.outbox.counts.dropped == 1
    assert cafe.kept == []


async def test_a_cancelled_order(cafe: Cafe) -> None:
    """What is pending is never sent, and the phone is forgotten at once."""
    for _ in range(3):
        await cafe.order()
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    cafe.receiver.answer = status(500)
    await cafe.serve(1)
    await cafe.look()
    await cafe.told(phone, 1)
    await cafe.world.dispatcher.cancel(job)
    await cafe.world.quiet()
    assert cafe.kept == []
    assert list(cafe.outbox.phones) == []
    await cafe.world.clock.advance(100)
    await cafe.idle()
    assert len(cafe.receiver.received) == 1


@pytest.mark.parametrize("code", [404, 410])
async def test_a_phone_that_is_gone(cafe: Cafe, code: int) -> None:
    """The subscription ends, for all orders of the phone, and for no other phone."""
    jobs = [await cafe.order() for _ in range(2)]
    for job in jobs:
        await cafe.subscribe(job)
        await cafe.subscribe(job, "send/other")

    async def answer(writer: asyncio.StreamWriter, message: Received) -> None:
        writer.write(status(code) if message.path == "/send/1" else OK)

    cafe.receiver.answer = answer
    await cafe.serve(1, done=False)
    await cafe.until(lambda: len(cafe.receiver.received) == 2)
    await cafe.idle()
    assert {phone.subscription.endpoint for phone in cafe.outbox.phones} == {
        cafe.receiver.url("send/other")
    }
    assert (cafe.outbox.counts.gone, len(cafe.kept)) == (1, 2)


async def flood(writer: asyncio.StreamWriter, _message: Received) -> None:
    writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 1073741824\r\n\r\n")
    for _ in range(2**14):
        writer.write(b" " * 65536)
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (hang, "no answer in time"),
        (drip, "no answer in time"),
        (flood, "status 500"),
        (status(301, "Location: http://127.0.0.1/"), "status 301"),
        (status(429, "Retry-After: 2"), "status 429"),
        (b"what?\r\n\r\n", "the answer is not HTTP"),
    ],
    ids=["hanging", "dripping", "a gigabyte", "redirecting", "busy", "no HTTP"],
)
async def test_a_push_service_that_misbehaves(hasty_cafe: Cafe, answer: Any, reason: str) -> None:
    """Bounded, counted, and tried again; another phone is told meanwhile."""
    cafe = hasty_cafe
    job = await cafe.order()
    bad, good = await cafe.subscribe(job), await cafe.subscribe(job, "send/good")
    good_was_first = asyncio.Event()

    async def behave(writer: asyncio.StreamWriter, message: Received) -> None:
        if message.path == "/send/good":
            writer.write(OK)
            good_was_first.set()
        elif isinstance(answer, bytes):
            writer.write(answer)
        else:
            await answer(writer, message)

    cafe.receiver.answer = behave
    await cafe.serve(1, done=False)
    async with asyncio.timeout(5):
        await good_was_first.wait()
        await cafe.idle()
    assert kinds(await cafe.told(good, 2)) == ["making"]
    (shown,) = (await cafe.outbox.overview())["pending"]
    assert shown["reason"] == reason
    cafe.receiver.answer = OK
    await cafe.world.clock.advance(6)
    assert kinds(await cafe.told(bad, 3)) == ["making", "making"]
    assert (cafe.outbox.counts.failed, cafe.outbox.counts.delivered) == (1, 2)


async def test_a_dead_service_slows_nobody(
    cafe: Cafe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs has its own phones wait, and those of others are told meanwhile."""
    monkeypatch.setattr(push_outbox, "MOST_OF_A_SERVICE", 2)
    monkeypatch.setattr(sender, "MAX_UNDER_WAY", 3)
    answered = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter, _message: Received) -> None:
        await answered.wait()
        writer.write(status(500))

    jobs = [await cafe.order() for _ in range(4)]
    async with running_receiver() as dead:
        dead.answer = hold
        for job in jobs:
            for path in range(2):
                phone = PushPhone(dead.url(f"send/{job}{path}"))
                await cafe.outbox.subscribe(job, read_subscription(phone.subscription()))
            await cafe.subscribe(job, f"send/{job}")
        for number in range(4):
            await cafe.serve(number, done=False)
        await cafe.until(lambda: len(receiver.received) == 4)
        assert len(dead.received) == 2
        for path in range(2):  # those that would be next
            await cafe.outbox.unsubscribe(jobs[1], dead.url(f"send/{jobs[1]}{path}"))
        answered.set()
        await cafe.until(lambda: cafe.outbox.counts.failed == 6)
        assert len(dead.received) == 6
    await cafe.idle()
    assert not cafe.outbox._under_way
    assert not cafe.outbox._held_back


async def test_the_last_message_is_tried_for_a_day(cafe: Cafe) -> None:
    """Then the subscription ends."""
    job = await cafe.order()
    await cafe.subscribe(job)
    cafe.receiver.answer = status(500)
    await cafe.serve(1)
    await cafe.until(lambda: len(cafe.receiver.received) > 0)
    while cafe.kept:
        await cafe.idle()
        await cafe.world.clock.advance(1800)
        assert cafe.world.clock.elapsed_s < END_TRUE_S + 3 * 3600
    assert cafe.world.clock.elapsed_s >= END_TRUE_S
    assert len(cafe.receiver.received) < 40


async def test_what_operators_do(cafe: Cafe) -> None:
    """To try again at once; to drop, after which later messages are told."""
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    cafe.receiver.answer = status(500)
    await cafe.serve(1, done=False)
    await cafe.told(phone, 1)
    (shown,) = (await cafe.outbox.overview())["pending"]
    await cafe.outbox.resume_phone(shown["id"])
    await cafe.told(phone, 2)
    cafe.receiver.answer = OK
    await cafe.outbox.drop(shown["id"])
    assert (await cafe.outbox.overview())["pending"] == []
    await cafe.world.clock.advance(60)
    await cafe.finish(job, 1)
    assert kinds(await cafe.told(phone, 3)) == ["making", "making", "ready"]
    with pytest.raises(UnknownSubscription):
        await cafe.outbox.drop(shown["id"])


async def test_dropped_while_it_is_sent(cafe: Cafe, receiver: Receiver) -> None:
    """Whether it arrives or not, it is not sent again."""
    answered = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter, _message: Received) -> None:
        await answered.wait()
        writer.write(status(500))

    receiver.answer = hold
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    await cafe.serve(1, done=False)
    await cafe.until(lambda: len(receiver.received) == 1)
    (shown,) = (await cafe.outbox.overview())["pending"]
    assert (shown["kind"], shown["attempts"], shown["retry_in_s"]) == ("making", 0, None)
    await cafe.outbox.drop(shown["id"])
    answered.set()
    await cafe.until(lambda: cafe.outbox.counts.failed == 1)
    receiver.answer = OK
    await cafe.world.clock.advance(60)
    await cafe.finish(job, 1)
    assert kinds(await cafe.told(phone, 2)) == ["making", "ready"]


@pytest.mark.parametrize(
    ("answer", "told"), [(OK, [("making",)]), (status(410), []), (status(500), [()])]
)
async def test_what_is_under_way_at_the_end(
    cafe: Cafe, receiver: Receiver, answer: bytes, told: list[tuple[str, ...]]
) -> None:
    """It has a moment, and what becomes of it is noted."""
    ending = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter, _message: Received) -> None:
        await ending.wait()
        writer.write(answer)

    receiver.answer = hold
    job = await cafe.order()
    await cafe.subscribe(job)
    await cafe.serve(1, done=False)
    await cafe.until(lambda: len(receiver.received) == 1)
    finishing = asyncio.create_task(cafe.outbox.finish())
    await cafe.until(lambda: not cafe.outbox._sender.is_running)
    ending.set()
    await finishing
    await cafe.world.quiet()
    tables = cafe.world.dispatcher._machine.tables
    assert [each.told for each in subscriptions_of(tables, job)] == told


async def test_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    """What was told is not told again; what was not, is."""
    async with opened(receiver, tmp_path) as cafe:
        job = await cafe.order()
        phone = await cafe.subscribe(job)
        await cafe.serve(1, done=False)
        await cafe.told(phone, 1)
        receiver.answer = status(500)
        await cafe.finish(job, 1)
        await cafe.told(phone, 2)
        await cafe.outbox.finish()
    receiver.answer = OK
    async with opened(receiver, tmp_path) as cafe:
        messages = await cafe.told(phone, 3)
        assert kinds(messages) == ["making", "ready", "ready"]
        assert len({each.topic for each in messages}) == 1
        assert cafe.kept == []


async def test_a_crash_before_it_is_noted(receiver: Receiver, tmp_path: Path) -> None:
    """The message comes again, with the same push topic."""
    async with opened(receiver, tmp_path) as cafe:
        job = await cafe.order()
        phone = await cafe.subscribe(job)
        cafe.world.dispatcher.batches.report = lambda _: None  # type: ignore[method-assign]
        await cafe.serve(1)
        await cafe.until(lambda: bool(receiver.received))
        await cafe.outbox.abandon()
        del cafe.world.dispatcher.batches.report
    count = len(receiver.received)
    async with opened(receiver, tmp_path) as cafe:
        messages = await cafe.told(phone, count + 1)
        assert kinds(messages)[-1] == "ready"
        assert len({each.topic for each in messages}) == 1


async def test_a_store_that_fails(cafe: Cafe, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is not known whether this process may act, nothing is sent; then it goes on."""
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    is_failing, asked = True, 0

    async def confirm() -> None:
        nonlocal asked
        asked += 1
        if is_failing:
            raise StorageFailed("the store does not answer")

    await cafe.idle()
    monkeypatch.setattr(cafe.world.store, "confirm", confirm)
    monkeypatch.setattr(cafe.world.store, "may_act", lambda: not is_failing)
    cafe.outbox._wake(next(iter(cafe.outbox.phones)))
    await cafe.until(lambda: asked > 0)
    is_failing = False
    await cafe.serve(1)
    await cafe.world.clock.advance(2)
    assert kinds(await cafe.told(phone, 1)) == ["ready"]


async def test_a_module_that_cannot_be_loaded(cafe: Cafe, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without descriptors: the phone is told as soon as it can be."""
    job = await cafe.order()
    phone = await cafe.subscribe(job)
    await cafe.idle()
    posts = 0

    async def post(*_: object) -> Posted:
        nonlocal posts
        posts += 1
        raise ImportError("No module named 'cryptography'")

    with monkeypatch.context() as patch:
        patch.setattr(cafe.outbox, "_post", post)
        await cafe.serve(1)
        await cafe.until(lambda: posts > 0)
    await cafe.world.clock.advance(2)
    assert kinds(await cafe.told(phone, 1)) == ["ready"]


async def test_a_disk_that_is_full(cafe: Cafe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone is told each thing once, and one that is gone nothing more, before that is stored."""
    job = await cafe.order()
    there, gone = [await cafe.subscribe(job, f"send/{name}") for name in ("there", "gone")]

    async def answer(writer: asyncio.StreamWriter, message: Received) -> None:
        writer.write(OK if message.path == "/send/there" else status(410))

    cafe.receiver.answer = answer
    await cafe.serve(1)

    async def fail(_: Batch) -> None:
        raise StorageFailed("no space left on device")

    monkeypatch.setattr(cafe.world.store, "lasts", True)
    monkeypatch.setattr(cafe.world.store, "commit", fail)
    await cafe.until(lambda: cafe.receiver.of_path("send/gone") != [])
    for _ in range(5):
        await cafe.look()
    monkeypatch.undo()
    await cafe.world.clock.advance(2 * COMMIT_RETRY_S)
    await cafe.look()
    told = kinds(await cafe.told(there, 2))
    assert (told[-1], told) == ("ready", list(dict.fromkeys(told)))
    assert len(await cafe.told(gone, 2)) == 1
    assert cafe.kept == []


async def test_many_phones_are_looked_at_in_slices(cafe: Cafe) -> None:
    """All of them, though the loop is given free in between."""
    for _ in range(3):
        await cafe.order()
    jobs = [await cafe.order() for _ in range(2)]
    for job in jobs:
        for path in range(3):
            await cafe.subscribe(job, f"send/{path}")
    assert len(cafe.outbox.phones) <= SLICE
    await cafe.serve(1)
    await cafe.look()
    await cafe.until(lambda: len(cafe.receiver.received) == 3)
    with pytest.raises(TooManySubscriptions):
        await cafe.subscribe(jobs[0], "send/4")


async def test_operators_at_a_hand_over(cafe: Cafe) -> None:
    """The next owner answers them; here it would look as if there were no phones."""
    await cafe.subscribe(await cafe.order())
    (phone,) = cafe.outbox.phones
    await cafe.outbox.finish()
    assert cafe.world.dispatcher.is_open
    for act in (cafe.outbox.overview(), cafe.outbox.resume_phone(phone.id)):
        with pytest.raises(StandingBy):
            await act
