"""The original's files are taken over as they are, and ours are the same with more in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import ujson

from sanic_dispatch.queues.base import Enqueued
from sanic_dispatch.settings import Mode
from tests.queues.kit import Bench, both, job, worker

JOBS = b"""[
  {
    "id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "data": {
      "drink": "mojito",
      "price": 4.50,
      "name": "J\\u00fcrgen \xc3\xa4"
    },
    "submitted_at": "2024-11-24T01:39:00.123456789Z"
  },
  {
    "id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "data": null,
    "submitted_at": "2024-11-24T01:39:05.987654321Z"
  }
]"""
WORKERS = b"""[
  {
    "callback_url": "https://cpee.org/flow/engine/1/callbacks/a/",
    "registered_at": "2024-11-24T01:38:00.000000001Z"
  },
  {
    "callback_url": "https://cpee.org/flow/engine/2/callbacks/b/",
    "registered_at": "2024-11-24T01:38:10Z"
  }
]"""


@pytest.fixture(params=[Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """A folder as the original left it."""
    (tmp_path / "jobs.json").write_bytes(JOBS)
    (tmp_path / "workers.json").write_bytes(WORKERS)
    return Bench(both(request.param), tmp_path)


async def test_jobs_are_taken_over(bench: Bench) -> None:
    """In the order of the entries, numbered, with data and times to the letter."""
    await bench.open()
    first, second = await bench.pairs.jobs.items()
    await bench.close()
    assert (first.ticket, second.ticket) == (1, 2)
    assert first.id == "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    assert first.submitted_at == "2024-11-24T01:39:00.123456789Z"
    assert first.data == JOBS[JOBS.index(b'{\n      "dr') : JOBS.index(b',\n    "submitted')]
    assert second.data == b"null"


async def test_a_place_without_a_ticket(bench: Bench) -> None:
    """An entry whose ticket was taken out by hand is numbered, whatever place it says."""
    file = bench.folder / "jobs.json"
    jobs = [entry | {"place": n} for n, entry in enumerate(ujson.loads(JOBS), 1)]
    file.write_text(ujson.dumps(jobs))
    await bench.open()
    numbered = [(job.ticket, job.place) for job in await bench.pairs.jobs.items()]
    await bench.close()
    assert numbered == [(1, 1), (2, 2)]
    assert [entry["ticket"] for entry in ujson.loads(file.read_bytes())] == [1, 2]


async def test_workers_are_taken_over(bench: Bench) -> None:
    """In the order of the entries; the file stays as it is until something changes."""
    await bench.open()
    workers = await bench.pairs.workers.items()
    await bench.close()
    assert [w.callback_url[-2] for w in workers] == ["a", "b"]
    assert workers[0].registered_at == "2024-11-24T01:38:00.000000001Z"
    assert (bench.folder / "workers.json").read_bytes() == WORKERS


async def test_newcomers_stand_behind(bench: Bench) -> None:
    """What comes after the start stands behind what the original left."""
    await bench.open()
    result = await bench.pairs.jobs.enqueue(job(1))
    await bench.pairs.workers.enqueue(worker(3))
    await bench.reopen()
    jobs, workers = await bench.pairs.jobs.items(), await bench.pairs.workers.items()
    await bench.close()
    assert (jobs[-1].id, jobs[-1].ticket, len(jobs)) == (result.id, 3, 3)
    assert [w.callback_url[-2] for w in workers] == ["a", "b", "3"]


async def test_what_is_written_is_what_the_original_reads(tmp_path: Path) -> None:
    """An array of objects with its keys first; the data is spliced in as it came."""
    bench = Bench(both(Mode.CACHED_JSON_FILE), tmp_path)
    await bench.open()
    result = await bench.pairs.offer(job(1, b'{"a" : 1.0}'), 1.0)
    assert isinstance(result, Enqueued)
    await bench.pairs.workers.enqueue(worker(1))
    await bench.close()
    assert (tmp_path / "jobs.json").read_bytes() == (
        b'[\n{"id":"00000000000000000000000000000001","data":{"a" : 1.0},'
        b'"submitted_at":"2026-11-24T03:00:00.123456Z","ticket":1}\n]\n'
    )
    assert (tmp_path / "workers.json").read_bytes() == (
        b'[\n{"callback_url":"http://engine/callbacks/1/",'
        b'"registered_at":"2026-11-24T03:00:00.123456Z"}\n]\n'
    )


async def test_what_is_over_is_gone_from_the_file(tmp_path: Path) -> None:
    """An empty queue is an empty array."""
    bench = Bench(both(Mode.CACHED_JSON_FILE), tmp_path)
    await bench.open()
    stored = await bench.pairs.jobs.enqueue(job(1))
    await bench.pairs.jobs.remove(stored.id)
    await bench.close()
    assert ujson.loads((tmp_path / "jobs.json").read_bytes()) == []


async def test_a_missing_file_is_an_empty_queue(tmp_path: Path) -> None:
    """In an empty folder both queues are empty, and nothing is written for them."""
    bench = Bench(both(Mode.CACHED_JSON_FILE), tmp_path)
    await bench.open()
    assert (await bench.pairs.jobs.items(), await bench.pairs.workers.items()) == ([], [])
    await bench.close()
    assert os.listdir(tmp_path) == ["dispatch.json"]
