"""Pairing in Redis: one script looks at both queues and holds both records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from sanic_dispatch.errors import AlreadyQueued, RedisUnusable, StorageFailed
from sanic_dispatch.events import Events, Kind, Note
from sanic_dispatch.job import Job, Stage
from sanic_dispatch.queues.base import Enqueued, Paired, Pairs
from sanic_dispatch.queues.ledger import KEEP_S, KEPT
from sanic_dispatch.queues.peers import Snapshot
from sanic_dispatch.queues.redis_link import Link
from sanic_dispatch.queues.redis_peers import RedisPeers, sign
from sanic_dispatch.queues.redis_queues import RedisJobQueue, RedisWorkerQueue, told
from sanic_dispatch.queues.redis_records import job_of, worker_of
from sanic_dispatch.queues.redis_stream import Stream
from sanic_dispatch.redis_url import shown
from sanic_dispatch.tally import CommitTally
from sanic_dispatch.worker import Worker


@asynccontextmanager
async def open_redis(
    url: str, prefix: str, events: Events, *, kept: int = KEPT, keep_s: float = KEEP_S
) -> AsyncIterator[RedisPairs]:
    """Both queues in Redis, open; closed at the end. Raises RedisUnusable."""
    async with AsyncExitStack() as stack:
        link = Link(url, prefix)
        stack.push_async_callback(link.close)
        stream = Stream(url, link, events)
        stack.push_async_callback(stream.close)
        pairs = RedisPairs(link, stream, kept, keep_s)
        try:
            await pairs.open()
        except StorageFailed as error:
            raise RedisUnusable(shown(url), str(error)) from error
        stack.push_async_callback(pairs.close)
        yield pairs


class RedisPairs(Pairs):
    """Both queues in the same Redis, shared with other processes."""

    def __init__(self, link: Link, stream: Stream, kept: int, keep_s: float) -> None:
        self.jobs: RedisJobQueue = RedisJobQueue(link, stream, kept, keep_s)
        self.workers: RedisWorkerQueue = RedisWorkerQueue(link, stream)
        self.peers: RedisPeers = RedisPeers(link, stream, self.jobs)
        self._link = link
        self._stream = stream
        stream.begin_anew = self._begin_anew

    async def open(self) -> None:
        """Look whether the queues are there, and become one of the dispatchers."""
        epoch, number = await self._link.begin()
        await self.peers.join()
        self._stream.follow(epoch, number)

    async def close(self) -> None:
        """Say good-bye to the other dispatchers, if they can be reached."""
        try:
            await self.peers.leave()
        except StorageFailed:
            return

    async def offer(self, job: Job, now_s: float) -> Paired | Enqueued[Job]:
        notes = Note(Kind.JOB_SUBMITTED, now_s), Note(Kind.JOB_ASSIGNED, now_s)
        word, *answer = await self.jobs.change("offer", job, notes, job.data, now=repr(now_s))
        if word == "known":
            raise AlreadyQueued(job.id)
        stored = job_of(answer[0], job.data)
        if word == "pair":
            return self._paired(stored, answer[2])
        return Enqueued(stored, answer[2])

    async def ask(self, worker: Worker, now_s: float) -> Job | None:
        notes = Note(Kind.WORKER_REGISTERED, now_s), Note(Kind.JOB_ASSIGNED, now_s)
        word, *answer = await self.workers.change("ask", worker, notes, now=repr(now_s))
        if word == "known":
            raise AlreadyQueued(worker.id)
        return job_of(answer[0], answer[2]) if word == "job" else None

    async def pair(self, now_s: float) -> Paired | None:
        word, *answer = await self._link.call(
            "pair", notes=told(Note(Kind.JOB_ASSIGNED, now_s)), now=repr(now_s)
        )
        if word == "none":
            return None
        await self._stream.reached(answer[1])
        return self._paired(job_of(answer[0], answer[3]), answer[2])

    async def pairable(self) -> int:
        return min(await self.jobs.size(), await self.workers.size())

    async def hold_named_workers(self) -> list[Job]:
        _, ids, lent = await self._link.call("take_over")
        for url, job_id in zip(lent[::2], lent[1::2], strict=True):
            await self._settle_lent(url.decode(), job_id.decode())
        found = {id.decode(): await self.jobs.get(id.decode()) for id in (*ids, *lent[1::2])}
        held = [job for job in found.values() if job and job.hold]
        return sorted(held, key=lambda job: job.place)

    def when_freed(self, call: Callable[[], None]) -> None:
        self.peers.freed = call

    def commits(self) -> dict[str, CommitTally]:
        return {"both": self._link.tally}

    async def try_writing(self) -> None:
        await sign(self._link)

    async def snapshot(self) -> Snapshot:
        await self._stream.stop()
        return await self._load()

    # ---- beginning

    async def _begin_anew(self) -> None:
        self.peers.reset(await self._load())

    async def _load(self) -> Snapshot:
        """Everything, and the place in the stream that belongs to it, as of one moment."""
        look = await self._link.look_at_all(jobs=True, finished=True, workers=True)
        _, epoch, number, paused, waiting, finished, workers = look
        jobs = await self.jobs.with_data(waiting)
        kept = await self.jobs.with_data(finished)
        past = await self._stream.past(number, [*jobs, *kept])
        self._stream.follow(epoch.decode(), number, [*jobs, *kept])
        return Snapshot(jobs, kept, [worker_of(each) for each in workers], paused == b"1", past)

    # ---- what the dead leave

    async def _settle_lent(self, worker_id: str, job_id: str) -> None:
        """A worker that has its job is used up; one that may have it is held; else it is free."""
        job = await self.jobs.get(job_id) or await self.jobs.finished(job_id)
        if job is None or job.worker is None or job.worker.id != worker_id:
            await self._link.call("give_back", id=worker_id)
        elif job.state.is_final or (job.hold and job.hold.stage is Stage.CONFIRMED):
            await self.workers.remove(worker_id)

    def _paired(self, job: Job, worker: bytes) -> Paired:
        """The worker as it is in the queue, if it still is."""
        assert job.worker
        return Paired(job, worker_of(worker) if worker else job.worker)
