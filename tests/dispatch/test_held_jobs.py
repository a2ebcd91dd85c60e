"""Held jobs: doubt, leases, and instances that are asked; independent of the wall clock."""

from __future__ import annotations

import random

import pytest

from sanic_dispatch.callbacks.outcome import InDoubt, Refused
from sanic_dispatch.core.evidence import FIRST_INTERVAL_S, LAST_INTERVAL_S, growing_s
from sanic_dispatch.core.job import Stage, State
from sanic_dispatch.core.topic import Policy
from tests.support.world import World, running_world, worker

DAY_S = 24 * 3600.0


async def cancel_all(world: World) -> None:
    """Cancel the waiting orders, so that no robot is needed."""
    for job in world.jobs():
        if job.is_waiting:
            await world.dispatcher.cancel(job.id)


def test_intervals_grow_from_one_second_to_a_minute() -> None:
    """1, 2, 4 … 60 s; the timers add jitter."""
    drawn = [growing_s(looks) for looks in (-1, 0, 1, 5, 6, 10_000)]
    assert drawn == [1.0, 1.0, 2.0, 32.0, 60.0, 60.0]
    assert (FIRST_INTERVAL_S, LAST_INTERVAL_S) == (1.0, 60.0)


@pytest.mark.parametrize(
    ("state", "becomes"),
    [
        ("finished", State.DONE),
        ("abandoned", State.FAILED),
        ("gone", State.FAILED),
        ("running", State.ASSIGNED),
        ("stopped", State.ASSIGNED),
        (None, State.ASSIGNED),
    ],
)
async def test_an_instance_that_holds_a_job_is_asked(
    world: World, state: str | None, becomes: State
) -> None:
    """Finished: done. Abandoned or gone: failed, and an operator can put it back."""
    robot = worker("c1", "i1")
    submission = await world.submit("x")
    await world.register(robot)
    world.network.states[robot.instance_url] = state
    await world.clock.advance(35)
    assert (await world.job(submission.job.id)).state is becomes


async def test_doubt_stays_while_the_engine_is_unreachable(world: World) -> None:
    """The job stays with its robot; once the engine answers, the doubt is settled."""
    robot = worker("c1", "i1")
    await world.register(robot)
    world.network.outcomes[robot.id] = [InDoubt("time-out")]
    world.network.pending[robot.id] = None
    submission = await world.submit("x")
    await world.clock.advance(3600)
    assert await world.stage(submission.job.id) is Stage.IN_DOUBT
    world.network.pending[robot.id] = False
    await world.clock.advance(80)
    assert await world.stage(submission.job.id) is Stage.CONFIRMED
    assert world.delivered == ["x"]


async def test_a_job_in_doubt_of_a_stopped_instance_goes_to_it_when_it_continues(
    world: World,
) -> None:
    """404 while stopped proves nothing; a callback that waits again did not use the job."""
    robot = worker("c1", "i1")
    await world.register(robot)
    world.network.outcomes[robot.id] = [InDoubt("broken")]
    world.network.pending[robot.id] = False
    world.network.states[robot.instance_url] = "stopped"
    await world.submit("x")
    await world.clock.advance(600)
    assert world.delivered == ["x"]
    world.network.pending[robot.id] = True
    await world.clock.advance(80)
    assert world.delivered == ["x", "x"]


async def test_a_lease_counts_from_the_moment_of_doubt() -> None:
    """With a lease, a job in doubt is put back when it ends."""
    async with running_world(policy=Policy(lease_s=60)) as world:
        robot = worker("c1", "i1")
        await world.register(robot)
        world.network.outcomes[robot.id] = [InDoubt("time-out")]
        world.network.pending[robot.id] = None
        submission = await world.submit("x")
        await world.clock.advance(59)
        assert (await world.job(submission.job.id)).state is State.ASSIGNED
        await world.clock.advance(2)
        assert (await world.job(submission.job.id)).state is State.WAITING


async def test_a_clock_that_jumps_ends_no_lease() -> None:
    """Leases use monotonic time."""
    async with running_world(policy=Policy(lease_s=60)) as world:
        submission = await world.submit("x")
        await world.register(worker("c1", "i1"))
        await world.clock.advance(1)
        world.clock.jump(3600)
        await world.clock.advance(50)
        assert (await world.job(submission.job.id)).state is State.ASSIGNED
        world.clock.jump(-24 * 3600)
        await world.clock.advance(11)
        assert (await world.job(submission.job.id)).state is State.WAITING


async def events_with_jump(jump_s: float) -> list[tuple[float, str, int]]:
    """Return the events of two days with every kind of wait, and a jump of the wall clock."""
    random.seed(1)
    seen: list[tuple[float, str, int]] = []
    async with running_world(policy=Policy(lease_s=600)) as world:
        world.bus.subscribe(
            lambda events: seen.extend(
                (round(world.clock.elapsed_s, 6), event.kind, event.job.ticket if event.job else 0)
                for event in events
            )
        )
        slow, unclear, stopped = worker("c1", "i1"), worker("c2", "i2"), worker("c3", "i3")
        for robot, outcome in ((unclear, InDoubt("time-out")), (stopped, Refused("503"))):
            world.network.outcomes[robot.id] = [outcome]
            world.network.pending[robot.id] = None
        for robot in (slow, unclear, stopped):
            await world.register(robot)
            await world.submit(robot.id)
        await world.register(worker("c4", "i2"))
        for number in range(3):
            await world.submit(number)
        await world.clock.advance(30)
        world.clock.jump(jump_s)
        await world.clock.advance(2000)
        for number in range(5, 9):
            await world.register(worker(f"c{number}", f"i{number}"))
        await world.clock.advance(2000)
        await cancel_all(world)
        await world.clock.advance(2 * DAY_S)
    return seen


async def test_a_clock_that_jumps_changes_nothing() -> None:
    """A jump of the wall clock changes no event and no moment of one."""
    seen = await events_with_jump(0)
    for jump_s in (3600, -DAY_S):
        assert await events_with_jump(jump_s) == seen, jump_s
    assert {"job.returned", "job.doubted", "worker.dropped"} <= {kind for _, kind, _ in seen}
