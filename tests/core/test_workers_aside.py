"""Workers that are set aside: which probe frees one, and how long one is kept."""

from __future__ import annotations

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import evidence
from sanic_dispatch.core.state_machine import Now, StateMachine
from tests.support.machine_state import NOW, free_ids, looks
from tests.support.world import worker


def test_a_probe_from_before_its_worker_came_back_frees_no_old_callback(
    machine: StateMachine,
) -> None:
    """A job sent there would look as if it had been taken; a probe from afterwards frees it."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    refused = machine.apply(c.DeliveryRefused("a", 1, "no connection"), NOW)
    (look,) = looks(refused)
    later = Now(NOW.wall_s + 1.0, 1.0)
    machine.apply(look, later)
    machine.apply(c.Cancel("a"), later)
    came_back = machine.apply(c.Register(worker("c2", "i1")), later)

    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)

    assert free_ids(machine) == {worker("c2", "i1").id}
    (look,) = looks(came_back)
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), later)
    assert free_ids(machine) == {worker("c1", "i1").id, worker("c2", "i1").id}


def test_an_old_callback_at_which_a_job_may_still_arrive_waits_for_that(
    machine: StateMachine,
) -> None:
    """Also where it is seen pending when its worker comes back."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.PutBack("a", "by hand"), NOW)
    machine.apply(c.Cancel("a"), NOW)
    came_back = machine.apply(c.Register(worker("c2", "i1")), NOW)
    (look,) = looks(came_back)

    machine.apply(c.StaleProbed(worker("c1", "i1").id, is_pending=True), NOW)

    assert free_ids(machine) == {worker("c2", "i1").id}
    late = Now(NOW.wall_s + evidence.LATE_S, evidence.LATE_S)
    machine.apply(c.WorkerProbed(look, is_pending=True, instance_state="running"), late)
    assert free_ids(machine) == {worker("c1", "i1").id, worker("c2", "i1").id}


def test_a_worker_is_not_dropped_as_soon_as_an_operator_brings_it_back(
    machine: StateMachine,
) -> None:
    """It was set aside for days, and its engine, which starts too, does not answer at once."""
    robot = worker("c1", "i1")
    machine.apply(c.Register(robot), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryRefused("a", 1, "status 404"), NOW)
    machine.apply(c.SetAside(robot.id), NOW)
    days_s = 2 * machine.policy.worker_patience_s
    later = Now(NOW.wall_s + days_s, NOW.monotonic_s + days_s)
    (look,) = looks(machine.apply(c.BringBack(robot.id), later))
    machine.apply(c.WorkerProbed(look, is_pending=None, instance_state=None), later)
    assert robot.id in machine.tables.workers
