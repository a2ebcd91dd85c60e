"""Worker against the real server: jobs, a bad network, restarts, and every end that it can have."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.client import Lost, ServiceError, Worker, WorkerJob
from sanic_dispatch.client.channel import ChannelLost
from sanic_dispatch.clock import SystemClock
from sanic_dispatch.config.settings import DEFAULTS, Mode
from sanic_dispatch.core import commands as c
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import ShuttingDown
from tests.support.faulty_link import FaultyLink
from tests.support.proxy import Proxy
from tests.support.server import Service, eventually, free_port, running_service

NAME = "tablet-1"


@asynccontextmanager
async def at_work(
    worker: Worker, act: Callable[[WorkerJob], Awaitable[object]]
) -> AsyncIterator[asyncio.Task[None]]:
    """Let a worker do this with each job; the task ends when it stops."""

    async def work() -> None:
        async for job in worker:
            await act(job)

    task = asyncio.create_task(work())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def finish(job: WorkerJob) -> None:
    assert await job.done({"made": job.data})


class Hands:
    """A worker that keeps a job until a test lets go of it; ``job`` is the one in hand."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[WorkerJob] = asyncio.Queue()
        self.free = asyncio.Event()

    async def act(self, job: WorkerJob) -> None:
        self.taken.put_nowait(job)
        await self.free.wait()
        if not job.is_reported:
            await job.done()

    async def job(self) -> WorkerJob:
        return await asyncio.wait_for(self.taken.get(), 10)


async def ends(service: Service, job_id: str) -> dict[str, Any]:
    """Return the job once it is over."""

    async def is_over() -> bool:
        return (await service.job(job_id))["state"] in ("done", "failed", "cancelled")

    await eventually(is_over)
    return await service.job(job_id)


async def finish_and_go_on(job: WorkerJob) -> None:
    assert await job.done({"made": job.data}, wants_next=True)


EITHER_WAY = pytest.mark.parametrize("finish", [finish, finish_and_go_on])


async def waits(service: Service) -> None:
    """Wait until a worker is in the line."""
    await eventually(lambda: _has_workers(service, 1))


async def _has_workers(service: Service, number: int) -> bool:
    return len(await service.app.ctx.dispatcher.queries.workers()) == number


async def test_five_lines(service: Service) -> None:
    """It gets the jobs of its rule one after the other, and reports progress and results."""
    orders = [("beer", "s"), ("mojito", "s"), ("mojito", "xl"), ("gin", "s")]
    data = [{"drink": drink, "size": size} for drink, size in orders]
    ids = [(await service.submit(one))[2] for one in data]
    states = []

    async def act(job: WorkerJob) -> None:
        assert await job.progress(40, "adding ice")
        states.append(await service.job(job.id))
        assert await job.done({"made": job.data})

    worker = Worker(service.base_url, NAME, None, {"drink": ["mojito", "gin"]}, "Bar left",
                    exclude={"size": "xl"})  # fmt: skip
    async with at_work(worker, act):
        assert (await ends(service, ids[3]))["result"] == {"made": {"drink": "gin", "size": "s"}}
        await waits(service)
        [waiting] = await service.app.ctx.dispatcher.queries.workers()
    assert [state["ticket"] for state in states] == [2, 4]
    assert states[0]["progress"] == {"percent": 40, "text": "adding ice"}
    assert (waiting.id, waiting.label) == ("ws:tablet-1", "Bar left")


async def test_no_proxy_from_the_environment(service: Service, no_way_out: None) -> None:
    """Proxies from the environment are not used."""
    _, _, job_id = await service.submit("one")
    async with at_work(Worker(service.base_url, NAME), finish):
        assert (await ends(service, job_id))["state"] == "done"


async def test_a_loop_that_asks_for_the_next_job_with_its_report(service: Service) -> None:
    """It registers once, and an offer that it is sent when it stops goes to another worker."""
    ids = [(await service.submit(number))[2] for number in range(4)]
    worker = Worker(service.base_url, NAME)

    async def act(job: WorkerJob) -> None:
        await finish_and_go_on(job)
        if job.id == ids[2]:
            worker.stop()

    async with at_work(worker, act) as task:
        await asyncio.wait_for(task, 10)
    assert next(worker._channel._numbers) == 1 + 1 + 2 * 3
    assert [(await service.job(each))["state"] for each in ids] == ["done"] * 3 + ["waiting"]
    async with at_work(Worker(service.base_url, "tablet-2"), finish):
        assert (await ends(service, ids[3]))["result"] == {"made": 3}


@EITHER_WAY
async def test_a_job_that_comes_together_with_the_reply_to_the_message_before(
    service: Service, finish: Callable[[WorkerJob], Awaitable[None]]
) -> None:
    """It asks for the next job all the same."""
    ids = [(await service.submit(number))[2] for number in range(3)]
    async with FaultyLink(service.app.ctx.settings.port, random.Random(0)) as link:
        link.gathers_s = 0.05
        async with at_work(Worker(f"http://127.0.0.1:{link.port}/", NAME), finish):
            assert (await ends(service, ids[-1]))["result"] == {"made": 2}


async def test_a_broken_connection_in_the_middle_of_a_job(service: Service) -> None:
    """It reconnects, keeps its job, and its report arrives over the next connection."""
    hands, losses = Hands(), list[Lost]()
    async with Proxy(service.app.ctx.settings.port) as proxy:
        worker = Worker(proxy.url, NAME, on_lost=losses.append)
        async with at_work(worker, hands.act):
            _, _, first = await service.submit("one")
            job = await hands.job()
            proxy.go_offline()
            hands.free.set()
            await eventually(lambda: _true(losses))
            proxy.go_online()
            assert (await ends(service, first))["state"] == "done"
            _, _, second = await service.submit("two")
            assert (await ends(service, second))["state"] == "done"
    assert job.is_reported
    assert not job.is_cancelled


@EITHER_WAY
@pytest.mark.timeout(20)
async def test_a_report_at_the_moment_of_a_loss(
    service: Service, finish: Callable[[WorkerJob], Awaitable[None]]
) -> None:
    """It is repeated over the next connection, also if the worker has not noticed the loss yet."""

    async def act(job: WorkerJob) -> None:
        assert worker._channel._socket
        worker._channel._socket.transport.abort()
        await asyncio.sleep(0)
        await finish(job)

    worker = Worker(service.base_url, NAME)
    async with at_work(worker, act):
        for data in ("one", "two"):
            _, _, job_id = await service.submit(data)
            assert (await ends(service, job_id))["result"] == {"made": data}


async def test_a_loss_that_is_noticed_while_a_report_is_sent(service: Service) -> None:
    """The report is repeated, and asyncio has nothing to log."""
    logged, patch = list[Any](), pytest.MonkeyPatch()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))

    async def act(job: WorkerJob) -> None:
        assert worker._channel._socket
        patch.setattr(worker._channel._socket, "send", lose)
        await finish(job)

    async def lose(_: str) -> None:
        patch.undo()
        worker._channel._give_up_replies(ChannelLost("noticed by the reader"))
        raise OSError("noticed by the writer")

    worker = Worker(service.base_url, NAME)
    async with at_work(worker, act):
        _, _, job_id = await service.submit("one")
        await ends(service, job_id)
    gc.collect()
    assert logged == []


@EITHER_WAY
@pytest.mark.timeout(20)
async def test_a_report_whose_reply_is_lost(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    finish: Callable[[WorkerJob], Awaitable[None]],
) -> None:
    """It is repeated, and what the worker is offered meanwhile is made."""
    batches = service.app.ctx.dispatcher.batches
    async with Proxy(service.app.ctx.settings.port) as proxy:

        def execute(command: c.Command, *more: Any) -> asyncio.Future[Any]:
            reply = execute_first(command, *more)
            if isinstance(command, c.Complete) and proxy.count("GET /work") <= 2:
                reply.add_done_callback(lambda _: proxy.drop_all())
            return reply

        execute_first = batches.execute
        monkeypatch.setattr(batches, "execute", execute)
        ids = [(await service.submit(number))[2] for number in range(4)]
        async with at_work(Worker(proxy.url, NAME), finish):
            for number, job_id in enumerate(ids):
                assert (await ends(service, job_id))["result"] == {"made": number}
        assert proxy.count("GET /work") == 3


async def test_a_cancellation_while_the_connection_is_broken(service: Service) -> None:
    """It hears of it as soon as it is back."""
    hands = Hands()
    async with (
        Proxy(service.app.ctx.settings.port) as proxy,
        at_work(Worker(proxy.url, NAME), hands.act),
    ):
        await service.submit("one")
        job = await hands.job()
        proxy.go_offline()
        async with service.http.delete(f"{service.base_url}jobs/{job.id}") as answer:
            assert answer.status == 202
        proxy.go_online()
        await asyncio.wait_for(job.until_cancelled(), 10)


async def test_a_broken_connection_while_it_waits(service: Service) -> None:
    """It keeps its place in the line."""
    async with (
        Proxy(service.app.ctx.settings.port) as proxy,
        at_work(Worker(proxy.url, NAME), finish),
    ):
        await waits(service)
        [before] = await service.app.ctx.dispatcher.queries.workers()
        proxy.drop_all()
        await eventually(lambda: _true(proxy.count("GET /work") == 2))
        [after] = await service.app.ctx.dispatcher.queries.workers()
        _, _, job_id = await service.submit("one")
        await ends(service, job_id)
    assert after.place == before.place


async def _true(value: object) -> bool:
    return bool(value)


async def test_a_restart_of_the_service(tmp_path: Path) -> None:
    """The job in hand is reported to the service that comes next, and the worker waits there."""
    stored: dict[str, Any] = {
        "port": free_port(), "mode": Mode.CACHED_JSON_FILE, "data_dir": tmp_path
    }  # fmt: skip
    hands = Hands()
    url = f"http://127.0.0.1:{stored['port']}/"
    async with at_work(Worker(url, NAME), hands.act):
        async with running_service(**stored) as service:
            _, _, job_id = await service.submit("one")
            await hands.job()
        hands.free.set()
        async with running_service(**stored) as service:
            assert (await ends(service, job_id))["state"] == "done"
            await waits(service)


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("", {"token": "wrong"}, 401),
        ("topics/none/", {"token": "worker-token-1"}, 404),
        ("", {"token": "worker-token-1", "match": {"drink": []}}, 400),
    ],
)
async def test_what_another_try_would_not_change(
    path: str, options: dict[str, Any], status: int
) -> None:
    """Iterating raises the refusal."""
    async with running_service(worker_tokens=("worker-token-1",)) as service:
        with pytest.raises(ServiceError) as caught:
            async with at_work(Worker(service.base_url + path, NAME, **options), finish) as task:
                await asyncio.wait_for(task, 10)
    assert caught.value.status == status


async def test_a_second_worker_of_the_name(service: Service) -> None:
    """It replaces the first one, in the middle of a job too: that raises 409."""
    hands = Hands()
    async with at_work(Worker(service.base_url, NAME), hands.act) as first:
        _, _, job_id = await service.submit("one")
        await hands.job()
        hands.free.set()
        async with at_work(Worker(service.base_url, NAME), finish):
            with pytest.raises(ServiceError) as caught:
                await asyncio.wait_for(first, 10)
            await ends(service, job_id)
    assert caught.value.status == 409


async def test_a_job_that_a_second_worker_of_the_name_has(service: Service) -> None:
    """The first one is told to stop."""
    first, second = Hands(), Hands()
    async with at_work(Worker(service.base_url, NAME), first.act):
        await service.submit("one")
        job = await first.job()
        async with at_work(Worker(service.base_url, NAME), second.act):
            assert (await second.job()).id == job.id
            await asyncio.wait_for(job.until_cancelled(), 5)
            assert job.is_cancelled


async def test_a_job_that_is_to_be_cancelled(service: Service) -> None:
    """The worker hears of it at once, and says that it stopped."""

    async def act(job: WorkerJob) -> None:
        assert not job.is_cancelled
        async with service.http.delete(f"{service.base_url}jobs/{job.id}") as answer:
            assert answer.status == 202
        await job.until_cancelled()
        assert await job.fail("the customer left", cancelled=True)

    async with at_work(Worker(service.base_url, NAME), act):
        _, _, job_id = await service.submit("one")
        assert (await ends(service, job_id))["state"] == "cancelled"


async def test_a_job_that_is_not_its_own_any_more(service: Service) -> None:
    """Reports return False, ``is_cancelled`` says so, and the worker goes on."""
    said = []

    async def act(job: WorkerJob) -> None:
        if not said:
            await service.app.ctx.dispatcher.operator.put_back(job.id, "")
            said.extend([await job.progress(50), job.is_cancelled, await job.done()])
        else:
            said.append(await job.done())

    async with at_work(Worker(service.base_url, NAME), act):
        _, _, job_id = await service.submit("one")
        await ends(service, job_id)
    assert said == [False, True, False, True]


async def test_a_cancellation_before_the_answer_to_accept(service: Service) -> None:
    """It is heard of from the first moment, as after a restart of the worker's program."""
    said: list[bool] = []
    hands = Hands()
    _, _, job_id = await service.submit("one")
    async with at_work(Worker(service.base_url, NAME), hands.act):
        await hands.job()
        async with service.http.delete(f"{service.base_url}jobs/{job_id}") as answer:
            assert answer.status == 202

        async def act(job: WorkerJob) -> None:
            said.append(job.is_cancelled)
            assert await job.fail("the customer left", cancelled=True)

        async with at_work(Worker(service.base_url, NAME), act):
            assert (await ends(service, job_id))["state"] == "cancelled"
    assert said == [True]


async def test_a_result_that_is_too_large(service: Service) -> None:
    """It is refused before it is sent, and the job can still be reported."""
    refusals: list[ServiceError] = []

    async def act(job: WorkerJob) -> None:
        for size_bytes in (64 * 1024, 1100 * 1024):
            with pytest.raises(ServiceError) as caught:
                await asyncio.wait_for(job.done("x" * size_bytes), 10)
            refusals.append(caught.value)
        assert await job.done("x" * (64 * 1024 - 200))

    async with at_work(Worker(service.base_url, NAME), act):
        _, _, job_id = await service.submit("one")
        assert len((await ends(service, job_id))["result"]) == 64 * 1024 - 200
    assert [(one.status, one.error) for one in refusals] == [(413, "TooLarge")] * 2


async def test_what_is_not_json(service: Service) -> None:
    """It is refused before it is sent, and the job can still be reported."""
    refusals: list[ServiceError] = []

    async def act(job: WorkerJob) -> None:
        for result in (float("nan"), [float("inf")], {"note": "\ud800"}):
            with pytest.raises(ServiceError) as caught:
                await asyncio.wait_for(job.done(result), 2)
            refusals.append(caught.value)
        with pytest.raises(ServiceError):
            await asyncio.wait_for(job.progress(float("nan")), 2)
        assert await job.done("\N{LEMON}")

    async with at_work(Worker(service.base_url, NAME), act):
        _, _, job_id = await service.submit("one")
        assert (await ends(service, job_id))["result"] == "\N{LEMON}"
    assert [(one.status, one.error) for one in refusals] == [(400, "InvalidJson")] * 3


ONE_LINE = pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no ice\nno\tgin\x00", "no ice no gin"),
        ("\N{LEMON}" * 201, "\N{LEMON}" * 199 + "…"),
    ],
)


@ONE_LINE
async def test_a_reason_that_is_no_short_line(service: Service, text: str, kept: str) -> None:
    """It is made one, so that the text of any exception will do."""
    async with at_work(Worker(service.base_url, NAME), lambda job: job.fail(text)):
        _, _, job_id = await service.submit("one")
        assert (await ends(service, job_id))["reason"] == kept


@ONE_LINE
async def test_a_progress_that_is_no_short_line(service: Service, text: str, kept: str) -> None:
    """It is made one: a long text for the customer does not end the worker."""
    shown = []

    async def act(job: WorkerJob) -> None:
        assert await job.progress(text=text)
        shown.append((await service.job(job.id))["progress"])
        await job.done()

    async with at_work(Worker(service.base_url, NAME), act):
        _, _, job_id = await service.submit("one")
        assert "result" not in await ends(service, job_id)
    assert shown == [{"text": kept}]


async def test_a_failure_that_others_may_try(service: Service) -> None:
    """It goes back to the line, and comes again."""
    tries = []

    async def act(job: WorkerJob) -> None:
        tries.append(job.ticket)
        assert await job.fail("no ice", retry=len(tries) == 1)

    async with at_work(Worker(service.base_url, NAME), act):
        _, _, job_id = await service.submit("one")
        assert (await ends(service, job_id))["reason"] == "no ice"
    assert tries == [1, 1]


async def test_stopping_while_it_waits(service: Service) -> None:
    """It leaves the line at once."""
    worker = Worker(service.base_url, NAME)
    async with at_work(worker, finish) as task:
        await waits(service)
        worker.stop()
        await asyncio.wait_for(task, 10)
        assert await _has_workers(service, 0)


@EITHER_WAY
async def test_stopping_in_the_middle_of_a_job(
    service: Service, finish: Callable[[WorkerJob], Awaitable[None]]
) -> None:
    """It finishes that job, and takes no other."""
    worker = Worker(service.base_url, NAME)

    async def act(job: WorkerJob) -> None:
        worker.stop()
        await finish(job)

    async with at_work(worker, act) as task:
        (_, _, first), (_, _, second) = await service.submit("one"), await service.submit("two")
        await asyncio.wait_for(task, 10)
    states = [(await service.job(one))["state"] for one in (first, second)]
    assert states == ["done", "waiting"]


async def test_stopping_while_a_job_is_offered(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job goes back at once, and the worker leaves the line."""
    clock = SteppedClock()
    worker = Worker(service.base_url, NAME, clock=clock)

    async def refuse(*_: object) -> None:
        raise ShuttingDown

    monkeypatch.setattr(Dispatcher, "accept", refuse)
    async with at_work(worker, finish) as task:
        _, _, job_id = await service.submit("one")
        await clock.asked.get()  # until it is accepted once more
        worker.stop()
        clock.step()
        await asyncio.wait_for(task, 10)
    assert (await service.job(job_id))["state"] == "waiting"
    assert await _has_workers(service, 0)


async def test_leaving_with_offers(service: Service) -> None:
    """However many workers are offered an order and leave, it has not been tried by any of them."""
    async with AsyncExitStack() as loops:
        jobs = []
        for number in range(DEFAULTS.max_attempts):
            await service.submit(number)
            worker = Worker(service.base_url, f"tablet-{number}")
            loop = await loops.enter_async_context(aclosing(aiter(worker)))
            jobs.append((worker, loop, await anext(loop)))
        _, _, last = await service.submit("last")
        for worker, loop, job in jobs:
            await job.done(wants_next=True)
            await eventually(lambda worker=worker: _true(worker._offer))
            await loop.aclose()
            assert (await service.job(last))["state"] == "waiting"
    assert await _has_workers(service, 0)


async def test_stopping_before_there_is_a_service() -> None:
    """It ends although it has never been connected."""
    worker = Worker(f"http://127.0.0.1:{free_port()}/", NAME, on_lost=lambda _: worker.stop())
    async with at_work(worker, finish) as task:
        await asyncio.wait_for(task, 10)


async def test_a_loop_that_is_left_in_the_middle_of_a_job(service: Service) -> None:
    """The job goes to another worker at once."""
    _, _, job_id = await service.submit("one")
    async with aclosing(aiter(Worker(service.base_url, NAME))) as jobs:
        assert (await anext(jobs)).id == job_id
    async with at_work(Worker(service.base_url, "tablet-2"), finish):
        await ends(service, job_id)


async def test_a_program_that_fails_in_the_middle_of_a_job(service: Service) -> None:
    """Nobody closes the loop then, and the job is given back all the same."""
    _, _, job_id = await service.submit("one")

    async def main() -> None:
        async for _ in Worker(service.base_url, NAME):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: asyncio.run(main()))
    assert (await service.job(job_id))["state"] == "waiting"


async def test_a_job_that_is_not_reported(service: Service) -> None:
    """A loop that forgets to report a job says so, and the job is not lost."""
    _, _, job_id = await service.submit("one")
    with pytest.raises(RuntimeError, match="not reported"):
        async for _ in Worker(service.base_url, NAME):
            pass
    assert (await service.job(job_id))["state"] == "waiting"


class SteppedClock(SystemClock):
    """Sleeps until a test lets it go on; ``asked`` has how long each sleep was to be."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self._steps = asyncio.Semaphore(0)

    def step(self) -> None:
        """End one sleep."""
        self._steps.release()

    async def sleep(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self._steps.acquire()


async def test_it_keeps_the_lease_up(service: Service) -> None:
    """Three times in a lease the service hears of it, and what was said before stays."""
    clock, hands = SteppedClock(), Hands()
    async with at_work(Worker(service.base_url, NAME, clock=clock), hands.act):
        _, _, job_id = await service.submit("one")
        job = await hands.job()
        assert await clock.asked.get() == job.lease_s / 3 == 20
        clock.step()
        assert await clock.asked.get() == 20
        assert (await service.job(job_id))["progress"] == {}
        before = Proof(callback_url=f"ws:{NAME}")  # what it said before its program was restarted
        await service.app.ctx.dispatcher.report_progress(job_id, before, 40, "adding gin")
        clock.step()
        assert await clock.asked.get() == 20
        assert await job.progress(50)

        async def is_kept() -> bool:
            progress = (await service.job(job_id))["progress"]
            return bool(progress == {"percent": 50, "text": "adding gin"})

        await eventually(is_kept)


async def test_an_operator_who_drops_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it stands in the line again."""
    monkeypatch.setattr("sanic_dispatch.client.websocket_worker.REGISTER_AGAIN_S", 0.05)
    async with at_work(Worker(service.base_url, NAME), finish):
        await waits(service)
        await service.app.ctx.dispatcher.operator.drop("ws:tablet-1", "gone home")
        await waits(service)
        _, _, job_id = await service.submit("one")
        await ends(service, job_id)
