"""A dispatcher on standby or losing ownership: what requests get, and disconnected pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
import ujson

from sanic_dispatch.callbacks.outcome import Accepted, Outcome
from sanic_dispatch.cluster import spreading
from sanic_dispatch.cluster.forwarded_origin import ORIGIN, Origin
from sanic_dispatch.cluster.members import Member, Members
from sanic_dispatch.cluster.ownership import Ownership
from sanic_dispatch.cluster.spreading import Turn, spread
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import Stage
from sanic_dispatch.dispatch import dispatcher, standby
from sanic_dispatch.dispatch.answers_elsewhere import ANSWER_WAIT_S
from sanic_dispatch.dispatch.batches import COMMIT_WAIT_S
from sanic_dispatch.dispatch.dispatcher import DRAIN_S
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.dispatch.standby import Standby
from sanic_dispatch.errors import OutcomeUnknown, StandingBy, StorageFailed
from tests.support.clock import settle
from tests.support.server import eventually
from tests.support.world import World, running_world, worker


class FakeOwnership:
    """Ownership that a test grants, doubts and takes away."""

    def __init__(self) -> None:
        self.is_owner = self.is_sure = True
        self.is_successor = self.is_out_of_turn = False
        self.is_granted = asyncio.Event()
        self.own = Member("ada", "")
        self.owner, self.epoch = "ada", 1
        self.changed = asyncio.Event()
        self.said: list[Any] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self._lost = asyncio.Event()

    def may_act(self) -> bool:
        return self.is_owner and self.is_sure

    async def confirm(self) -> None:
        await self.answers.wait()
        if not self.may_act():
            raise StorageFailed("it cannot be asked")

    async def until_lost(self) -> None:
        await self._lost.wait()

    async def acquire(self, is_our_turn: Any) -> bool:
        await self.is_granted.wait()
        self.is_owner = True
        self._lost.clear()
        return True

    async def announce(self, successor: Member) -> None:
        self.said.append(("announced", successor))

    async def release(self, successor: Member | None) -> None:
        self.said.append(("released", successor))
        self.lose()

    def lose(self) -> None:
        self.is_owner = False
        self._lost.set()
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed.clear()


async def test_an_order_that_waits_for_its_worker_is_acknowledged() -> None:
    """It is durable, so it is accepted, whichever process owns the queues by then."""
    async with running_world() as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        world.network.outcomes[robot.id] = [world.never()]
        submitting = asyncio.create_task(world.submit("x"))
        await world.quiet()
        world.store.ownership = cast(Ownership, FakeOwnership())
        await world.dispatcher.stand_by()
        placed = await submitting
        assert placed.position == 1
        for act in (
            lambda: world.submit("y"),
            lambda: world.job(placed.job.id),
            lambda: world.dispatcher.cancel(placed.job.id),
            lambda: world.dispatcher.operator.pause(""),
            lambda: world.dispatcher.queries.workers(),
        ):
            with pytest.raises(StandingBy):
                await act()


async def test_an_order_accepted_just_before_the_loss_is_acknowledged() -> None:
    """It is durable, although nothing can be looked up any more."""
    async with running_world() as world:
        robots = [worker(f"c{n}", f"i{n}") for n in (1, 2)]
        submitting = []
        for robot in robots:
            await world.register(robot)
            world.network.outcomes[robot.id] = [world.never()]
            submitting.append(asyncio.create_task(world.submit(robot.id)))
            await world.clock.advance(0.125)
        ownership = FakeOwnership()
        ownership.is_sure, ownership.answers = False, asyncio.Event()
        world.store.ownership = cast(Ownership, ownership)
        await world.clock.advance(1.9)
        assert not any(each.done() for each in submitting)
        await world.dispatcher.stand_by()
        assert [(await each).position for each in submitting] == [1, 1]


async def test_an_order_whose_commit_is_broken_off() -> None:
    """Its fate is unknown, so it gets 503 instead of waiting for ever."""
    async with running_world() as world:

        async def commit(_: Any) -> None:
            raise OutcomeUnknown("no answer")

        world.store.lasts = True
        world.store.commit = commit  # type: ignore[method-assign]
        submitting = asyncio.create_task(world.submit("x"))
        await world.quiet()
        await world.dispatcher.stand_by()
        with pytest.raises(StorageFailed, match="it may have been stored"):
            await submitting


@pytest.mark.parametrize("is_broken_off", [False, True])
async def test_a_look_up_beside_a_commit_without_end(is_broken_off: bool) -> None:
    """It gets 503 as well, which does not say that it may have been stored."""
    async with running_world() as world:
        job_id = (await world.submit("x")).job.id

        async def commit(_: Any) -> None:
            raise OutcomeUnknown("no answer")

        world.store.lasts = True
        world.store.commit = commit  # type: ignore[method-assign]
        calls = asyncio.gather(world.submit("y"), world.job(job_id), return_exceptions=True)
        await world.quiet()
        if is_broken_off:
            await world.dispatcher.stand_by()
        await world.clock.advance(COMMIT_WAIT_S)
        fates = [str(error).rpartition(": ")[2] for error in await calls]
        assert fates == ["it may have been stored", "nothing was stored"]


async def test_whether_the_storage_fails_is_told_by_the_next_owner() -> None:
    """A dispatcher that has lost its way to Redis, and then the topic, fails no more."""
    async with running_world() as world:

        async def commit(_: Any) -> None:
            raise StorageFailed("Redis cannot be reached")

        world.store.lasts = True
        world.store.commit = commit  # type: ignore[method-assign]
        with pytest.raises(StorageFailed):
            await world.submit("x")
        assert world.dispatcher.commit_stats.is_failing
        await world.dispatcher.stand_by()
        assert not world.dispatcher.commit_stats.is_failing


async def test_a_look_up_that_may_be_stale_is_refused() -> None:
    """If the store cannot confirm ownership, look-ups are refused."""
    async with running_world() as world:
        job_id = (await world.submit("x")).job.id
        ownership = FakeOwnership()
        world.store.ownership = cast(Ownership, ownership)
        assert (await world.job(job_id)).id == job_id
        ownership.is_sure = False
        with pytest.raises(StorageFailed):
            await world.job(job_id)


async def test_pages_are_disconnected_while_ownership_is_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Past the deadline views may be stale; they come back once ownership is confirmed."""
    monkeypatch.setattr(standby, "OWNER_CHECK_S", 0.001)
    ownership, said = FakeOwnership(), list[Any]()

    async def show(snapshot: TopicSnapshot | None) -> None:
        said.append(snapshot)

    async with running_world() as world:
        turn = Turn("", None)
        standing_by = Standby(world.dispatcher, cast(Ownership, ownership), turn, show, said.append)
        standing_by.start()
        for is_sure, expected in ((False, [True]), (True, [True, False])):
            ownership.is_sure = is_sure
            await eventually(lambda expected=expected: is_equal(said, expected))  # type: ignore[misc]
        ownership.lose()
        await eventually(lambda: is_equal(said, [True, False, None]))
        assert not world.dispatcher.is_open
        await standing_by.stop()


async def is_equal(one: Any, other: Any) -> bool:
    return bool(one == other)


async def ignore(_: TopicSnapshot | None) -> None:
    """Show nothing."""


@asynccontextmanager
async def shared_world(
    settings: Settings | None = None,
) -> AsyncIterator[tuple[World, FakeOwnership]]:
    """Run a world whose topic may be another process's next."""
    async with running_world(settings) as world:
        ownership = FakeOwnership()
        world.store.ownership = cast(Ownership, ownership)
        yield world, ownership


async def drain(world: World) -> None:
    """Let the dispatcher end what is under way, which is nothing."""
    draining = asyncio.create_task(world.dispatcher.drain())
    await world.clock.advance(0.1)
    await draining


async def test_what_is_under_way_ends_before_a_hand_over() -> None:
    """A PUT and an answer are waited for; orders are taken in meanwhile, and none is assigned."""
    async with shared_world() as (world, _):
        first, second, third = (worker(f"c{n}", f"i{n}") for n in (1, 2, 3))
        outcome: asyncio.Future[Outcome] = world.never()
        await world.register(first)
        world.network.outcomes[first.id] = [outcome]
        submitting = asyncio.create_task(world.submit("by put"))
        await world.quiet()
        draining = asyncio.create_task(world.dispatcher.drain())
        await world.clock.advance(0.1)
        assert (await world.submit("later")).position == 1
        assert await world.register(third) is None
        outcome.set_result(Accepted())
        await world.clock.advance(0.1)
        assert (await submitting).position is None
        await draining
        assert [job.hold.stage for job in world.jobs() if job.hold] == [Stage.CONFIRMED]
        assert [job.data for job in world.waiting_jobs()] == [b'"later"']
        assert [each.id for each in world.free_workers()] == [third.id]

    async with shared_world() as (world, _):
        await world.submit("by answer")
        job = await world.dispatcher.register(second)
        assert job
        draining = asyncio.create_task(world.dispatcher.drain())
        await world.clock.advance(1.0)
        assert not draining.done()
        world.dispatcher.answer_written(job)
        await world.clock.advance(0.1)
        assert draining.done()
        assert [job.hold.stage for job in world.jobs() if job.hold] == [Stage.CONFIRMED]


async def test_a_worker_that_does_not_answer_holds_up_no_hand_over(tmp_path: Path) -> None:
    """Its job is in doubt at the next owner; the order is accepted, and the others are served."""
    kept = Settings(job_queue_mode=Mode.SQLITE, worker_queue_mode=Mode.SQLITE, data_dir=tmp_path)
    async with shared_world(kept) as (world, ownership):
        silent, robot = worker("c1", "i1"), worker("c2", "i2")
        await world.register(silent)
        world.network.outcomes[silent.id] = [world.never()]
        submitting = asyncio.create_task(world.submit("hangs"))
        await world.quiet()
        draining = asyncio.create_task(world.dispatcher.drain())
        await world.clock.advance(DRAIN_S - 0.1)
        await world.submit("later")
        assert not draining.done()
        await world.clock.advance(0.2)
        assert draining.done()
        await world.dispatcher.stand_by()
        assert (await submitting).position == 1

        ownership.is_owner = True
        await world.start()
        held, waiting = world.jobs()
        assert held.hold
        assert (held.hold.stage, held.hold.worker.id) == (Stage.IN_DOUBT, silent.id)
        assert await world.register(robot) == ujson.loads(waiting.data) == "later"


async def test_a_commit_is_waited_for_however_long_it_takes() -> None:
    """A hand-over loses nothing that was applied."""
    async with shared_world() as (world, _):
        durable = asyncio.Event()

        async def commit(_: Any) -> None:
            await durable.wait()

        world.store.lasts = True
        world.store.commit = commit  # type: ignore[method-assign]
        submitting = asyncio.create_task(world.submit("x"))
        await world.quiet()
        draining = asyncio.create_task(world.dispatcher.drain())
        await world.clock.advance(DRAIN_S + 1.0)
        assert not draining.done()
        durable.set()
        await world.quiet()
        await world.clock.advance(0.1)
        await draining
        assert (await submitting).position == 1


async def test_requests_wait_while_the_topic_changes_hands() -> None:
    """They go on if this process gets it, and are told who has it otherwise."""
    async with shared_world() as (world, ownership):
        for owner in ("bert", ""):
            await drain(world)
            waiting = [
                asyncio.create_task(act)
                for act in (world.submit("x"), world.register(worker("c1")), world.job("0" * 32))
            ]
            await world.quiet()
            assert not any(each.done() for each in waiting)
            await world.dispatcher.stand_by()
            ownership.is_owner, ownership.owner = False, owner
            ownership.wake()
            await world.quiet()
            if owner:
                for each in waiting:
                    with pytest.raises(StandingBy, match="bert owns"):
                        await each
                ownership.is_owner = True
                await world.start()
        assert not any(each.done() for each in waiting)
        ownership.is_owner = True
        await world.start()
        assert (await waiting[0]).job.data == b'"x"'


async def test_a_registration_that_waits_for_its_last_answer_meets_no_half_loaded_topic() -> None:
    """If the topic is lost meanwhile, it waits until that is served again."""
    async with shared_world() as (world, _):
        await world.submit(1)
        token = ORIGIN.set(Origin("run", 1, 1))
        assert await world.dispatcher.register(worker("c1", "i1"))
        ORIGIN.reset(token)
        back = asyncio.create_task(world.dispatcher.register(worker("c2", "i1")))
        await world.quiet()
        await world.dispatcher.stand_by()
        await world.clock.advance(ANSWER_WAIT_S)
        assert not back.done()
        await world.start()
        assert await back is None
        assert [each.id for each in world.free_workers()] == [worker("c2", "i1").id]


async def test_requests_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nobody gets the topic in time, they are refused."""
    monkeypatch.setattr(dispatcher, "HAND_OVER_WAIT_S", 0.001)
    async with shared_world() as (world, ownership):
        await drain(world)
        await world.dispatcher.stand_by()
        ownership.is_owner, ownership.owner = False, ""
        with pytest.raises(StandingBy, match="another dispatcher owns"):
            await world.submit("x")


async def test_the_topic_goes_to_whose_turn_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner hands over to a process that has joined, and at its end to any that lives."""
    monkeypatch.setattr(standby, "OWNER_CHECK_S", 0.001)
    monkeypatch.setattr(spreading, "SETTLE_S", 0.0)
    ada, bert = Member("ada", "", ("",)), Member("bert", "", ("",))
    heir = spread((ada, bert))[""]
    own = ada if heir is bert else bert
    for is_end in (False, True):
        async with shared_world() as (world, ownership):
            ownership.own = own
            members = Members(None, own)  # type: ignore[arg-type]  # nothing is announced
            standing_by = Standby(
                world.dispatcher, cast(Ownership, ownership), Turn("", members), ignore, print
            )
            standing_by.start()
            await settle()
            assert ownership.said == []
            members._note([heir] if is_end else [ada, bert])
            leaving = asyncio.create_task(standing_by.leave(1.0)) if is_end else None
            await eventually(lambda said=ownership.said: is_equal(said, [("announced", heir)]))  # type: ignore[misc]
            await world.clock.advance(0.1)
            assert leaving is None or await leaving
            assert ownership.said == [("announced", heir), ("released", heir)]
            assert not world.dispatcher.is_open
            await standing_by.stop()


class CountedTurn(Turn):
    """Counts how often it is asked whose turn it is."""

    asked = 0

    def successor(self) -> Member | None:
        self.asked += 1
        return super().successor()


@pytest.mark.parametrize("keep_s", [0.0, 60.0])
@pytest.mark.parametrize(("is_out_of_turn", "name"), [(True, "KEEP_S"), (False, "SETTLE_S")])
async def test_a_topic_that_was_taken_over_is_kept_for_a_while(
    monkeypatch: pytest.MonkeyPatch, keep_s: float, is_out_of_turn: bool, name: str
) -> None:
    """So that it does not go to and fro between this process and one that does not take it.

    That one may just have left, so that this one does not know yet.
    """
    monkeypatch.setattr(standby, "OWNER_CHECK_S", 0.001)
    monkeypatch.setattr(standby, name, keep_s)
    monkeypatch.setattr(spreading, "SETTLE_S", 0.0)
    ada, bert = Member("ada", "", ("",)), Member("bert", "", ("",))
    async with shared_world() as (world, ownership):
        await world.dispatcher.stand_by()
        heir = spread((ada, bert))[""]
        ownership.own = ada if heir is bert else bert
        ownership.is_out_of_turn = is_out_of_turn
        members = Members(None, ownership.own)  # type: ignore[arg-type]
        members._note([ada, bert])
        turn = CountedTurn("", members)
        standing_by = Standby(world.dispatcher, cast(Ownership, ownership), turn, ignore, print)
        standing_by.start()
        ownership.is_granted.set()

        async def is_asked() -> bool:
            return turn.asked >= 5 or bool(ownership.said)

        await eventually(is_asked)
        assert ownership.said == ([("announced", heir)] if keep_s == 0.0 else [])
        await standing_by.stop()


@pytest.mark.parametrize("error", [StorageFailed("silent"), RuntimeError("no new thread")])
async def test_a_topic_that_could_not_be_taken_over_is_free_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever went wrong, another process may take the topic, and this one tries again."""
    monkeypatch.setattr(standby, "LOAD_RETRY_S", 0.0)
    async with shared_world() as (world, ownership):
        await world.dispatcher.stand_by()
        with monkeypatch.context() as patch:
            failing = AsyncMock(side_effect=error)
            patch.setattr(world.store, "load", failing)
            last = Standby(
                world.dispatcher, cast(Ownership, ownership), Turn("", None), ignore, print
            )
            last.start()
            ownership.is_granted.set()
            await eventually(lambda: is_equal(ownership.said[:1], [("released", None)]))
        await eventually(lambda: is_equal(world.dispatcher.is_open, other=True))
        await last.stop()


async def test_a_topic_that_could_not_be_dropped_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may take it; this one does not, since what is left of it here might act."""
    monkeypatch.setattr(standby, "LOAD_RETRY_S", 0.0)
    async with shared_world() as (world, ownership):
        await world.dispatcher.stand_by()
        last = Standby(world.dispatcher, cast(Ownership, ownership), Turn("", None), ignore, print)
        with monkeypatch.context() as patch:
            patch.setattr(world.store, "load", AsyncMock(side_effect=StorageFailed("silent")))
            no_memory = AsyncMock(side_effect=MemoryError)
            patch.setattr(world.dispatcher, "stand_by", no_memory)
            last.start()
            ownership.is_granted.set()
            await eventually(lambda: is_equal(ownership.said, [("released", None)]))
        await settle()
        assert not ownership.is_owner
        await last.stop()


async def test_nobody_to_hand_over_to() -> None:
    """The last process keeps the topic until it has stopped."""
    async with shared_world() as (world, ownership):
        ownership.own = own = Member("ada", "", ("",))
        for living in ([], [own]):
            members = Members(None, own)  # type: ignore[arg-type]
            members._note(living)
            turn = Turn("", members)
            last = Standby(world.dispatcher, cast(Ownership, ownership), turn, ignore, print)
            last.start()
            assert not await last.leave(1.0)
            assert world.dispatcher.is_open
            await last.stop()


async def test_a_process_that_stops_takes_nothing_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it while it has no successor, and waits for another of its topics to stop."""
    monkeypatch.setattr(standby, "LOAD_RETRY_S", 0.0)
    async with shared_world() as (world, ownership):
        ownership.is_owner = False
        await world.dispatcher.stand_by()
        members = Members(None, ownership.own)  # type: ignore[arg-type]
        members._note([])
        turn = Turn("", members)
        last = Standby(world.dispatcher, cast(Ownership, ownership), turn, ignore, print)
        last.start()
        await world.quiet()
        assert not await last.leave(1.0)
        await world.dispatcher.stop(1.0)
        ownership.is_granted.set()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not world.dispatcher.is_open
        await last.stop()


async def test_an_order_that_was_not_given_to_the_store() -> None:
    """It is the next owner's: it has left no trace here."""
    async with shared_world() as (world, ownership):
        waiting, commits = asyncio.Event(), list[Any]()

        async def commit(batch: Any) -> None:
            commits.append(batch)
            await waiting.wait()

        world.store.lasts = True
        world.store.commit = commit  # type: ignore[method-assign]
        orders = [asyncio.create_task(world.submit("x"))]
        await world.quiet()
        orders.append(asyncio.create_task(world.submit("y")))
        await world.quiet()
        ownership.owner = "bert"
        await world.dispatcher.stand_by()
        with pytest.raises(StorageFailed, match="it may have been stored"):
            await orders[0]
        with pytest.raises(StandingBy):
            await orders[1]
        assert len(commits) == 1
