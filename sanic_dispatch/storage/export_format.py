"""The export format: all records of a topic as JSON lines, of which none can be missing.

The first line says how many records follow, the last one has a checksum of all before it. In
between stand the facts, the workers, the jobs and the finished jobs, each kind in its order; a
record stands there as it is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ujson

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import BrokenTransfer, InvalidJson
from sanic_dispatch.storage.entries import FINISHED, QUEUED, WORKERS
from sanic_dispatch.storage.records import (
    UNREADABLE,
    decode_fact,
    described,
    encode_job,
    encode_worker,
    order_of,
)
from sanic_dispatch.strict_json import Entry, one_object

VERSION = 1
FORMAT = "sanic-dispatch"


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that is stored of a topic: facts by name, the others in their order."""

    facts: Sequence[Fact]
    workers: Sequence[Worker]
    jobs: Sequence[Job]
    finished: Sequence[Job]

    @property
    def counts(self) -> dict[str, int]:
        """Count the records of each kind."""
        return {
            "workers": len(self.workers),
            "jobs": len(self.jobs),
            "finished": len(self.finished),
        }


def in_line(workers: Iterable[Worker]) -> list[Worker]:
    """Count the places of workers anew: they are only an order."""
    return [worker._replace(place=float(n)) for n, worker in enumerate(workers, 1)]


def lines_of(content: Content) -> Iterator[bytes]:
    """Return the content as lines, the first and the last one included."""
    seen = hashlib.sha256()
    head = {FORMAT: VERSION, **content.counts}
    for line in (_json(head), *_records(content)):
        seen.update(line)
        yield line
    yield _json({"sha256": seen.hexdigest()})


def _records(content: Content) -> Iterator[bytes]:
    for fact in content.facts:
        yield _json({"fact": fact.id, "value": fact.value})
    yield from (b'{"worker":%b}\n' % encode_worker(worker) for worker in content.workers)
    yield from (b'{"job":%b}\n' % encode_job(job) for job in content.jobs)
    yield from (b'{"finished":%b}\n' % encode_job(job) for job in content.finished)


def _json(value: dict[str, Any]) -> bytes:
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False).encode() + b"\n"


class Reader:
    """Takes in the lines of an export, one by one."""

    def __init__(self) -> None:
        self.expected = 0
        """How many records the first line announces."""
        self._counts: dict[str, int] = {}
        self._facts: list[Fact] = []
        self._workers: list[Worker] = []
        self._jobs: list[Job] = []
        self._finished: list[Job] = []
        self._seen = hashlib.sha256()
        self._number = 0
        self._is_complete = False

    def take(self, line: bytes) -> None:
        """Take in the next line. Raises BrokenTransfer where it is not what was exported."""
        self._number += 1
        try:
            self._take(one_object(line), line)
        except (*UNREADABLE, InvalidJson) as error:
            raise BrokenTransfer(f"line {self._number}: {described(error)}") from error

    def content(self) -> Content:
        """Return everything. Raises BrokenTransfer where the last line has not come."""
        if not self._is_complete:
            raise BrokenTransfer(f"it ends after {self._number} lines, before its last one")
        finished = sorted(self._finished, key=order_of)
        found = Content(sorted(self._facts), in_line(self._workers), self._jobs, finished)
        if found.counts != self._counts:
            raise BrokenTransfer(f"{self._counts} were announced, and {found.counts} came")
        return found

    def _take(self, entry: Entry, line: bytes) -> None:
        values = entry.values
        if self._is_complete:
            raise ValueError("something follows the last line")
        if self._number == 1:
            self._begin(values)
        elif "sha256" in values:
            if values["sha256"] != self._seen.hexdigest():
                raise ValueError("a line before has been changed, or is missing")
            self._is_complete = True
        elif "fact" in values:
            self._facts.append(decode_fact(values["fact"], values["value"]))
        else:
            self._take_record(entry, *values)
        self._seen.update(line)

    def _begin(self, head: dict[str, Any]) -> None:
        version = head.pop(FORMAT, None)
        if version != VERSION:
            raise ValueError(f"this is no export of version {VERSION}")
        self._counts = {name: int(head[name]) for name in ("workers", "jobs", "finished")}
        self.expected = sum(self._counts.values())

    def _take_record(self, entry: Entry, name: str) -> None:
        """``name`` is the only member of the line: what kind of record it is."""
        if name == "worker":
            self._workers.append(WORKERS.decode(_inner(entry, name)))
        elif name == "job":
            self._jobs.append(QUEUED.decode(_inner(entry, name)))
        elif name == "finished":
            self._finished.append(FINISHED.decode(_inner(entry, name)))
        else:
            raise KeyError(name)


def _inner(entry: Entry, name: str) -> Entry:
    return one_object(entry.raw(name).encode())
