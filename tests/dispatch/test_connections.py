"""Connected workers at the dispatcher: what their connections are told, and what is cut off."""

from __future__ import annotations

import asyncio

import pytest

from sanic_dispatch.core.job import State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.connections import Message, MessageKind
from sanic_dispatch.errors import StandingBy
from tests.support.world import World

TABLET = Worker("ws:tablet", "2024-11-24T01:39:00Z", session="s")
POLLER = Worker("poll:shell", "2024-11-24T01:39:00Z")


class Line:
    """A connection, and what it was told."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.heard: list[Message] = []
        self.hang_up = world.dispatcher.connections.attach(name, self.heard.append)

    @property
    def kinds(self) -> list[MessageKind]:
        return [message.kind for message in self.heard]


async def test_a_worker_accepts_and_reports(world: World) -> None:
    """An offer comes with the receipt that proves who got it."""
    line = Line(world, "1")
    await world.dispatcher.register_connected(TABLET, line.name)
    submitting = asyncio.ensure_future(world.submit("mojito"))
    await world.quiet()
    (offer,) = line.heard
    proof = Proof(receipt=offer.receipt)
    accepted = await world.dispatcher.accept(offer.job_id, proof)
    assert (await submitting).position is None
    assert world.dispatcher.lease_of_s(accepted.job) == offer.lease_s
    done = await world.dispatcher.complete(offer.job_id, proof)
    assert done.job.state is State.DONE


async def test_a_connection_is_told_that_another_one_has_taken_over(world: World) -> None:
    """Its end, which comes later, takes nothing from the other one."""
    first, second = Line(world, "1"), Line(world, "2")
    await world.dispatcher.register_connected(TABLET, first.name)
    resumed = await world.dispatcher.resume("s", second.name)
    assert resumed.is_waiting
    assert first.kinds == [MessageKind.REPLACED]
    first.hang_up()
    submitting = asyncio.ensure_future(world.submit("mojito"))
    await world.quiet()
    assert second.kinds == [MessageKind.OFFER]
    second.hang_up()
    await world.quiet()
    assert (await submitting).job.id == second.heard[0].job_id
    assert (await world.job(second.heard[0].job_id)).state is State.WAITING


async def test_a_poll_that_is_cut_off_gives_its_job_back(world: World) -> None:
    """Nothing of it was sent, so the next worker gets it at once."""
    line, other = Line(world, "1"), Line(world, "2")
    await world.dispatcher.register_connected(POLLER, line.name)
    await world.dispatcher.register_connected(TABLET, other.name)
    submitting = asyncio.ensure_future(world.submit("mojito"))
    await world.quiet()
    assert line.kinds == [MessageKind.OFFER]
    ending = asyncio.ensure_future(world.dispatcher.end_poll(POLLER.id, line.name))
    await asyncio.sleep(0)
    ending.cancel()
    await world.quiet()
    assert other.kinds == [MessageKind.OFFER]
    submitting.cancel()


async def test_a_connection_has_to_be_attached(world: World) -> None:
    """Otherwise no connection would be told of its offers."""
    line = Line(world, "1")
    line.hang_up()
    with pytest.raises(StandingBy):
        await world.dispatcher.register_connected(TABLET, line.name)
    with pytest.raises(StandingBy):
        await world.dispatcher.resume("s", line.name)


async def test_a_last_report_registers_by_an_attached_connection_only(world: World) -> None:
    """By another one the worker could not be told of its next job."""
    dispatcher = world.dispatcher
    for hangs_up in (False, True):
        line = Line(world, "1")
        await dispatcher.register_connected(TABLET, line.name)
        submitting = asyncio.ensure_future(world.submit("mojito"))
        await world.quiet()
        (offer,) = line.heard
        proof = Proof(receipt=offer.receipt)
        await dispatcher.accept(offer.job_id, proof)
        await submitting
        if hangs_up:
            line.hang_up()
        done = await dispatcher.complete(offer.job_id, proof, connection=line.name)
        assert done.is_registered is not hangs_up
        if done.is_registered:
            await dispatcher.withdraw(TABLET.id, line.name)


async def test_all_connections_are_lost_where_the_topic_is_served_no_more(world: World) -> None:
    """What a connection does later has no effect here."""
    line = Line(world, "1")
    await world.dispatcher.register_connected(TABLET, line.name)
    await world.dispatcher.stop(0.0)
    assert line.kinds == [MessageKind.LOST]
    line.hang_up()
