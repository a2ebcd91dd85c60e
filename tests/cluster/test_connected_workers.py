"""Workers by websocket and by polling at a process that does not own the topic."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.web import calls, worker_socket
from tests.cluster.services import Two, ask, two_services
from tests.cluster.test_standby import pair_of_servers
from tests.crash.server import Server
from tests.support.redis import RedisServer
from tests.support.server import Service, eventually
from tests.support.tablet import tablet

TABLET, OTHER = {"worker": "tablet-1"}, {"worker": "tablet-2"}
SHELL = {"Worker-Id": "shell-1"}


@pytest.fixture
async def two(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Two]:
    async with two_services(redis.url, tmp_path) as two:
        yield two


async def waiting(two: Two) -> list[str]:
    """Return the ids of the workers that wait, in line."""
    _, body, _ = await ask(two.owner, "GET", "operator/workers")
    return [worker["callback"] for worker in body["workers"]]


async def reached(two: Two, *names: str) -> None:
    """Return once exactly these workers are reached by a connection."""
    workers = two.owner.app.ctx.dispatcher._machine.tables.workers

    async def are_reached() -> bool:
        return set(workers.connection_of) == set(names)

    await eventually(are_reached)


def order(service: Service, data: Any = 1) -> asyncio.Task[Any]:
    return asyncio.create_task(ask(service, "POST", "submit-job", json=data))


async def test_an_order_from_offer_to_result(two: Two) -> None:
    """Every message is answered as by the owner; the data is as it was sent."""
    async with tablet(two.other) as worker:
        await worker.ok(register=TABLET | {"match": {"drink": ["m\u00f6jito"]}})
        submitting = order(two.owner, {"drink": "m\u00f6jito"})
        job = await worker.hear("job")
        assert job["data"] == {"drink": "m\u00f6jito"}
        report = {"job": job["id"], "receipt": job["receipt"]}
        assert await worker.ok(accept=report) == {"job": job["id"], "lease_s": 60.0}
        assert (await submitting)[:2] == (200, "Assigned")
        assert (await worker.ok(progress=report | {"percent": 1}))["cancel"] is False
        assert (await ask(two.other, "DELETE", f"jobs/{job['id']}"))[0] == 202
        assert await worker.hear("cancel") == {"job": job["id"]}
        assert (await worker.error(done={"job": job["id"], "receipt": "x"}))["Error"] == (
            "NotTheHolder"
        )
        assert (await worker.ok(done=report | {"result": [1]}))["state"] == "done"
        assert (await ask(two.owner, "GET", f"jobs/{job['id']}"))[1]["result"] == [1]


async def test_one_line_over_all_processes(two: Two) -> None:
    """A job goes to the worker that has waited longest, wherever it is connected."""
    async with tablet(two.other) as first, tablet(two.owner) as third:
        await first.ok(register=TABLET)
        headers = SHELL
        polling = asyncio.create_task(
            ask(two.other, "POST", "register-worker?wait=20", headers=headers)
        )
        await reached(two, "ws:tablet-1", "poll:shell-1")
        await third.ok(register=OTHER)
        assert await waiting(two) == ["ws:tablet-1", "poll:shell-1", "ws:tablet-2"]
        for number in (1, 2, 3):
            order(two.owner, number)
        assert (await first.hear("job"))["data"] == 1
        status, body, _ = await polling
        assert (status, body["Job"]["data"]) == (200, 2)
        assert (await third.hear("job"))["data"] == 3


async def test_a_session_goes_on_at_another_process(two: Two) -> None:
    """Its place and its job; what is reached twice is closed where it was first."""
    async with tablet(two.other) as there:
        await there.ok(register=TABLET)
        async with tablet(two.owner, f"?session={there.session}") as here:
            assert await there.closed() == 4409
            order(two.owner)
            report = await here.accepted()
            async with tablet(two.other, f"?session={there.session}") as again:
                assert await here.closed() == 4409
                assert (await again.hear("job"))["id"] == report["job"]
                await again.ok(done=report)


async def test_a_worker_that_leaves_another_process(two: Two) -> None:
    """What it was offered goes to the next at once."""
    async with tablet(two.owner) as next_one:
        async with tablet(two.other) as worker:
            await worker.ok(register=TABLET)
            await next_one.ok(register=OTHER)
            order(two.owner)
            await worker.hear("job")
        await next_one.accepted()


async def test_polls_at_another_process(two: Two) -> None:
    """204 in time; a client that goes away is passed over; the same job until it is reported."""
    status, body, _ = await ask(two.other, "POST", "register-worker?wait=0.1", headers=SHELL)
    assert (status, body) == (204, None)
    gone = asyncio.create_task(
        ask(two.other, "POST", "register-worker?wait=60", headers={"Worker-Id": "gone"})
    )
    await reached(two, "poll:gone")
    gone.cancel()
    await reached(two)
    order(two.owner)
    first = await ask(two.other, "POST", "register-worker?wait=10", headers=SHELL)
    again = await ask(two.owner, "POST", "register-worker?wait=10", headers=SHELL)
    assert (first[0], first[1]) == (again[0], again[1])
    assert first[2]["Job-Receipt"] == again[2]["Job-Receipt"]


async def cut(two: Two) -> None:
    """Break the link between the two; its next message tells both sides."""
    two.link.loses = b"["
    await ask(two.other, "GET", "operator/jobs")


async def test_a_link_that_breaks_is_not_noticed(two: Two) -> None:
    """The worker keeps its connection, its place, and its job."""
    async with tablet(two.other) as worker:
        await worker.ok(register=TABLET)
        await cut(two)
        assert two.link.has_lost.is_set()
        await reached(two, "ws:tablet-1")
        order(two.owner)
        report = await worker.accepted()
        two.link.has_lost.clear()
        await cut(two)
        await reached(two, "ws:tablet-1")
        assert (await worker.hear("job"))["receipt"] == report["receipt"]
        assert (await ask(two.owner, "DELETE", f"jobs/{report['job']}"))[0] == 202
        assert await worker.hear("cancel") == {"job": report["job"]}
        await worker.ok(fail=report | {"cancelled": True})


async def test_a_poll_goes_on_after_its_link_broke(two: Two) -> None:
    """It gets the next job."""
    polling = asyncio.create_task(ask(two.other, "POST", "register-worker?wait=30", headers=SHELL))
    await reached(two, "poll:shell-1")
    await cut(two)
    await reached(two, "poll:shell-1")
    order(two.owner)
    assert (await polling)[0] == 200


async def test_an_owner_that_takes_long_to_load(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers at the other process are attached again at intervals, and then get their jobs."""
    service, dispatcher = two.owner.app.ctx.sessions._service, two.owner.app.ctx.dispatcher
    follow, load, has_loaded = service.follow, dispatcher.load, asyncio.Event()
    attempts = 0

    def count(*arguments: Any) -> Any:
        nonlocal attempts
        attempts += 1
        return follow(*arguments)

    async def load_slowly() -> None:
        await load()
        await asyncio.sleep(1.0)
        has_loaded.set()

    async with tablet(two.other) as worker:
        await worker.ok(register=TABLET)
        polling = asyncio.create_task(
            ask(two.other, "POST", "register-worker?wait=30", headers=SHELL)
        )
        await reached(two, "ws:tablet-1", "poll:shell-1")
        monkeypatch.setattr(service, "follow", count)
        monkeypatch.setattr(dispatcher, "load", load_slowly)
        dispatcher._store.ownership.lose("Redis has lost it")
        await has_loaded.wait()
        await reached(two, "ws:tablet-1", "poll:shell-1")
        assert attempts < 20
        for number in (1, 2):
            order(two.owner, number)
        await worker.hear("job")
        assert (await polling)[0] == 200


@pytest.mark.parametrize("name", ["register", "accept", "progress", "done", "fail", "withdraw"])
async def test_a_message_whose_reply_got_lost(two: Two, name: str) -> None:
    """It is carried out once, and answered."""
    async with tablet(two.other) as worker:
        report: dict[str, Any] = {}
        if name not in ("register", "withdraw"):
            order(two.owner)
        if name != "register":
            await worker.ok(register=TABLET)
        if name not in ("register", "withdraw"):
            job = await worker.hear("job")
            report = {"job": job["id"], "receipt": job["receipt"]}
        if name in ("progress", "done", "fail"):
            await worker.ok(accept=report)
        two.link.loses = b'"ok"'
        fields = {"register": TABLET, "progress": report | {"text": "x"}}.get(name, report)
        await worker.ok(**{name: fields})
        assert two.link.has_lost.is_set()
        if name == "register":
            await reached(two, "ws:tablet-1")
        if report:
            _, body, _ = await ask(two.owner, "GET", "operator/history/1")
            kinds = [event["event"] for event in body["events"]]
            assert all(kinds.count(each) <= 1 for each in ("job.confirmed", "job.done"))


@pytest.mark.parametrize("reply", ["comes", "is that to a repeat"])
async def test_a_report_that_is_repeated_by_a_worker_that_waits(
    two: Two, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    """The worker waits on, also once the topic has changed hands."""

    async def forget_that_it_waits(context: Any, function: Any, *args: Any, **more: Any) -> Any:
        placed = await calls.ask(context, function, *args, **more)
        return placed._replace(is_registered=False)

    dispatcher, has_loaded = two.owner.app.ctx.dispatcher, asyncio.Event()
    load = dispatcher.load

    async def note_load() -> None:
        await load()
        has_loaded.set()

    async with tablet(two.other) as worker:
        await worker.ok(register=TABLET)
        order(two.owner)
        report = await worker.accepted()
        if reply == "comes":
            assert (await worker.ok(done=report | {"next": True}))["registered"]
            await worker.ok(done=report)
        else:  # by the next owner of the topic, which the connection had not reached yet
            with monkeypatch.context() as patch:
                patch.setattr(worker_socket, "ask", forget_that_it_waits)
                assert not (await worker.ok(done=report | {"next": True}))["registered"]
            assert (await worker.error(register=TABLET))["Error"] == "WrongState"
        monkeypatch.setattr(dispatcher, "load", note_load)
        dispatcher._store.ownership.lose("Redis has lost it")
        await has_loaded.wait()
        order(two.owner)
        await worker.accepted()


async def test_a_session_whose_reply_got_lost(two: Two) -> None:
    """The worker keeps its place, and gets the next job."""
    async with tablet(two.other) as gone:
        await gone.ok(register=TABLET)
    await reached(two)
    two.link.loses = b'"ok"'
    async with tablet(two.other, f"?session={gone.session}") as worker:
        assert worker.session == gone.session
        assert two.link.has_lost.is_set()
        await reached(two, "ws:tablet-1")
        order(two.owner)
        await worker.accepted()


def as_service(server: Server, http: Any) -> Service:
    return Service(server.url, http, None)  # type: ignore[arg-type]


@asynccontextmanager
async def processes(
    folder: Path, rng: random.Random, redis: RedisServer
) -> AsyncIterator[tuple[Server, Service, Service]]:
    """Run the owner as a process, and another one."""
    async with pair_of_servers(folder, rng, redis) as (first, second, http):
        yield first, as_service(first, http), as_service(second, http)


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_the_owner_ends(
    redis: RedisServer, rng: random.Random, tmp_path: Path, end: str
) -> None:
    """Workers at the other process do not notice; those of the dead one resume there."""
    async with (
        processes(tmp_path, rng, redis) as (process, owner, other),
        tablet(other) as waits,
        tablet(other) as works,
        tablet(owner) as moves,
    ):
        await works.ok(register=TABLET)
        order(other, 1)
        report = await works.accepted()
        await waits.ok(register=OTHER)
        await moves.ok(register={"worker": "tablet-3"})
        polling = asyncio.create_task(ask(other, "POST", "register-worker?wait=50", headers=SHELL))
        if end == "kill":
            process.kill()
        else:
            await process.stop()
            assert await moves.closed() == 1012
        async with tablet(other, f"?session={moves.session}") as moved:
            assert moved.session == moves.session
            orders = [order(other, number) for number in (2, 3, 4)]
            heard = [(await each.hear("job"))["data"] for each in (waits, moved)]
            status, body, _ = await polling
            assert status == 200
            assert sorted([*heard, body["Job"]["data"]]) == [2, 3, 4]
            assert (await works.ok(done=report))["state"] == "done"
            for each in orders:
                each.cancel()
