"""Deliveries: nothing is sent by a process that may not own the topic any more."""

from __future__ import annotations

import asyncio
import errno

import pytest

from sanic_dispatch.callbacks.outcome import Outcome
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.dispatch.deliveries import CALL_FAILED, Deliveries
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


class NoDescriptors(FakeNetwork):
    """A network for which the process has no descriptors left, not even to load a module."""

    async def deliver(self, *_: object) -> Outcome:
        raise OSError(errno.EMFILE, "Too many open files")

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        raise ImportError(callback_url)


@pytest.mark.parametrize(
    ("effect", "outcome"),
    [
        (probed_delivery(), c.DeliveryInDoubt("a", 1, CALL_FAILED)),
        (
            probed_delivery()._replace(is_probed=False),
            c.DeliveryInDoubt("a", 1, CALL_FAILED),
        ),
        (e.ProbeStale("http://w/", "r"), c.StaleProbed("http://w/", None, "r")),
    ],
    ids=["a probed PUT", "a PUT", "a probe"],
)
async def test_a_call_that_fails_by_mistake_has_an_outcome(
    effect: e.Effect, outcome: c.Command
) -> None:
    """Nothing is known then, and what follows from that goes on: no job is held for ever."""
    outcomes = list[c.Command]()
    deliveries = Deliveries(
        NoDescriptors(),
        InMemoryStore(),
        FakeClock(),
        DeliveryStats(),
        lambda _: True,
        outcomes.append,
    )
    deliveries.begin(effect)
    await settle()
    assert outcomes == [outcome]


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
