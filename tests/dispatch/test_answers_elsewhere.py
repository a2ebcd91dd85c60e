"""Answers with a job that another process writes: what the owner does until it knows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import ujson

from sanic_dispatch.cluster.forwarded_origin import ORIGIN, Origin
from sanic_dispatch.core.job import Job, Stage
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.dispatch.answers_elsewhere import ANSWER_WAIT_S
from tests.support.world import World, worker


@contextmanager
def forwarded(number: int = 1) -> Iterator[None]:
    """Call the dispatcher as for another process."""
    token = ORIGIN.set(Origin("run", number, 1))
    try:
        yield
    finally:
        ORIGIN.reset(token)


async def given_elsewhere(world: World, data: int) -> Job:
    """Return a job that is in an answer which another process writes."""
    await world.submit(data)
    with forwarded():
        job = await world.dispatcher.register(worker("c1", "i1"))
    assert job
    return job


async def test_the_next_registration_waits(world: World) -> None:
    """The worker is back before its answer is known to be written, and gets the next job."""
    job = await given_elsewhere(world, 1)
    await world.submit(2)
    back = asyncio.create_task(world.dispatcher.register(worker("c2", "i1")))
    await world.quiet()
    assert not back.done()
    await world.dispatcher.settle_answer(job.id, job.attempt, written=True, began=True)
    second = await back
    assert second
    assert ujson.loads(second.data) == 2


async def test_it_does_not_wait_for_ever(world: World) -> None:
    """Then the worker gets the same job again."""
    job = await given_elsewhere(world, 1)
    back = asyncio.create_task(world.dispatcher.register(worker("c2", "i1")))
    await world.quiet()
    await world.clock.advance(ANSWER_WAIT_S)
    again = await back
    assert again
    assert again.id == job.id


async def test_a_repeat_of_the_registration_does_not_wait(world: World) -> None:
    """It is the one that is being answered."""
    job = await given_elsewhere(world, 1)
    with forwarded(2):
        again = await world.dispatcher.register(worker("c1", "i1"))
    assert again
    assert again.id == job.id


async def test_it_does_not_wait_where_the_owner_writes_the_answer_after_all(world: World) -> None:
    """As when it took the topic over while the registration was repeated."""
    job = await given_elsewhere(world, 1)
    world.dispatcher.answer_written(job)
    await world.submit(2)
    second = await world.dispatcher.register(worker("c2", "i1"))
    assert second
    assert ujson.loads(second.data) == 2


async def test_what_follows_from_a_forwarded_request_is_not_taken_for_its_repeat(
    world: World,
) -> None:
    """The job goes to the next worker by PUT, and the outcome of that counts."""
    placed = await world.submit(1)
    job = await world.dispatcher.register(robot := worker("c1", "i1"))
    assert job
    world.dispatcher.answer_written(job)
    await world.dispatcher.register(worker("c2", "i2"))
    with forwarded():
        await world.dispatcher.fail(job.id, Proof(key=robot.key), "no ice", retry=True)
        await world.quiet()
    assert await world.stage(placed.job.id) is Stage.CONFIRMED


async def test_an_answer_of_a_process_that_is_gone_is_in_doubt(world: World) -> None:
    """Nobody knows whether the worker has got it."""
    job = await given_elsewhere(world, 1)
    world.dispatcher.end_session("another")
    await world.quiet()
    assert await world.stage(job.id) is Stage.UNDER_WAY
    world.dispatcher.end_session("run")
    await world.quiet()
    assert await world.stage(job.id) is Stage.IN_DOUBT
    await world.dispatcher.settle_answer(job.id, job.attempt, written=True, began=True)
    assert await world.stage(job.id) is Stage.CONFIRMED
