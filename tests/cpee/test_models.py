"""The example models, run by the simulated engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sanic_dispatch.simulation import CallFailed, Engine
from tests.simulation import conftest as stand_in
from tests.support.example_robot import example_robot
from tests.support.paths import CPEE_EXAMPLES
from tests.support.process_model import Process
from tests.support.ruby import RubyError, Scope, evaluate, run
from tests.support.server import Service, eventually, running_service

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
UNAVAILABLE = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"


def json_answer(body: bytes) -> bytes:
    return JSON % (len(body), body)


def job(name: str) -> bytes:
    return json_answer(b'{"Job":{"id":"%b","data":{"drink":"mojito"}}}' % name.encode())


def load(engine: Engine, name: str, dispatcher: str, robot: str) -> Process:
    """Load an example, with its endpoints changed as docs/cpee.md says."""
    process = Process(engine, CPEE_EXAMPLES / f"{name}.xml")
    for key, address in process.endpoints.items():
        if address and key != "robot":
            process.endpoints[key] = address.replace("http-post://127.0.0.1:2567/", dispatcher)
    process.endpoints["robot"] = robot
    process.data["seconds"] = process.data["pause"] = "0.01"
    return process


@asynccontextmanager
async def at_work(process: Process) -> AsyncIterator[asyncio.Task[None]]:
    """Run the process."""
    task = asyncio.create_task(process.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def all_done(service: Service, orders: int) -> None:
    """Submit these orders, and return once all are done."""
    ids = [(await service.submit({"drink": "mojito", "n": n}))[2] for n in range(orders)]

    async def is_done() -> bool:
        return {(await service.job(job_id))["state"] for job_id in ids} == {"done"}

    await eventually(is_done, 20)


@pytest.mark.parametrize("name", ["worker", "two-robots", "rescue", "three-drinks"])
async def test_a_model_mixes_what_is_ordered(name: str) -> None:
    """Each model gets its orders, has its robot mix them, and registers again."""
    async with Engine() as engine, running_service() as service, example_robot() as robot:
        process = load(engine, name, service.base_url, robot)
        async with at_work(process):
            await all_done(service, 5)


async def test_a_model_that_makes_three_drinks() -> None:
    """It gets orders for these only, in turn; others wait, and say why."""
    async with Engine() as engine, running_service() as service, example_robot() as robot:
        _, _, job_id = await service.submit({"drink": "beer"})
        async with at_work(load(engine, "three-drinks", service.base_url, robot)):
            await all_done(service, 2)
            job = await service.job(job_id)
    assert (job["state"], job["why"]) == ("waiting", {"reason": "no_able_worker"})


async def test_a_model_sends_its_token() -> None:
    """The models' header is accepted; without it the instance stops."""
    async with (
        Engine() as engine,
        running_service(worker_tokens=("a-token-of-the-workers",)) as service,
        example_robot() as robot,
    ):
        process = load(engine, "worker", service.base_url, robot)
        with pytest.raises(CallFailed, match="answered 401"):
            await process.run()
        assert process.instance.state == "stopped"
        text = (CPEE_EXAMPLES / "worker.xml").read_text()
        text = text.replace("WORKER-TOKEN", "a-token-of-the-workers")
        shown = Process(engine, text)
        shown.endpoints, shown.data = process.endpoints, process.data
        async with at_work(shown):
            await shown.instance.until(lambda: shown.instance.waiting)


class StandIns:
    """A dispatcher and a robot with prepared answers."""

    def __init__(self) -> None:
        self.dispatcher = stand_in.Service()
        self.robot = stand_in.Service()
        self.robot.answers = [json_answer(b'{"ok":true}')]

    @property
    def asked(self) -> list[str]:
        """Return the query of each registration."""
        paths = [request.split(b" ", 2)[1].decode() for request in self.dispatcher.requests]
        return [path.partition("?")[2] for path in paths]

    @property
    def ordered(self) -> list[bytes]:
        """Return the arguments of each call of the robot."""
        return [request.partition(b"\r\n\r\n")[2] for request in self.robot.requests]

    async def until(self, answers: int) -> None:
        """Wait for one registration more than there are answers."""
        while len(self.dispatcher.requests) <= answers:
            self.dispatcher.arrived.clear()
            await self.dispatcher.arrived.wait()


@pytest.fixture
async def stand_ins() -> AsyncIterator[StandIns]:
    both = StandIns()
    await both.dispatcher.start()
    await both.robot.start()
    yield both
    await both.dispatcher.stop()
    await both.robot.stop()


async def answered(stand_ins: StandIns, *answers: bytes) -> Process:
    """Run the rescue example against these answers of the dispatcher."""
    stand_ins.dispatcher.answers = [*answers, stand_in.ACCEPTED]
    async with Engine() as engine:
        base = stand_ins.dispatcher.base.replace("http:", "http-post:")
        process = load(engine, "rescue", base, stand_ins.robot.url)
        async with at_work(process):
            await asyncio.wait_for(stand_ins.until(len(answers)), 10)
    return process


ORDER = b"order=%7B%22drink%22%3A+%22mojito%22%7D&seconds=0.01"
PAUSE = b"seconds=0.01"


async def test_a_failed_registration_is_repeated_with_lost(stand_ins: StandIns) -> None:
    """The rescue model waits a little, registers with ?lost, and goes on."""
    await answered(stand_ins, UNAVAILABLE, UNAVAILABLE, job("1"), job("2"))
    assert stand_ins.asked == ["", "lost", "lost", "", ""]
    assert stand_ins.ordered == [PAUSE, PAUSE, ORDER, ORDER]


async def test_an_order_that_is_given_again_is_not_mixed_again(stand_ins: StandIns) -> None:
    """If ?lost brings the order that was mixed last, it is done without mixing."""
    await answered(stand_ins, job("1"), UNAVAILABLE, job("1"), job("2"))
    assert stand_ins.asked == ["", "", "lost", "", ""]
    assert stand_ins.ordered == [ORDER, PAUSE, ORDER]


@pytest.mark.parametrize("nothing", [b'"Queued"', b'{"Error":"Broken"}'])
async def test_a_result_without_an_order_is_asked_for_again(
    stand_ins: StandIns, nothing: bytes
) -> None:
    """The rescue model repeats ?lost until it has an order: its own may have been lost."""
    await answered(stand_ins, json_answer(nothing), job("1"))
    assert stand_ins.asked == ["", "lost", ""]
    assert stand_ins.ordered == [PAUSE, ORDER]


async def test_a_robot_brings_its_result_later(stand_ins: StandIns) -> None:
    """The example robot answers 202 without a body, and puts its result afterwards."""
    async with (
        Engine() as engine,
        example_robot() as robot,
        example_robot("--fail-rate", "1") as bad,
    ):
        instance = engine.start_instance()
        for url, result in ((robot, {"ok": True}), (bad, {"ok": False, "reason": "no ice"})):
            brought = await instance.call(url.replace("-post", ""), arguments={"seconds": "0.01"})
            assert (brought.by_callback, brought.value) == (True, result)
        assert instance.updates == []


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("nil && data.order['id']", None),
        ("data.order && data.order['id'] != data.mixed", True),
        ("data.order['id'] == '1'", True),
        ("data.none || 'x'", "x"),
        ("!data.none", True),
        ("!(true && 1)", False),
        ("false ? data.a : endpoints.dispatcher + '?lost'", "http://x/?lost"),
        ("'Queued'['Job']", None),
        ("'The Job'['Job']", "Job"),
        ("headers['JOB_RECEIPT']", "0f"),
        ("result['Job']['data']['drink']", "mojito"),
    ],
)
def test_the_ruby_of_the_models(code: str, value: Any) -> None:
    """Expressions have the values that they have in Ruby."""
    scope = Scope(
        {"order": {"id": "1"}, "mixed": "2"},
        {"dispatcher": "http://x/"},
        {"Job": {"data": {"drink": "mojito"}}},
        {"JOB_RECEIPT": "0f"},
    )
    assert evaluate(code, scope) == value


@pytest.mark.parametrize(
    "code",
    [
        "sleep 5",
        "nil['Job']",
        "result.x = 1",
        "data.x = ",
        "data.x 1",
        "(nil",
        "'a' + 1",
        "data.x = %",
    ],
)
def test_unsupported_ruby(code: str) -> None:
    """Invalid Ruby, and a sleep, which would block the engine, are errors."""
    with pytest.raises(RubyError):
        run(code, Scope({}, {}))
