"""The atomic steps over both queues: oldest job to oldest worker, and nobody overtakes."""

from __future__ import annotations

import asyncio

import pytest

from sanic_dispatch.errors import AlreadyQueued, StorageFailed
from sanic_dispatch.events import Event, Kind, Note
from sanic_dispatch.job import Job, Stage, State, Way
from sanic_dispatch.queues.base import Enqueued, Paired
from sanic_dispatch.settings import Mode
from tests.queues.kit import (
    REGISTERED,
    SUBMITTED,
    Bench,
    Gate,
    done,
    free,
    held,
    ids,
    job,
    turns,
    worker,
)

BLAMED = Note(Kind.JOB_BLAMED, 4.0)


async def waiting_jobs(bench: Bench, *numbers: int) -> list[Job]:
    return [await bench.pairs.jobs.enqueue(job(number), SUBMITTED) for number in numbers]


async def waiting_workers(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        assert await bench.pairs.ask(worker(number), 1.0) is None


async def pair(bench: Bench) -> Paired:
    paired = await bench.pairs.pair(3.0)
    assert paired
    return paired


def jobs_gate(bench: Bench) -> Gate:
    if not isinstance(bench.stores.jobs, Gate):
        pytest.skip("nothing is written")
    return bench.stores.jobs


def numbers(*paired: Paired) -> list[tuple[int, str]]:
    return [(each.job.ticket, each.worker.callback_url[-2]) for each in paired]


# ---- whether there is anything to pair


async def test_a_pair_that_can_be_made_is_never_denied(mixed: Bench) -> None:
    """Where a job and a worker are free, whichever came last, a pair may be made."""
    await mixed.pairs.workers.enqueue(worker(1), REGISTERED)
    await waiting_jobs(mixed, 1)
    assert mixed.pairs.may_pair()


async def test_one_process_knows_that_no_pair_can_be_made(mixed: Bench) -> None:
    """It looks at its own queues; where others share them, only a script can tell."""
    is_shared = mixed.backend.jobs is mixed.backend.workers is Mode.REDIS
    assert mixed.pairs.may_pair() is is_shared
    await mixed.pairs.workers.enqueue(worker(1), REGISTERED)
    assert mixed.pairs.may_pair() is is_shared
    await waiting_jobs(mixed, 1)
    await pair(mixed)
    assert mixed.pairs.may_pair() is is_shared


# ---- a job comes


async def test_a_job_with_nobody_to_take_it(mixed: Bench) -> None:
    """It stands at the end of the line, and its position counts it."""
    results = [await mixed.pairs.offer(job(number), 1.0) for number in (1, 2)]
    assert [r.position for r in results if isinstance(r, Enqueued)] == [1, 2]
    assert mixed.kinds == [Kind.JOB_SUBMITTED] * 2


async def test_a_job_lined_up_at_once(mixed: Bench) -> None:
    """It is on its way like any other, and then at the end, whether or not anybody waits for it;
    where files have to be looked at first, or it is Redis that pairs, nothing happens."""
    await waiting_jobs(mixed, 1)
    coming = mixed.pairs.line_up(job(2), 1.0, most=2)
    modes = {mixed.backend.jobs, mixed.backend.workers}
    assert (coming is None) == (Mode.JSON_FILE in modes or modes == {Mode.REDIS})
    if coming:
        assert mixed.pairs.line_up(job(2), 1.0, most=9) is None
        coming.cancel()
        await mixed.pairs.jobs.enqueue(job(3), SUBMITTED)
    waiting = await mixed.pairs.jobs.items()
    assert [j.ticket for j in waiting] == ([1, 2, 3] if coming else [1])
    assert mixed.kinds == [Kind.JOB_SUBMITTED] * len(waiting)


async def test_not_lined_up_where_it_is_not_simple(mixed: Bench) -> None:
    """A full queue, a known id and a free worker are left to ``offer``."""
    first, _ = await waiting_jobs(mixed, 1, 2)
    assert mixed.pairs.line_up(job(3), 1.0, most=2) is None
    assert mixed.pairs.line_up(job(1), 1.0, most=9) is None
    await mixed.pairs.jobs.finish(done(first))
    assert mixed.pairs.line_up(job(1), 1.0, most=9) is None
    await mixed.pairs.workers.enqueue(worker(1), REGISTERED)
    assert mixed.pairs.line_up(job(3), 1.0, most=9) is None


async def test_a_limit_counts_what_is_on_its_way(mixed: Bench) -> None:
    """While a write takes long no more come in than there is room for; then as many are there."""
    gate = jobs_gate(mixed)
    gate.hold()
    if (first := mixed.pairs.line_up(job(1), 1.0, most=2)) is None:
        pytest.skip("the files are looked at first, or Redis pairs")
    second = mixed.pairs.line_up(job(2), 1.0, most=2)
    assert mixed.pairs.line_up(job(3), 1.0, most=2) is None
    assert (await mixed.pairs.jobs.size(), await mixed.pairs.jobs.depth()) == (0, 2)
    gate.let_go()
    assert second
    await asyncio.gather(first, second)
    assert (await mixed.pairs.jobs.size(), await mixed.pairs.jobs.depth()) == (2, 2)


async def test_a_job_goes_to_the_worker_that_waits(mixed: Bench) -> None:
    """It is held in its first write, by the worker that has waited longest."""
    await waiting_workers(mixed, 1, 2)
    paired = await mixed.pairs.offer(job(1), 5.0)
    assert isinstance(paired, Paired)
    assert numbers(paired) == [(1, "1")]
    assert paired.job.hold
    assert (paired.job.state, paired.job.attempt) == (State.ASSIGNED, 1)
    assert (paired.job.hold.way, paired.job.hold.stage) == (Way.PUT, Stage.UNDER_WAY)
    assert await mixed.pairs.jobs.items() == [paired.job]
    assert await mixed.pairs.workers.size() == 1
    assert mixed.kinds[-2:] == [Kind.JOB_SUBMITTED, Kind.JOB_ASSIGNED]


async def test_held_in_its_first_write(bench: Bench) -> None:
    """A job that is taken at once costs one write, and none for the worker."""
    store = jobs_gate(bench)
    await waiting_workers(bench, 1)
    before = [gate.writes for gate in bench.stores if isinstance(gate, Gate)]
    await bench.pairs.offer(job(1), 1.0)
    after = [gate.writes for gate in bench.stores if isinstance(gate, Gate)]
    assert store.writes == before[0] + 1
    assert len(set(bench.stores)) == 1 or after[1] == before[1]


async def test_a_new_job_does_not_overtake(mixed: Bench) -> None:
    """With others before it a job stands in line, also when a worker is free."""
    await waiting_workers(mixed, 1)
    await waiting_jobs(mixed, 1)
    assert isinstance(await mixed.pairs.offer(job(2), 1.0), Enqueued)
    assert numbers(await pair(mixed)) == [(1, "1")]


async def test_a_new_job_does_not_overtake_one_under_way(bench: Bench) -> None:
    """With another still on its way in a job stands in line, also when a worker is free."""
    store = jobs_gate(bench)
    await waiting_workers(bench, 1)
    store.hold()
    first = asyncio.create_task(bench.pairs.jobs.enqueue(job(1)))
    await store.held()
    second = asyncio.create_task(bench.pairs.offer(job(2), 1.0))
    await turns()
    store.let_go()
    await first
    assert isinstance(await second, Enqueued)
    assert numbers(await pair(bench)) == [(1, "1")]


async def test_a_job_twice(mixed: Bench) -> None:
    """A job that is there already is refused, and no worker is held for it."""
    await mixed.pairs.offer(job(1), 1.0)
    await mixed.pairs.pair(1.0)
    await mixed.pairs.jobs.remove(job(1).id)
    await waiting_workers(mixed, 1)
    await mixed.pairs.offer(job(2), 1.0)
    with pytest.raises(AlreadyQueued):
        await mixed.pairs.offer(job(2), 1.0)
    await waiting_workers(mixed, 2)
    assert await mixed.pairs.workers.size() == 1


async def test_the_position_is_that_of_the_commit(mixed: Bench) -> None:
    """A position is what it was when the job was stored, also when its event at once makes a
    worker take the one before it."""
    await waiting_jobs(mixed, 1)
    asked: list[asyncio.Task[Job | None]] = []

    def on_event(event: Event) -> None:
        if event.job and event.job.ticket == 2:
            asked.append(asyncio.create_task(mixed.pairs.ask(worker(1), 1.0)))

    mixed.events.subscribe(on_event)
    result = await mixed.pairs.offer(job(2), 1.0)
    assert isinstance(result, Enqueued)
    assert result.position == 2
    await asyncio.gather(*asked)
    assert await mixed.pairs.jobs.position(result.record.id) == 1


# ---- a worker comes


async def test_a_worker_with_nothing_to_do(mixed: Bench) -> None:
    """It stands at the end of the line and is told so."""
    await waiting_workers(mixed, 1, 2)
    assert await ids(mixed.pairs.workers) == [worker(1).id, worker(2).id]
    assert mixed.kinds == [Kind.WORKER_REGISTERED] * 2


async def test_a_worker_gets_the_oldest_job(mixed: Bench) -> None:
    """It is answered with the job that has waited longest, and does not stand in line."""
    await waiting_jobs(mixed, 1, 2)
    taken = await mixed.pairs.ask(worker(1), 5.0)
    assert taken
    assert taken.hold
    assert (taken.ticket, taken.hold.way, taken.worker) == (1, Way.ANSWER, worker(1))
    assert await mixed.pairs.workers.items() == []
    assert await mixed.pairs.jobs.get(taken.id) == taken
    assert mixed.kinds[-1] is Kind.JOB_ASSIGNED


async def test_a_new_worker_does_not_overtake(mixed: Bench) -> None:
    """With others before it a worker stands in line, also when a job is free."""
    await waiting_workers(mixed, 1)
    await waiting_jobs(mixed, 1)
    await waiting_workers(mixed, 2)
    assert numbers(await pair(mixed)) == [(1, "1")]


async def test_a_worker_twice(mixed: Bench) -> None:
    """A worker that stands in line already is refused."""
    await waiting_workers(mixed, 1)
    with pytest.raises(AlreadyQueued):
        await mixed.pairs.ask(worker(1), 1.0)


async def test_two_workers_get_two_jobs(mixed: Bench) -> None:
    """Workers that ask at the same time never get the same job."""
    await waiting_jobs(mixed, 1, 2, 3)
    asked = [mixed.pairs.ask(worker(number), 1.0) for number in (1, 2, 3)]
    taken = await asyncio.gather(*asked)
    assert [(j.ticket, j.worker.id) for j in taken if j and j.worker] == [
        (number, worker(number).id) for number in (1, 2, 3)
    ]


# ---- pairing


async def test_first_come_first_served(mixed: Bench) -> None:
    """The oldest job goes to the oldest worker, the next to the next, then there is no pair."""
    await waiting_jobs(mixed, 1, 2)
    for number in (1, 2, 3):
        await mixed.pairs.workers.enqueue(worker(number))
    assert await mixed.pairs.pairable() == 2
    assert numbers(await pair(mixed), await pair(mixed)) == [(1, "1"), (2, "2")]
    assert await mixed.pairs.pair(3.0) is None
    assert await mixed.pairs.pairable() == 0


async def test_pairs_made_at_the_same_time(mixed: Bench) -> None:
    """Each pair has a job and a worker of its own, in order."""
    await waiting_jobs(mixed, 1, 2, 3)
    for number in (1, 2, 3):
        await mixed.pairs.workers.enqueue(worker(number))
    made = await asyncio.gather(*(pair(mixed) for _ in range(3)))
    assert numbers(*made) == [(1, "1"), (2, "2"), (3, "3")]


async def test_a_released_job_goes_first(mixed: Bench) -> None:
    """A job whose delivery failed is the next to be paired, before those that came later."""
    await waiting_workers(mixed, 1)
    first = await mixed.pairs.offer(job(1), 1.0)
    assert isinstance(first, Paired)
    await waiting_jobs(mixed, 2)
    await mixed.pairs.jobs.replace(free(first.job))
    again = await mixed.pairs.ask(worker(2), 1.0)
    assert again
    assert again.id == first.job.id


async def test_what_is_set_aside_is_not_paired(mixed: Bench) -> None:
    """A worker set aside is passed over, and is at its old place when it comes back."""
    await waiting_workers(mixed, 1, 2)
    first = await mixed.pairs.workers.get(worker(1).id)
    assert first
    aside = await mixed.pairs.workers.replace(first.refused("busy", 2.0, ""))
    await waiting_jobs(mixed, 1, 2)
    assert numbers(await pair(mixed)) == [(1, "2")]
    await mixed.pairs.workers.replace(aside.back())
    assert numbers(await pair(mixed)) == [(2, "1")]


async def test_nobody_overtakes_a_head_that_is_written(bench: Bench) -> None:
    """While the oldest job is written and stays free, nobody behind it is paired; no turn is lost:
    each pair that was asked for meanwhile is made when that is settled."""
    store = jobs_gate(bench)
    first, _ = await waiting_jobs(bench, 1, 2)
    for number in (1, 2):
        await bench.pairs.workers.enqueue(worker(number))
    store.hold()
    blame = asyncio.create_task(bench.pairs.jobs.replace(first, BLAMED))
    await store.held()
    made = [asyncio.create_task(pair(bench)) for _ in range(2)]
    await turns()
    assert not any(task.done() for task in made)
    store.let_go()
    await blame
    assert numbers(*await asyncio.gather(*made)) == [(1, "1"), (2, "2")]


async def test_a_newcomer_waits_behind_a_head_that_is_written(bench: Bench) -> None:
    """A worker that asks meanwhile stands in line: the job behind the head is not for it yet."""
    store = jobs_gate(bench)
    if not bench.backend.reads_during_writes:
        pytest.skip("nothing is decided during a write")
    first, _ = await waiting_jobs(bench, 1, 2)
    store.hold()
    blame = asyncio.create_task(bench.pairs.jobs.replace(first, BLAMED))
    await store.held()
    asked = asyncio.create_task(bench.pairs.ask(worker(1), 1.0))
    await turns()
    store.let_go()
    await blame
    assert await asked is None
    assert numbers(await pair(bench)) == [(1, "1")]


# ---- writes that fail


async def test_a_pair_that_failed(mixed: Bench) -> None:
    """Both are free again at their places, somebody is told, and the next try works."""
    store = jobs_gate(mixed)
    await waiting_jobs(mixed, 1, 2)
    for number in (1, 2):
        await mixed.pairs.workers.enqueue(worker(number))
    store.fail()
    with pytest.raises(StorageFailed):
        await mixed.pairs.pair(3.0)
    assert (await mixed.pairs.pairable(), mixed.freed) == (2, 1)
    assert Kind.JOB_ASSIGNED not in mixed.kinds
    assert numbers(await pair(mixed), await pair(mixed)) == [(1, "1"), (2, "2")]


async def test_an_offer_that_failed(mixed: Bench) -> None:
    """The job was not taken in, and its worker is free again and somebody is told."""
    store = jobs_gate(mixed)
    await waiting_workers(mixed, 1)
    store.fail()
    with pytest.raises(StorageFailed):
        await mixed.pairs.offer(job(1), 3.0)
    assert await mixed.pairs.jobs.items() == []
    assert (await mixed.pairs.workers.size(), mixed.freed) == (1, 1)


async def test_an_answer_that_failed(mixed: Bench) -> None:
    """The job is free again for the next worker, and somebody is told."""
    store = jobs_gate(mixed)
    await waiting_jobs(mixed, 1)
    store.fail()
    with pytest.raises(StorageFailed):
        await mixed.pairs.ask(worker(1), 3.0)
    assert (await mixed.pairs.jobs.size(), mixed.freed) == (1, 1)
    assert await mixed.pairs.ask(worker(2), 3.0)


async def test_a_pair_that_is_cut_off_and_fails(bench: Bench) -> None:
    """Both are free again, also when nobody waits for the pair any more."""
    store = jobs_gate(bench)
    await waiting_jobs(bench, 1)
    await bench.pairs.workers.enqueue(worker(1))
    store.hold()
    task = asyncio.create_task(bench.pairs.pair(3.0))
    await store.held()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.fail()
    store.let_go()
    await bench.was_freed.wait()
    assert numbers(await pair(bench)) == [(1, "1")]


async def test_a_worker_that_leaves_during_a_failed_pair(bench: Bench) -> None:
    """A worker that is removed while it is about to be held does not come back."""
    store = jobs_gate(bench)
    await waiting_jobs(bench, 1)
    await bench.pairs.workers.enqueue(worker(1))
    store.hold()
    paired = asyncio.create_task(bench.pairs.pair(3.0))
    await store.held()
    removed = asyncio.create_task(bench.pairs.workers.remove(worker(1).id))
    await turns()
    store.fail()
    store.let_go()
    with pytest.raises(StorageFailed):
        await paired
    assert await removed
    assert await bench.pairs.workers.items() == []
    assert await bench.pairs.jobs.size() == 1


async def test_a_holder_whose_removal_failed(bench: Bench) -> None:
    """A worker that holds a job does not become free when a change of it fails."""
    await waiting_workers(bench, 1)
    await bench.pairs.offer(job(1), 1.0)
    store = bench.stores.workers
    if not isinstance(store, Gate):
        pytest.skip("nothing is written")
    store.fail()
    with pytest.raises(StorageFailed):
        await bench.pairs.workers.remove(worker(1).id)
    assert await bench.pairs.workers.size() == 0


# ---- after a start


async def test_named_workers_are_held(bench: Bench) -> None:
    """A worker that may have a job gets no other; one that has it is used up."""
    if not bench.backend.is_durable:
        pytest.skip("nothing outlives it")
    pairs = bench.pairs
    for number in (1, 2, 3, 4):
        await pairs.workers.enqueue(worker(number))
    first, second, third = await waiting_jobs(bench, 1, 2, 3)
    await pairs.jobs.replace(held(first, worker(1)))
    await pairs.jobs.replace(held(second, worker(2), stage=Stage.CONFIRMED))
    await pairs.jobs.finish(done(held(third, worker(3))))
    await bench.reopen()
    assert [j.ticket for j in await bench.pairs.hold_named_workers()] == [1, 2]
    assert await ids(bench.pairs.workers) == [worker(1).id, worker(4).id]
    assert await bench.pairs.workers.size() == 1
    await waiting_jobs(bench, 5)
    assert numbers(await pair(bench)) == [(4, "4")]
