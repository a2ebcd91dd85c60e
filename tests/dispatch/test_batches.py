"""Batches: every request gets an answer, also at a stop and after an edit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from sanic_dispatch.callbacks.outcome import Refused
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.tables import Change
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch import batches as module
from sanic_dispatch.dispatch.batches import (
    COMMIT_RETRY_S,
    COMMIT_WAIT_S,
    GATHER_S,
    Batches,
    Promised,
    without_promises,
)
from sanic_dispatch.errors import LostOwnership, OutcomeUnknown, ShuttingDown, StorageFailed
from sanic_dispatch.observability.durations import CommitStats
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.store import Batch, Edit, EditedMeanwhile, Store
from tests.support.clock import START_S, FakeClock, settle
from tests.support.world import running_world, worker


class CommittingStore(InMemoryStore):
    """A store that records the ids in its batches; ``before`` is called before each commit."""

    lasts = True

    def __init__(self, before: Callable[[], Any] = lambda: None) -> None:
        self.ids: list[str] = []
        self.events: list[Event] = []
        self._before = before

    async def commit(self, batch: Batch) -> None:
        self._before()
        self.ids += [change.id for change in batch.changes]
        self.events += batch.events


def job(number: int) -> Job:
    return Job(f"j{number}", number, b"1", to_rfc3339(START_S), number)


async def opened_batches(
    store: Store,
    promised: Promised = without_promises,
    on_effect: Callable[[e.Effect], None] = lambda _: None,
    clock: FakeClock | None = None,
) -> tuple[Batches, list[Event]]:
    """Return batches over a recovered topic, and the list of events they publish."""
    published: list[Event] = []
    machine = StateMachine(Policy())
    tally, time = CommitStats(), clock or FakeClock()
    batches = Batches(machine, store, time, tally, published.extend, on_effect, promised)
    await batches.execute(c.Recover("00" * 32))
    return batches, published


async def test_a_request_after_close_is_refused() -> None:
    """It is refused at once, and does not wait for an answer that never comes."""
    batches, _ = await opened_batches(InMemoryStore())
    await batches.close()
    with pytest.raises(ShuttingDown):
        await batches.execute(c.LookUp("x"))


async def test_a_commit_that_close_cancels_fails_its_requests() -> None:
    """A commit that close() cancels before it starts still fails its requests."""
    batches, _ = await opened_batches(CommittingStore())
    reply = batches.execute(c.Submit("x", b"1"))
    batches._apply_all()
    await batches.close()
    with pytest.raises(StorageFailed):
        await asyncio.wait_for(reply, 1)


class SlowStore(CommittingStore):
    """A store whose commits take some turns of the loop, and that records how large they were."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def commit(self, batch: Batch) -> None:
        self.sizes.append(
            len([each for each in batch.events if each.kind is EventKind.JOB_SUBMITTED])
        )
        for _ in range(5):
            await asyncio.sleep(0)


async def submitted_in_turns(count: int, turn_s: float) -> list[int]:
    """Submit one job in each turn of the loop; return how many jobs each commit had."""
    store, clock = SlowStore(), FakeClock()
    batches, _ = await opened_batches(store, clock=clock)
    store.sizes.clear()
    replies = []
    for number in range(count):
        replies.append(batches.execute(c.Submit(f"j{number}", b"1")))
        await asyncio.sleep(0)
        clock.elapsed_s += turn_s
    await asyncio.gather(*replies)
    return store.sizes


async def test_requests_that_keep_coming_share_a_commit() -> None:
    """After a commit the next batch grows until no more come."""
    sizes = await submitted_in_turns(50, turn_s=0)
    assert sizes == [1, 49]


async def test_a_batch_does_not_grow_for_long() -> None:
    """Requests that never stop coming wait for GATHER_S after a commit, and no longer."""
    sizes = await submitted_in_turns(200, turn_s=GATHER_S / 20)
    assert sum(sizes) == 200
    assert all(20 <= size <= 40 for size in sizes[1:-1])


async def test_a_stop_refuses_what_has_gathered_after_a_commit() -> None:
    """close() ends the wait for more requests."""
    batches, _ = await opened_batches(SlowStore())
    first = batches.execute(c.Submit("a", b"1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gathered = [batches.execute(c.Submit(name, b"1")) for name in "bc"]
    await first
    await asyncio.wait_for(batches.close(), 1)
    for reply in gathered:
        with pytest.raises(ShuttingDown):
            await reply


async def test_lost_ownership_reaches_the_request_in_a_store_that_rereads() -> None:
    """A store that is read before each batch answers LostOwnership, too."""
    store = CommittingStore()
    batches, _ = await opened_batches(store)
    store.rereads = True

    def lose() -> None:
        raise LostOwnership("another")

    store._before = lose
    with pytest.raises(LostOwnership):
        await asyncio.wait_for(batches.execute(c.Submit("x", b"1")), 1)


async def test_of_two_edits_the_later_one_counts() -> None:
    """When a file is saved twice in a row, the jobs that the second save added are kept."""
    edits = [Edit([job(1)], None, START_S), Edit([job(1), job(2)], None, START_S)]

    def edited_once() -> None:
        if edits:
            raise EditedMeanwhile

    store = CommittingStore(edited_once)

    async def refresh() -> Edit | None:
        return edits.pop(0) if edits else None

    batches, published = await opened_batches(CommittingStore())
    batches._store = store  # opened_batches() recovers first, which would use up an edit
    store.rereads = True
    store.refresh = refresh  # type: ignore[method-assign]
    await batches.execute(c.Submit("x", b"1"))
    assert [event.job.id for event in published if event.job] == ["j1", "j2", "x"]


async def test_an_edit_does_not_overwrite_an_outcome_whose_commit_had_failed() -> None:
    """The file still has the job as it was before: under way, and so it would have stayed."""
    batches, published = await opened_batches(store := FullDisk(), on_effect=store.note)
    await batches.execute(c.Register(worker("c1")))
    under_way = (await batches.execute(c.Submit("x", b"1"))).job
    store.rereads = store.is_full = True
    batches.report(c.DeliveryAccepted("x", 1))
    await settle()
    store.is_full = False
    edits = [Edit([under_way, job(7)], None, START_S)]

    async def refresh() -> Edit | None:
        return edits.pop(0) if edits else None

    store.refresh = refresh  # type: ignore[method-assign]
    placed = await batches.execute(c.LookUp("x"))
    assert placed.job.state is State.DONE
    last = [each.kind for each in published][-3:]
    assert last == [EventKind.JOB_SUBMITTED, EventKind.JOB_DONE, EventKind.WORKER_USED]


@pytest.mark.parametrize("lasts", [True, False])
async def test_what_is_published_has_the_promises_that_are_committed(lasts: bool) -> None:
    """They are made once for each batch, also where nothing is committed."""
    promises = [Promise(START_S, seconds, 1.0, 2.0) for seconds in (60.0, 70.0)]
    left = promises[:]

    def promised(events: Sequence[Event]) -> Sequence[Event]:
        is_new = any(event.kind is EventKind.JOB_SUBMITTED for event in events)
        return [each._replace(promise=left.pop(0)) for each in events] if is_new else events

    store = CommittingStore()
    store.lasts = lasts
    batches, published = await opened_batches(store, promised)
    for job_id in ("x", "y"):
        await batches.execute(c.Submit(job_id, b"1"))
    assert [event.promise for event in published] == promises
    assert store.events == (published if lasts else [])


async def test_a_mistake_in_a_promise_loses_no_job() -> None:
    """The batch is committed without it."""

    def promised(events: Sequence[Event]) -> Sequence[Event]:
        raise ZeroDivisionError

    batches, published = await opened_batches(store := CommittingStore(), promised)
    await batches.execute(c.Submit("x", b"1"))
    assert store.events == published != []


class FullDisk(CommittingStore):
    """A store that fails while ``is_full``; the timers and deliveries that were begun."""

    is_full = False

    def __init__(self) -> None:
        super().__init__(self._check)
        self.timers: list[c.Command] = []
        self.delivered: list[str] = []

    def note(self, effect: e.Effect) -> None:
        if isinstance(effect, e.StartTimer):
            self.timers.append(effect.command)
        elif isinstance(effect, e.PutJob):
            self.delivered.append(effect.job.id)

    def _check(self) -> None:
        if self.is_full:
            raise StorageFailed("no space")

    async def fail(self, batches: Batches, *commands: c.Command) -> None:
        """Apply commands in a batch that fails."""
        self.is_full = True
        await asyncio.gather(*map(batches.execute, commands), return_exceptions=True)
        self.is_full = False

    def timer(self, kind: type[c.Command]) -> c.Command:
        return [each for each in self.timers if isinstance(each, kind)][-1]


async def test_a_look_up_after_a_failed_commit_ends_no_hurry() -> None:
    """It changes nothing, so the workers are probed as often as before."""
    batches, _ = await opened_batches(store := FullDisk(), on_effect=store.note)
    await batches.execute(c.Register(worker("c1", "i1")))
    await batches.execute(c.Submit("x", b"1"))
    batches.report(c.DeliveryRefused("x", 1, "503"))
    await settle()
    (begun,) = [each for each in store.timers if isinstance(each, c.LookForWorkers)]
    await store.fail(batches, c.Submit("y", b"1"), c.LookUp("x"))
    store.timers.clear()
    batches.report(begun)
    await batches.execute(c.Submit("z", b"1"))
    assert store.timer(c.LookForWorkers)


async def test_a_look_up_after_a_failed_commit_pairs_nothing() -> None:
    """The commit that failed had paired them: it does so again, with the delivery."""
    batches, published = await opened_batches(store := FullDisk(), on_effect=store.note)
    drinks = [c.Submit(f"{number}", b'{"drink":"mojito"}') for number in range(300)]
    await asyncio.gather(*map(batches.execute, drinks))
    robot = worker("c1", "i1")._replace(rule="match.drink=mojito")
    await batches.execute(c.Register(robot))
    batches.report(store.timer(c.MatchRules))
    await settle()
    last = store.timer(c.MatchRules)
    published.clear()
    store.is_full = True
    batches.report(last)
    await batches.execute(c.LookUp("0"))
    store.is_full = False
    await batches.execute(c.Submit("z", b"1"))
    assert store.delivered == ["0"]
    assert EventKind.JOB_ASSIGNED in [event.kind for event in published]


async def test_a_commit_that_fails_by_mistake_is_repeated() -> None:
    """It is unknown what became of it; nobody sees its changes before they are durable."""
    is_exhausted, clock = True, FakeClock()

    def allocate() -> None:
        if is_exhausted:
            raise MemoryError

    batches, published = await opened_batches(store := CommittingStore(), clock=clock)
    store._before = allocate
    placed = batches.execute(c.Submit("x", b"1"))
    await settle()
    looking = batches.execute(c.LookUp("x"))
    await settle()
    assert (placed.done(), looking.done()) == (False, False)
    is_exhausted = False
    await clock.advance(COMMIT_RETRY_S)
    assert (placed.done(), looking.done()) == (True, True)
    assert "x" in store.ids
    assert [each.kind for each in published] == [EventKind.JOB_SUBMITTED]


async def test_the_log_has_nothing_of_what_a_mistake_was_about() -> None:
    """An error of Unicode, for one, has the whole text: perhaps the name in an order."""
    is_mistaken, clock = True, FakeClock()

    def encode() -> None:
        if is_mistaken:
            "Ada \ud800".encode()

    batches, _ = await opened_batches(store := CommittingStore(), clock=clock)
    store._before = encode
    with capture_logs() as lines:
        placed = batches.execute(c.Submit("x", b"1"))
        await settle()
    (reason,) = [line["reason"] for line in lines if line["event"] == "commit.unknown"]
    assert "surrogates not allowed" in reason
    assert "Ada" not in reason
    is_mistaken = False
    await clock.advance(COMMIT_RETRY_S)
    assert placed.done()


@pytest.mark.parametrize("rereads", [True, False])
async def test_a_look_at_the_store_that_fails_by_mistake(rereads: bool) -> None:
    """Its requests fail, and do not wait for another one; what has happened outside is kept."""
    store, clock = CommittingStore(), FakeClock()
    batches, published = await opened_batches(store, clock=clock)
    await batches.execute(c.Register(worker("c1")))
    await batches.execute(c.Submit("x", b"1"))
    store.rereads = rereads

    async def no_memory() -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "refresh", no_memory)
        patch.setattr(store, "confirm", no_memory)
        patch.setattr(store, "may_act", lambda: False)
        looking = batches.execute(c.LookUp("x"))
        if rereads:
            batches.report(c.DeliveryAccepted("x", 1))
        with pytest.raises(MemoryError):
            await asyncio.wait_for(looking, 1)
    await clock.advance(COMMIT_RETRY_S)
    kinds = [each.kind for each in published]
    assert (EventKind.JOB_DONE in kinds) is rereads


async def test_a_batch_that_fails_by_mistake_before_its_commit() -> None:
    """Nothing of it is stored, or seen by later ones."""
    batches, published = await opened_batches(store := CommittingStore())

    def combine(_: object) -> list[Change]:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sanic_dispatch.dispatch.batches.combined", combine)
        with pytest.raises(MemoryError):
            await asyncio.wait_for(batches.execute(c.Submit("x", b"1")), 1)
    placed = await batches.execute(c.Submit("y", b"1"))
    assert (placed.position, store.ids.count("x"), len(published)) == (1, 0, 1)


async def test_what_workers_repeat_while_the_disk_is_full_is_kept_once() -> None:
    """Else each request would take longer the longer the disk is full; the first report counts."""
    batches, published = await opened_batches(store := FullDisk(), on_effect=store.note)
    robot = worker("c1", "i1")
    await batches.execute(c.Submit("x", b"1"))
    await batches.execute(c.Register(robot))
    batches.report(c.AnswerWritten("x", 1))
    await settle()
    store.is_full = True
    for number in range(100):
        for job_id in ("x", f"unknown{number}"):
            proof = Proof(key=robot.key)
            batches.report(c.NoteRefusedReport(job_id, proof, f"full {number}", f"r{number}"))
        poller = Worker("poll:shell", to_rfc3339(START_S))
        with pytest.raises(StorageFailed):
            await batches.execute(c.RegisterConnected(poller, f"connection{number}"))
        batches.report(c.Leave(f"connection{number}"))
        await settle()
    assert len(batches._kept) <= 1
    store.is_full = False
    await batches.execute(c.Submit("y", b"1"))
    noted = [each.reason for each in published if each.kind is EventKind.JOB_REPORT_REFUSED]
    assert noted == ["full 0"]


async def test_what_workers_repeat_while_an_outcome_is_unknown_is_kept_once() -> None:
    """Else the memory would fill with it for as long as the storage does not answer."""
    is_silent, clock = False, FakeClock()

    def answer() -> None:
        if is_silent:
            raise OutcomeUnknown("no answer")

    batches, published = await opened_batches(CommittingStore(answer), clock=clock)
    robot = worker("c1", "i1")
    await batches.execute(c.Submit("x", b"1"))
    await batches.execute(c.Register(robot))
    batches.report(c.AnswerWritten("x", 1))
    tablet = Worker("ws:tablet", to_rfc3339(START_S), session="s")
    await batches.execute(c.RegisterConnected(tablet, "connection"))
    is_silent = True
    late = [batches.execute(c.Submit("y", b"1"))]
    await settle()
    batches.report(c.Leave("connection"))
    for number in range(100):
        for job_id in ("x", f"unknown{number}"):
            proof = Proof(key=robot.key)
            batches.report(c.NoteRefusedReport(job_id, proof, f"late {number}", f"r{number}"))
        poller = Worker("poll:shell", to_rfc3339(START_S))
        late.append(batches.execute(c.RegisterConnected(poller, f"connection{number}")))
        batches.report(c.Leave(f"connection{number}"))
    await clock.advance(COMMIT_WAIT_S + COMMIT_RETRY_S)
    assert len(batches._inbox) == 2
    is_silent = False
    await clock.advance(COMMIT_RETRY_S)
    assert {type(error) for error in await asyncio.gather(*late, return_exceptions=True)} == {
        StorageFailed
    }
    noted = [each.reason for each in published if each.kind is EventKind.JOB_REPORT_REFUSED]
    assert noted == ["late 0"]
    assert batches._machine.tables.workers.at_connection == {}


@pytest.mark.parametrize("error", [StorageFailed, OutcomeUnknown])
async def test_many_refused_reports_while_nothing_is_stored(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is looked at once at a time: if it were compared with all others, nothing else ran."""
    is_failing, looks, clock = False, 0, FakeClock()
    unwrapped = module._unwrapped

    def fail() -> None:
        if is_failing:
            raise error("no answer")

    def look(command: c.Command) -> c.Command:
        nonlocal looks
        looks += 1
        return unwrapped(command)

    batches, _ = await opened_batches(CommittingStore(fail), clock=clock)
    await batches.execute(c.Submit("x", b"1"))
    await batches.execute(c.Register(worker("c1", "i1")))
    batches.report(c.AnswerWritten("x", 1))
    await settle()
    is_failing = True
    late = batches.execute(c.Submit("y", b"1"))
    await settle()
    monkeypatch.setattr(module, "_unwrapped", look)
    for number in range(100):
        batches.report(c.NoteRefusedReport("x", Proof(instance=f"i{number}"), "late", ""))
    await clock.advance(COMMIT_WAIT_S)
    assert 100 <= looks <= 1_000
    with pytest.raises(StorageFailed):
        await late


async def test_a_connection_that_broke_while_the_disk_was_full_is_gone() -> None:
    """Its worker had registered before: it is given nothing until it is back."""
    batches, _ = await opened_batches(store := FullDisk(), on_effect=store.note)
    tablet = Worker("ws:tablet", to_rfc3339(START_S), session="s")
    await batches.execute(c.RegisterConnected(tablet, "connection"))
    batches.report(c.Leave("connection"))
    await store.fail(batches, c.Submit("x", b"1"))
    await batches.execute(c.Submit("y", b"1"))
    placed = await batches.execute(c.LookUp("y"))
    assert placed.job.state is State.WAITING


async def test_a_registration_cancelled_in_the_turn_of_its_reply_loses_no_job() -> None:
    """The answer will not be written, so the job goes back to its place."""
    async with running_world() as world:
        await world.submit("x")
        asking = asyncio.create_task(world.dispatcher.register(worker("c1")))
        while not world.jobs()[0].hold:  # noqa: ASYNC110 - the very turn of it
            await asyncio.sleep(0)
        asking.cancel()
        await settle()
        assert asking.cancelled()
        assert [each.data for each in world.waiting_jobs()] == [b'"x"']


async def test_leases_and_probe_times_are_forgotten_with_their_job_or_worker() -> None:
    """The lease of a finished job and the probe time of a dropped worker are forgotten."""
    async with running_world(policy=Policy(lease_s=600)) as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        world.network.outcomes[robot.id] = [Refused("503")]
        world.network.pending[robot.id] = False
        world.network.states[robot.instance_url] = "gone"
        await world.submit("x")
        await world.clock.advance(5)
        assert world.workers() == []
        await world.register(worker("c2", "i2"))
        await world.register(worker("c3", "i2"))
        machine = world.dispatcher._machine
        assert (machine.leases, machine.watched) == ({}, {})
