"""Edits of the files from outside."""

from __future__ import annotations

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from tests.support.machine_state import NOW, state_of
from tests.support.world import worker


def test_the_ticket_of_a_job_that_is_edited_out_is_not_given_again(machine: StateMachine) -> None:
    """Not even after a restart that finds no job with it."""
    machine.apply(c.Submit("a", b"1", is_repeatable=False), NOW)
    machine.apply(c.ReplaceJobs([], NOW.wall_s), NOW)
    restarted = StateMachine(Policy())
    restarted.load([], [], list(machine.tables.facts))
    restarted.apply(c.Recover("5e" * 32), NOW)
    (submitted,) = restarted.apply(c.Submit("b", b"1", is_repeatable=False), NOW).events
    assert submitted.job is not None
    assert submitted.job.ticket == 2


def test_events_have_the_time_of_their_command() -> None:
    """Also those of an edit of a file that was made earlier: a replay goes by their times."""
    machine = StateMachine(Policy())
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    edited = [Job("b", 0, b"2", "2024-11-24T01:38:00Z", 0.0)]
    later = NOW._replace(wall_s=NOW.wall_s + 5)
    events = machine.apply(c.ReplaceJobs(edited, NOW.wall_s - 60), later).events
    assert [event.kind for event in events] == [EventKind.JOB_CANCELLED, EventKind.JOB_SUBMITTED]
    assert {event.at_s for event in events} == {later.wall_s}


def test_an_edit_of_an_older_copy_makes_nothing_twice(machine: StateMachine) -> None:
    """Jobs that were done or refused since jobs.json was opened keep that when it is saved."""
    for job_id in "abc":
        machine.apply(c.Submit(job_id, b"1"), NOW)
    given = machine.apply(c.Register(worker("c1", "i1")), NOW).reply
    assert isinstance(given, Job)
    older = [*machine.tables.jobs.assigned(), *machine.tables.jobs.line]
    machine.apply(c.AnswerWritten("a", given.attempt), NOW)
    machine.apply(c.Complete("a", Proof(callback_url=worker("c1", "i1").id)), NOW)
    machine.apply(c.Register(worker("c2", "i2")), NOW)
    older += machine.tables.jobs.assigned()
    machine.apply(c.AnswerLost("b", 1, began=False), NOW)
    machine.apply(c.ReplaceJobs([older[3], *older[:3:2]], NOW.wall_s), NOW)
    states = {job.id: job.state for job in machine.tables.jobs.unordered()}
    assert states == {"a": State.DONE, "b": State.WAITING, "c": State.WAITING}
    machine.apply(c.ReplaceJobs(older[:3][::-1], NOW.wall_s), NOW)
    assert [job.id for job in machine.tables.jobs.line] == ["c", "b"]
    assert state_of(machine, "a") is State.DONE


def test_an_edit_of_an_older_copy_forgets_nobody_who_had_a_job() -> None:
    """A late report still counts, and an attempt has a number that no other one had."""
    machine = StateMachine(Policy(lease_s=30.0))
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("a", b"1"), NOW)
    older = [job._replace(data=b"2") for job in machine.tables.jobs.line]
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    machine.apply(c.AnswerWritten("a", 1), NOW)
    held = machine.tables.jobs.get("a")
    assert held is not None
    assert held.hold is not None
    later = Now(NOW.wall_s + 31, 31.0)
    machine.apply(c.LookAtJob("a", held.hold, 0, 0.0, lease_ends_s=later.monotonic_s), later)
    assert state_of(machine, "a") is State.WAITING
    machine.apply(c.ReplaceJobs(older, later.wall_s), later)
    (edited,) = machine.tables.jobs.line
    assert (edited.data, edited.attempt) == (b"2", 1)
    machine.apply(c.Complete("a", Proof(callback_url=worker("c1", "i1").id)), later)
    assert state_of(machine, "a") is State.DONE


def test_an_edit_of_an_older_copy_brings_no_used_callback_back(machine: StateMachine) -> None:
    """A job that is sent there may seem to be taken."""
    machine.apply(c.Register(worker("c1", "i1")), NOW)
    older = list(machine.tables.workers)
    machine.apply(c.Submit("a", b"1"), NOW)
    machine.apply(c.DeliveryAccepted("a", 1), NOW)
    machine.apply(c.ReplaceWorkers([*older, worker("c2", "i2")], NOW.wall_s), NOW)
    assert [each.id for each in machine.tables.workers] == [worker("c2", "i2").id]


def test_edits_give_no_worker_the_place_of_one_that_has_a_job(machine: StateMachine) -> None:
    """Of two with one place the file would have another order than the queue."""
    a, x, b = (worker(name) for name in ("a", "x", "b"))
    for each in (a, x, b):
        machine.apply(c.Register(each), NOW)

    def edit(*order: Worker) -> None:
        there = {each.id: each for each in machine.tables.workers}
        machine.apply(c.ReplaceWorkers([there[each.id] for each in order], NOW.wall_s), NOW)

    edit(x, b, a)
    for other in (x, b):
        machine.apply(c.SetAside(other.id, "a break"), NOW)
    machine.apply(c.Submit("job", b"1"), NOW)
    assert machine.tables.workers.is_held(a.id)
    edit(b, x, a)
    workers = list(machine.tables.workers)
    assert [each.id for each in workers] == [b.id, a.id, x.id]
    assert len({each.place for each in workers}) == 3
