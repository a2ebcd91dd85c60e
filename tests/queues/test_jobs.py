"""What the queue of jobs promises besides: tickets, finished jobs, and the way back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.errors import AlreadyQueued, Outdated, StorageFailed, UnknownJob
from sanic_dispatch.events import Kind, Note
from sanic_dispatch.job import Job, Stage, State, Way
from sanic_dispatch.queues.base import JobQueue
from sanic_dispatch.worker import Key
from tests.queues.kit import Backend, Bench, Gate, done, free, held, ids, job, worker

DONE = Note(Kind.JOB_DONE, 9.0)


async def finished(jobs: JobQueue, number: int, at_s: float = 9.0) -> Job:
    taken = await jobs.replace(held(await jobs.enqueue(job(number)), worker(number)))
    return await jobs.finish(done(taken, at_s), DONE)


def gate(bench: Bench) -> Gate:
    if not isinstance(bench.stores.jobs, Gate):
        pytest.skip("nothing is written")
    return bench.stores.jobs


def durable(bench: Bench) -> None:
    if not bench.backend.is_durable:
        pytest.skip("nothing outlives it")


async def test_tickets_count_up(bench: Bench) -> None:
    """Each new job gets the next number."""
    jobs = bench.pairs.jobs
    assert [(await jobs.enqueue(job(n))).ticket for n in range(3)] == [1, 2, 3]


async def test_tickets_go_on(bench: Bench) -> None:
    """No number is given twice, also when its job has left the queue before a new start."""
    durable(bench)
    await finished(bench.pairs.jobs, 1)
    await bench.reopen()
    assert (await bench.pairs.jobs.enqueue(job(2))).ticket == 2


async def test_tickets_go_on_behind_the_kept(backend: Backend, tmp_path: Path) -> None:
    """No number is given twice, also when its job is not even kept any more."""
    bench = Bench(backend, tmp_path, kept=1)
    await bench.open()
    durable(bench)
    for number, at_s in enumerate((1.0, 2.0)):
        await finished(bench.pairs.jobs, number, at_s)
    first = await bench.pairs.jobs.enqueue(job(7))
    await bench.pairs.jobs.enqueue(job(8))
    await finished(bench.pairs.jobs, 3)
    await bench.pairs.jobs.finish(done(held(first, worker(7)), 9.0))
    await bench.reopen()
    assert (await bench.pairs.jobs.enqueue(job(9))).ticket == 6
    await bench.close()


async def test_data_is_kept_to_the_byte(bench: Bench) -> None:
    """What comes out after opening again is the very JSON that went in."""
    durable(bench)
    data = b'{"b" : 1.50,\n "a": "\\u00e4\xc3\xa4", "n": 12345678901234567890, "a": [ ]}'
    await bench.pairs.jobs.enqueue(job(1, data))
    await bench.reopen()
    assert [j.data for j in await bench.pairs.jobs.items()] == [data]


async def test_holds_are_kept(bench: Bench) -> None:
    """Who holds a job, by which way and how far, is there after opening again."""
    durable(bench)
    jobs = bench.pairs.jobs
    by = worker(5, Key("i", "a"))
    stored = await jobs.replace(held(await jobs.enqueue(job(1)), by, Way.ANSWER, Stage.CONFIRMED))
    await bench.reopen()
    assert await bench.pairs.jobs.items() == [stored]
    assert await bench.pairs.jobs.of_key(Key("i", "a")) == [stored]
    assert await bench.pairs.jobs.at_callback(by.callback_url) == stored


async def test_finishing_moves_out(bench: Bench) -> None:
    """A finished job is out of the queue and still known; its event comes once."""
    jobs = bench.pairs.jobs
    job_ = await finished(jobs, 1)
    assert (await jobs.items(), await jobs.get(job_.id)) == ([], None)
    assert await jobs.finished(job_.id) == job_
    assert await jobs.all_finished() == [job_]
    assert bench.kinds == [Kind.JOB_DONE]


async def test_finished_jobs_stand_in_order_of_finishing(bench: Bench) -> None:
    """The oldest finished first, whatever their tickets, also after opening again."""
    jobs = bench.pairs.jobs
    waiting = [await jobs.enqueue(job(number)) for number in range(4)]
    order = [waiting[n].id for n in (2, 0, 3, 1)]
    for number in (2, 0, 3, 1):
        await jobs.finish(done(held(waiting[number], worker(number))))
    assert [j.id for j in await jobs.all_finished()] == order
    if bench.backend.is_durable:
        await bench.reopen()
        last = await finished(bench.pairs.jobs, 9)
        await bench.reopen()
        assert [j.id for j in await bench.pairs.jobs.all_finished()] == [*order, last.id]


async def test_finished_jobs_are_kept(bench: Bench) -> None:
    """A finished job and its result are there after opening again."""
    durable(bench)
    jobs = bench.pairs.jobs
    waiting = await jobs.enqueue(job(1))
    stored = await jobs.finish(done(held(waiting, worker(1)), result=b'{"glass" : "cold"}'))
    await bench.reopen()
    assert await bench.pairs.jobs.all_finished() == [stored]
    assert await bench.pairs.jobs.items() == []


async def test_finishing_is_fenced(bench: Bench) -> None:
    """A job that has changed since is not finished."""
    jobs = bench.pairs.jobs
    waiting = await jobs.enqueue(job(1))
    await jobs.replace(held(waiting, worker(1)))
    with pytest.raises(Outdated):
        await jobs.finish(done(waiting))
    assert await jobs.all_finished() == []


async def test_a_callback_is_used_up(bench: Bench) -> None:
    """The job that a callback got is known while it is held and after it has finished."""
    jobs = bench.pairs.jobs
    url = worker(1).callback_url
    assert await jobs.at_callback(url) is None
    taken = await jobs.replace(held(await jobs.enqueue(job(1)), worker(1)))
    assert await jobs.at_callback(url) == taken
    stored = await jobs.finish(done(taken))
    assert await jobs.at_callback(url) == stored


async def test_a_callback_that_was_used_before_is_known(bench: Bench) -> None:
    """By the job that it took, whoever has that now, and after opening again."""
    jobs, spent = bench.pairs.jobs, (worker(1).callback_url, worker(2).callback_url)
    waiting = (await jobs.enqueue(job(1)))._replace(spent=spent)
    stored = await jobs.replace(held(waiting, worker(3)))
    if bench.backend.is_durable:
        await bench.reopen()
        jobs = bench.pairs.jobs
    for number in (1, 2, 3):
        assert await jobs.at_callback(worker(number).callback_url) == stored
    finished = await jobs.finish(done(stored))
    assert await jobs.at_callback(spent[0]) == finished


async def test_the_id_of_a_finished_job_is_taken(bench: Bench) -> None:
    """A job that is finished and still kept is not taken in again."""
    job_ = await finished(bench.pairs.jobs, 1)
    with pytest.raises(AlreadyQueued):
        await bench.pairs.jobs.enqueue(job(1))
    assert await bench.pairs.jobs.finished(job_.id) == job_


async def test_put_back_to_its_own_place(bench: Bench) -> None:
    """A finished job that is put back stands before those that came after it."""
    jobs = bench.pairs.jobs
    job_ = await finished(jobs, 1)
    later = await jobs.enqueue(job(2))
    back = await jobs.put_back(free(job_), Note(Kind.JOB_RETURNED, 10.0))
    assert (back.place, await ids(jobs)) == (job_.place, [job_.id, later.id])
    assert await jobs.all_finished() == []
    if bench.backend.is_durable:
        await bench.reopen()
        assert await ids(bench.pairs.jobs) == [job_.id, later.id]
        assert await bench.pairs.jobs.all_finished() == []


async def test_put_back_twice(bench: Bench) -> None:
    """The second put-back sees that the first was quicker; an unknown job is unknown."""
    jobs = bench.pairs.jobs
    job_ = await finished(jobs, 1)
    results = await asyncio.gather(
        jobs.put_back(free(job_)), jobs.put_back(free(job_)), return_exceptions=True
    )
    assert [type(result) for result in results] == [Job, Outdated]
    with pytest.raises(UnknownJob):
        await jobs.put_back(free(job(77)))


async def test_put_back_finished_again(bench: Bench) -> None:
    """A job can be finished, put back and finished again; it is kept once."""
    jobs = bench.pairs.jobs
    back = await jobs.put_back(free(await finished(jobs, 1)))
    again = await jobs.finish(done(held(back, worker(2)), 11.0))
    assert await jobs.all_finished() == [again]
    if bench.backend.is_durable:
        await bench.reopen()
        assert await bench.pairs.jobs.all_finished() == [again]


async def test_a_finish_that_failed(bench: Bench) -> None:
    """The job is held as before, nothing is kept of it, and the next try works."""
    jobs = bench.pairs.jobs
    taken = await jobs.replace(held(await jobs.enqueue(job(1)), worker(1)))
    gate(bench).fail()
    with pytest.raises(StorageFailed):
        await jobs.finish(done(taken), DONE)
    assert (await jobs.items(), await jobs.all_finished()) == ([taken], [])
    assert bench.history == []
    await jobs.finish(done(taken), DONE)
    await bench.reopen()
    assert await bench.pairs.jobs.items() == []


async def test_a_put_back_that_failed(bench: Bench) -> None:
    """The job is finished as before, also after opening again."""
    job_ = await finished(bench.pairs.jobs, 1)
    gate(bench).fail()
    with pytest.raises(StorageFailed):
        await bench.pairs.jobs.put_back(free(job_))
    for _ in range(2):
        assert await bench.pairs.jobs.items() == []
        assert await bench.pairs.jobs.all_finished() == [job_]
        await bench.reopen()


async def test_a_finish_that_is_cut_off(bench: Bench) -> None:
    """A finish whose caller is gone is carried to its end and published."""
    jobs = bench.pairs.jobs
    taken = await jobs.replace(held(await jobs.enqueue(job(1)), worker(1)))
    store = gate(bench)
    store.hold()
    task = asyncio.create_task(jobs.finish(done(taken), DONE))
    await store.held()
    task.cancel()
    store.let_go()
    with pytest.raises(asyncio.CancelledError):
        await task
    await jobs.enqueue(job(2))
    assert [j.id for j in await jobs.all_finished()] == [taken.id]
    assert bench.kinds == [Kind.JOB_DONE]


async def test_so_many_are_kept(backend: Backend, tmp_path: Path) -> None:
    """When too many jobs have finished, the oldest are let go, also after opening again."""
    bench = Bench(backend, tmp_path, kept=3)
    await bench.open()
    for number in range(6):
        await finished(bench.pairs.jobs, number, at_s=number)
    assert [j.ticket for j in await bench.pairs.jobs.all_finished()] == [4, 5, 6]
    assert await bench.pairs.jobs.at_callback(worker(0).callback_url) is None
    if backend.is_durable:
        await bench.reopen()
        await finished(bench.pairs.jobs, 7, at_s=7)
        assert [j.ticket for j in await bench.pairs.jobs.all_finished()] == [5, 6, 7]
    await bench.close()


async def test_so_long_are_they_kept(backend: Backend, tmp_path: Path) -> None:
    """When a job finishes, those that finished too long before it are let go."""
    bench = Bench(backend, tmp_path, keep_s=100.0)
    await bench.open()
    for number, at_s in enumerate((0.0, 50.0, 149.0)):
        await finished(bench.pairs.jobs, number, at_s)
    assert [j.ticket for j in await bench.pairs.jobs.all_finished()] == [2, 3]
    await bench.close()


async def test_the_facts_are_kept(bench: Bench) -> None:
    """Paused or not and the secret are there after opening again; the pause has its event."""
    jobs = bench.pairs.jobs
    before = await jobs.facts()
    assert len(bytes.fromhex(before.secret)) == 32
    await jobs.pause(True, Note(Kind.DISPATCH_PAUSED, 3.0))
    assert (await jobs.facts()).paused
    assert bench.kinds == [Kind.DISPATCH_PAUSED]
    if bench.backend.is_durable:
        await bench.reopen()
        after = await bench.pairs.jobs.facts()
        assert (after.secret, after.paused) == (before.secret, True)


async def test_facts_do_not_overwrite_each_other(bench: Bench) -> None:
    """A pause and the last ticket, stored at the same time, are both kept."""
    jobs = bench.pairs.jobs
    taken = await jobs.replace(held(await jobs.enqueue(job(1)), worker(1)))
    await asyncio.gather(jobs.pause(True), jobs.finish(done(taken)), jobs.pause(False))
    facts = await jobs.facts()
    assert (facts.last_ticket, facts.paused) == (1, False)
    if bench.backend.is_durable:
        await bench.reopen()
        assert await bench.pairs.jobs.facts() == facts


async def test_a_final_state_is_one_of_the_words(bench: Bench) -> None:
    """A cancelled job is kept like any other that is finished."""
    jobs = bench.pairs.jobs
    waiting = await jobs.enqueue(job(1))
    stored = await jobs.finish(waiting._replace(state=State.CANCELLED, finished_s=3.0))
    assert await jobs.finished(waiting.id) == stored


async def test_jobs_are_found_by_their_instance(bench: Bench) -> None:
    """Those that any of its activities holds, or held last while nobody else has them."""
    jobs = bench.pairs.jobs
    keys = [Key("i1", "a1"), Key("i1", "a2"), Key("i2", "a1"), None]
    for number, key in enumerate(keys):
        await jobs.replace(held(await jobs.enqueue(job(number)), worker(number, key)))
    await jobs.enqueue(job(9))
    found = await jobs.of_instance("i1")
    assert sorted(each.id for each in found) == [job(0).id, job(1).id]
    assert [each.id for each in await jobs.of_instance("i2")] == [job(2).id]
    assert await jobs.of_instance("i") == []
    await jobs.finish(done(found[0], 9.0), DONE)
    (last,) = await jobs.of_instance("i1")
    await jobs.replace(free(last)._replace(former=last.hold), DONE)
    assert [each.id for each in await jobs.of_instance("i1")] == [last.id]
