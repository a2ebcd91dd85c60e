"""The mode Redis's event log: the newest events are in Redis, older ones in segments."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Thread

import pytest
from redis.asyncio import Redis

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.core.job import JobRef
from sanic_dispatch.core.tables import Table
from sanic_dispatch.errors import LostOwnership, StorageFailed
from sanic_dispatch.storage import redis, segment_writer, shared_log
from sanic_dispatch.storage.event_log import Epoch, Question, Retention, is_good
from sanic_dispatch.storage.event_record import (
    LoggedEvent,
    Payload,
    Recorded,
    join_lines,
    logged,
    recorded,
)
from sanic_dispatch.storage.redis import RedisStore
from sanic_dispatch.storage.sealed_json import seal_json
from sanic_dispatch.storage.segment_format import FOLDER, segments_in
from sanic_dispatch.storage.segment_log import EPOCHS_NAME
from sanic_dispatch.storage.shared_log import LOCK_NAME, SharedLog
from tests.storage.events import records
from tests.storage.samples import Topic, done, held, job, worker
from tests.support.disk_faults import Disk
from tests.support.redis import RedisServer, shared_server

EVENTS = 4
"""How many events are moved to segments, here."""

REFUSED_WITHIN_S = 0.1
"""How long a flush that does not wait takes to be refused, at most."""

Start = Callable[..., RedisStore]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move a few events at a time."""
    monkeypatch.setattr(shared_log, "FLUSH_EVENTS", EVENTS)
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", 3 * EVENTS)
    monkeypatch.setattr(redis, "RECENT_EVENTS", 0)


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A prefix that no other test uses."""
    return str(tmp_path).replace("/", ".")[-64:]


@pytest.fixture
async def start(prefix: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Make a store in a folder, as a dispatcher on some machine does; closed at the end."""
    async with AsyncExitStack() as stack:

        def make(machine: str = "here", url: str = "", keep_s: float = 10**9) -> RedisStore:
            folder = tmp_path / machine
            folder.mkdir(exist_ok=True)
            log = SharedLog(folder, fsync=False, retention=Retention(keep_s))
            store = RedisStore(
                url or shared_server().url, prefix, Table, Member(machine, ""), log=log
            )
            stack.push_async_callback(store.close)
            return store

        yield make


async def commit(store: RedisStore, topic: Topic, *numbers: int) -> None:
    """Commit a batch for each job, and wait for what is moved."""
    for number in numbers:
        await store.commit(topic.apply(topic.with_events(topic.put(job(number)))))
        await store._flushes.finish()


async def began(store: RedisStore, topic: Topic, epoch: str) -> None:
    """Become the owner, and begin an epoch."""
    await store.load()
    topic.restarted()
    await store.begin_epoch(epoch, 5.0)


def kept(store: RedisStore) -> list[LoggedEvent]:
    """All events, of which none is missing."""
    page = store.history.find(Question(limit=1000))
    assert (list(page.damage), list(page.holes), page.next) == ([], [], None)
    return list(page.events)


def holes(store: RedisStore) -> list[tuple[int, int]]:
    return [(hole.first_n, hole.last_n) for hole in store.history.find(Question()).holes]


def happened(topic: Topic) -> list[LoggedEvent]:
    return [logged(event) for event in topic.events]


async def in_stream(client: Redis, prefix: str) -> list[int]:
    """The numbers of the last events of all entries."""
    entries = await client.xrange(f"{{{prefix}}}:history")
    return [int(entry_id.partition(b"-")[0]) for entry_id, _ in entries]


async def test_many_events(start: Start, client: Redis, prefix: str, tmp_path: Path) -> None:
    """They are moved to segments, and then trimmed; the last one stays. A restart has them all."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, EVENTS + 1))
    assert await in_stream(client, prefix) == [1, 2, 3, 4]
    assert list(segments_in(tmp_path / "here" / FOLDER)) == [1]
    await commit(store, topic, 5)
    assert await in_stream(client, prefix) == [4, 5]
    await commit(store, topic, *range(6, 20))
    assert kept(store) == happened(topic)
    await store.close()
    store = start()
    await began(store, topic, "b")
    assert (kept(store), store.history.last_number) == (happened(topic), 19)
    assert [each[:2] for each in store.history.epochs] == [("a", 1), ("b", 20)]
    assert [each.ticket for each in store.history.payloads()] == list(range(1, 20))


async def test_a_batch_whose_events_could_not_be_taken_in(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are, when it is repeated: it is unknown to the caller whether Redis has it."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    batch = topic.apply(topic.with_events(topic.put(job(1))))

    def no_memory(_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(store.history, "add", no_memory)
        with pytest.raises(MemoryError):
            await store.commit(batch)
    await store.commit(batch)
    await commit(store, topic, 2)
    assert kept(store) == happened(topic)


async def test_recent_events_are_there_on_another_machine(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new owner looks at them, although they are in segments elsewhere."""
    monkeypatch.setattr(redis, "RECENT_EVENTS", 3)
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, EVENTS + 2))
    await store.close()
    there = start("there")
    await began(there, topic, "b")
    assert [event.n for event in there.history.newest(3)] == [3, 4, 5]


async def test_young_events_stay(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Redis may still lose is not moved."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    monkeypatch.setattr(store._segments, "_now_s", lambda: 1795489201.5 + shared_log.MIN_AGE_S + 2)
    await commit(store, topic, *range(1, 6))
    assert store._segments.flushed_n == 0
    await commit(store, topic, 6)
    monkeypatch.setattr(store._segments, "_now_s", lambda: 1795489201.5 + shared_log.MIN_AGE_S + 4)
    await commit(store, topic, 7)
    assert store._segments.flushed_n == 5
    assert kept(store) == happened(topic)


async def test_a_clock_that_is_set_back_keeps_no_events_in_memory(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events of the time that lies ahead are old: else they, and all later ones, would stay."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    monkeypatch.setattr(store._segments, "_now_s", lambda: 1795489201.5 - 3600.0)
    await commit(store, topic, *range(1, 2 * EVENTS + 1))
    assert store._segments.flushed_n >= EVENTS
    assert store._segments.unflushed < EVENTS
    assert kept(store) == happened(topic)


async def test_an_owner_on_another_machine(start: Start) -> None:
    """It has what is in Redis; the rest is a hole, also after it has moved events itself."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, 8))
    await store.close()
    store = start("there")
    await began(store, topic, "b")
    assert holes(store) == [(1, 3)]
    assert [each.n for each in store.history.find(Question()).events] == [4, 5, 6, 7]
    await commit(store, topic, *range(8, 16))
    await store.close()
    store = start("there")
    await began(store, topic, "c")
    assert holes(store) == [(1, 3)]
    await store.close()
    store = start()
    await began(store, topic, "d")
    assert [each.n for each in store.history.find(Question()).events][:4] == [1, 2, 3, 4]
    assert holes(store) == [(5, 11)]
    assert is_good(store.history.epochs, "c", 15)


async def test_what_is_too_old_is_no_hole(start: Start) -> None:
    """Neither what was dropped, nor what another machine has of before that."""
    store, topic = start("elsewhere"), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, 8))
    await store.close()
    store = start("there", keep_s=0.0)
    await began(store, topic, "b")
    await commit(store, topic, *range(8, 40))
    assert store.history.stats.dropped
    assert holes(store) == []


async def test_two_owners_share_a_folder(start: Start, prefix: str, client: Redis) -> None:
    """One that was paused may write late: nothing is lost, and nothing is there twice."""
    first, topic = start(), Topic()
    await began(first, topic, "a")
    await commit(first, topic, 1, 2, 3)
    await client.delete(f"{{{prefix}}}:owner")  # as if its lease had expired
    second = start()
    await began(second, topic, "b")
    await commit(second, topic, *range(4, 8))
    first._segments.flush()
    assert kept(second) == happened(topic)
    await commit(second, topic, *range(8, 18))
    first._segments.flush()
    assert kept(second) == happened(topic)
    await second.close()
    third = start()
    await began(third, topic, "c")
    assert kept(third) == happened(topic)
    with pytest.raises(LostOwnership):
        await first.begin_epoch("d", 5.0)


async def test_a_folder_that_another_process_writes(start: Start, tmp_path: Path) -> None:
    """Events stay where they are until it has ended."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, 1)
    other = SharedLog(tmp_path / "here")
    with other._locked():
        assert not store._segments.try_flush()
    assert (tmp_path / "here" / FOLDER / LOCK_NAME).exists()
    assert store._segments.try_flush()
    assert kept(store) == happened(topic)


async def test_erasing_while_another_process_writes(start: Start, tmp_path: Path) -> None:
    """What is in memory is erased all the same; the folder has to be tried again."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, 1)
    (payload,) = store.history.payloads()
    assert isinstance(payload, Payload)
    other = SharedLog(tmp_path / "here")
    with other._locked(), pytest.raises(OSError, match="temporarily unavailable"):
        store._segments.erase([JobRef(payload.ticket, payload.job)])
    assert list(store.history.payloads()) == []


async def test_erasing_in_a_folder_that_cannot_be_seen(start: Start, tmp_path: Path) -> None:
    """There may be segments with the data: it has to be tried again."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    folder = tmp_path / "here" / FOLDER
    store._segments.erase([JobRef(1, "a")])  # there is none yet
    folder.symlink_to(folder)
    with pytest.raises(OSError, match="symbolic links"):
        store._segments.erase([JobRef(1, "a")])


@pytest.mark.parametrize("damage", [b"damaged", None])
async def test_erasing_where_the_epochs_are_lost(
    start: Start, tmp_path: Path, damage: bytes | None
) -> None:
    """The folder may have the data, so it has to be tried again; another history is passed over."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, 8))
    await store.close()
    folder = tmp_path / "here" / FOLDER
    if damage is None:
        (folder / EPOCHS_NAME).unlink()
    else:
        (folder / EPOCHS_NAME).write_bytes(damage)
    store = start()
    await began(store, topic, "b")
    with pytest.raises(StorageFailed, match="the history of other data"):
        await store.erase([JobRef(1, "j1")])
    (folder / EPOCHS_NAME).write_bytes(seal_json([["x", 1, 5.0]]))
    await store.erase([JobRef(1, "j1")])
    shutil.rmtree(folder)
    await store.erase([JobRef(1, "j1")])


async def test_threads_wait_for_each_other(start: Start) -> None:
    """The maintenance may flush while events are moved in the background: it is not refused."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, 1)
    flushed: list[bool] = []
    maintenance = Thread(target=lambda: flushed.append(store._segments.try_flush()))

    def rest() -> None:
        if not maintenance.ident:
            maintenance.start()
            maintenance.join(REFUSED_WITHIN_S)

    await asyncio.to_thread(store._segments.flush, rest)
    await asyncio.to_thread(maintenance.join)
    assert flushed == [True]


async def test_a_folder_with_another_history(start: Start, client: Redis, prefix: str) -> None:
    """It is not mixed with that of other data, and is as it was."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, 8))
    await store.close()
    await client.delete(*(f"{{{prefix}}}:{key}" for key in ("history", "epochs", "jobs", "facts")))
    other, later = start("there"), Topic()
    await began(other, later, "x")
    await commit(other, later, 1, 2)
    await other.close()
    store = start()
    await began(store, later, "y")
    assert kept(store) == happened(later)
    await commit(store, later, *range(3, 9))
    assert store._segments.flushed_n == 0
    assert kept(store) == happened(later)
    assert list(SharedLogReader(store).scan()) == happened(topic)[:4]


async def test_a_folder_whose_epochs_cannot_be_read(start: Start, tmp_path: Path) -> None:
    """It may have this history: to pass it over would leave forgotten data there."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, 8))
    await store.close()
    epochs = tmp_path / "here" / FOLDER / EPOCHS_NAME
    written = epochs.read_bytes()
    epochs.unlink()
    epochs.symlink_to(epochs)
    store = start()
    with pytest.raises(StorageFailed, match="the history cannot be read"):
        await store.load()
    await store.close()
    epochs.unlink()
    epochs.write_bytes(written)
    store = start()
    await began(store, topic, "b")
    assert kept(store) == happened(topic)


class SharedLogReader(SharedLog):
    """The segments of a store's folder, whosever they are."""

    def __init__(self, store: RedisStore) -> None:
        super().__init__(store._segments.files.folder.parent)
        self.load()


def test_no_snapshot_beside_another_history(tmp_path: Path) -> None:
    """Not even once events were forgotten, for which there is no room in memory."""
    for name, has_room in (("theirs", True), ("ours", False)):
        log = SharedLog(tmp_path, fsync=False)
        log.load_shared([Epoch(name, 1, 1.0)], [], [])
        log.add(records(1, 9))
        assert log.try_flush(keep=4) is has_room
        assert log.settled_n == (9 if has_room else 0)


async def test_no_room(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders go on; events wait in Redis, and the oldest are forgotten: a hole."""
    monkeypatch.setattr("sanic_dispatch.storage.redis.MAX_UNFLUSHED", 6)
    store, topic = start(), Topic()
    await began(store, topic, "a")
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path).fill()
        await commit(store, topic, *range(1, 5))
        assert store._segments.flushed_n == 0
        assert kept(store) == happened(topic)
        store._flushes._retry_at_s = 0.0
        await commit(store, topic, *range(5, 10))
        store._flushes._retry_at_s = 0.0
        await commit(store, topic, 10)
    assert holes(store) == [(1, 4)]
    await commit(store, topic, 11)
    await store.close()
    store = start()
    await began(store, topic, "b")
    assert holes(store) == [(1, 3)]


async def test_redis_has_lost_its_last_writes(
    start: Start, server: RedisServer, tmp_path: Path
) -> None:
    """A new epoch begins where the loss did; what is in segments and was lost is removed."""
    store, topic = start(url=server.url), Topic()
    await began(store, topic, "a")
    await commit(store, topic, 1, 2)
    server.kill()
    folder = tmp_path / "redis" / "appendonlydir"
    shutil.copytree(folder, tmp_path / "before")
    server.start()
    await store.close()
    store = start(url=server.url)
    await began(store, topic, "b")
    await commit(store, topic, *range(3, 8))
    assert store._segments.flushed_n == 4
    await store.close()
    server.kill()
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "before", folder)
    server.start()
    topic.events = topic.events[:2]
    store = start(url=server.url)
    await began(store, topic, "c")
    assert kept(store) == happened(topic)
    epochs = store.history.epochs
    assert [each[:2] for each in epochs] == [("a", 1), ("c", 3)]
    assert is_good(epochs, "a", 2)
    assert not is_good(epochs, "a", 3)
    assert not is_good(epochs, "b", 2)
    topic.records = {key: each for key, each in topic.records.items() if key[1] in
                     {job(1).id, job(2).id}}  # fmt: skip
    await commit(store, topic, *range(3, 9))
    assert kept(store) == happened(topic)


async def test_another_owner_numbered_again_what_was_lost(start: Start, client: Redis,
                                                         prefix: str) -> None:  # fmt: skip
    """Segments that an owner wrote before Redis lost the same numbers are not believed."""
    store, topic = start(), Topic()
    await began(store, topic, "a")
    await commit(store, topic, *range(1, 8))
    assert store._segments.flushed_n == 4
    await store.close()
    name = f"{{{prefix}}}:history"
    topic.events, topic.records = topic.events[:2], {}
    await client.delete(name)
    await client.xadd(name, {"e": join_lines(map(recorded, topic.events))}, id="2-0")
    other = start("there")
    await began(other, topic, "b")
    await commit(other, topic, *range(8, 14))
    await other.close()
    store = start()
    await began(store, topic, "c")
    page = store.history.find(Question())
    assert list(page.events) == [*happened(topic)[:2], *happened(topic)[3:]]
    assert holes(store) == [(3, 3)]


async def test_data_without_events(start: Start, client: Redis, prefix: str) -> None:
    """Data of a version without an event log is taken over, and numbers begin with 1."""
    store, topic = start(), Topic()
    await store.load()
    given = held(job(1), worker(1))
    await store.commit(topic.apply(topic.put(given, worker(2))))
    await store.close()
    assert not await client.exists(f"{{{prefix}}}:history", f"{{{prefix}}}:epochs")
    store = start()
    await began(store, topic, "a")
    await store.commit(topic.apply(topic.with_events(topic.put(done(given, result=b"[1]")))))
    assert kept(store) == happened(topic)
    assert [each[:2] for each in store.history.epochs] == [("a", 1)]


def test_events_are_moved_while_a_commit_looks_whether_they_are_due(tmp_path: Path) -> None:
    """Once a minute that is done in a thread of its own."""

    class Moved(list[Recorded]):
        def __len__(self) -> int:
            length = super().__len__()
            self.clear()
            return length

    log = SharedLog(tmp_path, now_s=lambda: 1e9)
    log.add(records(1, EVENTS))
    assert log.is_due
    log._events = Moved(log._events)
    assert log.is_due
