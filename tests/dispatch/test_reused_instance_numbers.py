"""An engine gives the number of a deleted instance to another one, which is not our worker."""

from __future__ import annotations

import pytest

from sanic_dispatch.callbacks.outcome import InDoubt, Refused
from sanic_dispatch.core.evidence import state_of_ours
from sanic_dispatch.core.job import State
from sanic_dispatch.core.worker import Key, Worker
from tests.support.world import World, worker

ROBOT, OTHER = worker("c1", "i1"), worker("c5", "i5")
SEEN_S = 120.0
"""The time within which another instance is noticed."""


def reuse_number(world: World, *, inherits: bool = False) -> Worker:
    """Delete ROBOT's instance, and give its number to another one, which has its callback for half
    a minute. Return the new instance as it registers."""
    world.network.uuids[ROBOT.instance_url] = "new"
    world.network.pending[ROBOT.id] = inherits
    return worker("c2", "i1")._replace(key=Key("new", "a1"))


@pytest.mark.parametrize(
    ("word", "there", "state"),
    [
        ("running", "ours", "running"),
        ("stopped", "ours", "stopped"),
        ("running", "another", "gone"),
        ("finished", "another", "gone"),
        ("stopped", "another", "gone"),
        ("running", "", "running"),
        ("running", None, None),
        ("gone", None, "gone"),
        (None, "another", None),
    ],
)
def test_another_uuid_means_that_the_instance_is_gone(
    word: str | None, there: str | None, state: str | None
) -> None:
    """An engine without UUIDs is believed; one that does not answer proves nothing."""
    assert state_of_ours(word, "ours", there) == state


@pytest.mark.parametrize("state", ["running", "stopped", "finished", "abandoned"])
async def test_a_job_of_an_instance_whose_number_is_reused_is_failed(
    world: World, state: str
) -> None:
    """Our instance is gone; an operator can put the job back."""
    await world.register(ROBOT)
    job_id = (await world.submit("x")).job.id
    reuse_number(world)
    world.network.states[ROBOT.instance_url] = state
    await world.clock.advance(SEEN_S)
    job = await world.job(job_id)
    assert (job.state, job.reason) == (State.FAILED, "its process instance is gone")


async def test_an_unused_confirmed_job_goes_back(
    world: World,
) -> None:
    """The inherited callback still waits, so our instance never used the job."""
    await world.register(ROBOT)
    job_id = (await world.submit("x")).job.id
    reuse_number(world, inherits=True)
    await world.clock.advance(SEEN_S)
    assert (await world.job(job_id)).state is State.WAITING
    assert world.delivered == ["x"]


@pytest.mark.parametrize("inherits", [True, False])
async def test_a_doubt_is_not_cleared_up_by_the_new_instance(world: World, inherits: bool) -> None:
    """The job is not resent to it, and that it runs does not mean that ours took the job."""
    await world.register(ROBOT)
    world.network.outcomes[ROBOT.id] = [InDoubt("no answer in time")]
    job_id = (await world.submit("x")).job.id
    reuse_number(world, inherits=inherits)
    await world.clock.advance(SEEN_S)
    assert (await world.job(job_id)).state is (State.WAITING if inherits else State.FAILED)
    assert world.delivered == ["x"]
    assert world.workers() == []


async def test_an_unused_job_in_doubt_goes_to_another_robot(world: World) -> None:
    """The order returns to its own place."""
    await world.register(ROBOT)
    world.network.outcomes[ROBOT.id] = [InDoubt("no answer in time")]
    await world.submit("x")
    reuse_number(world, inherits=True)
    await world.clock.advance(SEEN_S)
    assert await world.register(OTHER) == "x"


@pytest.mark.parametrize("inherits", [True, False])
async def test_a_robot_set_aside_whose_number_is_reused_is_dropped(
    world: World, inherits: bool
) -> None:
    """Also while the new instance has its callback: a job sent there would be lost."""
    await world.register(ROBOT)
    world.network.outcomes[ROBOT.id] = [Refused("answered 503")]
    await world.submit("x")
    reuse_number(world, inherits=inherits)
    await world.clock.advance(SEEN_S)
    assert world.workers() == []
    assert world.delivered == ["x"]


async def test_a_robot_that_waited_long_is_identified_before_it_gets_a_job(
    world: World,
) -> None:
    """After --probe-after the callback of a new instance gets no job."""
    await world.register(ROBOT)
    await world.clock.advance(61)
    reuse_number(world, inherits=True)
    await world.submit("x")
    assert world.delivered == []


async def test_the_new_instance_is_a_worker_of_its_own(world: World) -> None:
    """Its registration does not complete the old one's job, and it gets the next one."""
    await world.register(ROBOT)
    job_id = (await world.submit("x")).job.id
    new = reuse_number(world)
    await world.submit("y")
    assert await world.register(new) == "y"
    assert (await world.job(job_id)).state is State.ASSIGNED
