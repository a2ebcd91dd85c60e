"""The two queues in Redis. Nothing is kept here: each look and each change is a script there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Generic

from sanic_dispatch.errors import AlreadyQueued, Outdated, StorageFailed, UnknownJob
from sanic_dispatch.events import Note
from sanic_dispatch.job import Job
from sanic_dispatch.queues.base import Facts, JobQueue, Queue, R
from sanic_dispatch.queues.ledger import KEEP_S, KEPT
from sanic_dispatch.queues.redis_link import Link
from sanic_dispatch.queues.redis_records import (
    Flat,
    flat_job,
    flat_worker,
    job_of,
    key_text,
    worker_of,
)
from sanic_dispatch.queues.redis_stream import Stream
from sanic_dispatch.worker import Key, Worker

AT_ONCE = 200
"""Of how many jobs the data is read in one piece."""


def told(*notes: Note) -> list[tuple[str, str, str]]:
    """Notes as the scripts take them."""
    return [(note.kind.value, repr(note.at_s), note.reason) for note in notes]


class RedisQueue(Queue[R], Generic[R]):
    """What both queues have in common. A change returns once this process has told its event."""

    name: ClassVar[str]

    def __init__(self, link: Link, stream: Stream) -> None:
        self._link = link
        self._stream = stream

    async def open(self) -> None:
        """Nothing is read before it is needed."""

    async def close(self) -> None:
        """The link is closed by whoever opened it."""

    async def enqueue(self, record: R, *notes: Note) -> R:
        word, *answer = await self.change("enqueue", record, notes, _data_of(record))
        if word == "known":
            raise AlreadyQueued(record.id)
        return self._decoded(answer[0], record)

    async def replace(self, record: R, *notes: Note) -> R:
        word, *answer = await self.change("replace", record, notes)
        if word == "outdated":
            raise Outdated(record.id)
        return self._decoded(answer[0], record)

    async def remove(self, record_id: str, *notes: Note) -> bool:
        answer = await self._link.call("remove", queue=self.name, id=record_id, notes=told(*notes))
        await self._stream.reached(answer[2])
        return bool(answer[1])

    async def size(self) -> int:
        return int(await self._link.read("ZCARD", f"{self.name}:free"))

    async def position(self, record_id: str) -> int:
        rank = await self._link.read("ZRANK", f"{self.name}:free", record_id)
        return 0 if rank is None else int(rank) + 1

    async def change(
        self, script: str, record: R, notes: Iterable[Note], data: bytes = b"", **asked: Any
    ) -> list[Any]:
        """Have a script change something with this record, and hear of it."""
        answer = await self._link.call(
            script,
            data,
            queue=self.name,
            id=record.id,
            record=self._flat(record),
            notes=told(*notes),
            **asked,
        )
        if len(answer) > 2:
            await self._stream.reached(answer[2])
        return answer

    def _flat(self, record: Any) -> Flat:
        raise NotImplementedError

    def _decoded(self, stored: bytes, record: Any) -> R:
        raise NotImplementedError


class RedisWorkerQueue(RedisQueue[Worker]):
    """The workers. One that is lent to a job is hidden; ``lent`` says to which."""

    name = "workers"

    async def get(self, record_id: str) -> Worker | None:
        stored = await self._link.read("HGET", "workers", record_id)
        return worker_of(stored) if stored else None

    async def items(self) -> list[Worker]:
        look = await self._link.look_at_all(workers=True)
        return [worker_of(stored) for stored in look[6]]

    async def of_key(self, key: Key) -> list[Worker]:
        _, *found = await self._link.look("of_key", key=key_text(key))
        return [worker_of(stored) for stored in found]

    def _flat(self, record: Worker) -> Flat:
        return flat_worker(record)

    def _decoded(self, stored: bytes, record: Worker) -> Worker:
        return worker_of(stored)


class RedisJobQueue(RedisQueue[Job], JobQueue):
    """The jobs; those that are finished stand beside, with an order of their own."""

    name = "jobs"

    def __init__(
        self, link: Link, stream: Stream, kept: int = KEPT, keep_s: float = KEEP_S
    ) -> None:
        super().__init__(link, stream)
        self._kept = kept
        self._keep_s = keep_s

    async def get(self, record_id: str) -> Job | None:
        return _first(await self._find(id=record_id))

    async def items(self) -> list[Job]:
        look = await self._link.look_at_all(jobs=True)
        return await self.with_data(look[4])

    async def of_key(self, key: Key) -> list[Job]:
        return await self._find(key=key_text(key))

    async def finish(self, job: Job, *notes: Note) -> Job:
        word, *answer = await self.change(
            "finish", job, notes, kept=self._kept, keep_s=self._keep_s
        )
        if word == "outdated":
            raise Outdated(job.id)
        return job_of(answer[0], job.data)

    async def put_back(self, job: Job, *notes: Note) -> Job:
        word, *answer = await self.change("put_back", job, notes)
        if word == "unknown":
            raise UnknownJob
        if word == "outdated":
            raise Outdated(job.id)
        return job_of(answer[0], job.data)

    async def finished(self, job_id: str) -> Job | None:
        return _first(await self._find(id=job_id, finished=True))

    async def all_finished(self) -> list[Job]:
        look = await self._link.look_at_all(finished=True)
        return await self.with_data(look[5])

    async def of_instance(self, instance: str) -> list[Job]:
        return await self._find(instance=instance)

    async def at_callback(self, callback_url: str) -> Job | None:
        return _first(await self._find(callback=callback_url))

    async def facts(self) -> Facts:
        values = await self._link.read("HMGET", "meta", "last_ticket", "paused", "secret")
        ticket, paused, secret = values
        if secret is None:
            raise StorageFailed("Redis has lost the queues")
        self._link.secret = secret.decode()  # so all make them anew with the same one
        return Facts(int(ticket or 0), paused == b"1", self._link.secret)

    async def pause(self, paused: bool, *notes: Note) -> None:
        answer = await self._link.call("pause", paused="1" if paused else "0", notes=told(*notes))
        await self._stream.reached(answer[1])

    async def with_data(self, stored: list[bytes]) -> list[Job]:
        """Jobs as stored, with their data; without those that are forgotten meanwhile."""
        jobs: list[Job] = []
        for first in range(0, len(stored), AT_ONCE):
            heads = [job_of(each, b"") for each in stored[first : first + AT_ONCE]]
            data = await self._link.read_many("HMGET", "data", *(head.id for head in heads))
            found = zip(heads, data, strict=True)
            jobs += [head._replace(data=each) for head, each in found if each is not None]
        return jobs

    def _flat(self, record: Job) -> Flat:
        return flat_job(record)

    def _decoded(self, stored: bytes, record: Job) -> Job:
        return job_of(stored, record.data)

    async def _find(self, **asked: Any) -> list[Job]:
        _, *found = await self._link.look("find", **asked)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [job_of(stored, data) for stored, data in pairs if data is not None]


def _first(jobs: list[Job]) -> Job | None:
    return jobs[0] if jobs else None


def _data_of(record: Job | Worker) -> bytes:
    return record.data if isinstance(record, Job) else b""
