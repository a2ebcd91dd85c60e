"""Records and batches for the tests of the store in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.tables import Change, Fact, Record, Table
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.errors import OutcomeUnknown
from sanic_dispatch.storage.redis import RedisStore
from sanic_dispatch.storage.store import Batch, Stored

AT = "2026-11-24T03:00:00.123456Z"


def job(number: int, data: bytes = b'{"drink":"Negroni"}') -> Job:
    """Return a waiting job."""
    return Job(f"{number:032x}", number, data, AT, float(number))


def worker(number: int, key: Key | None = None) -> Worker:
    """Return a waiting worker."""
    return Worker(f"http://engine/callbacks/{number}/", AT, key, place=float(number))


def held(free: Job, by: Worker) -> Job:
    """Return the job, held by a worker."""
    hold = Hold(by._replace(place=0.0), Way.PUT, Stage.UNDER_WAY, 1795509665.7019312)
    return free._replace(state=State.ASSIGNED, hold=hold, attempt=1)


def put(record: Record) -> Change:
    """Return the change that stores a record."""
    table = {Job: Table.JOBS, Worker: Table.WORKERS, Fact: Table.FACTS}[type(record)]
    return Change(table, record.id, None, record)


def removal(record: Record) -> Change:
    """Return the change that removes a record."""
    return put(record)._replace(before=record, after=None)


def batch(number: int, *changes: Change) -> Batch:
    """Return a batch without events."""
    return Batch(number, changes, ())


async def commit_surely(store: RedisStore, wanted: Batch) -> int:
    """Commit a batch as the dispatcher does, until its fate is known; return the tries."""
    tries = 1
    while True:
        try:
            await store.commit(wanted)
        except OutcomeUnknown:
            tries += 1
            await asyncio.sleep(0.01)
        else:
            return tries


def as_stored(records: Iterable[Any]) -> Stored:
    """Return records of all kinds as ``load`` does."""
    found = list(records)
    jobs = [each for each in found if isinstance(each, Job)]
    return Stored(
        sorted((j for j in jobs if not j.state.is_final), key=lambda j: (j.place, j.ticket))
        + sorted((j for j in jobs if j.state.is_final), key=lambda j: (j.finished_s, j.ticket)),
        sorted((w for w in found if isinstance(w, Worker)), key=lambda w: w.place),
        [each for each in found if isinstance(each, Fact)],
    )
