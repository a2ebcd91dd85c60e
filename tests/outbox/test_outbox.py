"""The outbox: what endpoints are told, over failures and restarts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from sanic_dispatch.config.webhook_entry import WebhookEntry, new_secret
from sanic_dispatch.core.webhooks import positions_in
from sanic_dispatch.dispatch.batches import COMMIT_WAIT_S
from sanic_dispatch.dispatch.queries import Queries
from sanic_dispatch.errors import OutcomeUnknown, StandingBy, StorageFailed, WebhookConfigured
from sanic_dispatch.outbox import sender
from sanic_dispatch.outbox.endpoint_queue import GIVE_UP_S, MAX_LOADED
from sanic_dispatch.outbox.outbox import AGAIN_S, IDLE_EVENTS
from sanic_dispatch.storage.event_log import Page, Question, Unreadable
from sanic_dispatch.storage.store import Batch
from tests.outbox.conftest import Bar, settings_of
from tests.support.clock import settle
from tests.support.receiver import OK, SECRET, Received, Receiver, hang, status
from tests.support.world import running_world, worker


async def test_an_order_from_its_beginning_to_its_end(bar: Bar) -> None:
    """Each event of a job comes in order, signed, with the job's data where that is wanted."""
    bar.world.clock.jump(time.time() - bar.world.clock.now_s())  # else the signature is too old
    await bar.add(payload=True)
    await bar.add("of-workers", "worker.registered")
    await bar.world.register(worker("1", "7"))
    await bar.world.submit({"drink": "mojito"})
    await bar.world.quiet()
    await bar.received(3)
    await bar.received(1, "of-workers")
    assert [each.said["type"] for each in bar.receiver.of_path("hook")] == [
        "job.submitted", "job.assigned", "job.confirmed",
    ]  # fmt: skip
    for each in bar.receiver.of_path("hook"):
        assert each.is_signed_with(SECRET)
        assert each.said["data"]["payload"] == {"drink": "mojito"}


async def test_a_failure_is_repeated_with_the_same_id(bar: Bar) -> None:
    """Until it succeeds; then the next ones follow, and the position is committed."""
    await bar.add()
    bar.receiver.answer = status(500)
    await bar.world.submit(0)
    await bar.received(1)
    for drink in (1, 2):
        await bar.world.submit(drink)
    await bar.world.quiet()
    (shown,) = await bar.outbox.endpoints()
    assert (shown["state"], shown["reason"], shown["pending"]) == ("retrying", "status 500", 3)
    await bar.world.clock.advance(5)
    await bar.received(2)
    bar.receiver.answer = OK
    await bar.world.clock.advance(10)
    await bar.until(lambda: bar.outbox.stats.delivered == 3)
    ids = [each.id for each in bar.receiver.received]
    assert len(ids) == 5
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == 3
    (shown,) = await bar.outbox.endpoints()
    assert (shown["state"], shown["pending"], shown["told_to"]) == ("delivering", 0, 3)


async def test_a_day_of_failures_and_going_on(bar: Bar) -> None:
    """It is disabled, and later continued by hand from where it stopped."""
    await bar.add()
    bar.receiver.answer = status(503)
    await bar.world.submit(0)
    await bar.received(1)
    while bar.outbox._queues["hook"].disabled == "":
        count = len(bar.receiver.received)
        await bar.world.clock.advance(3601)
        await bar.received(count + 1)
    assert bar.world.clock.elapsed_s >= GIVE_UP_S
    bar.receiver.answer = OK
    bar.receiver.received.clear()
    for drink in range(2):
        await bar.world.submit(drink)
    await bar.world.clock.advance(4000)
    assert bar.receiver.received == []
    (shown,) = await bar.outbox.endpoints()
    assert (shown["state"], shown["reason"]) == ("disabled", "status 503")
    await bar.outbox.resume_endpoint("hook")
    await bar.received(3)
    assert sorted(bar.numbers) == [1, 2, 3]


async def test_what_is_pending_can_be_dropped(bar: Bar) -> None:
    """The next event is told again."""
    await bar.add()
    bar.receiver.answer = status(500)
    await bar.world.submit(0)
    await bar.received(1)
    bar.receiver.answer = OK
    assert (await bar.outbox.resume_endpoint("hook", drop=True))["pending"] == 0
    await bar.world.submit(1)
    await bar.received(2)
    assert bar.numbers == [1, 2]


def hold_commits(bar: Bar, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let each commit wait until the event that this returns is set."""
    committed, is_to_go_on = bar.world.store.commit, asyncio.Event()

    async def commit(batch: Batch) -> None:
        await is_to_go_on.wait()
        await committed(batch)

    monkeypatch.setattr(bar.world.store, "commit", commit)
    monkeypatch.setattr(bar.world.store, "lasts", True)
    return is_to_go_on


async def test_what_fails_while_what_is_pending_is_dropped(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position that the failure leaves behind is not committed any more."""
    await bar.add()
    bar.receiver.answer = hang
    await bar.world.submit(0)
    await bar.until(lambda: not bar.outbox._sender.is_idle)
    is_to_go_on = hold_commits(bar, monkeypatch)
    dropping = asyncio.create_task(bar.outbox.resume_endpoint("hook", drop=True))
    await settle()
    (queue,) = bar.outbox.queues
    event = queue.oldest
    assert event is not None
    queue.fail(event, "status 500", bar.world.clock.monotonic_s(), bar.world.clock.now_s())
    await bar.world.clock.advance(1.1)
    is_to_go_on.set()
    assert (await dropping)["pending"] == 0
    await bar.world.clock.advance(1.1)
    assert (await bar.outbox.endpoints())[0]["told_to"] == bar.world.bus.number


async def test_a_long_backlog_is_read_from_the_log(bar: Bar) -> None:
    """No more than MAX_LOADED events are in memory; all are told, each once."""
    await bar.add()
    bar.receiver.answer = status(500)
    count = 3 * MAX_LOADED
    for drink in range(count):
        await bar.world.submit(drink)
    await bar.received(1)
    assert bar.outbox._queues["hook"].pending == MAX_LOADED
    bar.receiver.answer = OK
    bar.receiver.received.clear()
    await bar.outbox.resume_endpoint("hook")
    await bar.received(count)
    assert sorted(bar.numbers) == list(range(1, count + 1))


async def published(bar: Bar, drink: int) -> None:
    """Submit a job; return in the turn in which its event is published, and not folded yet."""
    before = bar.world.bus.number
    submitting = asyncio.create_task(bar.world.submit(drink))
    while bar.world.bus.number == before:  # noqa: ASYNC110 - it is a matter of one turn
        await asyncio.sleep(0)
    submitting.add_done_callback(asyncio.Task.result)


async def add_that_has_failed(bar: Bar) -> None:
    """Add a webhook that has answered its first message with 500, and will take the next ones."""
    await bar.add()
    bar.receiver.answer = status(500)
    await bar.world.submit(0)
    await bar.received(1)
    bar.receiver.answer = OK


async def test_what_is_published_while_the_log_is_read(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that the page does not have, and that nobody was told of yet, is not lost."""
    await add_that_has_failed(bar)
    find = bar.outbox._history.find

    async def find_slowly(question: Question) -> Page:
        page = await find(question)
        monkeypatch.undo()
        await published(bar, 1)
        return page

    monkeypatch.setattr(bar.outbox._history, "find", find_slowly)
    await bar.outbox.resume_endpoint("hook")
    await bar.received(3)
    assert bar.numbers == [1, 1, 2]


@pytest.mark.parametrize("is_fault", [True, False], ids=["of the disk", "no thread"])
async def test_a_log_that_cannot_be_read(
    is_fault: bool, bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read a little later, also if nothing happens, and nothing in it is passed over."""
    await add_that_has_failed(bar)

    async def find(_: Question) -> Page:
        monkeypatch.undo()
        if is_fault:
            return Page((), damage=[Unreadable(Path("segment"), 0, "Input/output error")])
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(bar.outbox._history, "find", find)
    await bar.outbox.resume_endpoint("hook")
    await settle()
    await bar.world.clock.advance(AGAIN_S)
    await bar.received(2)
    assert bar.numbers == [1, 1]


async def test_a_message_that_cannot_be_made_by_mistake(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without memory: it is sent a little later, and does not keep back the next ones."""
    await bar.add(payload=True)
    with monkeypatch.context() as patch:
        failing = AsyncMock(side_effect=MemoryError)
        patch.setattr(Queries, "data_of", failing)
        await bar.world.submit(0)
        await bar.until(lambda: failing.await_count > 0)
        await settle()
    await bar.world.clock.advance(AGAIN_S)
    await bar.received(1)
    await bar.world.submit(1)
    await bar.received(2)
    assert bar.numbers == [1, 2]


async def test_what_is_published_at_the_end(bar: Bar) -> None:
    """No position is committed that passes an event which was not sent."""
    await bar.add()
    await bar.world.submit(0)
    await bar.received(1)
    await published(bar, 1)
    await bar.outbox.finish()
    positions = positions_in(bar.world.dispatcher._machine.tables.facts)
    assert (positions["hook"].n, bar.numbers) == (1, [1])


async def test_what_happens_while_an_endpoint_is_added(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of that, although nothing more happens."""
    is_to_go_on = hold_commits(bar, monkeypatch)
    adding = asyncio.create_task(bar.add("hook", "dispatch.*"))
    await settle()
    pausing = asyncio.create_task(bar.world.dispatcher.operator.pause(""))
    await settle()
    is_to_go_on.set()
    await asyncio.wait([adding, pausing])
    await bar.received(1)


async def test_a_dead_endpoint_slows_nobody(bar: Bar, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs keeps one message only, also where few may be under way in all."""
    monkeypatch.setattr(sender, "MAX_UNDER_WAY", 5)

    async def answer(writer: asyncio.StreamWriter, message: Received) -> None:
        if message.path == "/dead":
            await asyncio.Event().wait()
        writer.write(OK)

    bar.receiver.answer = answer
    await bar.add("dead")
    await bar.add()
    for drink in range(20):
        await bar.world.submit(drink)
    await bar.until(lambda: len(bar.receiver.of_path("hook")) == 20)
    assert len(bar.receiver.of_path("dead")) == 1


async def test_positions_are_committed_once_a_second(bar: Bar) -> None:
    """Those of endpoints that did not want anything only after a thousand events."""
    await bar.add()
    await bar.add("quiet", "worker.*")
    for drink in range(10):
        await bar.world.submit(drink)
    await bar.received(10)
    assert bar.outbox._committed["hook"].n == 0
    await bar.world.clock.advance(1)
    assert bar.outbox._committed["hook"].n == 10
    assert bar.outbox._committed["quiet"].n == 0
    await bar.outbox.remove("hook")
    for drink in range(10, IDLE_EVENTS):
        await bar.world.submit(drink)
    await bar.world.clock.advance(1)
    assert bar.outbox._committed["quiet"].n == IDLE_EVENTS


async def test_a_restart_goes_on(tmp_path: Path, receiver: Receiver) -> None:
    """What was told is not told again after a clean stop, and the rest follows."""
    settings = settings_of(tmp_path)
    async with running_world(settings) as world:
        first = Bar(world, receiver)
        await first.outbox.start()
        await first.add()
        await world.submit(1)
        await first.received(1)
        receiver.answer = status(500)
        await world.submit(2)
        await first.received(2)
        await first.client.close()
    receiver.answer = OK
    async with running_world(settings) as world:
        second = Bar(world, receiver)
        await world.submit(3)
        await second.outbox.start()
        await second.received(4)
        assert second.numbers == [1, 2, 2, 3]
        assert receiver.received[1].id == receiver.received[2].id
        await second.client.close()


async def test_webhooks_of_the_settings_file(tmp_path: Path, receiver: Receiver) -> None:
    """They follow the file: added, changed, with a new secret beside the old one, removed."""
    settings, changed = settings_of(tmp_path), new_secret()
    entry = WebhookEntry(receiver.url(), ("job.*",), False, SECRET)
    for entries, secrets in (
        ([entry], (SECRET,)),
        ([entry._replace(secret=changed, events=("worker.*",))], (changed, SECRET)),
        ([], None),
    ):
        async with running_world(settings) as world:
            bar = Bar(world, receiver, *entries)
            await bar.outbox.start()
            found = [queue.endpoint for queue in bar.outbox.queues]
            assert [each.events for each in found] == [each.events for each in entries]
            if secrets is not None:
                assert found[0].secrets_at(world.clock.now_s()) == secrets
                with pytest.raises(WebhookConfigured):
                    await bar.outbox.remove(found[0].id)
            await bar.client.close()


async def test_an_act_that_is_not_durable_has_no_effect(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails: the endpoint is not there, and is not told anything."""

    async def fail(_batch: object) -> None:
        raise StorageFailed("full")

    with monkeypatch.context() as patch:
        patch.setattr(bar.world.store, "commit", fail)
        patch.setattr(bar.world.store, "lasts", True)
        with pytest.raises(StorageFailed):
            await bar.add()
    assert await bar.outbox.endpoints() == []


async def test_acts_that_become_durable_after_their_answer(
    bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook removed by such an act gets no more events, and one added by it gets all."""
    await bar.add("removed")
    is_reached = asyncio.Event()

    async def commit(_batch: object) -> None:
        if not is_reached.is_set():
            raise OutcomeUnknown("no answer")

    monkeypatch.setattr(bar.world.store, "commit", commit)
    monkeypatch.setattr(bar.world.store, "lasts", True)
    acts = [asyncio.create_task(act) for act in (bar.outbox.remove("removed"), bar.add())]
    await bar.world.clock.advance(COMMIT_WAIT_S + 1)
    for act in acts:
        with pytest.raises(StorageFailed, match="it may have been stored"):
            await act
    is_reached.set()
    await bar.world.clock.advance(1)
    await bar.world.submit(0)
    await bar.world.clock.advance(1)
    await bar.received(1)
    assert [each["id"] for each in await bar.outbox.endpoints()] == ["hook"]
    assert bar.receiver.of_path("removed") == []


@pytest.mark.parametrize("turns", range(8))
async def test_acts_whose_requests_are_cut_off(bar: Bar, turns: int) -> None:
    """Each is carried out as a whole, or not at all, though no later request repeats it."""
    for webhook in ("removed", "continued"):
        await bar.add(webhook)
    requests = (
        bar.outbox.remove("removed"),
        bar.outbox.resume_endpoint("continued"),
        bar.add("added"),
    )
    tasks = [asyncio.create_task(request) for request in requests]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await bar.world.clock.advance(1)
    kept, _ = await bar.outbox._read()
    assert {each["id"] for each in await bar.outbox.endpoints()} == set(kept)


@pytest.mark.parametrize("turns", range(8))
async def test_what_is_dropped_by_a_request_that_is_cut_off(bar: Bar, turns: int) -> None:
    """It is dropped for good, or not at all."""
    await bar.add()
    bar.receiver.answer = status(500)
    await bar.world.submit(0)
    await bar.received(1)
    dropping = asyncio.create_task(bar.outbox.resume_endpoint("hook", drop=True))
    for _ in range(turns):
        await asyncio.sleep(0)
    dropping.cancel()
    await settle()
    _, stored = await bar.outbox._read()
    await bar.world.clock.advance(1)
    (shown,) = await bar.outbox.endpoints()
    assert shown["pending"] == (stored["hook"].n == 0)
    assert shown["told_to"] == stored["hook"].n


async def test_operators_at_a_hand_over(bar: Bar) -> None:
    """The next owner answers them; here it would look as if there were no webhooks."""
    await bar.add()
    await bar.outbox.finish()
    assert bar.world.dispatcher.is_open
    for act in (bar.outbox.endpoints(), bar.outbox.remove("hook"), bar.outbox.rotate("hook", "")):
        with pytest.raises(StandingBy):
            await act
