"""Workers that are set aside: how often they are probed, how long they are kept, and the reason."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from sanic_dispatch.callbacks.outcome import Accepted, Refused
from sanic_dispatch.core.evidence import PROBES_PER_S
from sanic_dispatch.core.worker import Worker
from tests.support.world import World, worker


def count_probes(world: World) -> dict[str, list[float]]:
    """Record the times at which each callback is probed from now on."""
    probes: dict[str, list[float]] = {}
    ask = world.network.is_pending

    async def counted(url: str, if_silent: bool | None = None) -> bool | None:
        probes.setdefault(url, []).append(world.clock.elapsed_s)
        return await ask(url, if_silent)

    world.network.is_pending = counted
    return probes


async def set_aside(world: World, *robots: Worker) -> None:
    """Register robots that are stopped, and have each refuse the same order."""
    for robot in robots:
        world.network.outcomes[robot.id] = [Refused("answered 503")]
        world.network.pending[robot.id] = False
        world.network.states[robot.instance_url] = "stopped"
        await world.register(robot)
    await world.submit("x")
    await world.quiet()
    assert all(each.aside for each in world.workers())


async def cancel_all(world: World) -> None:
    for job in world.waiting_jobs():
        await world.dispatcher.cancel(job.id)


async def test_robots_that_are_needed_are_probed_every_five_seconds(world: World) -> None:
    """While orders wait and no robot is free, for any length of time."""
    robots = [worker(f"c{n}", f"i{n}") for n in range(3)]
    await set_aside(world, *robots)
    await world.clock.advance(600)
    probes = count_probes(world)
    await world.clock.advance(300)
    assert probes.keys() == {robot.id for robot in robots}
    for times in probes.values():
        assert max(after - before for before, after in pairwise(times)) <= 5.0


@pytest.mark.parametrize("end", ["cancel", "register"])
async def test_robots_that_are_not_needed_are_probed_seldom(world: World, end: str) -> None:
    """Without a waiting order, or with a free robot, the interval grows to a minute."""
    await set_aside(world, robot := worker("c1", "i1"))
    if end == "cancel":
        await cancel_all(world)
    else:
        await world.dispatcher.operator.pause("no ice")
        await world.register(worker("c2", "i2"))
    await world.clock.advance(600)
    probes = count_probes(world)
    await world.clock.advance(300)
    assert 3 <= len(probes[robot.id]) <= 8


async def test_a_robot_that_is_continued_is_back_within_five_seconds(world: World) -> None:
    """Also after an hour, and it gets the waiting order at once."""
    await set_aside(world, robot := worker("c1", "i1"))
    await world.clock.advance(3600)
    sent = len(world.delivered)
    world.network.pending[robot.id] = True
    world.network.states[robot.instance_url] = "running"
    await world.clock.advance(5)
    assert world.delivered[sent:] == ["x"]


async def test_a_new_order_hastens_probes(world: World) -> None:
    """Robots that were probed once a minute are probed within five seconds of a new order."""
    await set_aside(world, robot := worker("c1", "i1"))
    await cancel_all(world)
    await world.clock.advance(3600)
    world.network.pending[robot.id] = True
    world.network.states[robot.instance_url] = "running"
    await world.submit("y")
    await world.clock.advance(5)
    assert world.network.deliveries[-1] == (robot.id, "y")


async def test_no_more_than_twenty_probes_a_second(world: World) -> None:
    """With more than a hundred set aside each has its turn, without overloading the engine."""
    probes = count_probes(world)
    await set_aside(world, *(worker(f"c{n}", f"i{n}") for n in range(120)))
    await world.clock.advance(20)
    assert len(probes) == 120
    seconds = Counter(int(each) for times in probes.values() for each in times)
    assert max(seconds.values()) <= PROBES_PER_S


async def test_the_reason_is_updated_after_a_probe(world: World) -> None:
    """First "answered 503"; after a probe that the instance is stopped, published once."""
    await set_aside(world, robot := worker("c1", "i1"))
    (waiting,) = world.workers()
    assert waiting.aside
    assert waiting.aside.reason == "answered 503"
    await world.clock.advance(60)
    (waiting,) = world.workers()
    assert waiting.aside
    assert waiting.aside.reason == "its instance is stopped"
    assert world.kinds().count("worker.set_aside") == 2
    world.network.states[robot.instance_url] = None
    world.network.pending[robot.id] = None
    await world.clock.advance(60)
    (waiting,) = world.workers()
    assert waiting.aside
    assert waiting.aside.reason == "its instance is stopped"


DAY_S = 24 * 3600.0


async def set_aside_with_state(world: World, state: str | None) -> Worker:
    """Register a robot that refuses its order because its instance is in this state."""
    robot = worker("c1", "i1")
    await world.register(robot)
    world.network.outcomes[robot.id] = [Refused("503")]
    world.network.pending[robot.id] = False if state else None
    world.network.states[robot.instance_url] = state
    await world.submit("x")
    return robot


@pytest.mark.parametrize("state", ["gone", "finished", "abandoned"])
async def test_a_robot_whose_instance_has_ended_is_dropped(world: World, state: str) -> None:
    """A robot is dropped once its instance has ended."""
    await set_aside_with_state(world, state)
    await world.clock.advance(5)
    assert world.workers() == []


@pytest.mark.parametrize("state", ["stopped", "stopping", "running", "ready", None])
async def test_a_robot_is_kept_for_a_day(world: World, state: str | None) -> None:
    """A stopped or unreachable robot may come back; after a day it is dropped."""
    robot = await set_aside_with_state(world, state)
    await cancel_all(world)
    await world.clock.advance(DAY_S - 300)
    assert [w.id for w in world.workers()] == [robot.id]
    await world.clock.advance(600)
    assert world.workers() == []


async def test_a_clock_that_jumps_drops_no_robot(world: World) -> None:
    """How long it was not seen is counted by the monotonic clock, also while it is needed."""
    await set_aside(world, worker("c1", "i1"))
    world.clock.jump(25 * 3600)
    await world.clock.advance(60)
    assert len(world.workers()) == 1
    await world.clock.advance(24 * 3600)
    assert world.workers() == []


async def test_a_repeated_registration_brings_a_robot_back(world: World) -> None:
    """It gets a job at once, without a probe."""
    robot = await set_aside_with_state(world, "stopped")
    await world.register(robot)
    assert [url for url, _ in world.network.deliveries] == [robot.id, robot.id]


@pytest.mark.parametrize(
    ("state", "is_kept"), [("stopped", True), ("running", False), ("finished", False)]
)
async def test_a_worker_whose_time_is_over_is_told_so(
    world: World, state: str, is_kept: bool
) -> None:
    """Again and again while it may not have heard: a stopped instance refuses what it waits for."""
    robot = worker("c1", "i1")._replace(expires_s=world.clock.now_s() + 60)
    world.network.outcomes[robot.id] = [Refused("answered 404")] * 10
    world.network.pending[robot.id] = False
    world.network.states[robot.instance_url] = state
    await world.register(robot)
    await world.clock.advance(90)
    assert [each.id for each in world.workers()] == ([robot.id] if is_kept else [])


async def test_a_worker_that_is_back_after_its_time_is_told_so_once(world: World) -> None:
    """Also if it takes a while to answer: the timer of its registration is stopped."""
    robot, answer = worker("c1")._replace(expires_s=world.clock.now_s() + 60), world.never()
    world.network.outcomes[robot.id] = [answer]
    await world.register(robot)
    await world.dispatcher.operator.set_aside(robot.id, "smells burnt")
    await world.clock.advance(70)
    await world.dispatcher.operator.bring_back(robot.id, "cleaned")
    await world.clock.advance(2)
    answer.set_result(Accepted())
    await world.clock.advance(2)
    assert [url for url, _ in world.network.deliveries] == [robot.id]
    assert world.workers() == []
