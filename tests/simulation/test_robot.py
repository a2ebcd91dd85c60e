"""The robot's loop: register, mix, register."""

from __future__ import annotations

import asyncio
import random

import pytest

from sanic_dispatch.simulation import CallFailed, Robot

JOB = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n"
    b'{"Job":{"id":"7"}}\n'
)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"


class HeldClock:
    """A clock that sleeps in no time, and remembers for how long."""

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
    """Each job is told, mixed for its time, and followed by the next registration."""
    service.answers = [JOB]
    told = []
    robot = Robot(
        instance,
        service.base,
        mix_s=5.0,
        jitter=0.0,
        clock=clock,
        on_job=lambda robot, result: told.append(result.value),
    )
    await robot.run(rounds=2)
    assert told == [{"Job": {"id": "7"}}] * 2
    assert clock.slept == [5.0, 0.15, 5.0, 0.15]
    assert len(service.requests) == 2


async def test_jitter(instance, service, clock):
    """The time of mixing varies by the share that was given, and with the seed alone."""
    service.answers = [JOB]
    robot = Robot(instance, service.base, mix_s=10.0, jitter=0.5, clock=clock, rng=random.Random(1))
    await robot.run(rounds=20)
    mixed = clock.slept[::2]
    assert all(5.0 <= s <= 15.0 for s in mixed)
    assert len(set(mixed)) == 20


async def test_by_callback(instance, service, clock, http):
    """A job may come by the callback; the very bytes are recorded."""
    told = []
    robot = Robot(
        instance, service.base, clock=clock, on_job=lambda robot, result: told.append(result.body)
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
    """Robots call below any path prefix, and a query travels with each call."""
    service.answers = [NO_CONTENT]
    await Robot(instance, service.base + base, clock=clock).run(rounds=1)
    assert service.requests[0].startswith(b"POST %b HTTP/1.1\r\n" % path)


async def test_an_empty_result_is_no_job(instance, service, clock):
    """A call that brings no job is followed by the next, without mixing."""
    service.answers = [NO_CONTENT]
    await Robot(instance, service.base, clock=clock).run(rounds=2)
    assert clock.slept == [0.15, 0.15]


async def test_no_rescue(instance, service, clock):
    """A failed call stops the instance, and the robot with it."""
    service.answers = [UNAVAILABLE]
    with pytest.raises(CallFailed):
        await Robot(instance, service.base, clock=clock).run()
    assert instance.state == "stopped"


async def test_rescue(instance, service, clock):
    """With rescue code the robot waits and calls again."""
    service.answers = [UNAVAILABLE, UNAVAILABLE, JOB]
    await Robot(instance, service.base, mix_s=1, jitter=0, rescue_s=3, clock=clock).run(rounds=3)
    assert clock.slept == [3, 3, 1, 0.15]
    assert instance.state == "running"


async def test_the_instance_ends(instance, service, clock):
    """A robot whose instance ends stops quietly."""
    task = asyncio.create_task(Robot(instance, service.base, clock=clock).run())
    await instance.until(lambda: instance.waiting)
    instance.abandon()
    await task


@pytest.mark.parametrize(("attributes", "braked"), [({}, 3), ({"nednoamol": "true"}, 0)])
async def test_brake(engine, service, clock, attributes, braked):
    """After 100 rounds a round under 2 s is braked by 1 s, unless an attribute says no."""
    service.answers = [NO_CONTENT]
    instance = engine.start_instance(attributes=attributes)
    await Robot(instance, service.base, clock=clock).run(rounds=103)
    assert clock.slept.count(1.0) == braked
