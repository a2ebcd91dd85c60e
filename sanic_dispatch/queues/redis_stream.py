"""The stream of events in Redis: every process reads the same one, and tells what it says.

The place of an event in the stream is its number, and the stream's epoch is everybody's epoch, so
a page can go from one process to another with the cursor that it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sanic_dispatch.errors import RedisUnusable, StorageFailed
from sanic_dispatch.events import Event, Events, Kind
from sanic_dispatch.job import Job
from sanic_dispatch.queues.redis_link import DATA_SHOWN, Link
from sanic_dispatch.queues.redis_pipe import PAUSE_S, pool_of
from sanic_dispatch.queues.redis_records import job_of, worker_of

REPLAYED = 2_000
"""How many of them a process folds when it starts, so that it shows what the others show."""

BLOCK_S = 1.0
"""How long to wait for an event before asking again."""

LATE_S = 0.8
"""How much later than that an answer may come: less than two seconds in all, since what was asked
just before the network swallowed it holds up what comes after."""

AT_ONCE = 500
"""How many events are read in one piece."""

PATIENCE_S = 1.0
"""How long a change waits at most until its event is told here."""

STALE_S = 1.0
"""For how long the stream may be out of reach before everybody who watches is told."""

UNKNOWN = b"null"
"""The data of a job of which we only hear."""

Entry = tuple[bytes, dict[bytes, bytes]]

_log = structlog.get_logger("sanic_dispatch.queues")


class Stream:
    """Reads the events one after the other, from the moment of a snapshot."""

    def __init__(self, url: str, link: Link, events: Events) -> None:
        self.begin_anew: Callable[[], Coroutine[Any, Any, None]] = _nothing
        """What to do where events were missed."""
        self.cut_off: Callable[[bool], None] = lambda is_cut_off: None
        """Is told when the stream is out of reach, and when it is back."""
        self._link = link
        self._events = events
        self._redis = Redis(connection_pool=pool_of(url, 1, BLOCK_S + LATE_S))
        self._data: dict[str, bytes] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._listening: dict[str, list[asyncio.Future[None]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._is_suspect = False
        """Somebody may have begun anew there."""
        self._silent_since_s: float | None = None
        self._cutting_off: asyncio.TimerHandle | None = None
        self._is_cut_off = False

    def follow(self, epoch: str, number: int, jobs: Iterable[Job] = ()) -> None:
        """From now on, tell what comes after that number; ``jobs`` are known already."""
        self._events.epoch, self._events.number = epoch, number
        self._data = {job.id: job.data for job in jobs if len(job.data) <= DATA_SHOWN}
        self._let_go()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_on())

    async def stop(self) -> None:
        """Tell nothing more, until ``follow`` is called again."""
        reader, self._reader = self._reader, None
        self._be_patient()
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def close(self) -> None:
        """Hang up."""
        await self.stop()
        await self._redis.aclose(close_connection_pool=True)

    async def reached(self, number: int) -> None:
        """Return once the event of that number is told here, or it takes too long."""
        if number <= self._events.number or self._reader is None:
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (number, next(self._order), told))
        await asyncio.wait([told], timeout=PATIENCE_S)

    @contextmanager
    def listening(self, job_id: str) -> Iterator[asyncio.Future[None]]:
        """What is done when the next event of that job is told."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listening.setdefault(job_id, []).append(news)
        try:
            yield news
        finally:
            self._listening[job_id].remove(news)
            if not self._listening[job_id]:
                del self._listening[job_id]

    def check(self, epoch: str, number: int) -> None:
        """What somebody else has seen of the stream: whether it is still the one we follow."""
        if epoch != self._events.epoch or number < self._events.number:
            self._is_suspect = True

    async def past(self, number: int, jobs: Iterable[Job]) -> list[Event]:
        """The last events up to that number, with the data of the jobs that are known.

        Those that cannot be read are left out.
        """
        entries = await self._link.read_many(
            "XREVRANGE", "events", f"{number}-0", "-", "COUNT", REPLAYED
        )
        data = {job.id: job.data for job in jobs}
        entries = [(entry_id, _paired(fields)) for entry_id, fields in reversed(entries)]
        return list(self._readable(entries, data))

    # ---- reading

    async def _read_on(self) -> None:
        while self._reader is asyncio.current_task():
            try:
                await self._read()
            except (RedisError, OSError, StorageFailed, RedisUnusable) as error:
                self._note_silence(error)
                await asyncio.sleep(PAUSE_S)
            except Exception as error:  # as an event that cannot be read: the reader must go on
                _log.exception("redis.unreadable")
                self._note_silence(error)
                await self._step_over()
                await asyncio.sleep(BLOCK_S)

    async def _read(self) -> None:
        """Tell what is new; wait for it for a while, but not where the pages wait for us."""
        if self._is_suspect:
            epoch, number = await self._link.begin()
            self._is_suspect = False
            if epoch != self._events.epoch or number < self._events.number:
                await self.begin_anew()
        after = f"{self._events.number}-0"
        streams: dict[Any, Any] = {self._link.key("events"): after}
        block_ms = int(BLOCK_S * 1000) if self._silent_since_s is None else None
        answer: Any = await self._redis.xread(streams, AT_ONCE, block_ms)
        self._note_life()
        for entry in answer[0][1] if answer else ():
            if number_of(entry) != self._events.number + 1:
                await self.begin_anew()
                break
            self._tell(entry)
        self._let_go()

    async def _step_over(self) -> None:
        """Begin anew behind what cannot be read, if that can be done now."""
        try:
            await self.begin_anew()
        except Exception as error:
            _log.warning("redis.lost", reason=str(error))

    def _tell(self, entry: Entry) -> None:
        event = self._event(entry, self._data)
        if event.job is not None and event.job.state.is_final:
            self._data.pop(event.job.id, None)
        self._events.tell(event)
        for news in self._listening.get(event.job.id, ()) if event.job else ():
            if not news.done():
                news.set_result(None)

    def _readable(self, entries: Iterable[Entry], data: dict[str, bytes]) -> Iterator[Event]:
        for entry in entries:
            with suppress(KeyError, TypeError, ValueError):
                yield self._event(entry, data)

    def _event(self, entry: Entry, data: dict[str, bytes]) -> Event:
        """An event as it was stored; the data of its job is that of the job's first event."""
        fields = entry[1]
        job = worker = None
        if stored := fields.get(b"job"):
            job = job_of(stored, fields.get(b"data", UNKNOWN))
            job = job._replace(data=data.setdefault(job.id, job.data))
            worker = job.worker
        elif stored := fields.get(b"worker"):
            worker = worker_of(stored)
        return Event(
            number_of(entry),
            Kind(fields[b"kind"].decode()),
            float(fields[b"at"]),
            job,
            worker,
            fields[b"reason"].decode(),
            is_own=fields[b"by"].decode() in self._link.own,
        )

    def _let_go(self) -> None:
        """Whoever waited for what is told now need not wait any more."""
        while self._waiting and self._waiting[0][0] <= self._events.number:
            told = heappop(self._waiting)[2]
            if not told.done():
                told.set_result(None)

    # ---- out of reach

    def _note_silence(self, error: Exception) -> None:
        self._is_suspect = True
        if self._silent_since_s is None:
            self._silent_since_s = monotonic()
            _log.warning("redis.lost", reason=str(error))
        if self._cutting_off is None and not self._is_cut_off:
            # by a timer: the next try may wait for long
            loop = asyncio.get_running_loop()
            self._cutting_off = loop.call_later(STALE_S, self._cut_off)

    def _cut_off(self) -> None:
        self._cutting_off = None
        self._is_cut_off = True
        self.cut_off(True)

    def _note_life(self) -> None:
        self._be_patient()
        if self._silent_since_s is not None:
            _log.warning("redis.back", after_s=round(monotonic() - self._silent_since_s, 1))
        self._silent_since_s = None
        if self._is_cut_off:
            self._is_cut_off = False
            self.cut_off(False)

    def _be_patient(self) -> None:
        """Nobody needs to be told that the events do not come."""
        if self._cutting_off is not None:
            self._cutting_off.cancel()
            self._cutting_off = None


def number_of(entry: Entry) -> int:
    """An event's number: its place in the stream."""
    return int(entry[0].partition(b"-")[0])


def _paired(fields: list[bytes]) -> dict[bytes, bytes]:
    """Names and values, as they stand in a plain answer."""
    return dict(zip(fields[::2], fields[1::2], strict=True))


async def _nothing() -> None:
    """Where nobody can begin anew."""
