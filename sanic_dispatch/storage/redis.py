"""The mode Redis: a topic in Redis or Valkey, owned by one dispatcher at a time.

Keys, all under ``{prefix}:`` and so in one slot of a cluster:

- ``meta``: ``format``, and ``epoch``, which increases with each change of owner;
- ``owner``: ``token`` (epoch and random id; empty after a release), ``name`` and ``url``, ``beat``
  (the heartbeat's counter), ``batch`` (token and number of the last batch), and ``successor`` (the
  name of the process that the topic is handed over to);
- ``jobs``, ``workers``, ``facts``: records as JSON by id; workers with their ``place``;
- ``history``: a stream of events, an entry for each batch, whose id is the last event's number;
  ``epochs``: a list of the event log's epochs, as JSON.

A commit is one Lua script, so it is atomic. It carries the owner's token as a fencing token, and
the number of the batch before, as a compare-and-set: a batch is applied once, directly after the
one before, and not at all for a process that has lost ownership. A commit is a heartbeat, too.

CPU of a commit (uvloop, best of 25 rounds): one change costs 58 µs here and 40 µs in Redis, 64
changes together cost 160 and 95 µs.

Events are moved from the stream to segments once they are many: see shared_log.py. The next batch
then trims the stream, but for the newest RECENT_EVENTS: the next owner looks at these, also on
another machine, whose folder does not have them. The id of the last entry says the last number.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import ujson

from sanic_dispatch.cluster.members import Member, member_of
from sanic_dispatch.cluster.ownership import (
    LEASE_TIMES,
    Claim,
    ClaimAnswer,
    LeaseTimes,
    Ownership,
    boottime_s,
)
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.core.job import Job, JobRef
from sanic_dispatch.core.tables import Fact, Record, Table
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import (
    InvalidJson,
    LostOwnership,
    OutcomeUnknown,
    RedisInUse,
    RedisUnusable,
    StorageFailed,
)
from sanic_dispatch.storage.blocking import BackgroundFlush
from sanic_dispatch.storage.entries import ANY_JOB
from sanic_dispatch.storage.event_log import MAX_EPOCHS, RECENT_EVENTS, Epoch, retention_of
from sanic_dispatch.storage.event_record import Recorded, join_lines, recorded
from sanic_dispatch.storage.record_json import (
    UNREADABLE,
    decode_fact,
    decode_worker,
    describe_error,
    encode_fact,
    encode_job,
    encode_placed_worker,
    in_queue_order,
    order_of,
)
from sanic_dispatch.storage.redis_address import parse_address
from sanic_dispatch.storage.redis_connection import (
    RETRY_S,
    TIMEOUT_S,
    RedisClient,
    RedisRefused,
    lua_script,
    reach,
)
from sanic_dispatch.storage.segment_log import MAX_UNFLUSHED, EventRow
from sanic_dispatch.storage.shared_log import SharedLog
from sanic_dispatch.storage.store import Batch, Store, Stored

FORMAT = "2"
"""The version of the data format; 0.1 wrote version 1."""

OWNER_WAIT_S = 5.0
"""How long ``load`` waits for ownership: longer than the lease of a killed owner lasts."""

MIGRATION_S = 120.0
"""The extra timeout for migrating data of 0.1; 100,000 jobs take some seconds."""

SCAN_COUNT = 500
"""How many records one HSCAN reads; the event loop runs other tasks in between."""

MAX_ARGUMENTS = 1000
"""How many arguments one command in a script gets: Lua's stack is limited."""

KEYS = (
    "meta", "owner", "jobs", "workers", "facts",
    "events", "data", "owners", "lent", "dispatchers", "jobs:line", "jobs:free", "jobs:keys",
    "jobs:callbacks", "finished", "finished:line", "finished:callbacks", "workers:line",
    "workers:free", "workers:keys", "history", "epochs",
)  # fmt: skip
"""All keys, in the order of claim.lua; those from ``events`` to ``workers:keys`` belong to version
0.1 only."""

_JOBS, _WORKERS, _ = TABLES = tuple(Table)
"""The tables in the order of commit.lua's keys, which begin with ``owner``."""

_HISTORY = "5"
"""The index of the history among commit.lua's keys."""

_log = structlog.get_logger("sanic_dispatch.storage")


CLAIM = lua_script("claim")
RENEW = lua_script("renew")
RELEASE = lua_script("release")
COMMIT = lua_script("commit")
RESOLVE = lua_script("resolve")
TRY_WRITING = lua_script("try_writing")
MIGRATE = lua_script("migrate")
BEGIN_EPOCH = lua_script("begin_epoch")


def open_redis(settings: Settings) -> RedisStore:
    """Return a store for the queues whose mode is Redis; it connects on first use.

    Raises RedisUnusable if an option in the URL is invalid.
    """
    tables = [Table.JOBS, Table.FACTS] if settings.job_queue_mode.is_shared else []
    tables += [Table.WORKERS] if settings.worker_queue_mode.is_shared else []
    return RedisStore(
        settings.redis_url,
        settings.redis_keys,
        tables,
        member_of(settings),
        log=SharedLog(settings.data_dir, fsync=settings.fsync, retention=retention_of(settings)),
    )


class RedisStore(Store):
    """Stores all records of a topic in Redis, or one half of them.

    Call ``open`` to connect, ``ownership.acquire`` to wait for ownership, then ``load`` and
    ``commit``. ``load`` alone does all three, but waits no longer than OWNER_WAIT_S. Besides the
    errors of the contract, ``commit`` raises LostOwnership.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        tables: Iterable[Table],
        own: Member,
        times: LeaseTimes = LEASE_TIMES,
        log: SharedLog | None = None,
    ) -> None:
        """``log`` has the older events; by default in the current folder."""
        address = parse_address(url)
        self._where = address.shown
        self._tables = frozenset(tables)
        self.history = self._segments = log or SharedLog(Path())
        self._flushes = BackgroundFlush(self._segments, MAX_UNFLUSHED)
        self._trimmed_n = 0
        """The number up to which events were trimmed from the stream."""
        self._indices = {TABLES.index(table) + 2 for table in self._tables}
        self._keys = {name: f"{{{prefix}}}:{name}" for name in KEYS}
        self._commit_keys = [self._keys[name] for name in ("owner", *TABLES, "history")]
        self._client = RedisClient(address)
        self._lease_store = RedisLeaseStore(RedisClient(address), self._keys, self._where)
        self.ownership: Ownership = Ownership(self._lease_store, own, times)
        self._token = ""
        """The token under which ``_last`` and ``_in_doubt`` were committed."""
        self._last = ""
        """Our last batch as Redis has it: token, number, and a ``!`` for each voided one since."""
        self._in_doubt = ""
        """Token and number of a batch that was sent and whose outcome is unknown."""
        self._completion: asyncio.Task[None] | None = None
        """Completes the commit of a cancelled caller."""

    async def open(self, *, is_our_turn: bool = True) -> bool:
        """Connect, and become the owner if the topic has none; return whether this process is it.

        Raises RedisUnusable if Redis is unreachable for OPEN_S, or its data is not ours.
        """

        async def first_claim() -> bool:
            await self._client.call("PING")
            return await self.ownership.acquire(0.0, lambda: is_our_turn)

        return await reach(self._client.address, first_claim)

    async def is_there(self) -> bool:
        """Return whether Redis has anything of the topic: a look makes no keys, as a claim does.

        Raises RedisUnusable if Redis is unreachable for OPEN_S.
        """

        async def count() -> int:
            return int(await self._client.call("EXISTS", *self._keys.values()))

        return await reach(self._client.address, count) > 0

    async def load(self) -> Stored:
        """Return all records, after becoming the owner.

        Raises RedisInUse, RedisUnusable, LostOwnership, or StorageFailed if Redis becomes
        unreachable.
        """
        ownership = self.ownership
        if not ownership.is_owner and not await self.open():
            try:
                is_ours = await ownership.acquire(OWNER_WAIT_S)
            except StorageFailed as error:
                raise RedisUnusable(self._where, str(error)) from error
            if not is_ours:
                raise RedisInUse(self._where, ownership.owner)
        token = ownership.token
        try:
            jobs = await self._read(Table.JOBS, _decode_job)
            stored = Stored(
                await asyncio.to_thread(in_queue_order, jobs),
                sorted(await self._read(Table.WORKERS, _decode_worker), key=order_of),
                await self._read(Table.FACTS, _decode_fact),
            )
            if Table.JOBS in self._tables:
                await self._load_history(stored.jobs)
        except OutcomeUnknown as error:
            raise StorageFailed(str(error)) from error
        await ownership.confirm()
        if ownership.token != token:
            raise LostOwnership(ownership.owner)
        return stored

    async def commit(self, batch: Batch) -> None:
        """Apply a batch with one script; if the caller is cancelled, complete it in the background.

        Raises StorageFailed, OutcomeUnknown, or LostOwnership if another process took over.
        """
        if self._completion is not None:
            await asyncio.wait([self._completion])
        try:
            await self._commit(batch)
        except asyncio.CancelledError:
            self._completion = asyncio.create_task(self._complete(batch, self._token))
            self._completion.add_done_callback(self._forget_completion)
            raise

    async def _commit(self, batch: Batch) -> None:
        token = self._current_token()
        events = [recorded(event) for event in batch.events]
        old_n = max(self._segments.flushed_n - RECENT_EVENTS, 0)
        parts = [*self._history_parts(events, old_n), *self._encode(batch)]
        current = f"{token} {batch.number}"
        if current == self._last:
            self._segments.add(events)  # which may have failed, as without memory
            return
        is_repeat = self._in_doubt == current
        assert is_repeat or not self._in_doubt, "a batch of unknown outcome has to be repeated"
        self._in_doubt = current
        sent_s = boottime_s()
        try:
            answer = await self._client.run(COMMIT, self._commit_keys, self._last, current, *parts)
        except StorageFailed as error:  # no effect; but an earlier attempt may have had one
            if not is_repeat:
                self._in_doubt = ""
                raise
            if not isinstance(error, RedisRefused):
                raise OutcomeUnknown(str(error)) from error
            answer = await self._resolve(current, error)
        self._record_outcome(token, current, answer, sent_s)
        self._trimmed_n = old_n
        self._segments.add(events)
        self._flushes.begin_if_due()

    async def begin_epoch(self, name: str, at_s: float) -> None:
        """Begin an epoch after ``load``. Raises StorageFailed or LostOwnership."""
        token = self._current_token()
        epoch = Epoch(name, self._segments.last_number + 1, at_s)
        keys = [self._keys["owner"], self._keys["epochs"]]
        try:
            answer = await self._client.run(
                BEGIN_EPOCH, keys, token, ujson.dumps(epoch), MAX_EPOCHS
            )
        except OutcomeUnknown as error:
            raise StorageFailed(str(error)) from error
        self._check_owned(token, answer)
        await asyncio.to_thread(self._segments.note_epoch, epoch)

    async def erase(self, jobs: Collection[JobRef]) -> None:
        """Erase data from the segments; in Redis nothing is left of a record that was replaced."""
        await self._flushes.erase(jobs)

    async def try_writing(self) -> None:
        """Increment the heartbeat. Raises StorageFailed, also if not the owner."""
        sent_s = boottime_s()
        try:
            token = self._current_token()
            answer = await self._client.run(TRY_WRITING, self._commit_keys, token)
            self._check_owned(token, answer)
        except (OutcomeUnknown, LostOwnership) as error:
            raise StorageFailed(str(error)) from error
        self.ownership.granted(sent_s)

    async def close(self) -> None:
        """End the lease, so that another process can take over at once, and disconnect."""
        if self._completion is not None:
            completion = self._completion
            await asyncio.wait([completion], timeout=2 * TIMEOUT_S)
            completion.cancel()
        await self._flushes.finish()
        self._flushes.stop()
        await self.ownership.release()
        await self._client.close()
        await self._lease_store.close()

    # ---- commit

    async def _complete(self, batch: Batch, token: str) -> None:
        """Retry a batch until its outcome is known, or the topic is not owned under this token."""
        with suppress(StorageFailed, LostOwnership):
            while self.ownership.token == token:
                try:
                    await self._commit(batch)
                except OutcomeUnknown:
                    await asyncio.sleep(RETRY_S)
                else:
                    return

    def _forget_completion(self, _: asyncio.Task[None]) -> None:
        self._completion = None

    def _current_token(self) -> str:
        """Return our token; if it is a new one, start counting batches at 0.

        Raises LostOwnership.
        """
        token = self.ownership.token
        if not token:
            raise LostOwnership(self.ownership.owner)
        if token != self._token:
            self._token, self._last, self._in_doubt = token, f"{token} 0", ""
        return token

    def _encode(self, batch: Batch) -> list[str | bytes]:
        """Return a batch as arguments of commit.lua: an HSET and an HDEL for each changed table."""
        puts: dict[int, list[str | bytes]] = {}
        removals: dict[int, list[str | bytes]] = {}
        for change in batch.changes:
            # an index of commit.lua's KEYS, of which the first is the owner
            key = 2 if change.table is _JOBS else 3 if change.table is _WORKERS else 4
            if change.after is None:
                removals.setdefault(key, []).append(change.id)
            else:
                puts.setdefault(key, []).extend((change.id, encode_record(change.after)))
        assert {*puts, *removals} <= self._indices, "a change of a table that is elsewhere"
        parts: list[str | bytes] = []
        for verb, changed in (("HSET", puts), ("HDEL", removals)):
            for key, words in changed.items():
                for first in range(0, len(words), MAX_ARGUMENTS):
                    piece = words[first : first + MAX_ARGUMENTS]
                    parts += (str(key), verb, str(len(piece)), *piece)
        return parts

    def _history_parts(self, events: Sequence[Recorded], old_n: int) -> list[str | bytes]:
        """Return arguments of commit.lua: an XADD of the events, and an XTRIM of old ones.

        They come first: XADD refuses an id that is not higher than the last one.
        """
        parts: list[str | bytes] = []
        if events:
            parts += (_HISTORY, "XADD", "3", f"{events[-1].n}-0", "e", join_lines(events))
        if old_n > self._trimmed_n:
            parts += (_HISTORY, "XTRIM", "2", "MINID", f"{old_n}-0")
        return parts

    async def _resolve(self, current: str, refusal: RedisRefused) -> Any:
        """Return whether an earlier attempt of a refused batch was applied; if not, void it.

        Raises OutcomeUnknown.
        """
        try:
            return await self._client.run(RESOLVE, self._commit_keys[:1], self._last, current)
        except StorageFailed:
            raise OutcomeUnknown(str(refusal)) from refusal

    def _record_outcome(
        self, token: str, current: str, answer: Sequence[Any], sent_s: float
    ) -> None:
        self._in_doubt = ""
        self._check_owned(token, answer)
        if answer[0] == b"void":
            self._last += "!"
            raise StorageFailed("Redis did not apply the batch, and never will")
        self._last = current
        if answer[0] == b"ok":
            self.ownership.granted(sent_s)

    def _check_owned(self, token: str, answer: Sequence[Any]) -> None:
        """Raise LostOwnership if a script found another owner, or that batches are missing."""
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

    async def _load_history(self, jobs: Sequence[Job]) -> None:
        """Read epochs and events, and look for segments. Raises RedisUnusable or StorageFailed."""
        await self._flushes.finish()
        try:
            encoded = await self._client.call("LRANGE", self._keys["epochs"], 0, -1)
            epochs = [Epoch(*ujson.loads(each)) for each in encoded]
            rows = await self._read_stream()
        except UNREADABLE as error:
            reason = f"{self._keys['history']}: {describe_error(error)}"
            raise RedisUnusable(self._where, reason) from error
        try:
            await asyncio.to_thread(self._segments.load_shared, epochs, rows, jobs)
        except OSError as error:
            raise StorageFailed(f"the history cannot be read: {error}") from error
        self._trimmed_n = 0

    async def _read_stream(self) -> list[EventRow]:
        """Return the events in the stream."""
        rows: list[EventRow] = []
        after = "-"
        while True:
            entries = await self._client.call(
                "XRANGE", self._keys["history"], after, "+", "COUNT", SCAN_COUNT
            )
            if not entries:
                return rows
            for entry_id, fields in entries:
                last_n = int(entry_id.partition(b"-")[0])
                rows.append(EventRow(last_n, dict(_pairs(fields))[b"e"]))
            after = f"({rows[-1].last_n}-0"

    async def _read(self, table: Table, decode: Callable[[str, bytes], Any]) -> list[Any]:
        """Return the records of a table; consistent over HSCANs, since only the owner writes."""
        if table not in self._tables:
            return []
        found: dict[str, Any] = {}
        cursor = b"0"
        while True:
            cursor, entries = await self._client.call(
                "HSCAN", self._keys[table], cursor, "COUNT", SCAN_COUNT
            )
            for record_id, stored in _pairs(entries):
                try:
                    found[record_id.decode()] = decode(record_id.decode(), stored)
                except (*UNREADABLE, InvalidJson) as error:
                    shown = record_id.decode(errors="replace")
                    raise RedisUnusable(
                        self._where, f"{self._keys[table]} {shown}: {describe_error(error)}"
                    ) from error
            if cursor == b"0":
                return list(found.values())
            await asyncio.sleep(0)


class RedisLeaseStore:
    """The lease in Redis, on its own connection, so that large commits do not delay heartbeats."""

    def __init__(self, client: RedisClient, keys: dict[str, str], where: str) -> None:
        self._client = client
        self._keys = list(keys.values())
        self._owner = [keys["owner"]]
        self._where = where

    async def claim(self, claim: Claim, unchanged: str | None) -> ClaimAnswer:
        """Claim the lease as LeaseStore.claim says, after migrating data of version 0.1.

        Raises RedisUnusable if the keys hold other data.
        """
        expired = ("0",) if unchanged is None else ("1", unchanged)
        while True:
            words = (claim.id, claim.own.name, claim.own.url, claim.former, *expired)
            word, *answer = await self._client.run(CLAIM, self._keys, FORMAT, *words)
            if word == b"owner":
                return ClaimAnswer(answer[0].decode(), answer[1])
            if word == b"held":
                state, owner, url, successor = (each.decode() for each in answer)
                return ClaimAnswer("", 0, state, owner, url, successor)
            if word == b"refused":
                raise RedisUnusable(self._where, answer[0].decode(errors="replace"))
            await self._migrate()

    async def renew(self, token: str, successor: str = "") -> None:
        """Increment the heartbeat, and note a successor. Raises LostOwnership."""
        word, *answer = await self._client.run(RENEW, self._owner, token, successor)
        if word == b"lost":
            raise LostOwnership(answer[0].decode())

    async def release(self, token: str, successor: str = "") -> None:
        """End the lease, if this token still has it."""
        await self._client.run(RELEASE, self._owner, token, successor)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def _migrate(self) -> None:
        """Migrate the data of version 0.1, unless it is done already. Raises RedisUnusable."""
        try:
            word, *answer = await self._client.run(MIGRATE, self._keys, FORMAT, extra_s=MIGRATION_S)
        except RedisRefused as error:
            if error.redis_code != "ERR":
                raise
            raise RedisUnusable(self._where, str(error)) from error
        if word == b"refused":
            raise RedisUnusable(self._where, answer[0].decode(errors="replace"))
        if answer:
            _log.info("redis.migrated", jobs=answer[0], workers=answer[1])


# ---- records


def encode_record(record: Record) -> bytes:
    """Encode a record as the value of its hash field."""
    if isinstance(record, Job):
        return encode_job(record)
    return encode_placed_worker(record) if isinstance(record, Worker) else encode_fact(record)


def _decode_job(job_id: str, stored: bytes) -> Job:
    job = ANY_JOB.read(stored)
    if job.id != job_id:
        raise ValueError("it is not the job of this id")
    return job


def _decode_worker(worker_id: str, stored: bytes) -> Worker:
    worker = decode_worker(json.loads(stored))
    if worker.id != worker_id:
        raise ValueError("it is not the worker of this callback")
    return worker


def _decode_fact(name: str, stored: bytes) -> Fact:
    return decode_fact(name, json.loads(stored))


def _pairs(entries: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(entries[::2], entries[1::2], strict=True)
