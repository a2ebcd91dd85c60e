"""One queue in Redis while the other is elsewhere: then a single process has both, as with files.

What is stored is the same as with both queues there, so that one can go over to that. The process
holds a lock in Redis, which is a deadline that it moves on; whoever lost it can write no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import structlog
import ujson
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from sanic_dispatch.errors import RedisUnusable, StorageFailed
from sanic_dispatch.queues.redis_link import Link, text_of
from sanic_dispatch.queues.redis_peers import enter, next_sign, sign
from sanic_dispatch.queues.redis_pipe import TRY_S
from sanic_dispatch.queues.redis_records import flat_job, flat_worker, job_of, worker_of
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import DECODERS, Change, Shelf
from sanic_dispatch.redis_url import shown
from sanic_dispatch.strict_json import one_object

_log = structlog.get_logger("sanic_dispatch.queues")


class Lock:
    """The right to be the only dispatcher here, for as long as it is renewed.

    It holds other processes of our own off, and those that share both queues.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.link = Link(url, prefix)
        self._where = shown(url)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold it. Raises RedisInUse where others are there, and RedisUnusable."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.link.close)
            try:
                await self.link.begin()
                await enter(self.link, is_alone=True)
            except StorageFailed as error:
                raise RedisUnusable(self._where, str(error)) from error
            stack.push_async_callback(self._leave)
            renewing = asyncio.create_task(self._renew())
            try:
                yield
            finally:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)

    async def _leave(self) -> None:
        with suppress(StorageFailed):
            await self.link.call("leave")

    async def _renew(self) -> None:
        while True:
            await next_sign()
            with suppress(StorageFailed):
                word, *_ = await sign(self.link, is_alone=True)
                if word == "lost":
                    _log.error("redis.lock_lost", hint="it has to be started again")
                    return


class RedisStore:
    """Rows in Redis, for one process."""

    rereads = False

    def __init__(self, url: str, lock: Lock) -> None:
        self._lock = lock
        self._where = shown(url)
        self._redis: Any = Redis.from_url(url, socket_timeout=TRY_S, socket_connect_timeout=TRY_S)

    def load(self, shelf: Shelf) -> list[Row]:
        """All rows in order. Raises RedisUnusable."""
        try:
            return list(_rows(shelf, self._call("load", shelf=shelf) or ()))
        except (KeyError, TypeError, ValueError) as error:
            raise RedisUnusable(self._where, f"{shelf}: {error}") from error

    def adopt(self, shelf: Shelf, rows: Sequence[Row]) -> None:
        """Redis has it already."""

    def write(self, changes: Sequence[Change]) -> None:
        """Make all changes durable, or raise and leave everything as it was."""
        flat = [_flat(change) for change in changes]
        asked, data = [each[0] for each in flat], [each[1] for each in flat]
        if self._call("write", *data, changes=asked) is None:
            raise OSError("another dispatcher has taken the queue in Redis over")

    def try_writing(self) -> None:
        """Find out whether a change could be written now. Raises OSError."""
        self.write(())

    def close(self) -> None:
        """Hang up."""
        self._redis.close()

    def _call(self, name: str, *data: bytes, **asked: Any) -> list[Any] | None:
        """A script's answer; None where the lock is lost. Raises OSError."""
        words = self._lock.link.script(name, asked, data).words(again=False)
        try:
            answer = self._executed(name, words)
        except RedisError as error:
            raise OSError(f"Redis: {error}") from error
        return answer[1:] if answer[0] == b"ok" else None

    def _executed(self, name: str, words: Sequence[Any]) -> Any:
        try:
            return self._redis.execute_command(*words)
        except NoScriptError:
            self._redis.script_load(text_of(name))
            return self._redis.execute_command(*words)


def _rows(shelf: Shelf, loaded: Sequence[bytes]) -> Iterator[Row]:
    if shelf is Shelf.FACTS:
        ticket, paused, secret = loaded
        yield Row.fact("last_ticket", int(ticket or 0))
        yield Row.fact("paused", paused == b"1")
        yield Row.fact("secret", secret.decode())
        return
    for place, stored, data in zip(loaded[::3], loaded[1::3], loaded[2::3], strict=True):
        record = worker_of(stored) if shelf is Shelf.WORKERS else job_of(stored, data)
        yield Row(float(place), record, record.to_stored())


def _flat(change: Change) -> tuple[dict[str, Any], bytes]:
    """A change as the script takes it, and the data of its job."""
    what: dict[str, Any] = {"shelf": change.shelf, "id": change.id}
    if change.shelf is Shelf.FACTS:
        value = ujson.loads(change.stored)
        return {**what, "value": str(int(value) if isinstance(value, bool) else value)}, b""
    if change.place is None:
        return what, b""
    record = DECODERS[change.shelf](one_object(change.stored))
    what["place"] = repr(change.place)
    if change.shelf is Shelf.WORKERS:
        return {**what, "record": flat_worker(record._replace(place=change.place))}, b""
    if change.shelf is Shelf.JOBS:
        record = record._replace(place=change.place)
    return {**what, "record": flat_job(record)}, record.data
