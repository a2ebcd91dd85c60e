"""Faults that simulated histories have found, each with a small test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import nextafter

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.core import evidence
from sanic_dispatch.core.connected_workers import Resumed
from sanic_dispatch.core.job import Hold, Stage, State, Way
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.connections import Message, MessageKind
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.memory_log import MemoryEventLog
from sanic_dispatch.storage.store import Batch, Store, Stored
from tests.support.clock import START_S, settle
from tests.support.network import FakeNetwork
from tests.support.world import World, worker


class ScriptedStore(Store):
    """A store whose next commits end as a test says: at once, in an error, or with a future."""

    def __init__(self, stored: Stored | None = None) -> None:
        self.history = MemoryEventLog()
        self.stored = stored or Stored()
        self.given: list[Batch] = []
        self.ends: list[Exception | asyncio.Future[None]] = []
        self.otherwise: Callable[[], Exception | None] = lambda: None

    async def load(self) -> Stored:
        return self.stored

    async def commit(self, batch: Batch) -> None:
        self.given.append(batch)
        end = self.ends.pop(0) if self.ends else self.otherwise()
        if isinstance(end, Exception):
            raise end
        if end is not None:
            await end

    async def try_writing(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


async def world_on(store: Store, policy: Policy | None = None) -> World:
    """Return a recovered dispatcher on this store."""
    world = World(store, FakeNetwork(), policy or Policy())
    await world.start()
    return world


async def test_what_a_batch_changes_is_what_was_loaded() -> None:
    """``before`` is the record in the store, also for a worker whose place is not 1."""
    robot = worker("c1", "i1")._replace(place=7.0)
    later = worker("c2", "i2")
    store = ScriptedStore(Stored(workers=[robot]))
    world = await world_on(store)
    await world.register(later)
    await world.dispatcher.operator.set_aside(robot.id, "cleaning")
    changes = [each for batch in store.given for each in batch.changes]
    places = [(each.id, each.after.place) for each in changes if isinstance(each.after, Worker)]
    assert next(each.before for each in changes if each.id == robot.id) == robot
    assert places == [(later.id, 8.0), (robot.id, 7.0)]


async def test_nothing_is_committed_under_the_number_of_a_batch_of_unknown_fate() -> None:
    """A stop while a commit's fate is unknown applies no later commands."""
    store = ScriptedStore()
    world = await world_on(store)
    store.otherwise = lambda: OutcomeUnknown("no answer")
    first = asyncio.create_task(world.submit("one"))
    await settle()
    second = asyncio.create_task(world.submit("two"))
    await settle()
    await world.dispatcher.stop(0)
    await settle()
    numbers = {batch.number: batch.changes for batch in store.given}
    assert all(numbers[batch.number] == batch.changes for batch in store.given)
    for request in (first, second):
        request.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_a_durable_submission_is_acknowledged() -> None:
    """The storage stalls during the delivery: the customer still gets an acknowledgement."""
    store = ScriptedStore()
    world = await world_on(store)
    robot = worker("c1", "i1")
    await world.register(robot)
    world.network.outcomes[robot.id] = [world.never()]
    submitting = asyncio.create_task(world.submit("one"))
    await settle()
    stalled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    store.ends = [stalled]
    other = asyncio.create_task(world.submit("two"))
    await settle()
    await world.clock.advance(10)
    assert (await submitting).job.data == b'"one"'
    other.cancel()
    stalled.set_result(None)


async def test_a_job_that_is_lost_while_its_session_is_resumed() -> None:
    """Both while the storage stalls; a worker that was not told would wait for it for ever."""
    store = ScriptedStore()
    world = await world_on(store)
    dispatcher, heard = world.dispatcher, list[Message]()
    for connection in ("1", "2"):
        dispatcher.connections.attach(connection, heard.append)
    tablet = Worker("ws:tablet", "2024-11-24T01:39:00Z", session="s")
    await dispatcher.register_connected(tablet, "1")
    submitting = asyncio.create_task(world.submit("one"))
    await settle()
    [offer] = heard
    await dispatcher.accept(offer.job_id, Proof(receipt=offer.receipt))
    stalled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    store.ends = [stalled]
    other = asyncio.create_task(world.submit("two"))
    await settle()
    resuming = asyncio.create_task(dispatcher.resume("s", "2"))
    putting_back = asyncio.create_task(dispatcher.operator.put_back(offer.job_id, "by hand"))
    await settle()
    stalled.set_result(None)
    assert await resuming == Resumed(lost=offer.job_id)
    assert [message.kind for message in heard] == [MessageKind.OFFER, MessageKind.REPLACED]
    await asyncio.gather(submitting, other, putting_back)


async def test_a_full_disk_is_not_written_to_without_a_pause() -> None:
    """An outcome whose commit fails is tried again after a pause."""
    store = ScriptedStore()
    world = await world_on(store)
    robot = worker("c1", "i1")
    await world.register(robot)
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    world.network.outcomes[robot.id] = [outcome]
    submitting = asyncio.create_task(world.submit("one"))
    await settle()
    store.otherwise = lambda: StorageFailed("the disk is full")
    so_far = len(store.given)
    outcome.set_result(Accepted())
    await settle()
    assert len(store.given) == so_far + 1
    store.otherwise = lambda: None
    await world.clock.advance(1)
    assert (await submitting).job.state is State.ASSIGNED
    assert (await world.job((await submitting).job.id)).hold.stage is Stage.CONFIRMED  # type: ignore


async def test_a_late_outcome_is_not_taken_for_that_of_the_next_attempt() -> None:
    """After an operator put a job back, the outcome of its PUT is ignored."""
    store = ScriptedStore()
    world = await world_on(store)
    first, second = worker("c1", "i1"), worker("c2", "i2")
    await world.register(first)
    await world.register(second)
    late: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    world.network.outcomes[first.id] = [late]
    world.network.outcomes[second.id] = [world.never()]
    submitting = asyncio.create_task(world.submit("one"))
    await settle()
    job = world.jobs()[0]
    await world.dispatcher.operator.put_back(job.id, "by hand")
    late.set_result(Accepted())
    await settle()
    hold = (await world.job(job.id)).hold
    assert hold is not None
    assert (hold.worker.id, hold.stage) == (second.id, Stage.UNDER_WAY)
    submitting.cancel()


async def test_a_callback_gets_one_put_at_a_time() -> None:
    """A worker whose job was put back gets the next one when the PUT to it has ended."""
    world = await world_on(ScriptedStore())
    robot = worker("c1", "i1")
    await world.register(robot)
    late: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    world.network.outcomes[robot.id] = [late]
    submitting = [asyncio.create_task(world.submit("one"))]
    await settle()
    job = world.jobs()[0]
    await world.dispatcher.operator.put_back(job.id, "by hand")
    await world.dispatcher.operator.cancel(job.id, "nobody wants it")
    submitting.append(asyncio.create_task(world.submit("two")))
    await world.clock.advance(2 * evidence.LATE_S)
    assert world.delivered == ["one"]
    late.set_result(Refused("answered 503"))
    await world.clock.advance(1)
    assert world.delivered == ["one", "two"]
    await asyncio.gather(*submitting)


async def test_a_put_that_was_called_off_before_it_was_sent_is_not_sent() -> None:
    """A worker is probed before the PUT, and an operator puts the job back meanwhile."""
    world = await world_on(ScriptedStore(), Policy(probe_after_s=0.0))
    first, second = worker("c1", "i1"), worker("c2", "i2")
    await world.register(first)
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    is_pending = world.network.is_pending

    async def slow(callback_url: str, if_silent: bool | None = None) -> bool | None:
        if callback_url == first.id:
            await answer
        return await is_pending(callback_url, if_silent)

    world.network.is_pending = slow  # type: ignore[method-assign]
    submitting = asyncio.create_task(world.submit("one"))
    await settle()
    await world.register(second)
    await world.dispatcher.operator.put_back(world.jobs()[0].id, "by hand")
    await world.quiet()
    answer.set_result(None)
    await world.quiet()
    assert [url for url, _ in world.network.deliveries] == [second.id]
    await submitting


async def test_a_job_whose_lease_ended_in_doubt_is_not_done_by_the_next_one() -> None:
    """It never arrived; its worker got another job, and completes only that one."""
    world = await world_on(ScriptedStore(), Policy(lease_s=5.0, resend_doubt=False))
    robot = worker("c1", "i1")
    await world.register(robot)
    world.network.outcomes[robot.id] = [InDoubt("no answer in time"), Accepted()]
    world.network.pending[robot.id] = None
    first = (await world.submit("one")).job
    await world.clock.advance(6)
    await world.dispatcher.operator.pause("a break")
    second = (await world.submit("two")).job
    await world.dispatcher.operator.move_to_front(second.id, "vip")
    world.network.pending[robot.id] = True
    await world.clock.advance(2 * evidence.LATE_S)
    await world.dispatcher.operator.resume("on it goes")
    await world.quiet()
    assert world.delivered == ["one", "two"]
    await world.register(worker("c2", "i1"))
    assert (await world.job(second.id)).state is State.DONE
    assert (await world.job(first.id)).state is not State.DONE


async def test_a_worker_whose_resent_job_is_put_back_is_free() -> None:
    """It had got the job in an answer that broke."""
    world = await world_on(ScriptedStore(), Policy(resend_doubt=False))
    robot = worker("c1", "i1")
    await world.submit("one")
    job = await world.dispatcher.register(robot)
    assert job is not None
    world.dispatcher.answer_lost(job, began=True)
    world.network.outcomes[robot.id] = [world.never()]
    await world.clock.advance(2)
    assert world.delivered == ["one"]
    assert await world.dispatcher.register(robot) is None
    await world.dispatcher.operator.put_back(job.id, "by hand")
    await world.dispatcher.operator.cancel(job.id, "nobody wants it")
    await world.clock.advance(2 * evidence.LATE_S)
    assert [each.id for each in world.free_workers()] == [robot.id]


def test_a_probe_a_hair_too_early_is_not_repeated_at_once() -> None:
    """A rest of 1e-15 s does not move the clock: the same probe would be repeated without end."""
    policy = Policy(unconsumed_after_s=30.0)
    hold = Hold(worker("c1", "i1"), Way.PUT, Stage.CONFIRMED, START_S)
    held_s = nextafter(30.0, 0.0)
    assert evidence.is_to_be_checked(hold)
    assert evidence.next_look_s(hold, 0, held_s, policy) >= evidence.SHORTEST_TIMER_S
