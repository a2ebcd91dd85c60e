"""What every queue promises, of jobs and of workers, in every backend."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sanic_dispatch.errors import AlreadyQueued, Outdated, StorageFailed
from sanic_dispatch.events import Kind, Note
from sanic_dispatch.worker import Key
from tests.queues.conftest import Line
from tests.queues.kit import held, ids, job, turns, worker


async def enqueued(line: Line, count: int) -> list[Any]:
    return [await line.queue.enqueue(line.new(number), line.note) for number in range(count)]


async def test_records_stand_in_order_of_arrival(line: Line) -> None:
    """First in, first in line; nothing but the arrival counts."""
    records = [line.new(number) for number in (3, 1, 2)]
    for record in records:
        await line.queue.enqueue(record)
    assert await ids(line.queue) == [record.id for record in records]


async def test_get_finds_by_id(line: Line) -> None:
    """A record is found by its id, an unknown one is None."""
    [record] = await enqueued(line, 1)
    assert await line.queue.get(record.id) == record
    assert await line.queue.get("unknown") is None


async def test_positions_count_the_free(line: Line) -> None:
    """A position is how many free records stand up to and including it, 0 where it is not free."""
    first, second, third = await enqueued(line, 3)
    assert [await line.queue.position(r.id) for r in (first, second, third)] == [1, 2, 3]
    await line.queue.replace(line.taken(second))
    assert [await line.queue.position(r.id) for r in (first, second, third)] == [1, 0, 2]
    assert await line.queue.position("unknown") == 0
    assert await line.queue.size() == 2


async def test_a_place_is_kept(line: Line) -> None:
    """Held and released, a record stands where it stood."""
    first, second = await enqueued(line, 2)
    taken = await line.queue.replace(line.taken(first))
    back = await line.queue.replace(line.back(taken))
    assert back.place == first.place
    assert await ids(line.queue) == [first.id, second.id]
    assert await line.queue.position(first.id) == 1


async def test_a_record_is_moved(line: Line) -> None:
    """Replaced with another place, a record stands there, also after opening again."""
    first, second, third = await enqueued(line, 3)
    await line.queue.replace(third._replace(place=(first.place + second.place) / 2))
    assert await ids(line.queue) == [first.id, third.id, second.id]
    if line.bench.backend.is_durable:
        await line.bench.reopen()
        assert await ids(line.queue) == [first.id, third.id, second.id]


async def test_a_taken_place_is_not_taken_twice(line: Line) -> None:
    """Moved to where somebody stands, a record comes right behind that one."""
    first, second, third = await enqueued(line, 3)
    await line.queue.replace(third._replace(place=first.place))
    assert await ids(line.queue) == [first.id, third.id, second.id]


async def test_two_moves_to_one_place(line: Line) -> None:
    """Two records moved to one place at the same time both find one."""
    first, second, third = await enqueued(line, 3)
    place = third.place + 1
    moves = [line.queue.replace(record._replace(place=place)) for record in (first, second)]
    await asyncio.gather(*moves)
    assert await ids(line.queue) == [third.id, first.id, second.id]


async def test_the_end_is_behind_all(line: Line) -> None:
    """A newcomer stands behind one that was moved to the end."""
    first, second = await enqueued(line, 2)
    await line.queue.replace(first._replace(place=second.place + 10.5))
    newest = await line.queue.enqueue(line.new(7))
    assert await ids(line.queue) == [second.id, first.id, newest.id]


async def test_versions_fence(line: Line) -> None:
    """A change made from an older version is refused, and changes nothing."""
    [record] = await enqueued(line, 1)
    newer = await line.queue.replace(line.taken(record))
    assert newer.version == record.version + 1
    with pytest.raises(Outdated):
        await line.queue.replace(line.taken(record))
    assert await line.queue.get(record.id) == newer


async def test_what_is_gone_cannot_be_changed(line: Line) -> None:
    """A record that was removed is outdated, and stays away."""
    [record] = await enqueued(line, 1)
    assert await line.queue.remove(record.id)
    with pytest.raises(Outdated):
        await line.queue.replace(record)
    assert await line.queue.items() == []


async def test_an_id_is_there_once(line: Line) -> None:
    """A second record of the same id is refused."""
    [record] = await enqueued(line, 1)
    with pytest.raises(AlreadyQueued):
        await line.queue.enqueue(line.new(0))
    assert await line.queue.items() == [record]


async def test_removing_says_whether_it_was_there(line: Line) -> None:
    """Only the first removal finds something."""
    first, second = await enqueued(line, 2)
    assert await line.queue.remove(first.id)
    assert not await line.queue.remove(first.id)
    assert await ids(line.queue) == [second.id]


async def test_found_by_key(line: Line) -> None:
    """The workers of a key, or the jobs that it holds; none when they are gone."""
    key = Key("instance", "a1")
    record = worker(1, key)
    if line.is_jobs:
        record = held(await line.queue.enqueue(job(1)), record)
        record = await line.queue.replace(record)
    else:
        record = await line.queue.enqueue(record)
    assert await line.queue.of_key(key) == [record]
    await line.queue.remove(record.id)
    assert await line.queue.of_key(key) == []


async def test_events_follow_the_commits(line: Line) -> None:
    """Each note becomes an event with the record as stored, in the order of the changes."""
    [record] = await enqueued(line, 1)
    note = Note(Kind.JOB_BLAMED, 2.0, "why")
    taken = await line.queue.replace(line.taken(record), note)
    events = line.bench.history
    assert [event.number for event in events] == [1, 2]
    assert [(e.kind, e.at_s, e.reason) for e in events] == [tuple(line.note), tuple(note)]
    if line.is_jobs:
        assert [e.job for e in events] == [record, taken]
    else:
        assert [e.worker for e in events] == [record, taken]


async def test_opened_again(line: Line) -> None:
    """Closed and opened, the records stand as they stood, and newcomers stand behind them."""
    if not line.bench.backend.is_durable:
        pytest.skip("nothing outlives it")
    first, second, third = await enqueued(line, 3)
    await line.queue.replace(line.taken(second))
    await line.queue.remove(first.id)
    before = [record.to_stored() for record in await line.queue.items()]
    await line.bench.reopen()
    assert [record.to_stored() for record in await line.queue.items()] == before
    newest = await line.queue.enqueue(line.new(9))
    assert await ids(line.queue) == [second.id, third.id, newest.id]
    assert await line.queue.position(third.id) == 1


# ---- writes that take their time


async def test_only_committed_records_are_seen(line: Line) -> None:
    """While its write is under way a newcomer is not there, and no event says so."""
    line.gate.hold()
    task = asyncio.create_task(line.queue.enqueue(line.new(1), line.note))
    await line.gate.held()
    if line.bench.backend.reads_during_writes:
        assert (await line.queue.size(), await line.queue.items()) == (0, [])
    assert line.bench.history == []
    line.gate.let_go()
    await task
    assert await line.queue.size() == 1


async def test_a_hold_hides_at_once(line: Line) -> None:
    """A record that is about to be held is free for nobody else."""
    if not line.bench.backend.reads_during_writes:
        pytest.skip("reads wait for the write")
    [record] = await enqueued(line, 1)
    line.gate.hold()
    task = asyncio.create_task(line.queue.replace(line.taken(record)))
    await line.gate.held()
    assert (await line.queue.size(), await line.queue.position(record.id)) == (0, 0)
    assert await line.queue.get(record.id) == record
    line.gate.let_go()
    await task


async def test_changes_share_a_write(line: Line) -> None:
    """What arrives while a write is under way goes into one more, however much it is."""
    line.gate.hold()
    tasks = [asyncio.create_task(line.queue.enqueue(line.new(number))) for number in range(20)]
    await line.gate.held()
    await turns()
    before = line.gate.writes
    line.gate.let_go()
    await asyncio.gather(*tasks)
    assert line.gate.writes - before <= 1
    assert await ids(line.queue) == [line.new(number).id for number in range(20)]


async def test_events_come_in_order_of_the_commits(line: Line) -> None:
    """Also in a shared write, events come in the order in which the changes were asked for."""
    tasks = [line.queue.enqueue(line.new(number), line.note) for number in range(10)]
    records = await asyncio.gather(*tasks)
    assert [e.job or e.worker for e in line.bench.history] == records


async def test_two_changes_of_one_record_take_turns(line: Line) -> None:
    """Of two changes from the same version, the second waits and is then outdated."""
    [record] = await enqueued(line, 1)
    line.gate.hold()
    tasks = [asyncio.create_task(line.queue.replace(line.taken(record))) for _ in range(2)]
    await line.gate.held()
    await turns()
    assert not tasks[1].done()
    line.gate.let_go()
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert first.version == record.version + 1
    assert isinstance(second, Outdated)


async def test_the_same_newcomer_twice(line: Line) -> None:
    """A second request for the same record waits for the first one's commit."""
    line.gate.hold()
    tasks = [asyncio.create_task(line.queue.enqueue(line.new(1))) for _ in range(2)]
    await line.gate.held()
    await turns()
    assert not tasks[1].done()
    line.gate.let_go()
    _, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(second, AlreadyQueued)
    assert await line.queue.size() == 1


async def test_the_second_request_takes_over(line: Line) -> None:
    """When the first one's write fails, the second request for the same record brings it in."""
    line.gate.fail()
    tasks = [line.queue.enqueue(line.new(1)) for _ in range(2)]
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, StorageFailed)
    assert await line.queue.items() == [second]


async def test_a_caller_that_is_cut_off(line: Line) -> None:
    """A change goes on, and is published, when nobody waits for it any more."""
    line.gate.hold()
    task = asyncio.create_task(line.queue.enqueue(line.new(1), line.note))
    await line.gate.held()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    line.gate.let_go()
    await line.queue.enqueue(line.new(2), line.note)
    assert await ids(line.queue) == [line.new(1).id, line.new(2).id]
    assert len(line.bench.history) == 2


# ---- writes that fail


async def test_a_newcomer_whose_write_failed(line: Line) -> None:
    """It was not taken in, nothing says so, and the next one is."""
    line.gate.fail()
    with pytest.raises(StorageFailed):
        await line.queue.enqueue(line.new(1), line.note)
    assert (await line.queue.items(), line.bench.history) == ([], [])
    record = await line.queue.enqueue(line.new(1), line.note)
    await line.bench.reopen()
    assert await ids(line.queue) == [record.id]


async def test_a_hold_whose_write_failed(line: Line) -> None:
    """The record is free again at its old place, somebody is told, and the next hold works."""
    first, second = await enqueued(line, 2)
    line.gate.fail()
    with pytest.raises(StorageFailed):
        await line.queue.replace(line.taken(first), line.note)
    assert await line.queue.items() == [first, second]
    assert await line.queue.position(first.id) == 1
    assert (line.bench.freed, len(line.bench.history)) == (1, 2)
    await line.queue.replace(line.taken(first))
    await line.bench.reopen()
    assert await line.queue.size() == 1


async def test_a_removal_that_failed(line: Line) -> None:
    """The record is still there, free, and on the disk."""
    [record] = await enqueued(line, 1)
    line.gate.fail()
    with pytest.raises(StorageFailed):
        await line.queue.remove(record.id)
    assert await line.queue.size() == 1
    await line.bench.reopen()
    assert await ids(line.queue) == [record.id]


async def test_a_failed_write_fails_for_all_in_it(line: Line) -> None:
    """Everything that shared the failed write is refused, and nothing of it is there."""
    line.gate.hold()
    first = asyncio.create_task(line.queue.enqueue(line.new(0)))
    await line.gate.held()
    shared = [asyncio.create_task(line.queue.enqueue(line.new(n))) for n in (1, 2, 3)]
    await turns()
    line.gate.fail(times=2)
    line.gate.let_go()
    results = await asyncio.gather(first, *shared, return_exceptions=True)
    assert all(isinstance(result, StorageFailed) for result in results)
    assert await line.queue.items() == []
    await line.bench.reopen()
    assert await line.queue.items() == []


async def test_what_was_hidden_before_stays_hidden(line: Line) -> None:
    """A failed change of a record that is not free does not make it free."""
    [record] = await enqueued(line, 1)
    taken = await line.queue.replace(line.taken(record))
    line.gate.fail()
    with pytest.raises(StorageFailed):
        await line.queue.replace(line.back(taken))
    assert await line.queue.size() == 0
