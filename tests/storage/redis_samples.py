"""What the tests of the store in Redis share: records, batches, and a server that fails."""

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
    """A job that waits."""
    return Job(f"{number:032x}", number, data, AT, float(number))


def worker(number: int, key: Key | None = None) -> Worker:
    """A worker that waits."""
    return Worker(f"http://engine/callbacks/{number}/", AT, key, place=float(number))


def held(free: Job, by: Worker) -> Job:
    """The same job, held by a worker."""
    hold = Hold(by._replace(place=0.0), Way.PUT, Stage.UNDER_WAY, 1795509665.7019312)
    return free._replace(state=State.ASSIGNED, hold=hold, attempt=1)


def put(record: Record) -> Change:
    """The change that stores a record."""
    table = {Job: Table.JOBS, Worker: Table.WORKERS, Fact: Table.FACTS}[type(record)]
    return Change(table, record.id, None, record)


def removal(record: Record) -> Change:
    """The change that forgets a record."""
    return put(record)._replace(before=record, after=None)


def batch(number: int, *changes: Change) -> Batch:
    """A batch without events."""
    return Batch(number, changes, ())


async def commit_surely(store: RedisStore, wanted: Batch) -> int:
    """Commit a batch as the dispatcher does, until its fate is known; return how often."""
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
    """Records of all kinds as ``load`` returns them."""
    found = list(records)
    jobs = [each for each in found if isinstance(each, Job)]
    return Stored(
        sorted((j for j in jobs if not j.state.is_final), key=lambda j: (j.place, j.ticket))
        + sorted((j for j in jobs if j.state.is_final), key=lambda j: (j.finished_s, j.ticket)),
        sorted((w for w in found if isinstance(w, Worker)), key=lambda w: w.place),
        [each for each in found if isinstance(each, Fact)],
    )
