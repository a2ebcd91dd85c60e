"""A worker that has a job, for tests of what it reports and what ends it."""

from __future__ import annotations

from collections.abc import Callable

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from tests.support.machine_state import NOW
from tests.support.world import worker

LEASE_S = 30.0


class Maker:
    """A worker that has job ``a``, taken by PUT."""

    def __init__(self, policy: Policy | None = None, holder: Worker | None = None) -> None:
        self.machine = StateMachine(policy or Policy(lease_s=LEASE_S))
        self.at_s = 0.0
        self.apply(c.Recover("5e" * 32))
        self.holder = holder or worker("c1", "i1")
        if self.holder.is_connected:
            self.apply(c.RegisterConnected(self.holder, "1"))
        else:
            self.apply(c.Register(self.holder))
        self.apply(c.Submit("a", b"1"))
        self.proof = Proof(receipt=self.machine.receipts.receipt(self.job))
        if self.holder.is_connected:
            self.apply(c.Accept("a", self.proof))
        else:
            self.apply(c.DeliveryAccepted("a", 1))

    def apply(self, command: c.Command) -> Applied:
        applied = self.machine.apply(command, Now(NOW.wall_s + self.at_s, self.at_s))
        self.timers = [each for each in applied.effects if isinstance(each, e.StartTimer)]
        return applied

    def progress(self, percent: float | None = None, text: str | None = None) -> Applied:
        return self.apply(c.ReportProgress("a", self.proof, percent, text))

    def undone(self, act: Callable[[], object]) -> None:
        """Do something of which the commit fails."""
        self.machine.tables.take_changes()
        number = self.machine.number
        act()
        self.machine.undo(self.machine.tables.take_changes(), number)

    @property
    def job(self) -> Job:
        job = self.machine.tables.jobs.get("a")
        assert job is not None
        return job
