"""What only the queues in Redis promise: a stored form of their own, and calls done just once."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import InvalidResponse, ResponseError

from sanic_dispatch.errors import Outdated, RedisInUse, RedisUnusable, StorageFailed
from sanic_dispatch.events import Event, Events
from sanic_dispatch.job import Stage, State, Way
from sanic_dispatch.lifecycle import assign
from sanic_dispatch.queues import Stores, open_pairs
from sanic_dispatch.queues.base import Enqueued, Paired
from sanic_dispatch.queues.redis_link import Link
from sanic_dispatch.queues.redis_pairs import RedisPairs, open_redis
from sanic_dispatch.queues.redis_peers import enter, sign
from sanic_dispatch.queues.redis_pipe import TRY_S
from sanic_dispatch.queues.redis_store import Lock, RedisStore
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Change, Shelf
from sanic_dispatch.seal import Seal
from sanic_dispatch.settings import Mode, Settings
from sanic_dispatch.worker import Key
from tests.kit.faulty_link import FaultyLink
from tests.kit.redis import RedisServer, shared_server
from tests.kit.server import eventually, free_port
from tests.kit.world import running_world
from tests.queues.kit import REGISTERED, SUBMITTED, done, free, held, ids, job, turns, worker

Open = Callable[..., Any]


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """Keys that nobody else uses."""
    return str(tmp_path).replace("/", ".")[-64:]


@pytest.fixture
async def opened(prefix: str) -> AsyncIterator[Open]:
    """Opens the queues as one more process would."""
    async with AsyncExitStack() as stack:

        async def open_one(url: str = "", events: Events | None = None) -> RedisPairs:
            url = url or shared_server().url
            return await stack.enter_async_context(open_redis(url, prefix, events or Events()))

        yield open_one


@pytest.fixture
async def client() -> AsyncIterator[Redis]:
    """A way to do things to Redis behind everybody's back."""
    async with Redis.from_url(shared_server().url) as client:
        yield client


# ---- what is stored


async def test_every_digit_is_kept(opened: Open) -> None:
    """Numbers come back as they were, and so does every byte of a job."""
    pairs = await opened()
    data = b'{"n": 9007199254740993, "x": 0.1000, "s": "\\u0000\xc3\xa9/"}'
    stored = await pairs.jobs.enqueue(job(1, data))
    moved = await pairs.jobs.replace(stored._replace(place=0.1 + 0.2))
    assert moved.place == 0.1 + 0.2
    by = worker(1, Key("i/é", 'a"1'))._replace(label="Ada / é", version=3)
    taken = await pairs.jobs.replace(held(moved, by)._replace(reason="a\nb"))
    again = await pairs.jobs.get(taken.id)
    assert again == taken
    assert again.data == data
    kept = await pairs.jobs.finish(done(taken, 1795509665.7019312, b'{"r": 1.50}'))
    assert await pairs.jobs.finished(taken.id) == kept
    assert (kept.finished_s, kept.result) == (1795509665.7019312, b'{"r": 1.50}')


@pytest.mark.parametrize("way", [Way.PUT, Way.ANSWER])
async def test_a_script_assigns_as_the_lifecycle_does(opened: Open, way: Way) -> None:
    """A job that is held by a script is the same as one that is held by lifecycle.assign."""
    pairs = await opened()
    now_s = 1795509665.7019312
    by = worker(1, Key("i1", "a1"))
    if way is Way.PUT:
        await pairs.workers.enqueue(by)
        aside = await pairs.workers.get(by.id)
        back = await pairs.workers.replace(aside.refused("busy", 2.0, "j"))
        by = await pairs.workers.replace(back.back())
    waiting = await pairs.jobs.enqueue(job(1)._replace(spent=("http://engine/callbacks/9/",)))
    if way is Way.PUT:
        paired = await pairs.pair(now_s)
        assert paired.worker == by
        taken = paired.job
    else:
        taken = await pairs.ask(by, now_s)
    expected = assign(waiting, by._replace(place=0.0), way, now_s).job
    assert taken == expected._replace(version=waiting.version + 1)
    for url in expected.callbacks:
        assert await pairs.jobs.at_callback(url) == taken
    assert await pairs.jobs.of_key(Key("i1", "a1")) == [taken]


async def test_what_is_not_ours_is_left_alone(opened: Open, client: Redis, prefix: str) -> None:
    """A key of another type, a later format, or keys without one: refused, in one line."""
    key = f"{{{prefix}}}:"
    await client.set(key + "jobs", "somebody's")
    with pytest.raises(RedisUnusable, match="jobs is a string where a hash should be"):
        await opened()
    await client.delete(key + "jobs")
    await client.hset(key + "workers", "a", "b")
    with pytest.raises(RedisUnusable, match="workers is there without"):
        await opened()
    await client.delete(key + "workers")
    await client.hset(key + "meta", "format", "2")
    with pytest.raises(RedisUnusable, match="has format 2, this version knows 1"):
        await opened()
    assert await client.hgetall(key + "meta") == {b"format": b"2"}


async def test_a_key_of_the_wrong_type_later_on(opened: Open, client: Redis, prefix: str) -> None:
    """The change is refused, and nothing of it is done."""
    pairs = await opened()
    await pairs.jobs.enqueue(job(1))
    key = f"{{{prefix}}}:workers:free"
    await client.set(key, "somebody's")
    with pytest.raises(StorageFailed, match="WRONGTYPE"):
        await pairs.ask(worker(1), 1.0)
    await client.delete(key)
    assert await pairs.workers.items() == []
    assert await pairs.ask(worker(1), 1.0)


async def test_no_server(opened: Open) -> None:
    """Where nothing answers, the start ends in one line that has no password in it."""
    with pytest.raises(RedisUnusable, match=r"^Redis at redis://127\.0\.0\.1:1/0: ") as raised:
        await opened("redis://user:secret@127.0.0.1:1/0")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("/99", "out of range"),
        ("/?db=abc", "'db'"),
        ("/0?password=wrong", "without any password configured|invalid username-password"),
    ],
)
async def test_an_address_that_cannot_be(
    opened: Open, prefix: str, monkeypatch: pytest.MonkeyPatch, rest: str, says: str
) -> None:
    """The start ends in one line that says what Redis, or the address, does not allow."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 1.0)
    url = shared_server().url.removesuffix("/0") + rest
    with pytest.raises(RedisUnusable, match=says) as raised:
        await opened(url)
    assert "\n" not in str(raised.value)
    with pytest.raises(RedisUnusable, match=says):
        async with Lock(url, prefix).held():
            pass


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a password."""
    server = RedisServer(tmp_path, "--requirepass", "canary", pong=b"-NOAUTH")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:canary@"])
async def test_a_wrong_password(
    opened: Open, guarded: RedisServer, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    """It is refused by the first try: no time would make it right."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 3600.0)
    with pytest.raises(RedisUnusable, match=r"WRONGPASS|invalid username-password|Authentication"):
        await opened(guarded.url.replace("//", f"//{login}"))


async def test_a_password_that_is_changed(
    opened: Open, guarded: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls are refused at once, and taken as soon as Redis knows the old one again."""
    pairs = await opened(guarded.url.replace("//", "//:canary@"))
    monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 3600.0)
    async with Redis.from_url(guarded.url, password="canary") as client:
        await client.config_set("requirepass", "another")
        await client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(StorageFailed, match="invalid username-password"):
            await pairs.jobs.enqueue(job(1))
        await client.config_set("requirepass", "canary")
    await pairs.jobs.enqueue(job(2))
    assert await ids(pairs.jobs) == [job(2).id]


async def test_a_connection_that_is_refused_for_a_while(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Redis says while it is connected to, later calls are tried anew, and work."""
    pairs = await opened()
    pipe = pairs._link._pipe
    monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 0.3)
    for error, says in (
        (ResponseError("BUSY running a script"), "cannot be reached: BUSY running a script"),
        (InvalidResponse("not Redis"), "cannot be reached: not Redis"),
        (ValueError("an option"), "ValueError.*an option"),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(pipe._pool, "ensure_connection", _raising(error))
            with pytest.raises(StorageFailed, match=says):
                await pairs.jobs.enqueue(job(1))
    monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 60.0)
    await pairs.jobs.enqueue(job(2))
    assert job(2).id in await ids(pairs.jobs)


def _raising(error: Exception) -> Callable[..., Any]:
    async def connect(*_: Any) -> None:
        raise error

    return connect


async def test_all_keys_are_in_one_slot(tmp_path: Path) -> None:
    """A server that is part of a cluster takes every script: the keys belong together."""
    bus = str(free_port())  # else it is the port plus 10,000, which may be none
    server = RedisServer(tmp_path, "--cluster-enabled", "yes", "--cluster-port", bus)
    server.start()
    try:
        assert b"OK" in server.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        while b"cluster_state:ok" not in server.ask("CLUSTER", "INFO"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with open_redis(server.url, "bar", Events()) as pairs:
            await pairs.workers.enqueue(worker(1))
            assert isinstance(paired := await pairs.offer(job(1), 1.0), Paired)
            kept = await pairs.jobs.finish(done(paired.job), SUBMITTED)
            await pairs.jobs.put_back(kept._replace(state=job(1).state, hold=None), SUBMITTED)
            assert await pairs.ask(worker(2), 1.0)
            assert await pairs.workers.remove(worker(1).id)
    finally:
        server.stop()


# ---- answers that are lost


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_sent_twice_is_done_once(opened: Open, seed: int) -> None:
    """Connections break in the middle of answers: every call is done, and none of them twice."""
    events, told = Events(), []
    async with FaultyLink(shared_server().port, random.Random(seed)) as link:
        pairs = await opened(f"redis://127.0.0.1:{link.port}/0", events)
        events.subscribe(told.append)
        link.resets = 0.2
        for number in range(1, 16):
            assert isinstance(await pairs.offer(job(number), 1.0), Enqueued)
        for number in range(1, 6):
            taken = await pairs.ask(worker(number), 1.0)
            assert taken.ticket == number
            await pairs.jobs.finish(done(taken), SUBMITTED)
        for number in range(6, 11):
            await pairs.workers.enqueue(worker(number), REGISTERED)
        assert [(await pairs.pair(1.0)).job.ticket for _ in range(5)] == [6, 7, 8, 9, 10]
        link.resets = 0.0
        assert link.broken
        assert await ids(pairs.jobs) == [job(number).id for number in range(6, 16)]
        assert len(await pairs.jobs.all_finished()) == 5
        await pairs.peers.catch_up()
        assert [event.number for event in told] == list(range(1, 36))


@pytest.mark.parametrize("way", ["offer", "ask", "pair", "finish"])
async def test_what_was_done_without_an_answer(
    opened: Open, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Once Redis is back it is taken up as after a crash; what was answered is left alone."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.LEASE_S", 600.0)
    async with FaultyLink(shared_server().port, random.Random(1)) as link:
        pairs = await opened(f"redis://127.0.0.1:{link.port}/0")
        orphans = asyncio.Event()
        pairs.peers.when_orphaned(orphans.set)
        await pairs.workers.enqueue(worker(1))
        on_the_wire = await pairs.offer(job(1), 1.0)
        assert isinstance(on_the_wire, Paired)
        if way == "ask":
            await pairs.jobs.enqueue(job(2))
        else:
            await pairs.workers.enqueue(worker(2))
        if way == "pair":
            await pairs.jobs.enqueue(job(2))
        taken = await pairs.offer(job(2), 1.0) if way == "finish" else None
        calls: dict[str, Callable[[], Any]] = {
            "offer": lambda: pairs.offer(job(2), 1.0),
            "ask": lambda: pairs.ask(worker(2), 1.0),
            "pair": lambda: pairs.pair(1.0),
            "finish": lambda: pairs.jobs.finish(done(taken.job), SUBMITTED),
        }
        with monkeypatch.context() as hasty:
            hasty.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 0.5)
            link.resets = 1.0
            with pytest.raises(StorageFailed):
                await calls[way]()
            link.resets = 0.0
        await asyncio.wait_for(orphans.wait(), 20)
        held = await pairs.hold_named_workers()
        assert [each.id for each in held] == ([] if way == "finish" else [job(2).id])
        assert await pairs.jobs.get(job(1).id) == on_the_wire.job
        assert await ids(pairs.workers) == [worker(1).id] + [worker(2).id] * (
            way in ("offer", "pair")
        )


async def test_a_hand_over_without_an_answer_is_settled(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatcher that lives on does it: nothing is under way, or lent, for ever."""
    async with FaultyLink(shared_server().port, random.Random(1)) as link:
        url = f"redis://127.0.0.1:{link.port}/0"
        modes = {"job_queue_mode": Mode.REDIS, "worker_queue_mode": Mode.REDIS}
        async with running_world(Settings(**modes, redis_url=url, redis_prefix=prefix)) as world:
            await world.pairs.workers.enqueue(worker(1))
            with monkeypatch.context() as hasty:
                hasty.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 0.5)
                link.resets = 1.0
                with pytest.raises(StorageFailed):
                    await world.pairs.offer(job(1), 1.0)
                link.resets = 0.0

            async def is_settled() -> bool:
                now = await world.pairs.jobs.get(job(1).id)
                left = await world.pairs.workers.items()
                return (now.state, now.attempt, left) == (State.WAITING, 1, [])

            await eventually(is_settled, 20)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a system without it")
async def test_the_kernel_gives_up_too(opened: Open) -> None:
    """It sends nothing again after a try is over: it would come when nobody looks for it."""
    pairs = await opened()
    connection = await pairs._link._pipe._pool.get_connection()
    sock = connection._writer.get_extra_info("socket")
    unheard_ms = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    await pairs._link._pipe._pool.release(connection)
    assert unheard_ms == TRY_S * 1000


async def test_who_has_given_up_sends_nothing_later(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that was not sent before its caller was told that it failed is never sent."""
    async with FaultyLink(shared_server().port, random.Random(1)) as link:
        pairs = await opened(f"redis://127.0.0.1:{link.port}/0")
        pipe, may_connect = pairs._link._pipe, asyncio.Event()
        connect = pipe._pool.ensure_connection

        async def later(connection: Any) -> None:
            await may_connect.wait()
            await connect(connection)

        monkeypatch.setattr(pipe._pool, "ensure_connection", later)
        with monkeypatch.context() as hasty:
            hasty.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 0.1)
            with pytest.raises(StorageFailed):
                await pairs.jobs.enqueue(job(1))
        may_connect.set()
        await pairs.jobs.enqueue(job(2))
        assert await ids(pairs.jobs) == [job(2).id]


async def test_a_silent_server(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call gives up in time; what comes after the silence works at once."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 0.3)
    monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.TRY_S", 0.2)
    async with FaultyLink(shared_server().port, random.Random(1)) as link:
        pairs = await opened(f"redis://127.0.0.1:{link.port}/0")
        link.black_hole = True
        with pytest.raises(StorageFailed):
            await asyncio.wait_for(pairs.jobs.enqueue(job(1)), 10)
        link.black_hole = False
        monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 10.0)
        await pairs.jobs.enqueue(job(2))
        assert job(2).id in await ids(pairs.jobs)


async def test_who_watches_is_told_in_time(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages hear that events do not come while the try to get them is still waited for."""
    for name, seconds in (("BLOCK_S", 0.1), ("LATE_S", 0.1), ("STALE_S", 0.1)):
        monkeypatch.setattr(f"sanic_dispatch.queues.redis_stream.{name}", seconds)
    async with FaultyLink(shared_server().port, random.Random(1)) as link:
        pairs = await opened(f"redis://127.0.0.1:{link.port}/0")
        told: asyncio.Queue[bool] = asyncio.Queue()
        pairs.peers.when_cut_off(told.put_nowait)
        await pairs.jobs.enqueue(job(1), SUBMITTED)
        monkeypatch.setattr("sanic_dispatch.queues.redis_pipe.DEADLINE_S", 60.0)
        link.black_hole = True
        assert await asyncio.wait_for(told.get(), 20) is True
        link.black_hole = False
        assert await asyncio.wait_for(told.get(), 20) is False


async def test_an_event_that_cannot_be_read(opened: Open, client: Redis, prefix: str) -> None:
    """It is stepped over: everybody begins anew behind it, and hears of what comes after it."""
    process = await Process(opened).open()
    key = f"{{{prefix}}}:"
    await client.hincrby(key + "meta", "number", 1)
    fields = {"kind": "nonsense", "at": "1.0", "reason": "", "by": "x", "token": "t"}
    await client.xadd(key + "events", fields, id="1-0")

    async def has_begun_anew() -> bool:
        return bool(process.lives)

    await eventually(has_begun_anew, 20)
    await process.pairs.jobs.enqueue(job(1), SUBMITTED)
    assert [event.number for event in await process.caught_up()] == [2]


async def test_signs_of_life_go_on(opened: Open, impatient: None) -> None:
    """Whatever breaks in one of them, the next one is given."""
    process = await Process(opened).open()
    broken, whole = asyncio.Event(), process.pairs.peers._note

    def note(*_: Any) -> None:
        process.pairs.peers._note = whole
        broken.set()
        raise KeyError("unexpected")

    process.pairs.peers._note = note
    await asyncio.wait_for(broken.wait(), 20)
    process.pairs.peers._renewed.clear()
    await asyncio.wait_for(process.pairs.peers._renewed.wait(), 20)


# ---- several dispatchers


class Process:
    """What one process of several has, and what it was told."""

    def __init__(self, open_one: Open) -> None:
        self.events, self.told = Events(), list[Event]()
        self.orphans = asyncio.Event()
        self.lives: list[Any] = []
        self._open = open_one

    async def open(self) -> Process:
        """Open the queues."""
        self.events.subscribe(self.told.append)
        self.pairs: RedisPairs = await self._open(events=self.events)
        self.pairs.peers.when_orphaned(self.orphans.set)
        self.pairs.peers.when_reset(self.lives.append)
        return self

    async def caught_up(self) -> list[Event]:
        """All that it was told, once that is everything."""
        await self.pairs.peers.catch_up()
        return self.told

    def stop_signs(self) -> None:
        """As if it were stopped: it gives no more signs of life."""
        assert self.pairs.peers._timer
        self.pairs.peers._timer.cancel()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is silent is taken for dead soon."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.LEASE_S", 1.0)
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.RENEW_S", 0.1)


async def test_all_are_told_the_same(opened: Open) -> None:
    """Every process tells every event, in one order and with one numbering; own ones are marked."""
    ada, bert = await Process(opened).open(), await Process(opened).open()
    await ada.pairs.jobs.enqueue(job(1, b'{"name": "Zoe"}'), SUBMITTED)
    taken = await bert.pairs.ask(worker(1), 2.0)
    assert taken.ticket == 1
    await ada.pairs.jobs.finish(done(taken), SUBMITTED)
    assert ada.events.epoch == bert.events.epoch
    told = [
        [(e.number, e.kind, e.job, e.worker) for e in await process.caught_up()]
        for process in (ada, bert)
    ]
    assert told[0] == told[1]
    assert [number for number, *_ in told[0]] == [1, 2, 3]
    assert {e.job.data for e in bert.told if e.job} == {b'{"name": "Zoe"}'}
    assert [e.is_own for e in ada.told] == [True, False, True]
    assert [e.is_own for e in bert.told] == [False, True, False]


async def test_a_snapshot_belongs_to_a_number(opened: Open) -> None:
    """What is stored and the place in the stream are of one moment, while others go on writing."""
    ada, bert = await Process(opened).open(), await Process(opened).open()

    async def write() -> None:
        for number in range(200):
            await ada.pairs.jobs.enqueue(job(number), SUBMITTED)

    writing = asyncio.create_task(write())
    for _ in range(10):
        snapshot = await bert.pairs.snapshot()
        bert.told.clear()
        known = len(snapshot.jobs)
        assert [event.number for event in snapshot.past] == list(range(1, known + 1))
        await asyncio.sleep(0.005)
        told = list(bert.told)
        assert [e.number for e in told] == list(range(known + 1, known + 1 + len(told)))
    await writing
    assert bert.lives == []


async def test_who_dies_is_found_out_and_replaced(opened: Open, impatient: None) -> None:
    """Another one gets what the dead one had under way, once, and the worker stays held."""
    ada, bert, cleo = [await Process(opened).open() for _ in range(3)]
    await ada.pairs.workers.enqueue(worker(1))
    paired = await ada.pairs.offer(job(1), 1.0)
    assert isinstance(paired, Paired)
    assert await bert.pairs.hold_named_workers() == []
    ada.stop_signs()
    await asyncio.wait_for(bert.orphans.wait(), 20)
    found = [await process.pairs.hold_named_workers() for process in (bert, cleo)]
    assert sorted(found, key=len) == [[], [paired.job]]
    assert await bert.pairs.workers.size() == 0


async def test_what_is_taken_over_can_be_asked_for_again(opened: Open, impatient: None) -> None:
    """Until it is settled whoever has it gets it, nobody else as long as that one lives."""
    ada, bert, cleo = [await Process(opened).open() for _ in range(3)]
    await ada.pairs.workers.enqueue(worker(1))
    paired = await ada.pairs.offer(job(1), 1.0)
    ada.stop_signs()
    await asyncio.wait_for(bert.orphans.wait(), 20)
    for _ in range(3):
        assert await bert.pairs.hold_named_workers() == [paired.job]
        assert await cleo.pairs.hold_named_workers() == []
    await bert.pairs.peers.leave()
    assert await cleo.pairs.hold_named_workers() == [paired.job]
    unsure = paired.job.hold._replace(stage=Stage.IN_DOUBT)
    settled = await cleo.pairs.jobs.replace(paired.job._replace(hold=unsure), SUBMITTED)
    assert await cleo.pairs.hold_named_workers() == []
    assert await cleo.pairs.jobs.get(settled.id) == settled


@pytest.mark.parametrize("end", ["returned", "confirmed", "finished"])
async def test_the_worker_of_a_dead_dispatcher(opened: Open, impatient: None, end: str) -> None:
    """Between two writes it died: a worker that has its job is used up, one without is free."""
    ada, bert = await Process(opened).open(), await Process(opened).open()
    await ada.pairs.workers.enqueue(worker(1))
    paired = await ada.pairs.offer(job(1), 1.0)
    assert isinstance(paired, Paired)
    assert paired.job.hold
    if end == "returned":
        await ada.pairs.jobs.replace(free(paired.job), SUBMITTED)
    elif end == "confirmed":
        sure = paired.job.hold._replace(stage=Stage.CONFIRMED)
        await ada.pairs.jobs.replace(paired.job._replace(hold=sure), SUBMITTED)
    else:
        await ada.pairs.jobs.finish(done(paired.job), SUBMITTED)
    ada.stop_signs()
    await asyncio.wait_for(bert.orphans.wait(), 20)
    await bert.pairs.hold_named_workers()
    assert await bert.pairs.workers.size() == (end == "returned")
    assert await ids(bert.pairs.workers) == [worker(1).id] * (end == "returned")


async def test_who_says_good_bye_leaves_nothing(opened: Open, impatient: None) -> None:
    """What a dispatcher had under way when it stopped is for the others at once."""
    bert = await Process(opened).open()
    async with AsyncExitStack() as stack:
        url, prefix = shared_server().url, bert.pairs._link.key("meta")[1:].partition("}")[0]
        ada = await stack.enter_async_context(open_redis(url, prefix, Events()))
        await ada.jobs.enqueue(job(1), SUBMITTED)
        taken = await ada.ask(worker(1), 1.0)
    assert await bert.pairs.hold_named_workers() == [taken]


async def test_who_comes_back_too_late_is_fenced_off(opened: Open, impatient: None) -> None:
    """It finds its hand-over taken over, goes on under another id, and its own word is outdated."""
    ada, bert = await Process(opened).open(), await Process(opened).open()
    await ada.pairs.workers.enqueue(worker(1))
    paired = await ada.pairs.offer(job(1), 1.0)
    assert isinstance(paired, Paired)
    assert await ada.pairs.peers.may_hand_over(paired.job)
    before = ada.pairs._link.by
    ada.stop_signs()
    await asyncio.wait_for(bert.orphans.wait(), 20)
    [orphan] = await bert.pairs.hold_named_workers()
    await bert.pairs.jobs.replace(orphan._replace(reason="taken over"), SUBMITTED)
    late = asyncio.create_task(ada.pairs.peers.may_hand_over(paired.job))
    ada.pairs.peers._timer = asyncio.create_task(ada.pairs.peers._live())
    assert await late is False
    assert ada.pairs._link.by != before
    with pytest.raises(Outdated):
        await ada.pairs.jobs.replace(paired.job._replace(reason="late"), SUBMITTED)


async def test_one_that_is_late_gives_all_others_time(opened: Open, impatient: None) -> None:
    """Where all were cut off, as by a Redis that was gone, nobody is taken for dead."""
    ada, bert = await Process(opened).open(), await Process(opened).open()
    await ada.pairs.jobs.enqueue(job(1), SUBMITTED)
    await ada.pairs.ask(worker(1), 1.0)
    ada.stop_signs()
    bert.stop_signs()
    await asyncio.sleep(1.2)
    await bert.pairs.peers._renew()
    await ada.pairs.peers._renew()
    await bert.pairs.peers._renew()
    assert not bert.orphans.is_set()
    assert not ada.orphans.is_set()


async def test_one_that_is_late_twice_gives_no_time_again(opened: Open, impatient: None) -> None:
    """However often it is late, what a dead one had under way is taken over."""
    ada, bert = await Process(opened).open(), await Process(opened).open()
    await ada.pairs.jobs.enqueue(job(1), SUBMITTED)
    taken = await ada.pairs.ask(worker(1), 1.0)
    ada.stop_signs()
    bert.stop_signs()
    for _ in range(2):
        assert not bert.orphans.is_set()
        await asyncio.sleep(1.2)
        await bert.pairs.peers._renew()
    assert bert.orphans.is_set()
    assert await bert.pairs.hold_named_workers() == [taken]


async def test_each_record_is_somebodys(opened: Open, impatient: None) -> None:
    """Of several dispatchers always one looks after a record; they share them out."""
    processes = [await Process(opened).open() for _ in range(3)]
    for process in processes:
        await process.pairs.peers._renew()
    shares = [
        [process.pairs.peers.is_mine(f"record {number}") for number in range(300)]
        for process in processes
    ]
    assert all(sum(claims) == 1 for claims in zip(*shares, strict=True))
    assert min(sum(share) for share in shares) > 50


async def test_a_note_of_another_process_is_waited_for(opened: Open) -> None:
    """A worker that comes back elsewhere waits until it is noted that it has got its answer."""
    ada, bert = await Process(opened).open(), await Process(opened).open()
    await ada.pairs.jobs.enqueue(job(1), SUBMITTED)
    taken = await ada.pairs.ask(worker(1), 1.0)
    assert await ada.pairs.peers.has_settled(taken) is False
    waiting = asyncio.create_task(bert.pairs.peers.has_settled(taken))
    await turns()
    sure = taken._replace(hold=taken.hold._replace(stage=Stage.CONFIRMED))
    await ada.pairs.jobs.replace(sure, SUBMITTED)
    assert await waiting is True
    assert await bert.pairs.peers.has_settled(taken) is True


async def test_a_server_that_begins_anew(tmp_path: Path) -> None:
    """After a restart the numbers are of a new epoch, and everybody gets a snapshot."""
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    events, reset = Events(), asyncio.Event()
    async with open_redis(server.url, "bar", events) as pairs:
        pairs.peers.when_reset(lambda _: reset.set())
        await pairs.jobs.enqueue(job(1), SUBMITTED)
        epoch = events.epoch
        server.kill()
        server.start()
        await asyncio.wait_for(reset.wait(), 20)
        assert events.epoch != epoch
        assert events.number == 1
        assert await ids(pairs.jobs) == [job(1).id]
        await pairs.jobs.enqueue(job(2), SUBMITTED)
    server.stop()


async def test_a_server_that_has_forgotten_everything(tmp_path: Path) -> None:
    """The queues are made anew, with the secret that they had."""
    server = RedisServer(tmp_path)
    server.start()
    events, reset = Events(), asyncio.Event()
    async with open_redis(server.url, "bar", events) as pairs:
        pairs.peers.when_reset(lambda _: reset.set())
        await pairs.jobs.enqueue(job(1), SUBMITTED)
        before = await pairs.jobs.facts()
        server.kill()
        server.start()
        await asyncio.wait_for(reset.wait(), 20)
        assert (await pairs.jobs.facts()).secret == before.secret
        assert await ids(pairs.jobs) == []
        await pairs.jobs.enqueue(job(2), SUBMITTED)
    server.stop()


async def test_all_make_the_queues_anew_with_the_same_secret(
    opened: Open, client: Redis, prefix: str
) -> None:
    """Whoever is the first after they were forgotten has the secret of whoever made them first."""
    await opened()
    second = await opened()
    before = await second.jobs.facts()
    await client.delete(*[key async for key in client.scan_iter(f"{{{prefix}}}:*")])
    with pytest.raises(StorageFailed, match="lost the queues"):
        await second.jobs.facts()
    await second._link.begin()
    assert await second.jobs.facts() == before


async def test_receipts_are_of_the_secret_that_is_there(
    client: Redis, prefix: str, impatient: None
) -> None:
    """Where somebody else has made the queues anew, a dispatcher takes over the secret of that."""
    values = {"redis_url": shared_server().url, "redis_prefix": prefix}
    settings = Settings(job_queue_mode=Mode.REDIS, worker_queue_mode=Mode.REDIS, **values)
    async with running_world(settings) as world:
        await client.delete(*[key async for key in client.scan_iter(f"{{{prefix}}}:*")])
        other = Link(shared_server().url, prefix)
        await other.begin()
        await other.close()
        seal = Seal()
        seal.set(other.secret)

        async def is_known() -> bool:
            return world.dispatcher.receipt_of(job(1)) == seal.receipt(job(1))

        await eventually(is_known, 20)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is ever taken for dead, and whoever must not come in gives up soon."""
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.LEASE_S", 60.0)
    monkeypatch.setattr("sanic_dispatch.queues.redis_peers.PATIENCE_S", 0.1)


async def test_one_queue_in_redis_is_for_one_process(
    opened: Open, prefix: str, hasty: None
) -> None:
    """Whoever has the other queue elsewhere is alone: neither before nor after others."""
    url = shared_server().url
    async with Lock(url, prefix).held():
        with pytest.raises(RedisInUse):
            async with Lock(url, prefix).held():
                pass
        with pytest.raises(RedisInUse):
            await opened()
    await opened()
    with pytest.raises(RedisInUse):
        async with Lock(url, prefix).held():
            pass


async def test_an_entry_whose_answer_is_lost(prefix: str) -> None:
    """Whoever asks again to be alone does not stand in its own way."""
    link = Link(shared_server().url, prefix)
    await link.begin()
    await enter(link, is_alone=True)
    word, *_ = await sign(link, is_new=True, is_alone=True)
    assert word == "ok"
    await link.call("leave")
    await link.close()


async def test_a_lock_that_is_kept(prefix: str, impatient: None) -> None:
    """Whoever holds the lock moves its deadline on, and does not lose it by that."""
    lock = Lock(shared_server().url, prefix)

    async def deadline_s() -> float:
        return float(await lock.link.read("ZSCORE", "dispatchers", lock.link.by))

    async with lock.held():
        first_s = await deadline_s()

        async def has_moved() -> bool:
            return await deadline_s() > first_s

        await eventually(has_moved, 20)


async def test_a_lock_that_was_lost(prefix: str, impatient: None) -> None:
    """Whoever was silent for too long writes no more once another one holds the lock."""
    url = shared_server().url
    first = Lock(url, prefix)
    async with first.held():
        store = RedisStore(url, first)
        row = Row.of(job(1)._replace(ticket=1, place=1.0))
        change = Change(Shelf.JOBS, job(1).id, None, row.place, row.stored)
        store.write([change])
        first.link.by, lost = "somebody else", first.link.by
        await asyncio.sleep(1.2)
        async with Lock(url, prefix).held():
            first.link.by = lost
            with pytest.raises(OSError, match="taken the queue in Redis over"):
                store.write([change])
            assert await sign(first.link, is_alone=True) == ["lost"]
            assert await first.link.read("ZSCORE", "dispatchers", lost) is None
        store.close()


async def test_one_queue_and_then_both(opened: Open, prefix: str) -> None:
    """What was stored with one queue in Redis is there when both are."""
    url = shared_server().url
    lock = Lock(url, prefix)
    async with lock.held():
        store = RedisStore(url, lock)
        async with open_pairs(Stores(store, None), Events()) as pairs:
            await pairs.jobs.enqueue(job(1, b"[1.0]"), SUBMITTED)
            taken = await pairs.ask(worker(1), 1.0)
            kept = await pairs.jobs.finish(done(taken), SUBMITTED)
            waiting = await pairs.jobs.enqueue(job(2), SUBMITTED)
    shared = await opened()
    assert await shared.jobs.items() == [waiting]
    assert await shared.jobs.all_finished() == [kept]
    assert (await shared.jobs.enqueue(job(3), SUBMITTED)).ticket == 3
