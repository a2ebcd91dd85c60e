"""The robot's loop: register, mix, register."""

from __future__ import annotations

import asyncio
import random

import aiohttp
import pytest

from sanic_dispatch.simulation import CallFailed, Faults, Robot, RobotHooks, RobotModel
from sanic_dispatch.simulation.crew import Crew, Plan, order_label
from sanic_dispatch.simulation.outside import OutsideEngine, address_towards
from sanic_dispatch.simulation.random_faults import Mishaps, MishapTimes, Rates
from tests.simulation.conftest import ACCEPTED
from tests.support.clock import FakeClock, settle

JOB = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n"
    b'{"Job":{"id":"7"}}\n'
)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"


class HeldClock:
    """A clock that sleeps in no time, and records the durations."""

    def __init__(self):
        self.time_s = 0.0
        self.slept = []

    def now_s(self):
        return self.time_s

    def monotonic_s(self):
        return self.time_s

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.time_s += seconds


@pytest.fixture
def clock():
    return HeldClock()


async def test_rounds(instance, service, clock):
    """Each job is noted, mixed for its time, and followed by the next registration."""
    service.answers = [JOB]
    told = []
    robot = Robot(
        instance,
        RobotModel(service.base, mix_s=5.0, jitter=0.0),
        hooks=RobotHooks(on_job=lambda robot, result: told.append(result.value)),
        clock=clock,
    )
    await robot.run(rounds=2)
    assert told == [{"Job": {"id": "7"}}] * 2
    assert clock.slept == [5.0, 0.15, 5.0, 0.15]
    assert len(service.requests) == 2


async def test_jitter(instance, service, clock):
    """The mixing time varies by the given share, depending on the seed only."""
    service.answers = [JOB]
    model = RobotModel(service.base, mix_s=10.0, jitter=0.5)
    robot = Robot(instance, model, clock=clock, rng=random.Random(1))
    await robot.run(rounds=20)
    mixed = clock.slept[::2]
    assert all(5.0 <= s <= 15.0 for s in mixed)
    assert len(set(mixed)) == 20


async def test_by_callback(instance, service, clock, http):
    """A job can come by the callback; its bytes are kept."""
    told = []
    robot = Robot(
        instance,
        RobotModel(service.base),
        hooks=RobotHooks(on_job=lambda robot, result: told.append(result.body)),
        clock=clock,
    )
    task = asyncio.create_task(robot.run(rounds=1))
    await instance.until(lambda: instance.waiting)
    async with http.put(instance.callback_urls[0], json={"Job": {"id": "1"}}) as response:
        assert response.status == 200
    await task
    assert told == [b'{"Job": {"id": "1"}}']


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", b"/register-worker"),
        ("ports/2567", b"/ports/2567/register-worker"),
        ("ports/2567/", b"/ports/2567/register-worker"),
        ("?token=a%2Fb", b"/register-worker?token=a/b"),
    ],
)
async def test_address(instance, service, clock, base, path):
    """Robots call below any path prefix; a query is sent with each call."""
    service.answers = [NO_CONTENT]
    await Robot(instance, RobotModel(service.base + base), clock=clock).run(rounds=1)
    assert service.requests[0].startswith(b"POST %b HTTP/1.1\r\n" % path)


async def test_a_rule(instance, service, clock):
    """It is in each call, beside the URL's own query and ?lost."""
    service.answers = [None, NO_CONTENT]
    rule = [("match.drink", "mojito|gin"), ("not.size", "xl"), ("not.size", "l")]
    model = RobotModel(service.base + "?token=t", rescue_s=1.0, rule=rule)
    await Robot(instance, model, clock=clock).run(rounds=2)
    queries = [request.split(b" ", 2)[1].partition(b"?")[2] for request in service.requests]
    first = b"token=t&match.drink=mojito%7Cgin&not.size=xl&not.size=l"
    assert queries == [first, first + b"&lost="]


async def test_an_empty_result_is_no_job(instance, service, clock):
    """A call without a job is followed by the next one, without mixing."""
    service.answers = [NO_CONTENT]
    await Robot(instance, RobotModel(service.base), clock=clock).run(rounds=2)
    assert clock.slept == [0.15, 0.15]


async def test_no_rescue(instance, service, clock):
    """A failed call stops the instance and its robot."""
    service.answers = [UNAVAILABLE]
    with pytest.raises(CallFailed):
        await Robot(instance, RobotModel(service.base), clock=clock).run()
    assert instance.state == "stopped"


async def test_rescue(instance, service, clock):
    """With rescue code the robot waits and calls again."""
    service.answers = [UNAVAILABLE, UNAVAILABLE, JOB]
    model = RobotModel(service.base, mix_s=1, jitter=0, rescue_s=3)
    await Robot(instance, model, clock=clock).run(rounds=3)
    assert clock.slept == [3, 3, 1, 0.15]
    assert instance.state == "running"


async def test_the_instance_ends(instance, service, clock):
    """The robot of an instance that ends stops without an error."""
    task = asyncio.create_task(Robot(instance, RobotModel(service.base), clock=clock).run())
    await instance.until(lambda: instance.waiting)
    instance.abandon()
    await task


@pytest.mark.parametrize(("attributes", "braked"), [({}, 3), ({"nednoamol": "true"}, 0)])
async def test_brake(engine, service, clock, attributes, braked):
    """After 100 rounds, one of less than 2 s is followed by 1 s, unless an attribute forbids it."""
    service.answers = [NO_CONTENT]
    instance = engine.start_instance(attributes=attributes)
    await Robot(instance, RobotModel(service.base), clock=clock).run(rounds=103)
    assert clock.slept.count(1.0) == braked


async def test_after_a_failed_call_the_last_answer_is_asked_for(instance, service, clock):
    """Rescue code registers with ?lost; after an answer the robot calls as usual."""
    service.answers = [UNAVAILABLE, NO_CONTENT]
    robot = Robot(instance, RobotModel(service.base + "?token=t", rescue_s=3), clock=clock)
    await robot.run(rounds=3)
    queries = [request.split(b" ", 2)[1].partition(b"?")[2] for request in service.requests]
    assert queries == [b"token=t", b"token=t&lost=", b"token=t"]


async def test_what_is_mixed_is_not_mixed_again(instance, service, clock):
    """If ?lost brings the job that was mixed last, it is not mixed again."""
    service.answers = [JOB, UNAVAILABLE, JOB, NO_CONTENT]
    mixed = []
    robot = Robot(
        instance,
        RobotModel(service.base, rescue_s=3),
        hooks=RobotHooks(on_mixed=lambda *_: mixed.append(1)),
        clock=clock,
    )
    await robot.run(rounds=4)
    assert (len(mixed), robot.mixed) == (1, 1)


async def test_the_label(instance, service, clock):
    """A robot's label is that of its activity."""
    service.answers = [NO_CONTENT]
    await Robot(instance, RobotModel(service.base, label="Robot 7"), clock=clock).run(rounds=1)
    assert dict(service.headers())["CPEE-LABEL"] == "Robot 7"


def mishaps(told, **rates):
    return Mishaps(
        Rates(**rates),
        clock=HeldClock(),
        rng=random.Random(1),
        on_mishap=lambda _, text: told.append(text),
    )


@pytest.mark.parametrize(
    ("rates", "statuses"), [({"fail": 1.0}, {500, 503}), ({"stop": 1.0}, {None}), ({}, {None})]
)
async def test_rates_of_mishaps(instance, rates, statuses):
    """A rate of 1 is every round, 0 no round; a failure takes no job."""
    dice, seen = mishaps([], **rates), set()
    for _ in range(20):
        dice.begin_round(instance)
        seen.add(instance.faults.status)
        assert instance.faults.take is (instance.faults.status is None)
    assert seen == statuses
    await dice.end()


async def test_a_hang_is_one_of_three(instance):
    """The PUT hangs after taking the job or before, or the answer is lost after taking it."""
    dice, seen = mishaps([], hang=1.0), set()
    for _ in range(50):
        dice.begin_round(instance)
        seen.add((instance.faults.take, instance.faults.hang, instance.faults.close))
    assert seen == {(True, True, False), (False, True, False), (True, False, True)}
    await dice.end()


async def test_a_failure_happens_once(instance, waiting, http):
    """After one refused PUT, the next one to the same callback succeeds."""
    told = []
    dice = mishaps(told, fail=1.0)
    dice.begin_round(instance)
    task = await waiting()
    async with http.put(instance.callback_urls[0], json=1) as response:
        assert response.status in (500, 503)
    await instance.until(lambda: instance.faults == Faults())
    async with http.put(instance.callback_urls[0], json=2) as response:
        assert response.status == 200
    assert (await task).value == 2
    assert told[0].startswith("refuses a job with 50")
    await dice.end()


async def test_a_stop_ends(instance):
    """A stopped robot is continued; at most one is stopped at a time."""
    told = []
    dice = mishaps(told, stop=1.0)
    dice.begin_round(instance)
    dice.begin_round(instance)
    await instance.until(lambda: not dice.is_disrupted and instance.state == "running")
    assert told == ["is stopped", "is continued"]
    await dice.end()


async def test_a_kill_is_repaired(instance, waiting):
    """A killed process is stopped and continued later, and waits where it waited."""
    told = []
    await waiting()
    url = instance.callback_urls[0]
    dice = mishaps(told, kill=1.0)
    dice.begin_round(instance)
    await instance.until(lambda: not dice.is_disrupted and instance.state == "running")
    assert told == ["is killed", "is repaired"]
    assert instance.callback_urls == [url]
    await dice.end()


@pytest.mark.parametrize("disruption", ["stop", "kill", "delete"])
async def test_calm_down(instance, disruption):
    """After calm_down all robots are repaired, and there are no more mishaps."""
    told = []
    dice = mishaps(told, **{disruption: 1.0})
    dice.begin_round(instance)
    await dice.calm_down()
    assert ((instance.heir or instance).state, dice.is_disrupted) == ("running", False)
    assert told
    told.clear()
    dice.begin_round(instance)
    await dice.calm_down()
    assert told == []
    await dice.end()


async def test_the_evaluator_is_blocked_for_a_while(instance, engine):
    """Code that sleeps in one model delays the evaluations of all others."""
    told, seen, clock = [], [], FakeClock()
    dice = Mishaps(
        Rates(busy=1.0),
        MishapTimes(within_s=1.0, busy_s=2.0),
        clock=clock,
        rng=random.Random(1),
        on_mishap=lambda _, text: told.append(text),
    )
    dice.begin_round(instance)
    await clock.advance(1.0)
    engine.evaluator.submit(lambda: seen.append(1))
    assert (told, seen) == (["sleeps in its code"], [])
    await clock.advance(3.0)
    assert seen == [1]
    await dice.end()


async def test_a_deleted_robot_is_another_instance(instance, service, clock, http):
    """It is replaced by the next instance of its number, which waits on its callback."""
    service.answers = [ACCEPTED]
    mixed, told = [], []
    dice = mishaps(told, delete=1.0)
    robot = Robot(
        instance,
        RobotModel(service.base),
        hooks=RobotHooks(on_mixed=lambda _, result: mixed.append(result.value["Job"])),
        mishaps=dice,
        clock=clock,
    )
    task = asyncio.create_task(robot.run(rounds=1))
    await service.arrived.wait()
    await instance.until(lambda: instance.over)
    dice.rates = Rates()
    assert told[0] == "is deleted, and started again"
    heir = instance.heir
    assert (heir.number, heir.uuid != instance.uuid) == (instance.number, True)
    await heir.until(lambda: heir.waiting)
    async with http.put(heir.callback_urls[0], json={"Job": 1}) as response:
        assert response.status == 200
    await task
    assert (mixed, robot.instance) == ([1], heir)


async def test_an_heir_that_is_found_begins_again(instance, waiting, service):
    """After its position was removed and set again, it registers with a new callback."""
    await waiting()
    url = instance.callback_urls[0]
    heir = instance.engine.restart(instance)
    task = asyncio.create_task(heir.call(service.url))
    await settle()
    assert heir.waits_on_inherited
    assert (heir.callback_urls, len(service.requests)) == ([url], 1)
    heir.begin_again()
    await heir.until(lambda: heir.waiting)
    assert not heir.waits_on_inherited
    assert (heir.callback_urls != [url], len(service.requests)) == (True, 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("killed", "status"), [(False, 503), (True, 200)])
async def test_the_old_callback_after_beginning_again(
    instance, waiting, service, http, killed, status
):
    """A live process has unregistered it; a dead one could not."""
    task = await waiting()
    url = instance.callback_urls[0]
    if killed:
        instance.kill()
    instance.begin_again()
    await instance.until(lambda: len(service.requests) == 2 and instance.waiting)
    async with http.put(url, json=1) as response:
        assert response.status == status
    async with http.put(instance.callback_urls[-1], json=2) as response:
        assert response.status == 200
    assert (await task).value == 2


@pytest.mark.parametrize("end", ["delete", "kill"])
async def test_what_was_being_mixed_is_gone_with_its_instance(engine, service, end):
    """An instance that was deleted or killed does not finish its drink."""
    service.answers, clock, mixed = [JOB], FakeClock(), []
    instance = engine.start_instance()
    hooks = RobotHooks(on_mixed=lambda *_: mixed.append(1))
    robot = Robot(instance, RobotModel(service.base, mix_s=5), hooks=hooks, clock=clock)
    task = asyncio.create_task(robot.run(rounds=1))
    await instance.until(lambda: robot.doing == "mixes")
    getattr(instance, end)()
    await clock.advance(60.0)
    assert mixed == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_same_seed_is_the_same_night(instance):
    """The same seed gives the same mishaps."""
    nights = []
    for _ in range(2):
        dice, night = mishaps([], fail=0.3, hang=0.3), []
        for _ in range(20):
            dice.begin_round(instance)
            night.append(instance.faults)
        nights.append(night)
        await dice.end()
    assert nights[0] == nights[1]


async def test_a_crew(service):
    """Each robot of a crew has a name, registers, and reports its state."""
    news = asyncio.Queue()
    service.answers = [JOB]
    plan = Plan(url=service.base, count=2, mix_s=0.001, label="Bot", seed=1)
    task = asyncio.create_task(Crew(plan, lambda *told: news.put_nowait(told)).run())
    told = {await asyncio.wait_for(news.get(), 5) for _ in range(4)}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {name for name, _ in told} <= {"Bot 1", "Bot 2"}
    assert ("Bot 1", "mixes job 7") in told


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"id": "1" * 32, "data": {"drink": "mojito", "name": "Ada"}}, "mojito for Ada"),
        ({"id": "1" * 32, "data": {"drink": 3}}, "job 11111111"),
        ({"id": "1" * 32, "data": [1]}, "job 11111111"),
    ],
)
def test_what_an_order_is_called(job, words):
    """An order is called by drink and name, or by its id if it has none."""
    assert order_label({"Job": job}) == words


async def test_an_engine_that_others_can_reach(service, clock):
    """An engine with another host listens there, and uses it in its URLs."""
    async with OutsideEngine("127.0.0.2") as engine:
        instance = engine.start_instance()
        assert instance.url == f"http://127.0.0.2:{engine.port}/1/"
        task = asyncio.create_task(instance.call(service.url))
        await instance.until(lambda: instance.waiting)
        async with aiohttp.request("GET", instance.callback_urls[0]) as response:
            assert response.status == 200
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_the_address_towards_a_service():
    """Towards this machine, or without a route, it is loopback."""
    assert address_towards("http://localhost:2567/") == "127.0.0.1"
    assert address_towards("http://no-such-host.invalid/") == "127.0.0.1"
