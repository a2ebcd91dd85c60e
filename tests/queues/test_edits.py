"""JsonFile sees what was done to its files between two operations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import ujson

from sanic_dispatch.errors import Outdated, StorageFailed
from sanic_dispatch.events import Kind
from sanic_dispatch.job import State
from sanic_dispatch.queues.base import Enqueued
from sanic_dispatch.settings import Mode
from tests.queues.kit import AT, Bench, both, done, free, held, ids, job, worker


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Both queues in the mode JsonFile, with three jobs and two workers."""
    bench = Bench(both(Mode.JSON_FILE), tmp_path)
    await bench.open()
    for number in (1, 2, 3):
        await bench.pairs.jobs.enqueue(job(number))
    for number in (1, 2):
        await bench.pairs.workers.enqueue(worker(number))
    yield bench
    await bench.close()


def read(bench: Bench, name: str = "jobs.json") -> list[Any]:
    entries: list[Any] = ujson.loads((bench.folder / name).read_bytes())
    return entries


def write(bench: Bench, entries: list[Any], name: str = "jobs.json") -> None:
    (bench.folder / name).write_text(ujson.dumps(entries))


def entry(name: str) -> dict[str, Any]:
    return {"id": name, "data": {"from": "outside"}, "submitted_at": AT}


async def test_a_new_entry_is_seen(bench: Bench) -> None:
    """An entry that was added is a job like any other: it has a ticket, a place and an event."""
    write(bench, [*read(bench), entry("x")])
    *_, added = await bench.pairs.jobs.items()
    assert (added.id, added.ticket) == ("x", 4)
    assert ujson.loads(added.data) == {"from": "outside"}
    assert (bench.history[-1].kind, bench.history[-1].job) == (Kind.JOB_SUBMITTED, added)
    assert (await bench.pairs.jobs.enqueue(job(9))).ticket == 5
    assert [stored["ticket"] for stored in read(bench)] == [1, 2, 3, 4, 5]


async def test_the_order_of_the_entries_counts(bench: Bench) -> None:
    """Entries that changed their order, or came in between, stand as they stand in the file."""
    first, second, third = read(bench)
    write(bench, [third, entry("x"), first, second])
    names = [third["id"], "x", first["id"], second["id"]]
    assert await ids(bench.pairs.jobs) == names
    newest = await bench.pairs.jobs.enqueue(job(9))
    assert await ids(bench.pairs.jobs) == [*names, newest.id]
    await bench.reopen()
    assert await ids(bench.pairs.jobs) == [*names, newest.id]


async def test_a_removed_entry_is_gone(bench: Bench) -> None:
    """A job whose entry was taken out is cancelled, a worker dropped; no change brings it back."""
    second = (await bench.pairs.jobs.items())[1]
    write(bench, [each for each in read(bench) if each["id"] != second.id])
    write(bench, read(bench, "workers.json")[1:], "workers.json")
    with pytest.raises(Outdated):
        await bench.pairs.jobs.replace(held(second, worker(1)))
    assert await ids(bench.pairs.workers) == [worker(2).id]
    assert bench.kinds == [Kind.JOB_CANCELLED, Kind.WORKER_DROPPED]
    gone = bench.history[0].job
    assert gone
    assert gone.state is State.CANCELLED


async def test_a_changed_entry_is_a_change(bench: Bench) -> None:
    """What was decided on the job as it was before is outdated."""
    before = (await bench.pairs.jobs.items())[0]
    entries = read(bench)
    entries[0]["data"] = "other"
    write(bench, entries)
    with pytest.raises(Outdated):
        await bench.pairs.jobs.replace(held(before, worker(1)))
    after = await bench.pairs.jobs.get(before.id)
    assert after
    assert (after.data, after.place) == (b'"other"', before.place)
    assert after.version > before.version


async def test_what_is_held_stays(bench: Bench) -> None:
    """A job that a worker has is not changed from outside, and is written again."""
    first = (await bench.pairs.jobs.items())[0]
    taken = await bench.pairs.jobs.replace(held(first, worker(1)))
    write(bench, [])
    assert await bench.pairs.jobs.items() == [taken]
    assert [each["id"] for each in read(bench)] == [first.id]
    released = await bench.pairs.jobs.replace(free(taken))
    assert await bench.pairs.jobs.items() == [released]


async def test_a_pair_sees_edits(bench: Bench) -> None:
    """The pairing goes by the files as they are now."""
    write(bench, [entry("x"), *read(bench)])
    write(bench, read(bench, "workers.json")[::-1], "workers.json")
    paired = await bench.pairs.pair(1.0)
    assert paired
    assert (paired.job.id, paired.worker.id) == ("x", worker(2).id)


async def test_a_finished_job_that_is_copied_back(bench: Bench) -> None:
    """A job that somebody puts into the file again waits again, and is not finished any more."""
    entries = read(bench)
    first = (await bench.pairs.jobs.items())[0]
    await bench.pairs.jobs.finish(done(held(first, worker(1))))
    write(bench, entries)
    assert (await ids(bench.pairs.jobs))[0] == first.id
    assert await bench.pairs.jobs.all_finished() == []
    await bench.reopen()
    assert await bench.pairs.jobs.all_finished() == []


async def test_a_deleted_file_is_an_empty_queue(bench: Bench) -> None:
    """Somebody who deletes the file empties the line."""
    (bench.folder / "jobs.json").unlink()
    result = await bench.pairs.offer(job(9), 1.0)
    assert not isinstance(result, Enqueued)
    assert await ids(bench.pairs.jobs) == [job(9).id]


async def test_an_edit_that_cannot_be_read(bench: Bench) -> None:
    """As long as the file is damaged every operation fails, the file stays; mended, it goes on."""
    good = (bench.folder / "jobs.json").read_bytes()
    (bench.folder / "jobs.json").write_bytes(good[:-3])
    for _ in range(2):
        with pytest.raises(StorageFailed, match=r"jobs\.json.* at byte "):
            await bench.pairs.jobs.enqueue(job(9))
    assert (bench.folder / "jobs.json").read_bytes() == good[:-3]
    (bench.folder / "jobs.json").write_bytes(good)
    await bench.pairs.jobs.enqueue(job(9))
    assert await bench.pairs.jobs.size() == 4


async def test_no_edit_is_no_change(bench: Bench) -> None:
    """Our own writes are no edits, and neither is the same content written again."""
    content = (bench.folder / "jobs.json").read_bytes()
    (bench.folder / "jobs.json").write_bytes(content)
    assert await bench.pairs.jobs.size() == 3
    assert bench.history == []
    assert [record.version for record in await bench.pairs.jobs.items()] == [0, 0, 0]


async def test_reformatting_is_no_change(bench: Bench) -> None:
    """Entries with other blanks between their keys are the same: no event, no new version."""
    entries = read(bench, "workers.json")
    (bench.folder / "workers.json").write_text(ujson.dumps(entries, indent=2))
    assert [record.version for record in await bench.pairs.workers.items()] == [0, 0]
    assert bench.history == []
