"""A topic in Redis or Valkey, which one dispatcher at a time owns.

Keys, all under ``{prefix}:`` and so in one slot of a cluster:

- ``meta``: ``format``, and ``epoch``, which counts the owners;
- ``owner``: ``token`` (epoch and random id; empty after a release), ``name``, ``beat``, and
  ``batch`` (the token, and the number of the last batch);
- ``jobs``, ``workers``, ``facts``: records as JSON by their ids; a worker has its ``place``, too.

A batch is one script. It carries the owner's token, and the number of the batch before it: so it is
applied once, only on top of what it was made for, and never for a process that was superseded. A
commit is a sign of life, too.

CPU of a commit (uvloop, best of 25 rounds): one change costs 58 µs here and 40 µs in Redis, 64
changes together cost 160 and 95 µs.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from operator import attrgetter
from typing import Any

import structlog

from sanic_dispatch.cluster.ownership import PACE, Claim, Ownership, Pace, Sight, running_s
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.tables import Fact, Record, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import (
    LostOwnership,
    OutcomeUnknown,
    RedisInUse,
    RedisUnusable,
    StorageFailed,
)
from sanic_dispatch.storage.entries import ANY_JOB
from sanic_dispatch.storage.records import (
    UNREADABLE,
    decode_fact,
    decode_worker,
    described,
    encode_fact,
    encode_job,
    encode_placed_worker,
    order_of,
)
from sanic_dispatch.storage.redis_address import parse_address
from sanic_dispatch.storage.redis_connection import TRY_S, RedisLink, Refused, Script
from sanic_dispatch.storage.store import Batch, Store, Stored

FORMAT = "2"
"""The version of what is stored; 0.1 wrote version 1."""

OPEN_S = 3.0
"""How long to try to reach Redis at the start."""

PATIENCE_S = 5.0
"""How long ``load`` waits for another owner: the lease of one that was killed has to lapse."""

MIGRATION_S = 120.0
"""How long Redis may take to rewrite the data of 0.1; 100,000 jobs take it some seconds."""

RETRY_S = 0.1
"""How long to wait before Redis is asked again."""

FINAL = ("ERR", "NOAUTH", "NOPERM", "WRONGPASS")
"""Errors that no time would make right, as a wrong password; while it loads its data, it would."""

SCANNED_AT_ONCE = 500
"""How many records are read in one piece; the event loop has its turn after each."""

WORDS_AT_ONCE = 1000
"""How many words one command in a script may have: Lua's stack has its limit."""

KEYS = (
    "meta", "owner", "jobs", "workers", "facts",
    "events", "data", "owners", "lent", "dispatchers", "jobs:line", "jobs:free", "jobs:keys",
    "jobs:callbacks", "finished", "finished:line", "finished:callbacks", "workers:line",
    "workers:free", "workers:keys",
)  # fmt: skip
"""All keys, in the order of claim.lua; those from ``events`` on are of version 0.1 alone."""

_JOBS, _WORKERS, _ = TABLES = tuple(Table)
"""The tables, in the order of their keys for commit.lua, after that of the owner."""

_log = structlog.get_logger("sanic_dispatch.storage")


def _script(name: str) -> Script:
    return Script((files("sanic_dispatch.storage") / "lua" / f"{name}.lua").read_text())


CLAIM = _script("claim")
RENEW = _script("renew")
RELEASE = _script("release")
COMMIT = _script("commit")
SETTLE = _script("settle")
TRY_WRITING = _script("try_writing")
MIGRATE = _script("migrate")


def open_redis(settings: Settings, name: str = "") -> RedisStore:
    """Make the store for the queues whose mode is Redis; it connects when it is first used.

    ``name`` is by which other processes know this one; by default host and port. Raises
    RedisUnusable where an option in the address cannot be.
    """
    tables = [Table.JOBS, Table.FACTS] if settings.job_queue_mode.is_shared else []
    tables += [Table.WORKERS] if settings.worker_queue_mode.is_shared else []
    return RedisStore(
        settings.redis_url,
        settings.redis_prefix,
        tables,
        name or f"{socket.gethostname()}:{settings.port}",
    )


class RedisStore(Store):
    """The records of a topic, or one half of them, for the process that owns them.

    ``open`` connects; ``ownership.acquire`` waits until the topic is ours; then ``load`` and
    ``commit``. Without the first two, ``load`` does what they do, but waits only so long.
    ``commit`` raises LostOwnership besides what the contract says.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        tables: Iterable[Table],
        name: str,
        pace: Pace = PACE,
    ) -> None:
        address = parse_address(url)
        self._where = address.shown
        self._tables = frozenset(tables)
        self._indices = {TABLES.index(table) + 2 for table in self._tables}
        self._keys = {name: f"{{{prefix}}}:{name}" for name in KEYS}
        self._commit_keys = [self._keys[name] for name in ("owner", *TABLES)]
        self._link = RedisLink(address)
        self._register = RedisRegister(RedisLink(address), self._keys, self._where)
        self.ownership: Ownership = Ownership(self._register, name, pace)
        self._token = ""
        """Whose batches ``_last`` and ``_unsettled`` are about."""
        self._last = ""
        """What Redis has as our last batch: token and number, and ``!`` where it was given up."""
        self._unsettled = ""
        """The same of a batch that was sent, and nobody knows what became of it."""
        self._going_on: asyncio.Task[None] | None = None
        """Commits a batch whose caller was cancelled."""

    async def open(self) -> bool:
        """Look at Redis for the first time, and own the queues if nobody else does.

        Raises RedisUnusable where Redis cannot be reached, or what is there is not ours.
        """
        until_s = running_s() + OPEN_S
        while True:
            try:
                await self._link.call("PING")
                return await self.ownership.acquire(patience_s=0.0)
            except (StorageFailed, OutcomeUnknown) as error:
                is_final = isinstance(error, Refused) and error.code in FINAL
                if is_final or running_s() >= until_s:
                    raise RedisUnusable(self._where, str(error)) from error
            await asyncio.sleep(RETRY_S)

    async def load(self) -> Stored:
        """Read everything, as the owner.

        Raises RedisInUse, RedisUnusable, LostOwnership, or StorageFailed where Redis goes away.
        """
        ownership = self.ownership
        if not ownership.is_owner and not await self.open():
            try:
                is_ours = await ownership.acquire(PATIENCE_S)
            except StorageFailed as error:
                raise RedisUnusable(self._where, str(error)) from error
            if not is_ours:
                raise RedisInUse(self._where, ownership.owner)
        token = ownership.token
        try:
            stored = Stored(
                _in_order(await self._read(Table.JOBS, _decode_job)),
                sorted(await self._read(Table.WORKERS, _decode_worker), key=order_of),
                await self._read(Table.FACTS, _decode_fact),
            )
        except OutcomeUnknown as error:
            raise StorageFailed(str(error)) from error
        await ownership.confirm()
        if ownership.token != token:
            raise LostOwnership(ownership.owner)
        return stored

    async def commit(self, batch: Batch) -> None:
        """Apply a batch in one script; it goes on where the caller is cancelled.

        Raises StorageFailed, OutcomeUnknown, or LostOwnership where another process came.
        """
        if self._going_on is not None:
            await asyncio.wait([self._going_on])
        try:
            await self._commit(batch)
        except asyncio.CancelledError:
            self._going_on = asyncio.create_task(self._go_on(batch))
            self._going_on.add_done_callback(self._note_end)
            raise

    async def _commit(self, batch: Batch) -> None:
        token = self._present_token()
        parts = self._encode(batch)
        present = f"{token} {batch.number}"
        if present == self._last:
            return
        is_repeat = self._unsettled == present
        assert is_repeat or not self._unsettled, "a batch of unknown outcome has to be repeated"
        self._unsettled = present
        sent_s = running_s()
        try:
            answer = await self._link.run(COMMIT, self._commit_keys, self._last, present, *parts)
        except StorageFailed as error:  # this try did nothing; what of an earlier one?
            if not is_repeat:
                self._unsettled = ""
                raise
            if not isinstance(error, Refused):
                raise OutcomeUnknown(str(error)) from error
            answer = await self._settle(present, error)
        self._note_outcome(token, present, answer, sent_s)

    async def try_writing(self) -> None:
        """Write something that changes nothing. Raises StorageFailed, also where not the owner."""
        sent_s = running_s()
        try:
            token = self._present_token()
            answer = await self._link.run(TRY_WRITING, self._commit_keys, token)
            self._check_owned(token, answer)
        except (OutcomeUnknown, LostOwnership) as error:
            raise StorageFailed(str(error)) from error
        self.ownership.granted(sent_s)

    async def close(self) -> None:
        """Release the queues at once, and hang up."""
        if self._going_on is not None:
            going_on = self._going_on
            await asyncio.wait([going_on], timeout=2 * TRY_S)
            going_on.cancel()
        await self.ownership.close()
        await self._link.close()
        await self._register.close()

    # ---- commit

    async def _go_on(self, batch: Batch) -> None:
        """Repeat a batch whose caller was cancelled, until its fate is known."""
        with suppress(StorageFailed, LostOwnership):
            while True:
                try:
                    return await self._commit(batch)
                except OutcomeUnknown:
                    await asyncio.sleep(RETRY_S)

    def _note_end(self, _: asyncio.Task[None]) -> None:
        self._going_on = None

    def _present_token(self) -> str:
        """Our token; batches are counted anew where it is another than before."""
        token = self.ownership.token
        if not token:
            raise LostOwnership(self.ownership.owner)
        if token != self._token:
            self._token, self._last, self._unsettled = token, f"{token} 0", ""
        return token

    def _encode(self, batch: Batch) -> list[str | bytes]:
        """A batch as commit.lua takes it: HSET and HDEL for each table that it changes."""
        puts: dict[int, list[str | bytes]] = {}
        removals: dict[int, list[str | bytes]] = {}
        for table, record_id, _, after in batch.changes:
            key = 2 if table is _JOBS else 3 if table is _WORKERS else 4
            if after is None:
                removals.setdefault(key, []).append(record_id)
            else:
                puts.setdefault(key, []).extend((record_id, encode_record(after)))
        assert {*puts, *removals} <= self._indices, "a change of a table that is elsewhere"
        parts: list[str | bytes] = []
        for verb, changed in (("HSET", puts), ("HDEL", removals)):
            for key, words in changed.items():
                for first in range(0, len(words), WORDS_AT_ONCE):
                    piece = words[first : first + WORDS_AT_ONCE]
                    parts += (str(key), verb, str(len(piece)), *piece)
        return parts

    async def _settle(self, present: str, refusal: Refused) -> Any:
        """Redis takes no batch now: find out what became of an earlier try of this one."""
        try:
            return await self._link.run(SETTLE, self._commit_keys[:1], self._last, present)
        except StorageFailed:
            raise OutcomeUnknown(str(refusal)) from refusal

    def _note_outcome(self, token: str, present: str, answer: Sequence[Any], sent_s: float) -> None:
        self._unsettled = ""
        self._check_owned(token, answer)
        if answer[0] == b"void":
            self._last = f"{present}!"
            raise StorageFailed("Redis did not take the batch, and it was given up")
        self._last = present
        if answer[0] == b"ok":
            self.ownership.granted(sent_s)

    def _check_owned(self, token: str, answer: Sequence[Any]) -> None:
        """Raise LostOwnership where the script has found another owner, or batches missing."""
        if answer[0] == b"lost":
            error = LostOwnership(answer[1].decode())
        elif answer[0] == b"gap":
            error = LostOwnership(reason="Redis has lost what was committed last")
        else:
            return
        if token == self.ownership.token:
            self.ownership.lose(str(error))
        raise error

    # ---- load

    async def _read(self, table: Table, decode: Callable[[str, bytes], Any]) -> list[Any]:
        """Read the records of a table, in pieces; only the owner writes, so they fit together."""
        if table not in self._tables:
            return []
        found: dict[str, Any] = {}
        cursor = b"0"
        while True:
            cursor, entries = await self._link.call(
                "HSCAN", self._keys[table], cursor, "COUNT", SCANNED_AT_ONCE
            )
            for record_id, stored in _pairs(entries):
                try:
                    found[record_id.decode()] = decode(record_id.decode(), stored)
                except UNREADABLE as error:
                    shown = record_id.decode(errors="replace")
                    raise RedisUnusable(
                        self._where, f"{self._keys[table]} {shown}: {described(error)}"
                    ) from error
            if cursor == b"0":
                return list(found.values())
            await asyncio.sleep(0)


class RedisRegister:
    """Who owns the topic, as Redis has it; on a connection of its own, which nothing holds up."""

    def __init__(self, link: RedisLink, keys: dict[str, str], where: str) -> None:
        self._link = link
        self._keys = list(keys.values())
        self._owner = [keys["owner"]]
        self._where = where

    async def claim(self, claim: Claim, unchanged: str | None) -> Sight:
        """Become the owner, if nobody else is; data of 0.1 is migrated before. See Register.

        Raises RedisUnusable where what is there is not ours.
        """
        lapsed = ("0",) if unchanged is None else ("1", unchanged)
        while True:
            word, *answer = await self._link.run(CLAIM, self._keys, FORMAT, *claim, *lapsed)
            if word == b"owner":
                return Sight(answer[0].decode(), answer[1])
            if word == b"held":
                return Sight(state=answer[0].decode(), owner=answer[1].decode())
            if word == b"refused":
                raise RedisUnusable(self._where, answer[0].decode(errors="replace"))
            await self._migrate()

    async def renew(self, token: str) -> None:
        """Give a sign of life. Raises LostOwnership."""
        word, *answer = await self._link.run(RENEW, self._owner, token)
        if word == b"lost":
            raise LostOwnership(answer[0].decode())

    async def release(self, token: str) -> None:
        """Let go of the topic, if this token still owns it."""
        await self._link.run(RELEASE, self._owner, token)

    async def close(self) -> None:
        """Hang up."""
        await self._link.close()

    async def _migrate(self) -> None:
        """Rewrite the data of 0.1, unless another process did so. Raises RedisUnusable."""
        try:
            word, *answer = await self._link.run(
                MIGRATE, self._keys, FORMAT, patience_s=MIGRATION_S
            )
        except Refused as error:
            if error.code != "ERR":
                raise
            raise RedisUnusable(self._where, str(error)) from error
        if word == b"refused":
            raise RedisUnusable(self._where, answer[0].decode(errors="replace"))
        if answer:
            _log.info("redis.migrated", jobs=answer[0], workers=answer[1])


# ---- records


def encode_record(record: Record) -> bytes:
    """Encode a record as Redis keeps it."""
    if isinstance(record, Job):
        return encode_job(record)
    return encode_placed_worker(record) if isinstance(record, Worker) else encode_fact(record)


def _decode_job(job_id: str, stored: bytes) -> Job:
    text = stored.decode()
    found, end = ANY_JOB.find(text, 0)
    job = ANY_JOB.read(found, 0).record
    if end != len(text) or job.id != job_id:
        raise ValueError("it is not one job of this id")
    return job


def _decode_worker(worker_id: str, stored: bytes) -> Worker:
    worker = decode_worker(json.loads(stored))
    if worker.id != worker_id:
        raise ValueError("it is not the worker of this callback")
    return worker


def _decode_fact(name: str, stored: bytes) -> Fact:
    return decode_fact(name, json.loads(stored))


def _in_order(jobs: Iterable[Job]) -> list[Job]:
    """Those that wait or are held by their place, then the finished ones, oldest first."""
    queued, finished = list[Job](), list[Job]()
    for job in jobs:
        (queued if job.finished_s is None else finished).append(job)
    queued.sort(key=attrgetter("place", "ticket", "id"))
    finished.sort(key=order_of)
    return queued + finished


def _pairs(entries: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(entries[::2], entries[1::2], strict=True)
