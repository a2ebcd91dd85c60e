"""The original's files are read as they are, and ours can be read by the original."""

from __future__ import annotations

from pathlib import Path

import pytest
import ujson

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.storage.record_json import encode_job
from tests.storage.samples import Backend, Topic, both, job, load_once, opened, worker

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
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A folder with the original's files, in each mode that reads them."""
    (tmp_path / "jobs.json").write_bytes(JOBS)
    (tmp_path / "workers.json").write_bytes(WORKERS)
    return both(request.param)


async def test_jobs_are_taken_over(backend: Backend, tmp_path: Path) -> None:
    """In the order of the entries, not numbered yet, with data and times unchanged."""
    async with opened(backend, tmp_path) as store:
        first, second = (await store.load()).jobs
    assert (first.ticket, second.ticket) == (0, 0)
    assert first.id == "f47ac10b-58cc-4372-a567-0e02b2c3d479"
    assert first.submitted_at == "2024-11-24T01:39:00.123456789Z"
    assert first.data == JOBS[JOBS.index(b'{\n      "dr') : JOBS.index(b',\n    "submitted')]
    assert second.data == b"null"


async def test_a_place_without_a_ticket(backend: Backend, tmp_path: Path) -> None:
    """An entry whose ticket was removed by hand has no place either."""
    file = tmp_path / "jobs.json"
    file.write_text(ujson.dumps([each | {"place": 7} for each in ujson.loads(JOBS)]))
    async with opened(backend, tmp_path) as store:
        assert [(job.ticket, job.place) for job in (await store.load()).jobs] == [(0, 0), (0, 0)]


async def test_workers_are_taken_over(backend: Backend, tmp_path: Path) -> None:
    """In the order of the entries; the file is unchanged until a batch."""
    async with opened(backend, tmp_path) as store:
        workers = (await store.load()).workers
    assert [(w.callback_url[-2], w.place) for w in workers] == [("a", 1), ("b", 2)]
    assert workers[0].registered_at == "2024-11-24T01:38:00.000000001Z"
    assert (tmp_path / "workers.json").read_bytes() == WORKERS
    assert (tmp_path / "jobs.json").read_bytes() == JOBS


async def test_numbers_and_newcomers(backend: Backend, tmp_path: Path) -> None:
    """Numbered in the first batch, the old jobs are in front of later ones."""
    topic = Topic()
    async with opened(backend, tmp_path) as store:
        stored = await store.load()
        for record in (*stored.jobs, *stored.workers):
            topic.apply(topic.put(record))
        topic.restarted()
        numbered = [
            old._replace(ticket=ticket, place=ticket) for ticket, old in enumerate(stored.jobs, 1)
        ]
        await store.commit(topic.apply(topic.put(*numbered)))
        await store.commit(topic.apply(topic.put(job(3), worker(3))))
    assert await load_once(backend, tmp_path) == topic.stored()
    async with opened(backend, tmp_path) as store:
        stored = await store.load()
    assert [job.ticket for job in stored.jobs] == [1, 2, 3]
    assert [w.callback_url[-2] for w in stored.workers] == ["a", "b", "3"]


async def test_an_order_made_by_hand(backend: Backend, tmp_path: Path) -> None:
    """Jobs are in the order of the file, not of their places; a batch that does not change them
    keeps it."""
    topic = Topic()
    entries = [encode_job(job(n)).decode() for n in (3, 1, 2)]
    (tmp_path / "jobs.json").write_text("[" + ",".join(entries) + "]")
    async with opened(backend, tmp_path) as store:
        found = (await store.load()).jobs
        assert [job.ticket for job in found] == [3, 1, 2]
        for record in found:
            topic.apply(topic.put(record))
        topic.restarted()
        moved = [job(1)._replace(place=3.25), job(2)._replace(place=3.5)]
        await store.commit(topic.apply(topic.put(*moved)))
    async with opened(backend, tmp_path) as store:
        assert [job.ticket for job in (await store.load()).jobs] == [3, 1, 2]


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_what_is_written_is_what_the_original_reads(mode: Mode, tmp_path: Path) -> None:
    """An array of objects with its keys first; the data is spliced in as received."""
    topic = Topic()
    async with opened(both(mode), tmp_path) as store:
        await store.load()
        await store.commit(topic.apply(topic.put(job(1, b'{"a" : 1.0}'), worker(1))))
    assert (tmp_path / "jobs.json").read_bytes() == (
        b'[\n{"id":"%b","data":{"a" : 1.0},'
        b'"submitted_at":"2026-11-24T03:00:00.123456Z","ticket":1}\n]\n' % job(1).id.encode()
    )
    assert (tmp_path / "workers.json").read_bytes() == (
        b'[\n{"callback_url":"http://engine/callbacks/1/",'
        b'"registered_at":"2026-11-24T03:00:00.123456Z"}\n]\n'
    )


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_finished_records_are_removed_from_the_file(mode: Mode, tmp_path: Path) -> None:
    """An empty queue is an empty array."""
    topic = Topic()
    async with opened(both(mode), tmp_path) as store:
        await store.load()
        await store.commit(topic.apply(topic.put(job(1))))
        await store.commit(topic.apply(topic.remove(job(1))))
    assert ujson.loads((tmp_path / "jobs.json").read_bytes()) == []
