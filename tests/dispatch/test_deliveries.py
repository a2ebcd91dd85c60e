"""Deliveries: nothing is sent by a process that may not own the topic any more."""

from __future__ import annotations

import asyncio

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.dispatch.deliveries import Deliveries
from sanic_dispatch.observability.durations import DeliveryStats
from sanic_dispatch.storage.memory import InMemoryStore
from tests.support.clock import START_S, FakeClock, settle
from tests.support.network import FakeNetwork
from tests.support.world import worker


class OwnedStore(InMemoryStore):
    """A store whose process has to be confirmed as the owner after its lease."""

    is_owner = True

    def __init__(self) -> None:
        self.confirmed = asyncio.get_running_loop().create_future()

    def may_act(self) -> bool:
        return self.is_owner

    async def confirm(self) -> None:
        await self.confirmed


class SlowEngine(FakeNetwork):
    """An engine that says that a callback waits only after the lease of an owner has ended."""

    store: OwnedStore

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        self.store.is_owner = False
        return True


def probed_delivery() -> e.PutJob:
    """Return the delivery to a worker that has waited so long that it is probed first."""
    machine = StateMachine(Policy())
    machine.apply(c.Recover("5e" * 32), Now(START_S, 0.0))
    machine.apply(c.Register(worker("c1", "i1")), Now(START_S, 0.0))
    late_s = 2 * Policy().probe_after_s
    (put,) = machine.apply(c.Submit("a", b"1"), Now(START_S + late_s, late_s)).effects
    assert isinstance(put, e.PutJob)
    assert put.is_probed
    return put


async def test_a_probe_that_outlasts_the_owners_lease_delays_the_delivery() -> None:
    """The owner is confirmed after the probe: another one may have come meanwhile."""
    store, engine, outcomes = OwnedStore(), SlowEngine(), list[c.Command]()
    engine.store = store
    deliveries = Deliveries(
        engine, store, FakeClock(), DeliveryStats(), lambda _: True, outcomes.append
    )
    deliveries.begin(probed_delivery())
    await settle()
    assert engine.deliveries == []
    store.confirmed.set_result(None)
    await settle()
    assert [type(each) for each in outcomes] == [c.DeliveryAccepted]
    await deliveries.close()
