"""Web Push: the phones that are notified about an order, and what each of them was told.

The subscriptions of a job are a fact of the topic, so they are committed, undone and handed over
like every record. What a phone is to be told follows from the job alone, and is stored nowhere: so
what is not true any more is not told. A subscription ends with its order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.tables import PUSH, Fact, Tables
from sanic_dispatch.core.value import Value
from sanic_dispatch.errors import TooManySubscriptions, WrongState

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

MAX_SUBSCRIPTIONS = 3
"""The most subscriptions of a job."""

END_TRUE_S = 24 * 3600.0
"""How long after its end an order's last message is still tried."""

NEAR = 2
"""How many orders are before an order when ``two_before`` is true."""


class PushKind(StrEnum):
    """What a phone can be told of its order; each once."""

    TWO_BEFORE = "two_before"
    MAKING = "making"
    READY = "ready"
    LATE = "late"
    FAILED = "failed"


LAST = {State.DONE: PushKind.READY, State.FAILED: PushKind.FAILED}
"""The last message of an order, by the state in which it ended."""


class PushSubscription(Value, frozen=True):
    """A phone: its push service's URL, its keys in base64url, its language, what it was told."""

    endpoint: str
    p256dh: str
    auth: str
    lang: str
    told: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return it without the endpoint and the keys, which are confidential."""
        return f"PushSubscription(lang={self.lang!r}, told={self.told})"


class Prospects(Value, frozen=True):
    """How soon an unfinished order is served, as far as that is known.

    ``ahead`` is how many orders wait before it, None if that is not known; ``is_late``: it should
    have been ready by now.
    """

    ahead: int | None = None
    is_late: bool = False


def kinds_true_of(job: Job, prospects: Prospects, now_s: float) -> Sequence[PushKind]:
    """Return the messages that are true of a job now (Unix seconds), the first to be sent first."""
    found: list[PushKind] = []
    if job.state in LAST and now_s < (job.finished_s or 0.0) + END_TRUE_S:
        found.append(LAST[job.state])
    if job.state is State.WAITING and prospects.ahead == NEAR:
        found.append(PushKind.TWO_BEFORE)
    if _is_being_made(job):
        found.append(PushKind.MAKING)
    if not job.state.is_final and prospects.is_late:
        found.append(PushKind.LATE)
    return found


def _is_being_made(job: Job) -> bool:
    """Whether a worker has the job for sure, and is not asked to stop."""
    if job.state is not State.ASSIGNED or job.hold is None:
        return False
    return job.hold.stage is Stage.CONFIRMED and not job.cancelling


def subscriptions_of(tables: Tables, job_id: str) -> list[PushSubscription]:
    """Return the subscriptions of a job."""
    return _subscriptions_in(tables.facts.text(PUSH + job_id))


def all_subscriptions(facts: Iterable[Fact]) -> dict[str, list[PushSubscription]]:
    """Return the subscriptions of all jobs, by the job's id."""
    return {
        fact.id.removeprefix(PUSH): _subscriptions_in(str(fact.value))
        for fact in facts
        if fact.id.startswith(PUSH)
    }


def on_put_subscription(machine: StateMachine, command: c.PutSubscription) -> None:
    """Notify a phone about its order; a known endpoint is changed, and keeps what it was told.

    Raises UnknownJob, WrongState and TooManySubscriptions.
    """
    job = machine.find(command.job_id)
    if job.state.is_final:
        raise WrongState("tell of it", job.state)
    subscriptions, given = subscriptions_of(machine.tables, job.id), command.subscription
    for at, known in enumerate(subscriptions):
        if known.endpoint == given.endpoint:
            subscriptions[at] = given._replace(told=known.told)
            break
    else:
        if len(subscriptions) >= MAX_SUBSCRIPTIONS:
            raise TooManySubscriptions(MAX_SUBSCRIPTIONS)
        subscriptions.append(given)
    _put(machine.tables, job.id, subscriptions)


def on_remove_subscription(machine: StateMachine, command: c.RemoveSubscription) -> None:
    """Remove a phone's subscription to a job, if there is one. Raises UnknownJob."""
    job, tables = machine.find(command.job_id), machine.tables
    kept = [each for each in subscriptions_of(tables, job.id) if each.endpoint != command.endpoint]
    _put(tables, job.id, kept)


def on_note_told(machine: StateMachine, outcome: c.NoteTold) -> None:
    """Note that a phone was told something; with its order's last message it ends."""
    tables = machine.tables
    subscriptions = [
        _told(each, outcome.kind) if each.endpoint == outcome.endpoint else each
        for each in subscriptions_of(tables, outcome.job_id)
    ]
    _put(tables, outcome.job_id, [each for each in subscriptions if each.told[-1:] not in _ENDS])


_ENDS = tuple((kind.value,) for kind in LAST.values())


def _told(subscription: PushSubscription, kind: str) -> PushSubscription:
    told = tuple(dict.fromkeys((*subscription.told, kind)))
    return subscription._replace(told=told)


def _subscriptions_in(text: str) -> list[PushSubscription]:
    values = json.loads(text) if text else []
    return [PushSubscription(**{**each, "told": tuple(each["told"])}) for each in values]


def _put(tables: Tables, job_id: str, subscriptions: Sequence[PushSubscription]) -> None:
    """Store the subscriptions of a job; nothing is kept of one without any."""
    if not subscriptions:
        tables.remove_fact(PUSH + job_id)
        return
    names = PushSubscription.__struct_fields__
    values = [{name: getattr(each, name) for name in names} for each in subscriptions]
    text = json.dumps(values, separators=(",", ":"))
    if text != tables.facts.text(PUSH + job_id):
        tables.put_fact(Fact(PUSH + job_id, text))
