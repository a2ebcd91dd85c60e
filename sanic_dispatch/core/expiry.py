"""Registrations that end: a worker with a callback that waits no longer than it said.

When its time is over and no job came, it gets no more jobs, its callback is told so, and it leaves
the queue. In this order, so that a kill in between forgets nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core import evidence, workers_aside
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.worker import Worker

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

EXPIRED = "its registration has expired"
NOT_REACHED = "its registration has expired, and it could not be notified"


def watch(machine: StateMachine, worker: Worker) -> None:
    """Schedule the end of a registration that has one."""
    if worker.expires_s is not None:
        look = c.EndRegistration(worker.id, worker.registered_at)
        left_s = max(worker.expires_s - machine.now.wall_s, 0.0)
        machine.effects.append(e.StartTimer(look, left_s, is_spread=False))


def on_end_registration(machine: StateMachine, look: c.EndRegistration) -> None:
    """Tell the worker that its time is over, unless a job may be on its way to it.

    One that an operator has set aside stays until it is brought back: told, it would register
    again, and nothing would say that it is set aside.
    """
    worker = machine.tables.workers.get(look.worker_id)
    if worker is None or worker.registered_at != look.registered_at:
        return
    if not worker.is_expired:
        may_get_one = workers_aside.may_get_one_late(machine, worker) or worker.is_awaiting
        may_get_one |= machine.tables.workers.is_held(worker.id)
        if may_get_one or worker.is_set_aside_by_operator:
            machine.effects.append(e.StartTimer(look, evidence.FIRST_INTERVAL_S))
            return
        worker = worker.expired(machine.now.wall_s, EXPIRED)
        machine.put_worker(worker, EventKind.WORKER_SET_ASIDE, EXPIRED)
    assert worker.aside
    machine.watched[worker.id] = workers_aside.watch_of(machine, worker.id, worker.aside)
    machine.effects.append(e.PutExpired(look, worker, machine.request))


def on_expiry_told(machine: StateMachine, told: c.ExpiryTold) -> None:
    """Drop a worker that knows that its time is over; tell it again if that is unclear.

    One without a key, of which nothing can be found out, is told ``max_attempts`` times. One that
    has registered again meanwhile, on the same callback, waits.
    """
    look = told.look
    worker = machine.tables.workers.get(look.worker_id)
    if worker is None or worker.registered_at != look.registered_at:
        return
    if worker.aside is None or not worker.is_expired:
        return
    since_s = workers_aside.watch_of(machine, worker.id, worker.aside).since_s
    silent_s = machine.now.monotonic_s - since_s
    again = look._replace(tries=look.tries + 1)
    if told.is_sure or silent_s > machine.policy.worker_patience_s:
        machine.drop(worker.id, EXPIRED)
        return
    if worker.key is None and again.tries >= machine.policy.max_attempts:
        machine.drop(worker.id, NOT_REACHED)
        return
    machine.effects.append(e.StartTimer(again, evidence.growing_s(look.tries)))
