"""Forgetting: which jobs' data may be erased, what stays, and that it comes to its end."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from time import perf_counter

import pytest
import ujson

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.core.effects import EraseData
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import JobRef, State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.dispatch.erasure import RETRY_S, Eraser
from sanic_dispatch.errors import StorageFailed, UnknownJob, WrongState
from sanic_dispatch.history.history_queries import HistoryQueries
from sanic_dispatch.history.statistics import By
from sanic_dispatch.live import rewinder as rewinder_module
from sanic_dispatch.live.rewinder import Rewinder
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.support.leftovers import files_with
from tests.support.redis import redis_values
from tests.support.world import World, running_world, worker

SECRET = "Ada-Lovelace"


async def served(world: World, name: str = SECRET, number: int = 1) -> str:
    """Have a job done by a robot, with a name in its data and its result; return its id."""
    robot = worker(f"c{number}", f"i{number}")
    await world.register(robot)
    job_id = (await world.submit(name)).job.id
    result = f'"for {name}"'.encode()
    await world.dispatcher.complete(job_id, Proof(callback_url=robot.id), result)
    return job_id


def pending(world: World) -> list[JobRef]:
    """The jobs whose data is not known to be erased."""
    facts = world.dispatcher._machine.tables.facts
    return [
        JobRef(int(fact.value), fact.id.rpartition(":")[2])
        for fact in facts
        if fact.id.startswith("forgetting:")
    ]


async def test_a_finished_job_is_forgotten(world: World) -> None:
    """Data and result are gone, and the rest of the record stays; the event says who it was."""
    job_id = await served(world)
    before = await world.job(job_id)
    await world.dispatcher.operator.forget(job_id, "ada")
    after = await world.job(job_id)
    assert after == before._replace(data=b"", result=None)
    assert after.forgotten
    event = world.history[-1]
    assert (event.kind, event.job, event.reason) == (EventKind.JOB_FORGOTTEN, after, "ada")


async def test_a_robot_that_asks_again(world: World) -> None:
    """Its registration is repeated after its job was forgotten: it gets the same job, with null."""
    job_id = (await world.submit(SECRET)).job.id
    robot = worker("c1", "i1")
    assert await world.register(robot) == SECRET
    await world.dispatcher.complete(job_id, Proof(callback_url=robot.id), b"1")
    await world.dispatcher.operator.forget(job_id)
    again = await world.dispatcher.register(robot)
    assert again
    world.dispatcher.answer_written(again)
    told = ujson.loads(again.to_wire())["Job"]
    assert (told["id"], told["data"]) == (job_id, None)


async def test_by_its_ticket(world: World) -> None:
    """A number is a ticket."""
    job_id = await served(world)
    await world.dispatcher.operator.forget("1")
    assert (await world.job(job_id)).forgotten


async def test_a_repeat_changes_nothing(world: World) -> None:
    """There is one event."""
    job_id = await served(world)
    for _ in range(2):
        await world.dispatcher.operator.forget(job_id)
    assert world.kinds().count("job.forgotten") == 1


async def test_a_job_that_is_not_over(world: World) -> None:
    """A waiting or assigned job needs its data."""
    job_id = (await world.submit("x")).job.id
    for state in (State.WAITING, State.ASSIGNED):
        with pytest.raises(WrongState) as refused:
            await world.dispatcher.operator.forget(job_id)
        assert refused.value.state == state
        await world.register(worker("c1", "i1"))
    assert (await world.job(job_id)).data == b'"x"'


async def test_a_job_that_was_never_there(world: World) -> None:
    """Neither by id nor by ticket; events of workers have the ticket 0."""
    await world.register(worker("c1", "i1"))
    for name in ("5e" * 16, "77", "0"):
        with pytest.raises(UnknownJob):
            await world.dispatcher.operator.forget(name)


async def test_a_failed_job_is_not_put_back_without_its_data(world: World) -> None:
    """A robot would get null."""
    robot = worker("c1", "i1")
    await world.register(robot)
    job_id = (await world.submit("x")).job.id
    await world.dispatcher.fail(job_id, Proof(callback_url=robot.id), "no ice")
    await world.dispatcher.operator.forget(job_id)
    with pytest.raises(WrongState):
        await world.dispatcher.operator.put_back(job_id, "once more")


async def test_a_repeated_submission_finds_a_forgotten_job(world: World) -> None:
    """It is not compared with data that is gone."""
    await world.register(worker("c1"))
    placed = await world.dispatcher.submit(b'"x"', "key")
    await world.dispatcher.operator.forget(placed.job.id)
    assert (await world.dispatcher.submit(b'"x"', "key")).job.id == placed.job.id


@pytest.fixture(params=[Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The modes that keep all in their folder."""
    return Settings.of(request.param, data_dir=tmp_path)


async def test_no_file_has_it(settings: Settings) -> None:
    """It is erased soon, and then nothing is left to be done."""
    async with running_world(settings) as world:
        job_id = await served(world)
        await served(world, "Grace", 2)
        assert files_with(settings.data_dir, SECRET.encode())
        await world.dispatcher.operator.forget(job_id)
        assert pending(world) == [JobRef(1, job_id)]
        await world.quiet()
        assert files_with(settings.data_dir, SECRET.encode()) == []
        assert pending(world) == []


async def test_it_is_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the storage has erased it; what is forgotten meanwhile is erased together."""
    async with running_world(settings) as world:
        first, second = await served(world), await served(world, number=2)
        erase, tried = world.store.erase, list[int]()

        async def failing(jobs: Collection[JobRef]) -> None:
            tried.append(len(jobs))
            if len(tried) == 1:
                raise StorageFailed("no room")
            if len(tried) == 2:
                raise MemoryError
            await erase(jobs)

        monkeypatch.setattr(world.store, "erase", failing)
        await world.dispatcher.operator.forget(first)
        await world.dispatcher.operator.forget(second)
        for _ in range(2):
            await world.clock.advance(RETRY_S)
        await world.quiet()
        assert tried == [1, 2, 2]
        assert pending(world) == []
        assert files_with(settings.data_dir, SECRET.encode()) == []


async def test_no_answer_has_it_until_it_is_erased(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a recording nor statistics nor the monitor as it was, from a snapshot or played."""
    monkeypatch.setattr(rewinder_module, "SNAPSHOT_EVENTS", 0)
    async with running_world(settings) as world:
        job_id = (await world.submit({"drink": "mojito", "name": SECRET})).job.id
        moment_s = world.clock.now_s()
        history, catch_up = world.store.history, world.bus.catch_up
        queries = HistoryQueries(history, catch_up, world.clock.now_s)
        rewinder = Rewinder(history, catch_up, world.clock)

        async def told() -> str:
            recorded = (await queries.recorded(Question())).payloads
            counted = (await queries.statistics(By.DRINK)).rows
            past = [await rewinder.look(moment_s, player) for player in ("", "one")]
            return str((recorded, [row["drink"] for row in counted], past))

        before = await told()
        assert (before.count(SECRET), before.count("'mojito'")) == (3, 3)
        for ref in rewinder._recent.refs():  # as if its events were settled
            history.snapshots.put(ref, rewinder._recent.get(ref) or b"")
        assert history.snapshots.refs()
        await world.clock.advance(1.0)
        await world.dispatcher.cancel(job_id)
        monkeypatch.setattr(world.store, "erase", lambda _: world.never())
        await world.dispatcher.operator.forget(job_id)
        after = await told()
        assert (after.count(SECRET), after.count("mojito")) == (0, 0)


async def test_a_start_goes_on_with_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the last run did not complete is erased by the next one."""
    async with running_world(settings) as world:
        job_id = await served(world)
        monkeypatch.setattr(world.store, "erase", lambda _: world.never())
        await world.dispatcher.operator.forget(job_id)
        await world.quiet()
        assert pending(world) == [JobRef(1, job_id)]
    async with running_world(settings) as world:
        assert (await world.job(job_id)).forgotten
        assert pending(world) == []
        assert files_with(settings.data_dir, SECRET.encode()) == []


async def test_two_jobs_of_one_id(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an idempotency key is reused, a start erases what is left of both jobs."""
    policy = Policy(keep_finished=1)
    async with running_world(settings, policy=policy) as world:
        monkeypatch.setattr(world.store, "erase", lambda _: world.never())
        for number in (1, 3):
            await world.register(worker(f"c{number}"))
            data = f'"{SECRET} {number}"'.encode()
            job = (await world.dispatcher.submit(data, "key")).job
            await world.dispatcher.operator.forget(job.id)
            await world.register(worker(f"c{number + 1}"))
            await world.submit("Grace")
        await world.quiet()
        assert pending(world) == [JobRef(1, job.id), JobRef(3, job.id)]
    async with running_world(settings, policy=policy) as world:
        assert pending(world) == []
        assert files_with(settings.data_dir, SECRET.encode()) == []


async def test_what_another_owner_was_told_to_forget(tmp_path: Path) -> None:
    """Each owner has the segments that it wrote: it erases them when it takes over."""
    mine, other = (
        Settings.of(Mode.REDIS, data_dir=tmp_path / name, **redis_values(Mode.REDIS, tmp_path))
        for name in ("mine", "other")
    )
    for each in (mine, other):
        each.data_dir.mkdir()
    async with running_world(mine) as world:
        job_id = await served(world)
        assert isinstance(world.store.history, SegmentLog)
        world.store.history.flush()
    assert files_with(mine.data_dir, SECRET.encode())
    async with running_world(other) as world:
        await world.dispatcher.operator.forget(job_id)
        await world.quiet()
        assert pending(world) == []
    async with running_world(mine) as world:
        await world.quiet()
        assert files_with(mine.data_dir, SECRET.encode()) == []
        assert [event.event for event in world.store.history.scan()][-2:] == [
            "job.done",
            "job.forgotten",
        ]


async def test_as_many_as_are_kept(world: World) -> None:
    """A take-over begins to erase 10,000 at once, and other topics hardly wait for it."""
    effects = [EraseData(JobRef(n, f"{n:032}"), "") for n in range(10_000)]
    eraser, began_s = Eraser(world.store, world.clock, lambda _: None), perf_counter()
    eraser.begin(*effects)
    assert perf_counter() - began_s < 0.5  # one by one it took a second
    assert world.store.history.withheld == {each.job for each in effects}
    await world.quiet()
    assert not world.store.history.withheld


@pytest.mark.parametrize("by_ticket", [True, False])
async def test_a_job_that_is_not_kept_any_more(tmp_path: Path, by_ticket: bool) -> None:
    """The history knows it, and has its data; the event is there, and the job is not kept again."""
    settings, policy = (
        Settings.of(Mode.CACHED_JSON_FILE, data_dir=tmp_path),
        Policy(keep_finished=1),
    )
    async with running_world(settings, policy=policy) as world:
        job_id = await served(world)
        await served(world, "Grace", 2)
        with pytest.raises(UnknownJob):
            await world.job(job_id)
        for _ in range(2):
            await world.dispatcher.operator.forget("1" if by_ticket else job_id, "ada")
        await world.quiet()
        assert world.kinds().count("job.forgotten") == 1
        assert files_with(tmp_path, SECRET.encode()) == []
        assert [job.ticket for job in world.dispatcher.snapshot().finished] == [2]
        (event,) = world.store.history.find(Question(kind="job.forgotten")).events
        assert (event.ticket, event.job, event.reason) == (1, job_id, "ada")


@pytest.mark.parametrize("by_ticket", [True, False])
async def test_a_job_in_a_segment_that_cannot_be_read(tmp_path: Path, by_ticket: bool) -> None:
    """It is not unknown: whoever wants it erased has to ask again."""
    settings = Settings.of(Mode.CACHED_JSON_FILE, data_dir=tmp_path)
    async with running_world(settings, policy=Policy(keep_finished=1)) as world:
        job_id = await served(world)
        await served(world, "Grace", 2)
        job = "1" if by_ticket else job_id
        log = world.store.history
        assert isinstance(log, SegmentLog)
        log.flush()
        ((_, path),) = log.files.paths()
        aside = path.rename(path.with_suffix(".aside"))
        path.symlink_to(path)
        with pytest.raises(StorageFailed, match="the history cannot be read"):
            await world.dispatcher.operator.forget(job)
        aside.replace(path)
        await world.dispatcher.operator.forget(job)
        await world.quiet()
        assert files_with(tmp_path, SECRET.encode()) == []
