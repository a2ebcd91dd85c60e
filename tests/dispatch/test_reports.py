"""Reports of workers: complete, fail, extend; and leases that end."""

from __future__ import annotations

import pytest

from sanic_dispatch.core.job import State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key
from sanic_dispatch.errors import NotTheHolder
from tests.support.world import World, running_world, worker


@pytest.mark.parametrize("by", ["callback", "key", "receipt"])
async def test_the_holder_can_complete_its_job(world: World, by: str) -> None:
    """By its callback, its key, or the job's receipt; a repeat is accepted."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    job = await world.job(submission.job.id)
    proof = {
        "callback": Proof(callback_url=worker("c1", "i1").id),
        "key": Proof(key=Key("i1", "a1")),
        "receipt": Proof(receipt=world.dispatcher.receipt_of(job)),
    }[by]
    for _ in range(2):
        done = (await world.dispatcher.complete(job.id, proof, b'{"ice":true}')).job
        assert (done.state, done.result) == (State.DONE, b'{"ice":true}')


@pytest.mark.parametrize(
    "proof",
    [Proof(), Proof(callback_url="http://x/"), Proof(key=Key("i2", "a1")), Proof(receipt="0" * 32)],
)
async def test_only_the_holder_can_report(world: World, proof: Proof) -> None:
    """Without a valid proof each report raises NotTheHolder."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    with pytest.raises(NotTheHolder):
        await world.dispatcher.complete(submission.job.id, proof)
    with pytest.raises(NotTheHolder):
        await world.dispatcher.fail(submission.job.id, proof, "no")
    with pytest.raises(NotTheHolder):
        await world.dispatcher.extend(submission.job.id, proof)


async def test_a_failed_job_can_be_retried_by_others(world: World) -> None:
    """``retry`` puts the job back at its place."""
    submission = await world.submit("x")
    await world.register(worker("c1", "i1"))
    proof = Proof(callback_url=worker("c1", "i1").id)
    for _ in range(2):  # an engine that got no answer reports once more
        await world.dispatcher.fail(submission.job.id, proof, "no ice", retry=True)
    assert await world.register(worker("c2", "i2")) == "x"
    await world.dispatcher.fail(submission.job.id, Proof(key=Key("i2", "a1")), "no rum")
    failed = await world.job(submission.job.id)
    assert (failed.state, failed.reason) == (State.FAILED, "no rum")


async def test_a_job_whose_lease_ended_goes_to_another_worker() -> None:
    """A late report of the former holder does not affect the new attempt."""
    async with running_world(policy=Policy(lease_s=60)) as world:
        submission = await world.submit("x")
        await world.register(worker("c1", "i1"))
        late = Proof(callback_url=worker("c1", "i1").id)
        await world.clock.advance(59)
        await world.dispatcher.extend(submission.job.id, late)
        await world.clock.advance(59)
        assert (await world.job(submission.job.id)).state is State.ASSIGNED
        await world.clock.advance(3)
        assert await world.register(worker("c2", "i2")) == "x"
        with pytest.raises(NotTheHolder):
            await world.dispatcher.complete(submission.job.id, late)


async def test_a_late_report_counts_until_the_job_is_assigned_again() -> None:
    """The drink was mixed, if too late: it is not mixed again."""
    async with running_world(policy=Policy(lease_s=60)) as world:
        submission = await world.submit("x")
        await world.register(worker("c1", "i1"))
        await world.clock.advance(61)
        assert (await world.job(submission.job.id)).state is State.WAITING
        await world.register(worker("c2", "i1"))
        assert (await world.job(submission.job.id)).state is State.DONE


async def test_nothing_is_left_of_a_lease_whose_job_is_over() -> None:
    """No timer holds on to a job until its lease would have ended, nor one for each report."""
    async with running_world(policy=Policy(lease_s=3600.0)) as world:
        timers = world.dispatcher._timers
        before = len(timers)
        for number in range(3):
            placed = await world.submit(number)
            await world.register(robot := worker(f"c{number}", f"i{number}"))
            for percent in (10.0, 20.0):
                await world.clock.advance(5)
                proof = Proof(callback_url=robot.id)
                await world.dispatcher.report_progress(placed.job.id, proof, percent, None)
                await world.dispatcher.extend(placed.job.id, proof)
            assert len(timers) == before + 1
            await world.dispatcher.complete(placed.job.id, proof)
            assert len(timers) == before
