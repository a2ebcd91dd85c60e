"""The dispatchers that share the queues in Redis: each gives signs of life, and knows the others.

What a dispatcher has under way is its own until its deadline, which it moves on with every sign of
life. Whoever sees a deadline that is over takes over what the dead one had. One that was silent
for so long that it was taken for dead goes on under another id, as if it had just started.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from hashlib import blake2b
from time import monotonic
from typing import Any

import structlog

from sanic_dispatch.errors import RedisInUse, RedisUnusable, StorageFailed
from sanic_dispatch.job import Job, Stage, Way
from sanic_dispatch.queues.base import JobQueue
from sanic_dispatch.queues.peers import CutOff, Peers, Reset, Snapshot
from sanic_dispatch.queues.redis_link import Link
from sanic_dispatch.queues.redis_stream import Stream

LEASE_S = 4.0
"""How long after its last sign of life a dispatcher is taken for dead."""

RENEW_S = 1.0
"""How often it gives one. With it come the looks that are there in case a wake-up was lost."""

PATIENCE_S = LEASE_S + RENEW_S
"""How long to wait at the start for others that must not be there: they may have been killed."""

ANSWER_S = LEASE_S
"""How long to wait for another dispatcher's note that its answer was written: one that lives writes
it, however busy it is, and what one had that died is taken over about then."""

MOST_WAKES = 100
"""How many pairs are made at most after such a look."""

_log = structlog.get_logger("sanic_dispatch.queues")


class RedisPeers(Peers):
    """This process's place among the dispatchers."""

    def __init__(self, link: Link, stream: Stream, jobs: JobQueue) -> None:
        self.freed: Callable[[], None] = _nothing
        self._link = link
        self._stream = stream
        self._jobs = jobs
        self._orphaned: Callable[[], None] = _nothing
        self._resets: list[Reset] = []
        self._alive: tuple[str, ...] = ()
        self._safe_until_s = 0.0
        self._renewed = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None

    def is_mine(self, record_id: str) -> bool:
        return max(self._alive, key=lambda each: _weight(each, record_id)) == self._link.by

    def count(self) -> int:
        return max(len(self._alive), 1)

    async def may_hand_over(self, job: Job) -> bool:
        if self._is_safe:
            return True
        while not self._is_safe:
            self._renewed.clear()
            await self._renewed.wait()
        now = await self._jobs.get(job.id)
        return now is not None and now.version == job.version

    async def has_settled(self, job: Job) -> bool:
        if job.hold is None or job.hold.stage is not Stage.UNDER_WAY or job.hold.way is Way.PUT:
            return False
        with self._stream.listening(job.id) as news:
            owner = await self._link.read("HGET", "owners", job.id)
            if owner is None:
                return True
            if owner.decode().partition(":")[0] in self._link.own:
                return False
            await asyncio.wait([news], timeout=ANSWER_S)
            return news.done()

    async def catch_up(self) -> None:
        number = await self._link.read("HGET", "meta", "number")
        await self._stream.reached(int(number or 0))

    def when_orphaned(self, call: Callable[[], None]) -> None:
        self._orphaned = call

    def when_reset(self, call: Reset) -> None:
        self._resets.append(call)

    def when_cut_off(self, call: CutOff) -> None:
        self._stream.cut_off = call

    async def join(self) -> None:
        """Become one of them. Raises StorageFailed."""
        await self._begin_life()
        self._timer = asyncio.create_task(self._live())

    async def leave(self) -> None:
        """Be one of them no more: what is still under way is for the others."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
            await self._link.call("leave")

    def reset(self, snapshot: Snapshot) -> None:
        """Events were missed: have everybody begin anew."""
        for call in self._resets:
            call(snapshot)

    # ---- signs of life

    @property
    def _is_safe(self) -> bool:
        """Whether nobody can have taken us for dead."""
        return monotonic() < self._safe_until_s

    async def _live(self) -> None:
        while True:
            await next_sign()
            try:
                await self._renew()
            except (StorageFailed, RedisInUse, RedisUnusable):
                continue
            except Exception:  # whoever gives no more signs of life is taken for dead
                _log.exception("redis.no_sign_of_life")

    async def _begin_life(self) -> None:
        now_s = monotonic()
        self._note(now_s, await enter(self._link))

    async def _renew(self) -> None:
        now_s = monotonic()
        word, *answer = await sign(self._link)
        if word == "lost":
            await self._begin_life()
            self._orphaned()
            return
        self._note(now_s, answer)
        if await self._link.disown():
            self._orphaned()

    def _note(self, now_s: float, answer: Sequence[Any]) -> None:
        """What came of a sign of life that was given at that time."""
        epoch, number, alive, dead, pairs = answer
        self._alive = tuple(each.decode() for each in alive)
        self._safe_until_s = now_s + LEASE_S
        self._renewed.set()
        self._stream.check(epoch.decode(), number)
        if dead:
            self._orphaned()
        for _ in range(min(pairs, MOST_WAKES)):
            self.freed()


async def sign(link: Link, *, is_new: bool = False, is_alone: bool = False) -> list[Any]:
    """Give a sign of life. Returns a word, and what is known of all. Raises StorageFailed."""
    return await link.call("renew", lease_s=LEASE_S, is_new=is_new, is_alone=is_alone)


async def next_sign() -> None:
    """Return when the next sign of life is due."""
    await asyncio.sleep(RENEW_S)


async def enter(link: Link, *, is_alone: bool = False) -> list[Any]:
    """Become one of the dispatchers, or the only one, under a new id.

    Returns what is known of all. Where there are others that one cannot be with it waits until the
    deadline of those that were killed is over; then it raises RedisInUse.
    """
    link.by = secrets.token_hex(4)
    link.own.add(link.by)
    until_s = monotonic() + PATIENCE_S
    while True:
        word, *answer = await sign(link, is_new=True, is_alone=is_alone)
        if word != "in use":
            return answer
        if monotonic() > until_s:
            raise RedisInUse(link.where)
        await asyncio.sleep(RENEW_S / 2)


def _weight(dispatcher_id: str, record_id: str) -> bytes:
    return blake2b(f"{dispatcher_id} {record_id}".encode(), digest_size=8).digest()


def _nothing() -> None:
    """Where nobody wants to know yet."""
