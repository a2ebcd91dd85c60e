"""Connected workers: they have no callback, and are reached by a websocket or by their next poll.

They stand in the same queue as all others, under a name (``ws:<name>``, ``poll:<name>``) that stays
the same from job to job. ``WorkerTable.move`` notes by which connection each one is reached; one
that is not reached keeps its place for a while, and is passed over.

A job is offered (``Way.OFFER``). A worker at a websocket has to accept it before it begins, so an
offer that it did not accept was not begun. To one that polls the answer is the offer: it has the
job once the answer is written, and the same job again with each poll until it has reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core import lifecycle, registrations
from sanic_dispatch.core.job import Job, State, Way
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import (
    AlreadyRegistered,
    DispatchError,
    NotTheHolder,
    UnknownWorker,
    WorkerHasJob,
    WrongState,
)

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import Placed, StateMachine

RESUME_S = 15.0
"""How long a worker whose websocket is gone keeps its place."""

POLL_AGAIN_S = 10.0
"""How long a worker keeps its place between two polls."""

SPARE_SESSIONS = 1000
"""How many sessions may be remembered beyond those in use, and how many that lost a job."""


class Resumed(Value, frozen=True):
    """What the worker of a session still has.

    Neither a registration nor a job if the session is over; ``lost`` is the id of a job that it had
    and that went back meanwhile.
    """

    worker_id: str = ""
    is_waiting: bool = False
    job: Job | None = None
    lost: str = ""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to take up."""
        return not (self.is_waiting or self.job)


def on_register_connected(machine: StateMachine, command: c.RegisterConnected) -> Job | None:
    """Enqueue a worker, or take up its place; a free one gets its offer with the same command.

    With another rule than before it begins at the end of the line. Return the job that it has
    already, if it polls. Another socket of the same name takes over what the name has. Raises
    AlreadyRegistered if this very connection is, under any name, and as ``Register``.
    """
    worker, tables = command.worker, machine.tables
    known = tables.workers.at_connection.get(command.connection)
    if known is not None and not worker.polls:
        if known in tables.workers or tables.jobs.held_by(known):
            raise AlreadyRegistered
        tables.detach(known)
    waiting, job = tables.workers.get(worker.id), tables.jobs.held_by(worker.id)
    if waiting is not None and job is None and waiting.rule != worker.rule:
        machine.drop(worker.id, "it came back with another rule")
        worker, waiting = worker._replace(aside=waiting.aside), None
    if waiting is None and job is None:
        registrations.check_rule(machine, worker)
        registrations.check_room(machine)
    _reach(machine, worker.id, command.connection)
    _remember_session(machine, worker)
    if job is not None:
        return _take_up_job(machine, job, worker.session)
    if waiting is None:
        machine.enqueue(worker)
    elif waiting.session != worker.session:
        tables.put_worker(waiting._replace(session=worker.session))
    return None


def register_again(machine: StateMachine, worker: Worker | None, connection: str) -> bool:
    """Register a worker as before, by the connection that reaches it; return whether it waits.

    It may do so already, if its report is a repeat: then it is not always known whose that is
    (None). If it does not, it has to register itself, and then hears why that fails.
    """
    tables = machine.tables
    # Nobody at a connection that is gone: that it left was a command before this one.
    reached = tables.workers.at_connection.get(connection, "")
    job = tables.jobs.held_by(reached)
    if job is not None:
        return lifecycle.is_open_offer(job)
    if reached in tables.workers:
        return True
    if worker is None or worker.id != reached:
        return False
    registered_at = to_rfc3339(machine.now.wall_s)
    again = Worker(
        worker.id, registered_at, label=worker.label, rule=worker.rule, session=worker.session
    )
    try:
        on_register_connected(machine, c.RegisterConnected(again, connection, machine.request))
    except DispatchError:
        return False
    return True


def on_resume(machine: StateMachine, command: c.Resume) -> Resumed:
    """Take up what the worker of a session has, by another connection.

    By the one that reaches it already, it has what it was sent: nothing is sent again.
    """
    worker_id = machine.sessions.get(command.session, "")
    waiting, job = machine.tables.workers.get(worker_id), machine.tables.jobs.held_by(worker_id)
    if waiting is not None and waiting.session != command.session:
        waiting = None
    if job is not None and (job.worker is None or job.worker.session != command.session):
        job = None
    if waiting is None and job is None:
        return Resumed(lost=machine.lost_jobs.get(command.session, ""))
    is_reached = machine.tables.workers.connection_of.get(worker_id) == command.connection
    _reach(machine, worker_id, command.connection)
    if job is not None and not is_reached:
        job = _take_up_job(machine, job, command.session)
    return Resumed(worker_id, job is None, job)


def _reach(machine: StateMachine, worker_id: str, connection: str) -> None:
    """Note by which connection a worker is reached from now on; the one before is closed."""
    before = machine.tables.workers.connection_of.get(worker_id)
    if before is not None and before != connection:
        machine.effects.append(e.EndConnection(before, machine.request))
    machine.tables.attach(worker_id, connection)


def _take_up_job(machine: StateMachine, job: Job, session: str) -> Job:
    """Offer a job again that its worker has, or was offered: as a new attempt in the second case.

    To a worker that polls, the caller gives it.
    """
    hold, is_open = job.hold, lifecycle.is_open_offer(job)
    assert hold
    worker = hold.worker._replace(session=session)
    if is_open and not worker.polls:
        return offer(machine, job, worker)
    if is_open:
        job = machine.assign(job, worker, Way.OFFER)
    elif worker != hold.worker:
        job = job._replace(hold=hold._replace(worker=worker))
        machine.tables.put_job(job)
    if worker.polls:
        _begin_lapse(machine, job)
    else:
        _send(machine, job)
        if job.cancelling:
            ask_to_stop(machine, job)
    return job


def offer(machine: StateMachine, job: Job, worker: Worker) -> Job:
    """Assign a job to a connected worker, and offer it."""
    job = machine.assign(job, worker, Way.OFFER)
    _send(machine, job)
    _begin_lapse(machine, job)
    return job


def _begin_lapse(machine: StateMachine, job: Job) -> None:
    lapse = c.OfferLapsed(job.id, job.attempt)
    after_s = machine.policy.callback_timeout_s
    machine.effects.append(e.StartTimer(lapse, after_s, is_spread=False))


def _send(machine: StateMachine, job: Job) -> None:
    assert job.hold
    worker = job.hold.worker
    connection = machine.tables.workers.connection_of[worker.id]
    receipt, lease_s = machine.receipts.receipt(job), machine.policy.lease_of_s(job.hold)
    assert lease_s is not None
    machine.effects.append(e.OfferJob(job, receipt, lease_s, connection, machine.request))


def ask_to_stop(machine: StateMachine, job: Job) -> None:
    """Tell the holder of a job to stop, if it is connected."""
    connection = machine.tables.workers.connection_of.get(job.worker.id) if job.worker else None
    if connection is not None and job.state is State.ASSIGNED:
        machine.effects.append(e.AskToStop(job.id, connection, machine.request))


def on_accept(machine: StateMachine, accept: c.Accept) -> Placed:
    """Confirm a job that its worker accepts; a repeat changes nothing.

    Raises NotTheHolder, also once the offer has lapsed, and WrongState if the job is over.
    """
    job = machine.find(accept.job_id)
    if not machine.is_of_holder(accept.proof, job) or job.state is State.WAITING:
        raise NotTheHolder(job.state)
    if job.state is not State.ASSIGNED:
        raise WrongState("accept", job.state)
    return machine.placed(accept_by_report(machine, job))


def accept_by_report(machine: StateMachine, job: Job) -> Job:
    """Return a job whose holder reports on it: if it was only offered, that accepts it."""
    if not lifecycle.is_open_offer(job):
        return job
    return machine.apply_step(job, lifecycle.accept(job, machine.policy, machine.now.wall_s))


def on_offer_lapsed(machine: StateMachine, lapsed: c.OfferLapsed) -> None:
    """Return a job that was not accepted in time; its worker has to register again.

    If it is not known what became of the answer to a poll, the worker may have the job.
    """
    job = machine.attempt(lapsed.job_id, lapsed.attempt)
    if job is None or job.hold is None:
        return
    if job.hold.worker.polls:
        settle_lost_answer(machine, job, began=True, reason="")
    else:
        machine.apply_step(job, lifecycle.let_lapse(job, machine.now.wall_s))


def on_offer_returned(machine: StateMachine, returned: c.OfferReturned) -> None:
    """Return a job whose worker was gone before the offer was sent."""
    if job := machine.attempt(returned.job_id, returned.attempt):
        _withdraw_offer(machine, job)


def on_leave(machine: StateMachine, leave: c.Leave) -> None:
    """Note that a worker is not reached; what a websocket was offered goes back to its place.

    What a poll was offered does not: its answer may have been written.
    """
    tables = machine.tables
    worker_id = tables.workers.at_connection.get(leave.connection)
    if worker_id is None:
        return  # another connection has taken over
    tables.detach(worker_id)
    job = tables.jobs.held_by(worker_id)
    if job is not None and lifecycle.is_open_offer(job):
        if lifecycle.is_revocable_offer(job):
            _withdraw_offer(machine, job)
    else:
        note_away(machine, tables.workers.get(worker_id))


def on_end_poll(machine: StateMachine, poll: c.EndPoll) -> Job | None:
    """End a poll that got no offer yet; return the job if one was made meanwhile.

    What was offered to a later poll of the worker is not for this one.
    """
    tables = machine.tables
    job = tables.jobs.held_by(poll.worker_id)
    connection = tables.workers.connection_of.get(poll.worker_id)
    if job is not None and lifecycle.is_open_offer(job):
        if connection is None:  # by which poll it was offered is not known
            return _take_up_job(machine, job, "")
        if connection == poll.connection:
            return job
    on_leave(machine, c.Leave(poll.connection))
    return None


def _withdraw_offer(machine: StateMachine, job: Job) -> None:
    assert job.hold
    machine.tables.detach(job.hold.worker.id)
    reason = "its worker's connection was gone"
    machine.apply_step(job, lifecycle.release(job, machine.now.wall_s, reason))


def settle_lost_answer(machine: StateMachine, job: Job, *, began: bool, reason: str) -> None:
    """Settle an offer to a worker that polls, whose answer was not written as a whole.

    If some of it was sent, or an earlier answer may have arrived, the worker may have the job: it
    keeps that until its lease ends, and gets it again when it polls.
    """
    assert job.hold
    if began or job.hold.is_again:
        machine.apply_step(job, lifecycle.accept(job, machine.policy, machine.now.wall_s))
        return
    machine.tables.detach(job.hold.worker.id)
    machine.apply_step(job, lifecycle.release(job, machine.now.wall_s, reason))


def take_back_offer(machine: StateMachine, worker_id: str, reason: str) -> None:
    """Put a job back that a worker at a websocket was offered and has not accepted; tell it so.

    If it accepted that, it would leave the queue, and an operator's set-aside with it.
    """
    job = machine.tables.jobs.held_by(worker_id)
    if job is not None and lifecycle.is_revocable_offer(job):
        ask_to_stop(machine, job)
        machine.apply_step(job, lifecycle.release(job, machine.now.wall_s, reason))


def withdraw_all_offers(machine: StateMachine) -> None:
    """Put all jobs back whose offer is not accepted, since this process stops serving the topic."""
    for job in list(machine.tables.jobs.assigned()):
        if lifecycle.is_revocable_offer(job):
            reason = "the service was stopped before it was accepted"
            machine.apply_step(job, lifecycle.release(job, machine.now.wall_s, reason))


def note_away(machine: StateMachine, worker: Worker | None) -> None:
    """Drop a connected worker that waits and is not reached, unless it is back in time."""
    if worker is None or not worker.is_connected:
        return
    workers, now_s = machine.tables.workers, machine.now.monotonic_s
    if worker.id in workers.connection_of or worker.id in workers.left:
        return
    machine.tables.note_left(worker.id, now_s)
    look = c.DropIfAway(worker.id, now_s)
    after_s = POLL_AGAIN_S if worker.polls else RESUME_S
    machine.effects.append(e.StartTimer(look, after_s, is_spread=False))


def on_drop_if_away(machine: StateMachine, look: c.DropIfAway) -> None:
    """Drop a worker that was not reached for too long, unless an operator set it aside."""
    worker = machine.tables.workers.get(look.worker_id)
    if machine.tables.workers.left.get(look.worker_id) != look.since_s:
        return
    machine.tables.note_left(look.worker_id, None)
    if worker is not None and not worker.is_set_aside_by_operator:
        machine.drop(worker.id, "it was away for too long")


def recover(machine: StateMachine) -> None:
    """Expect all connected workers to come back, since no connection outlives a restart."""
    for worker in list(machine.tables.workers.unordered()):
        note_away(machine, worker)
    _find_sessions(machine)
    for job in machine.tables.jobs.unordered():
        if job.former is not None and job.is_waiting:
            note_lost_job(machine, job.former.worker, job.id)


def _remember_session(machine: StateMachine, worker: Worker) -> None:
    """Note whose session this is, and forget the sessions that are over."""
    if not worker.session:
        return
    tables = machine.tables
    in_use = len(tables.workers) + len(tables.jobs.assigned())
    if len(machine.sessions) > 2 * (in_use + SPARE_SESSIONS):
        _find_sessions(machine)
    machine.sessions[worker.session] = worker.id


def _find_sessions(machine: StateMachine) -> None:
    tables = machine.tables
    holders = (job.worker for job in tables.jobs.assigned())
    known = (*tables.workers.unordered(), *(worker for worker in holders if worker))
    machine.sessions = {worker.session: worker.id for worker in known if worker.session}


def note_lost_job(machine: StateMachine, worker: Worker, job_id: str) -> None:
    """Remember that a worker's session has lost a job, to tell it so when it is back."""
    if worker.session:
        machine.lost_jobs[worker.session] = job_id
        while len(machine.lost_jobs) > SPARE_SESSIONS:
            del machine.lost_jobs[next(iter(machine.lost_jobs))]


def end_open_poll(machine: StateMachine, worker_id: str) -> None:
    """End the poll of a worker that leaves the queue, if one is open."""
    connection = machine.tables.workers.connection_of.get(worker_id)
    if connection is not None:
        machine.effects.append(e.EndConnection(connection, machine.request))


def on_withdraw(machine: StateMachine, command: c.Withdraw) -> None:
    """Take a worker out of the queue. Raises UnknownWorker and WorkerHasJob.

    One that awaits its last job stays: only that it came back says what became of that. So does a
    connected one that an operator set aside, but as one that is not reached: it is still set aside
    when it comes back. Over a connection that another one has replaced, no worker withdraws. What a
    websocket was offered and has not accepted goes back.
    """
    worker_id, tables = command.worker_id, machine.tables
    reached_by = tables.workers.connection_of.get(worker_id)
    if command.connection and reached_by not in (None, command.connection):
        raise UnknownWorker
    take_back_offer(machine, worker_id, "its worker withdrew")
    if job := tables.jobs.assigned_to(worker_id):
        raise WorkerHasJob(job.id, job.ticket)
    worker = tables.workers.get(worker_id)
    if worker is None or worker.is_expired:
        raise UnknownWorker
    if awaited := machine.awaited_by(worker):
        raise WorkerHasJob(awaited.id, awaited.ticket)
    if worker.is_connected and worker.is_set_aside_by_operator:
        tables.detach(worker_id)
    else:
        machine.drop(worker_id, "it withdrew")
