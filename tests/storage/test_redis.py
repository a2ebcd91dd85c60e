"""The store in Redis against a real redis-server: commits, ownership, failures, migration."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from redis.asyncio import Redis

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.cluster.ownership import FREE, LEASE_TIMES, Claim, LeaseTimes
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.job import State
from sanic_dispatch.core.tables import Fact, Record, Table
from sanic_dispatch.core.worker import Aside, Cause, Key
from sanic_dispatch.errors import (
    LostOwnership,
    OutcomeUnknown,
    RedisInUse,
    RedisUnusable,
    StorageFailed,
)
from sanic_dispatch.storage.record_json import decode_job, decode_worker
from sanic_dispatch.storage.redis import COMMIT, FORMAT, RedisStore, open_redis
from sanic_dispatch.storage.redis_connection import RedisRefused, Script
from sanic_dispatch.storage.store import Stored
from sanic_dispatch.strict_json import one_object
from tests.storage.redis_samples import (
    as_stored,
    batch,
    commit_surely,
    held,
    job,
    put,
    removal,
    worker,
)
from tests.support.certificates import make_certificate
from tests.support.faulty_link import FaultyLink
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.redis import RedisServer, shared_server

OLD_DATA = json.loads((Path(__file__).parent / "data" / "redis_0_1.json").read_text())

ADA = Member("ada", "http://ada.example:2567/")

QUICK = LeaseTimes(lease_s=0.8, renew_s=0.25, poll_s=0.05)
"""Short lease times, so that tests are quick."""

Open = Callable[..., Any]


@pytest.fixture
async def opened(prefix: str) -> AsyncIterator[Open]:
    """Open a store as another process would; closed at the end."""
    async with AsyncExitStack() as stack:

        def open_one(
            url: str = "", tables: Any = Table, name: str = "ada", times: LeaseTimes = QUICK
        ) -> RedisStore:
            store = RedisStore(url or shared_server().url, prefix, tables, Member(name, ""), times)
            stack.push_async_callback(store.close)
            return store

        yield open_one


@contextmanager
def owner_process(url: str, prefix: str) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the queues and commits; killed at the end."""
    command = [sys.executable, "-m", "tests.storage.redis_owner", url, prefix]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        while process.stdout.readline() != "3\n":
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def within(seconds: float, check: Callable[[], Awaitable[bool]]) -> float:
    """Return after how many seconds the check was true; fail after the limit."""
    began_s = monotonic()
    while not await check():
        assert monotonic() - began_s < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.02)
    return monotonic() - began_s


# ---- commit and load


async def test_records_come_back_exactly(opened: Open) -> None:
    """Each number and byte is loaded as it was committed, in order."""
    store = opened()
    assert await store.load() == Stored([], [], [])
    data = b'{"n": 9007199254740993, "x": 0.1000, "s": "\\u0000\xc3\xa9/"}'
    by = worker(1, Key("i/é", 'a"1'))._replace(label="Ada / é", place=0.1 + 0.2)
    aside = by._replace(callback_url="x", place=7.0, aside=Aside(Cause.LOST, 1.7, "a\nb", "j"))
    done = held(job(4), by)._replace(
        state=State.DONE, finished_s=1795509665.7019312, result=b'{"r": 1.50}'
    )
    records = [
        held(job(1, data)._replace(place=0.1 + 0.2), by)._replace(reason="a\nb"),
        job(2)._replace(place=5e-324, spent=("http://a", "http://b"), refusals=2),
        job(3)._replace(former=held(job(3), by).hold),
        done,
        by,
        aside,
        Fact("last_ticket", 2**53),
        Fact("paused", True),
        Fact("secret", "0f" * 32),
    ]
    await store.commit(batch(1, *map(put, records)))
    await store.close()
    loaded = await opened().load()
    expected = as_stored(records)
    assert [each.id for each in loaded.jobs] == [each.id for each in expected.jobs]
    assert loaded._replace(facts=()) == expected._replace(facts=())
    assert set(loaded.facts) == set(expected.facts)


@pytest.mark.parametrize("seed", range(3))
async def test_any_batches_are_loaded_as_they_were_committed(opened: Open, seed: int) -> None:
    """After any batches, also large ones, the result is loaded."""
    rng, model = random.Random(seed), dict[tuple[type, str], Record]()
    store = opened()
    await store.load()
    for number in range(1, 40):
        changes = {}
        for _ in range(rng.choice([0, 1, 3, 50, 2500 if number % 20 == 0 else 5])):
            n = rng.randrange(3000)
            record: Record = rng.choice(
                [job(n), held(job(n), worker(n)), worker(n), Fact(f"fact{n % 7}", n)]
            )
            if (type(record), record.id) in changes:
                continue
            if (type(record), record.id) in model and rng.random() < 0.5:
                changes[type(record), record.id] = removal(record)
            else:
                changes[type(record), record.id] = put(record)
        await store.commit(batch(number, *changes.values()))
        for identity, change in changes.items():
            if change.after is None:
                del model[identity]
            else:
                model[identity] = change.after
    loaded, expected = await store.load(), as_stored(model.values())
    assert list(loaded.jobs) == list(expected.jobs)
    assert list(loaded.workers) == list(expected.workers)
    assert set(loaded.facts) == set(expected.facts)


async def test_an_entry_that_cannot_be_read(opened: Open, client: Redis, prefix: str) -> None:
    """It is refused by name and left alone, never taken for a missing one."""
    store = opened()
    await store.load()
    await client.hset(f"{{{prefix}}}:jobs", "abc", b'{"id":"abc"')
    with pytest.raises(RedisUnusable, match="jobs abc: "):
        await store.load()
    assert await client.hget(f"{{{prefix}}}:jobs", "abc") == b'{"id":"abc"'


async def test_events_that_cannot_be_read(opened: Open, client: Redis, prefix: str) -> None:
    """An entry of the stream that is not ours is refused in one line, as any other entry is."""
    store = opened()
    await store.load()
    await client.xadd(f"{{{prefix}}}:history", {"theirs": "[]"}, id="1-0")
    with pytest.raises(RedisUnusable, match="history: b'e' is missing"):
        await store.load()


async def test_trying_to_write_changes_nothing(opened: Open) -> None:
    """The owner learns whether a batch would be accepted; a standby is refused."""
    store = opened()
    with pytest.raises(StorageFailed):
        await store.try_writing()
    await store.load()
    await store.try_writing()
    await store.commit(batch(1, put(job(1))))
    assert await store.load() == Stored([job(1)], [], [])


# ---- what is not ours


async def test_what_is_not_ours_is_left_alone(opened: Open, client: Redis, prefix: str) -> None:
    """A key of another type, a later format, or keys without one are refused in one line."""
    key = f"{{{prefix}}}:"
    await client.set(key + "jobs", "somebody's")
    with pytest.raises(RedisUnusable, match="jobs is a string where a hash should be"):
        await opened().load()
    await client.delete(key + "jobs")
    await client.hset(key + "workers", "a", "b")
    with pytest.raises(RedisUnusable, match="workers is there without"):
        await opened().load()
    await client.delete(key + "workers")
    await client.hset(key + "meta", "format", "3")
    with pytest.raises(RedisUnusable, match="has format 3, this version knows 2"):
        await opened().load()
    assert await client.hgetall(key + "meta") == {b"format": b"3"}


async def test_a_key_of_the_wrong_type_later_on(opened: Open, client: Redis, prefix: str) -> None:
    """The whole batch is refused, and ownership stays."""
    store = opened()
    await store.load()
    key = f"{{{prefix}}}:workers"
    await client.set(key, "somebody's")
    with pytest.raises(StorageFailed, match="WRONGTYPE"):
        await store.commit(batch(1, put(job(1)), put(worker(1))))
    with pytest.raises(StorageFailed, match="WRONGTYPE"):
        await store.try_writing()
    await client.delete(key)
    assert await store.load() == Stored([], [], [])
    await store.commit(batch(2, put(worker(1))))
    assert await store.load() == Stored([], [worker(1)], [])


# ---- connecting


async def test_no_server(opened: Open) -> None:
    """Without a server the start ends in one line, without a password in it."""
    with pytest.raises(RedisUnusable, match=r"^Redis at redis://127\.0\.0\.1:1/0: ") as raised:
        await opened("redis://user:secret@127.0.0.1:1/0").open()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("/99", "out of range"),
        ("/?db=abc", "'db'"),
        ("/0?password=wrong", "without any password configured|WRONGPASS"),
    ],
)
async def test_an_impossible_url(opened: Open, rest: str, says: str) -> None:
    """The start ends at once, in one line with what Redis, or the URL, does not allow."""
    began_s = monotonic()
    with pytest.raises(RedisUnusable, match=says) as raised:
        await opened(shared_server().url.removesuffix("/0") + rest).open()
    assert "\n" not in str(raised.value)
    assert monotonic() - began_s < 2


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a password, another user, and a socket file."""
    socket = tmp_path / "redis.sock"
    options = ["--requirepass", "canary", "--unixsocket", str(socket)]
    user = ["--user", "ada", "on", ">p/w", "~{bar}:*", "+@all"]
    server = RedisServer(tmp_path, *options, *user, pong=b"-NOAUTH")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:canary@"])
async def test_a_wrong_password(guarded: RedisServer, login: str) -> None:
    """It is refused at the first try, since waiting would not help."""
    store = RedisStore(guarded.url.replace("//", f"//{login}"), "bar", Table, ADA)
    began_s = monotonic()
    with pytest.raises(RedisUnusable, match=r"WRONGPASS|NOAUTH"):
        await store.open()
    assert monotonic() - began_s < 2
    await store.close()


async def test_every_way_to_redis(guarded: RedisServer) -> None:
    """A password, a user, another database, a name, a socket file: as the URL says."""
    tcp = f"127.0.0.1:{guarded.port}"
    socket = guarded.folder / "redis.sock"
    for url in (
        f"redis://:canary@{tcp}/3?client_name=bar",
        f"redis://ada:p%2Fw@{tcp}",
        f"redis://{tcp}/?username=ada&password=p/w&db=2",
        f"unix://{socket}?password=canary&db=1",
    ):
        store = RedisStore(url, "bar", Table, ADA)
        await store.load()
        await store.commit(batch(1, put(job(1))))
        assert await store.load() == Stored([job(1)], [], [])
        await store.close()
    async with Redis.from_url(guarded.url, password="canary") as client:
        assert set(await client.info("keyspace")) == {"db0", "db1", "db2", "db3"}


async def test_tls(tmp_path: Path) -> None:
    """With rediss the server's certificate is checked, unless the URL disables that."""
    key, certificate = make_certificate(tmp_path, "localhost", "DNS:localhost")
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate)]
    options += ["--tls-key-file", str(key), "--tls-auth-clients", "no"]
    server = RedisServer(tmp_path, *options)
    server.start()
    try:
        for host, options_of_url in (
            ("localhost", f"ssl_ca_certs={certificate}&ssl_min_version=771"),
            ("127.0.0.1", f"ssl_ca_certs={certificate}&ssl_check_hostname=false"),
            ("127.0.0.1", "ssl_cert_reqs=none"),
        ):
            store = RedisStore(f"rediss://{host}:{port}/0?{options_of_url}", "bar", Table, ADA)
            await store.load()
            await store.close()
        for url, says in (
            (f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}", "certificate"),
            (f"rediss://localhost:{port}/0", "certificate"),
        ):
            store = RedisStore(url, "bar", Table, ADA)
            with pytest.raises(RedisUnusable, match=says):
                await store.open()
            await store.close()
        with pytest.raises(RedisUnusable, match="address is wrong"):
            RedisStore(f"rediss://h/0?ssl_ca_certs={tmp_path}/none", "bar", Table, ADA)
    finally:
        server.stop()


async def test_what_answers_is_not_redis(opened: Open) -> None:
    """The start ends in one line, whatever the port answers."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        with pytest.raises(RedisUnusable, match="not in the Redis protocol"):
            await opened(f"redis://127.0.0.1:{port}").open()


async def test_all_keys_are_in_one_slot(tmp_path: Path) -> None:
    """A server in cluster mode accepts every script."""
    bus = str(free_port())  # else it is the port plus 10,000, which may not exist
    server = RedisServer(tmp_path, "--cluster-enabled", "yes", "--cluster-port", bus)
    server.start()
    try:
        assert b"OK" in server.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        while b"cluster_state:ok" not in server.ask("CLUSTER", "INFO"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await put_old_data(server.url, "bar", OLD_DATA["keys"])
        store = RedisStore(server.url, "bar", Table, ADA)
        assert len((await store.load()).jobs) == 14
        await store.commit(batch(1, put(job(1)), put(worker(1)), put(Fact("paused", False))))
        await store.try_writing()
        await store.close()
    finally:
        server.stop()


# ---- answers that are lost


@pytest.mark.parametrize("seed", range(3))
async def test_repeated_batches_are_applied_once(
    opened: Open, client: Redis, prefix: str, seed: int
) -> None:
    """Connections break in the middle of answers: every batch is applied exactly once.

    What a batch stored is removed from outside before it is repeated: it does not come back.
    """
    repeated = 0
    async with FaultyLink(shared_server().port, random.Random(seed)) as link:
        store = opened(f"redis://127.0.0.1:{link.port}/0", times=LEASE_TIMES)
        await store.load()
        link.resets = 0.3
        for number in range(1, 60):
            try:
                await store.commit(batch(number, put(job(number)), put(worker(number))))
            except OutcomeUnknown:
                was_there = await client.hdel(f"{{{prefix}}}:jobs", job(number).id)
                tries = await commit_surely(store, batch(number, put(job(number))))
                repeated += tries
                present = await client.hexists(f"{{{prefix}}}:jobs", job(number).id)
                assert present is not bool(was_there)
        link.resets = 0.0
        assert len((await store.load()).workers) == 59
    assert repeated


async def test_a_batch_that_comes_late(opened: Open) -> None:
    """A delayed copy of a batch does nothing once later ones are there."""
    store = opened()
    await store.load()
    token = store.ownership.token
    for number in (1, 2):
        await store.commit(batch(number, put(Fact("paused", number == 1))))
    for before, late in (("0", "1"), ("1", "2")):
        late_words = store._encode(batch(1, put(Fact("paused", True)), put(job(7))))
        numbers = f"{token} {before}", f"{token} {late}"
        await store._client.run(COMMIT, store._commit_keys, *numbers, *late_words)
    assert await store.load() == Stored([], [], [Fact("paused", False)])


@pytest.mark.parametrize("was_applied", [True, False])
async def test_redis_is_full_when_a_batch_is_repeated(
    opened: Open, server: RedisServer, was_applied: bool
) -> None:
    """The fate of the first try is found out, and a delayed copy does nothing."""
    async with FaultyLink(server.port, random.Random(1)) as link:
        store = opened(f"redis://127.0.0.1:{link.port}/0", times=LEASE_TIMES)
        await store.load()
        await store.commit(batch(1, put(job(1))))
        link.resets, link.black_hole = 1.0, not was_applied
        wanted = batch(2, put(job(2)))
        with pytest.raises(OutcomeUnknown):
            await store.commit(wanted)
        link.resets, link.black_hole = 0.0, False
        server.ask("CONFIG", "SET", "maxmemory", "1")
        if was_applied:
            await commit_surely(store, wanted)
        else:
            with pytest.raises(StorageFailed, match="OOM|never will"):
                await commit_surely(store, wanted)
        server.ask("CONFIG", "SET", "maxmemory", "0")
        if not was_applied:
            numbers = f"{store.ownership.token} 1", f"{store.ownership.token} 2"
            words = store._encode(wanted)
            late = await store._client.run(COMMIT, store._commit_keys, *numbers, *words)
            assert late == [b"void"]
        await store.commit(batch(3, put(job(3))))
        expected = [job(1), job(2), job(3)] if was_applied else [job(1), job(3)]
        assert (await store.load()).jobs == expected


async def test_copies_of_batches_that_were_voided(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of several in a row do nothing, however late; a batch that fails keeps its number."""
    store = opened()
    await store.load()
    run, copies = store._client.run, list[Any]()
    failures = iter([OutcomeUnknown("no answer"), RedisRefused("OOM it is full")] * 3)

    async def fail(script: Script, *words: Any) -> Any:
        failure = next(failures, None) if script is COMMIT else None
        if failure is None:
            return await run(script, *words)
        copies.append(words)
        raise failure

    monkeypatch.setattr(store._client, "run", fail)
    for number in (1, 2, 3):
        with pytest.raises(StorageFailed, match="never will"):
            await commit_surely(store, batch(1, put(job(number))))
    for copy in copies:
        assert await run(COMMIT, *copy) in ([b"void"], [b"gap"])
    await store.commit(batch(1, put(job(4))))
    for copy in copies:
        await run(COMMIT, *copy)
    await store.commit(batch(2, put(job(5))))
    assert (await store.load()).jobs == [job(4), job(5)]


async def test_a_commit_that_is_cancelled(opened: Open) -> None:
    """Its outcome is unknown: it is repeated under its number, and applied once."""
    store = opened()
    await store.load()
    committing = asyncio.create_task(store.commit(batch(1, put(job(1)))))
    await asyncio.sleep(0)
    committing.cancel()
    await asyncio.gather(committing, return_exceptions=True)
    await store.commit(batch(1, put(job(1))))
    await store.commit(batch(2, put(job(2))))
    assert (await store.load()).jobs == [job(1), job(2)]


async def test_a_cancelled_commit_that_outlives_its_ownership(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not repeated in the next one, in place of the batch that has its number there."""
    store = opened()
    await store.load()
    run, is_next_owner = store._client.run, asyncio.Event()

    async def wait_in_vain(*_: Any) -> Any:
        await is_next_owner.wait()
        monkeypatch.setattr(store._client, "run", run)
        raise OutcomeUnknown("Redis gave no answer")

    monkeypatch.setattr(store._client, "run", wait_in_vain)
    committing = asyncio.create_task(store.commit(batch(1, put(job(1)))))
    await asyncio.sleep(0)
    committing.cancel()
    await asyncio.gather(committing, return_exceptions=True)
    await asyncio.sleep(0)
    await store.ownership.release()
    assert await store.ownership.acquire(1.0)
    is_next_owner.set()
    await store.commit(batch(1, put(job(2))))
    assert (await store.load()).jobs == [job(2)]


# ---- Redis is full, read-only, gone, silent


@pytest.mark.parametrize(
    ("spoil", "mend", "says"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OOM"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "READONLY"),
    ],
)
async def test_redis_that_refuses_writes(
    opened: Open,
    server: RedisServer,
    spoil: tuple[str, ...],
    mend: tuple[str, ...],
    says: str,
) -> None:
    """Batches fail at once with a known outcome; ownership stays; then all goes on."""
    store, other = opened(server.url), opened(server.url, name="bert")
    await store.load()
    standing_by = asyncio.create_task(other.ownership.acquire())
    await store.commit(batch(1, put(job(1))))
    server.ask(*spoil)
    for number in (2, 3):
        with pytest.raises(StorageFailed, match=says):
            await store.commit(batch(number, put(job(number))))
    with pytest.raises(StorageFailed, match=says):
        await store.try_writing()
    await asyncio.sleep(2 * QUICK.lease_s)
    server.ask(*mend)
    await store.commit(batch(4, put(job(4))))
    assert (await store.load()).jobs == [job(1), job(4)]
    await asyncio.sleep(2 * QUICK.lease_s)
    assert store.ownership.is_owner
    assert not standing_by.done()
    standing_by.cancel()


async def test_redis_that_is_down(opened: Open, server: RedisServer) -> None:
    """Batches fail with a known outcome; ownership stays; all goes on within 2 s."""
    store, other = (
        opened(server.url, times=LEASE_TIMES),
        opened(server.url, name="bert", times=LEASE_TIMES),
    )
    await store.load()
    standing_by = asyncio.create_task(other.ownership.acquire())
    await store.commit(batch(1, put(job(1))))
    assert store.ownership.may_act()
    server.kill()
    await asyncio.sleep(0.1)
    began_s = monotonic()
    with pytest.raises(StorageFailed, match="cannot be reached"):
        await store.commit(batch(2, put(job(2))))
    assert monotonic() - began_s < 5
    await asyncio.sleep(LEASE_TIMES.lease_s + 0.5)
    assert store.ownership.is_owner
    assert not store.ownership.may_act()
    with pytest.raises(StorageFailed):
        await store.ownership.confirm()
    server.start()

    async def is_well() -> bool:
        try:
            await store.commit(batch(3, put(job(3))))
        except StorageFailed:
            return False
        return True

    await within(2.0, is_well)
    await store.ownership.confirm()
    assert store.ownership.may_act()
    assert (await store.load()).jobs == [job(1), job(3)]
    await asyncio.sleep(LEASE_TIMES.lease_s + 1.0)
    assert store.ownership.epoch == 1
    assert not standing_by.done()
    standing_by.cancel()


async def test_a_network_that_swallows_everything(opened: Open, server: RedisServer) -> None:
    """The outcome is unknown within 5 s; the batch is applied within 2 s of its return."""
    async with FaultyLink(server.port, random.Random(1)) as link:
        store = opened(f"redis://127.0.0.1:{link.port}/0", times=LEASE_TIMES)
        await store.load()
        link.black_hole = True
        began_s = monotonic()
        with pytest.raises(OutcomeUnknown):
            await store.commit(batch(1, put(job(1))))
        assert monotonic() - began_s < 5
        repeating = asyncio.create_task(commit_surely(store, batch(1, put(job(1)))))
        await asyncio.sleep(LEASE_TIMES.lease_s)
        assert not store.ownership.may_act()
        link.black_hole = False

        async def is_applied() -> bool:
            return repeating.done()

        await within(2.0, is_applied)
        await repeating
        assert (await store.load()).jobs == [job(1)]


async def test_a_command_that_cannot_be_written(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other command gets its answer, or is answered with the one before."""
    client = opened()._client
    await client.call("PING")

    class NoMemory(asyncio.Transport):
        def write(self, data: Any) -> None:
            raise MemoryError

    before = client._connection
    assert before
    with monkeypatch.context() as patch:
        patch.setattr(NoMemory, "abort", before._transport.abort)
        patch.setattr(before, "_transport", NoMemory())
        with pytest.raises((OutcomeUnknown, MemoryError)):
            await client.call("ECHO", "first")
    answers = await asyncio.gather(*(client.call("ECHO", str(n)) for n in range(3)))
    assert answers == [b"0", b"1", b"2"]


async def test_a_command_whose_answer_cannot_be_awaited(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not sent: the next command would get its answer."""
    client = opened()._client
    await client.call("PING")

    class NoMemory(deque[Any]):
        def append(self, _: Any) -> None:
            raise MemoryError

    connection = client._connection
    assert connection
    with monkeypatch.context() as patch:
        patch.setattr(connection, "_waiting", NoMemory())
        with pytest.raises(MemoryError):
            await client.call("ECHO", "first")
    answers = await asyncio.gather(*(client.call("ECHO", str(n)) for n in range(3)))
    assert answers == [b"0", b"1", b"2"]


async def test_a_password_that_is_changed(guarded: RedisServer) -> None:
    """Batches are refused at once, and accepted as soon as Redis knows the password again."""
    store = RedisStore(guarded.url.replace("//", "//:canary@"), "bar", Table, ADA)
    await store.load()
    async with Redis.from_url(guarded.url, password="canary") as client:
        await client.config_set("requirepass", "another")
        await client.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.05)
        with pytest.raises(StorageFailed, match="WRONGPASS"):
            await store.commit(batch(1, put(job(1))))
        await client.config_set("requirepass", "canary")
    await store.commit(batch(2, put(job(2))))
    assert (await store.load()).jobs == [job(2)]
    await store.close()


async def test_redis_that_lost_everything(opened: Open, tmp_path: Path) -> None:
    """Nothing is written on top of missing data: the owner starts again with what is there."""
    server = RedisServer(tmp_path)
    server.start()
    try:
        store = opened(server.url)
        await store.load()
        await store.commit(batch(1, put(job(1))))
        server.kill()
        server.start()
        with pytest.raises(LostOwnership):
            await commit_surely(store, batch(2, put(job(2))))
        await asyncio.wait_for(store.ownership.until_lost(), 5)
        assert await store.load() == Stored([], [], [])
        await store.commit(batch(2, put(job(2))))
        assert (await store.load()).jobs == [job(2)]
        await store.close()
    finally:
        server.stop()


async def test_redis_that_went_back_in_time(opened: Open, client: Redis, prefix: str) -> None:
    """If the last batches are missing, as after a failover, no later one is applied."""
    store, reasons = opened(times=LEASE_TIMES), list[str]()
    store.ownership.on_lost = reasons.append
    await store.load()
    await store.commit(batch(1, put(job(1))))
    before = await client.hget(f"{{{prefix}}}:owner", "batch")
    await store.commit(batch(2, put(job(2))))
    await client.hset(f"{{{prefix}}}:owner", "batch", before)
    await client.hdel(f"{{{prefix}}}:jobs", job(2).id)
    with pytest.raises(LostOwnership, match="lost what was committed"):
        await store.commit(batch(3, put(job(3))))
    assert reasons == ["Redis has lost what was committed last"]
    assert await asyncio.wait_for(store.ownership.acquire(), LEASE_TIMES.lease_s / 2)
    assert (await store.load()).jobs == [job(1)]
    await store.commit(batch(4, put(job(4))))
    assert (await store.load()).jobs == [job(1), job(4)]


# ---- ownership


async def test_one_at_a_time(opened: Open) -> None:
    """A second process learns who owns the queues, and owns them at once after a clean close."""
    ada, bert = (opened(name=f"{name}:2567", times=LEASE_TIMES) for name in ("ada", "bert"))
    await ada.load()
    assert not await bert.open()
    with pytest.raises(LostOwnership, match="ada:2567 owns the queues"):
        await bert.commit(batch(1, put(job(1))))
    began_s = monotonic()
    with pytest.raises(RedisInUse, match=r"\(ada:2567\)"):
        await bert.load()
    assert monotonic() - began_s > 4
    await ada.commit(batch(1, put(job(1))))
    standing_by = asyncio.create_task(bert.ownership.acquire())
    await asyncio.sleep(0.1)
    await ada.close()
    assert await asyncio.wait_for(standing_by, LEASE_TIMES.lease_s / 2)
    assert (await bert.load()).jobs == [job(1)]
    assert (ada.ownership.epoch, bert.ownership.epoch) == (1, 2)


async def test_a_process_that_is_killed(opened: Open, prefix: str) -> None:
    """A standby owns the queues within 5 s, with all that was acknowledged."""
    store = opened(times=LEASE_TIMES)
    with owner_process(shared_server().url, prefix) as process:
        standing_by = asyncio.create_task(store.ownership.acquire())
        await asyncio.sleep(0.5)
        assert not standing_by.done()
        process.kill()
        began_s = monotonic()
        await asyncio.wait_for(standing_by, 5.0)
        assert monotonic() - began_s > LEASE_TIMES.lease_s - LEASE_TIMES.renew_s
        assert process.stdout
        acknowledged = int(process.stdout.read().split()[-1])
    [fact] = (await store.load()).facts
    assert fact.value in (acknowledged, acknowledged + 1)


async def test_a_process_that_was_stopped(opened: Open, prefix: str) -> None:
    """Resumed past its lease, it changes nothing any more, and learns why."""
    store = opened(times=LEASE_TIMES)
    with owner_process(shared_server().url, prefix) as process:
        process.send_signal(signal.SIGSTOP)
        await asyncio.wait_for(store.ownership.acquire(), 5.0)
        before = await store.load()
        await store.commit(batch(1, put(job(1))))
        process.send_signal(signal.SIGCONT)
        output, _ = await asyncio.to_thread(process.communicate, timeout=20)
        assert output.split()[-1] == "lost"
        assert await store.load() == before._replace(jobs=[job(1)])


async def test_an_idle_owner_stays_one(opened: Open) -> None:
    """Renewals keep ownership, however long nothing is committed."""
    ada, bert = opened(), opened(name="bert")
    await ada.load()
    assert not await bert.ownership.acquire(3 * QUICK.lease_s)
    assert ada.ownership.may_act()


async def test_a_claim_whose_answer_was_lost(opened: Open) -> None:
    """Repeated, it is granted again, which others see as a sign of life."""
    ada, bert = opened(), opened(name="bert")
    claim = Claim("1234", ADA)
    first = await ada._lease_store.claim(claim, FREE)
    assert first.token
    before = await bert._lease_store.claim(Claim("5678", Member("bert", "")), None)
    assert await ada._lease_store.claim(claim, FREE) == first
    after = await bert._lease_store.claim(Claim("5678", Member("bert", "")), before.state)
    assert before.state != after.state
    assert after.token == ""


async def test_others_know_where_the_owner_is(opened: Open) -> None:
    """Its name and its URL, as it has given them; none after a clean end."""
    ada, bert = opened(), opened(name="bert")
    assert (await bert._lease_store.claim(Claim("1234", ADA), FREE)).token
    assert not await ada.ownership.acquire(0.0)
    assert (ada.ownership.owner, ada.ownership.owner_url) == (ADA.name, ADA.url)


async def test_commits_are_signs_of_life(opened: Open) -> None:
    """An owner that commits need not renew: each batch extends its lease."""
    ada, bert = opened(), opened(name="bert")
    await ada.load()
    assert ada.ownership._renewing
    ada.ownership._renewing.cancel()
    standing_by = asyncio.create_task(bert.ownership.acquire())
    until_s = monotonic() + 2 * QUICK.lease_s
    number = 0
    while monotonic() < until_s:
        number += 1
        await ada.commit(batch(number, put(job(1))))
        assert ada.ownership.may_act()
        await asyncio.sleep(0.05)
    assert not standing_by.done()
    await asyncio.wait_for(standing_by, 5)
    assert not ada.ownership.may_act()
    with pytest.raises(LostOwnership):
        await ada.ownership.confirm()
    with pytest.raises(LostOwnership):
        await ada.commit(batch(number + 1, put(job(1))))


async def test_a_large_load_holds_no_renewal_up(opened: Open) -> None:
    """Renewals have a connection of their own, so that ownership stays during a long read."""
    times = QUICK._replace(lease_s=2.0)  # to decode so many holds the loop for a part of a second
    ada, bert = opened(times=times), opened(name="bert", times=times)
    await ada.load()
    for number in range(1, 11):
        jobs = [job(n) for n in range(number * 1000, (number + 1) * 1000)]
        await ada.commit(batch(number, *map(put, jobs)))
    standing_by = asyncio.create_task(bert.ownership.acquire())
    until_s = monotonic() + 2 * times.lease_s
    while monotonic() < until_s:
        assert len((await ada.load()).jobs) == 10_000
    assert not standing_by.done()
    standing_by.cancel()


# ---- one queue in Redis, the other elsewhere


async def test_one_queue_in_redis(opened: Open) -> None:
    """A store has only its own table, leaves the other alone, and excludes other owners."""
    both = opened()
    await both.load()
    records: list[Record] = [job(1), worker(1), Fact("paused", True)]
    await both.commit(batch(1, *map(put, records)))
    await both.close()
    jobs = opened(tables=(Table.JOBS, Table.FACTS))
    assert await jobs.load() == Stored([job(1)], [], [Fact("paused", True)])
    workers = opened(tables=(Table.WORKERS,))
    assert not await workers.open()
    await jobs.commit(batch(3, put(job(2))))
    await jobs.close()
    assert await workers.load() == Stored([], [worker(1)], [])
    await workers.commit(batch(5, put(worker(2))))
    await workers.close()
    assert await opened().load() == Stored(
        [job(1), job(2)], [worker(1), worker(2)], [Fact("paused", True)]
    )


@pytest.mark.parametrize(
    ("jobs", "workers", "tables"),
    [
        (Mode.REDIS, Mode.REDIS, {"jobs", "facts", "workers"}),
        (Mode.REDIS, Mode.SQLITE, {"jobs", "facts"}),
        (Mode.SQLITE, Mode.REDIS, {"workers"}),
    ],
)
async def test_the_settings_say_what_is_in_redis(
    prefix: str, jobs: Mode, workers: Mode, tables: set[str]
) -> None:
    """Only queues in mode Redis are stored there, under the prefix of the settings."""
    settings = Settings(
        job_queue_mode=jobs,
        worker_queue_mode=workers,
        redis_url=shared_server().url,
        redis_prefix=prefix,
    )
    store = open_redis(settings)
    assert store._tables == tables
    await store.load()
    await store.close()


# ---- data of 0.1


async def put_old_data(url: str, prefix: str, keys: dict[str, Any]) -> None:
    """Store keys as 0.1 had them."""
    async with Redis.from_url(url) as client:
        for name, stored in keys.items():
            key, value = f"{{{prefix}}}:{name}", stored["value"]
            if stored["type"] == "hash":
                await client.hset(key, mapping=value)
            elif stored["type"] == "zset":
                await client.zadd(key, {each: float(score) for each, score in value.items()})
            else:
                for number, fields in value:
                    await client.xadd(key, fields, id=number)


async def test_data_of_0_1(opened: Open, client: Redis, prefix: str) -> None:
    """All records that version 0.1 left after a kill are migrated, in order."""
    await put_old_data(shared_server().url, prefix, OLD_DATA["keys"])
    store = opened()
    stored, expected = await store.load(), OLD_DATA["expected"]
    jobs = [decode_job(one_object(each.encode())) for each in expected["jobs"]]
    finished = [decode_job(one_object(each.encode())) for each in expected["finished"]]
    workers = [decode_worker(json.loads(each)) for each in expected["workers"]]
    assert list(stored.jobs) == jobs + finished
    assert [each._replace(place=0.0) for each in stored.workers] == workers
    assert {fact.id: fact.value for fact in stored.facts} == expected["facts"]
    keys = {key.decode().rpartition(":")[2] async for key in client.scan_iter(f"{{{prefix}}}:*")}
    assert keys == {"meta", "owner", "jobs", "workers", "facts"}
    assert await client.hget(f"{{{prefix}}}:meta", "format") == FORMAT.encode()
    await store.commit(batch(1, put(job(99)), removal(stored.jobs[0])))
    await store.close()
    again = await opened().load()
    assert again.jobs == [*jobs[1:], job(99), *finished]


async def test_a_dispatcher_of_0_1_is_alive(opened: Open, client: Redis, prefix: str) -> None:
    """Its data is not migrated until it has ended."""
    await put_old_data(shared_server().url, prefix, OLD_DATA["keys"])
    seconds, _ = await client.time()
    await client.zadd(f"{{{prefix}}}:dispatchers", {"ada": seconds + 600})
    store = opened()
    assert not await store.open()
    assert store.ownership.owner == "a dispatcher of version 0.1"
    assert await client.hget(f"{{{prefix}}}:meta", "format") == b"1"
    standing_by = asyncio.create_task(store.ownership.acquire())
    await asyncio.sleep(2 * QUICK.lease_s)
    assert not standing_by.done()
    await client.zrem(f"{{{prefix}}}:dispatchers", "ada")
    await asyncio.wait_for(standing_by, 5)
    assert len((await store.load()).jobs) == 14


@pytest.mark.parametrize(
    ("name", "record_id", "value", "says"),
    [
        ("jobs", "0000000000000000000000000000000b", "{", "Expected object key"),
        ("data", "0000000000000000000000000000000b", None, "has nothing for job 0+b"),
        ("workers", "http://x/", "[1]", "no worker at http://x/"),
        ("finished", "0f", "[1]", "data has nothing for job 0f"),
    ],
)
async def test_damaged_data_of_0_1(
    opened: Open, client: Redis, prefix: str, name: str, record_id: str, value: Any, says: str
) -> None:
    """It is refused, and left as it was."""
    await put_old_data(shared_server().url, prefix, OLD_DATA["keys"])
    key = f"{{{prefix}}}:{name}"
    if value is None:
        await client.hdel(key, record_id)
    else:
        await client.hset(key, record_id, value)
    before = {key: await client.dump(key) async for key in client.scan_iter(f"{{{prefix}}}:*")}
    with pytest.raises(RedisUnusable, match=says):
        await opened().load()
    after = {key: await client.dump(key) async for key in client.scan_iter(f"{{{prefix}}}:*")}
    assert after == before
