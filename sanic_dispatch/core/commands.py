"""Commands: what requests, outcomes and timers say to the state machine.

``request`` is the id of the request that began it, empty where a timer did; it is the last member
of each, and goes on into the events and the effects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from sanic_dispatch.core.evidence import ProbeResult
from sanic_dispatch.core.job import Hold, Job, JobRef
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Aside, Worker

if TYPE_CHECKING:
    from sanic_dispatch.core.push_subscriptions import PushSubscription
    from sanic_dispatch.core.webhooks import Endpoint, Position

# ---- what requests say


class Submit(Value, frozen=True):
    """Give a new job to a free worker, or enqueue it.

    ``is_repeatable``: its id comes from an idempotency key, so it may exist. ``priority`` is None
    where its sender may not choose one, or did not.
    """

    job_id: str
    data: bytes
    is_repeatable: bool = False
    priority: int | None = None
    request: str = ""


class Register(Value, frozen=True):
    """Give a worker a job, or enqueue it; ``lost``: the last answer to it got lost."""

    worker: Worker
    lost: bool = False
    request: str = ""


class Withdraw(Value, frozen=True):
    """Take a waiting worker out of the queue, as it asks; ``connection``: over which it did."""

    worker_id: str
    request: str = ""
    connection: str = ""


class RegisterConnected(Value, frozen=True):
    """Enqueue a connected worker that is reached by this connection."""

    worker: Worker
    connection: str
    request: str = ""


class Resume(Value, frozen=True):
    """Let another connection take up what the worker of this session has."""

    session: str
    connection: str
    request: str = ""


class Accept(Value, frozen=True):
    """Take a job that was offered to a connected worker."""

    job_id: str
    proof: Proof
    request: str = ""


class Complete(Value, frozen=True):
    """Report that the holder has done the job; ``result`` is checked JSON.

    ``connection``: the worker registers again, as it was, by this websocket; empty: it does not.
    """

    job_id: str
    proof: Proof
    result: bytes | None = None
    request: str = ""
    connection: str = ""


class Fail(Value, frozen=True):
    """Report that the holder cannot do the job; with ``retry`` another worker may try.

    ``cancelled``: it has stopped because the job is to be cancelled; of no effect if it is not.
    ``connection`` as in ``Complete``.
    """

    job_id: str
    proof: Proof
    reason: str
    retry: bool = False
    cancelled: bool = False
    request: str = ""
    connection: str = ""


class Extend(Value, frozen=True):
    """Renew the lease: the holder is still working."""

    job_id: str
    proof: Proof
    request: str = ""


class ReportProgress(Value, frozen=True):
    """Report how far the holder is; what it does not say stays as it was."""

    job_id: str
    proof: Proof
    percent: float | None = None
    text: str | None = None
    request: str = ""


class AskIfCancelling(Value, frozen=True):
    """Ask, as the holder, whether the job is to be cancelled."""

    job_id: str
    proof: Proof
    request: str = ""


class NoteRefusedReport(Value, frozen=True):
    """Note that a report on a job was refused, and why."""

    job_id: str
    proof: Proof
    reason: str
    request: str = ""


class LookUp(Value, frozen=True):
    """Ask for a job and its position in the queue."""

    job_id: str
    request: str = ""


class Read(Value, frozen=True):
    """Ask for what the function ``read`` returns for the tables; it must not change them."""

    read: Callable[[Tables], Any]
    request: str = ""


# ---- what an operator says: ``why`` is kept with the job, ``who`` only in the event


class Cancel(Value, frozen=True):
    """Cancel a waiting job, or have the holder of an assigned one cancel it.

    ``is_operators``: also if the holder may not hear of it before it reports.
    """

    job_id: str
    why: str = ""
    who: str = ""
    is_operators: bool = False
    request: str = ""


class PutBack(Value, frozen=True):
    """Put an assigned, doubtful or failed job back to its own place."""

    job_id: str
    why: str = ""
    who: str = ""
    request: str = ""


class MoveToFront(Value, frozen=True):
    """Move a waiting job to the head of the queue."""

    job_id: str
    why: str = ""
    who: str = ""
    request: str = ""


class SetPriority(Value, frozen=True):
    """Give a waiting job another priority, 0 to 7."""

    job_id: str
    priority: int
    why: str = ""
    who: str = ""
    request: str = ""


Act = Cancel | PutBack | MoveToFront | SetPriority


class Forget(Value, frozen=True):
    """Erase the data and the result of a finished job.

    ``past`` is what the event log knows of a job that is not kept any more.
    """

    job_id: str
    past: Job | None = None
    who: str = ""
    request: str = ""


class SetAside(Value, frozen=True):
    """Give a worker no jobs until it is brought back, even if it registers again."""

    worker_id: str
    reason: str = ""
    request: str = ""


class BringBack(Value, frozen=True):
    """Let a worker that was set aside be used again, at its old place."""

    worker_id: str
    reason: str = ""
    request: str = ""


class DropWorker(Value, frozen=True):
    """Forget a worker that waits."""

    worker_id: str
    reason: str = ""
    request: str = ""


class Pause(Value, frozen=True):
    """Stop handing out jobs, or resume."""

    paused: bool
    reason: str = ""
    request: str = ""


# ---- webhooks: see ``webhooks``


class PutEndpoint(Value, frozen=True):
    """Add a webhook endpoint, which gets events from now on, or change the one with this id."""

    endpoint: Endpoint
    request: str = ""


class RemoveEndpoint(Value, frozen=True):
    """Remove a webhook endpoint, and drop what is pending for it."""

    endpoint_id: str
    request: str = ""


class RotateSecret(Value, frozen=True):
    """Sign with a new secret, and for a while with the one before."""

    endpoint_id: str
    secret: str
    request: str = ""


class ContinueEndpoint(Value, frozen=True):
    """Send to an endpoint again from where it stopped; ``drop``: from the next event on."""

    endpoint_id: str
    drop: bool = False
    request: str = ""


class MovePositions(Value, frozen=True):
    """Note up to which event endpoints have been told."""

    positions: Sequence[Position]
    request: str = ""


class PutSubscription(Value, frozen=True):
    """Notify a phone about a job, or change how it is reached."""

    job_id: str
    subscription: PushSubscription
    request: str = ""


class RemoveSubscription(Value, frozen=True):
    """Stop notifying the phone behind an endpoint about a job."""

    job_id: str
    endpoint: str
    request: str = ""


# ---- what another process has forwarded


class Forwarded(Value, frozen=True):
    """Apply a command that arrived at another process, unless it was applied before.

    ``run`` is the random id of the process's run, and ``number`` its own number for the command. It
    repeats none before ``oldest``.
    """

    command: Command
    run: str
    number: int
    oldest: int
    request: str = ""


class ForgetRun(Value, frozen=True):
    """Forget what a process has forwarded, since it repeats nothing any more.

    ``numbers`` is what was known of it: if more has come since, this has no effect.
    """

    run: str
    numbers: str
    request: str = ""


# ---- what became of an attempt: of no effect once the attempt is settled otherwise


class DeliveryAccepted(Value, frozen=True):
    """The worker has answered the PUT with 2xx: it has the job."""

    job_id: str
    attempt: int
    request: str = ""


class DeliveryRefused(Value, frozen=True):
    """The worker did not take the job; ``blames_job``: its answer says that the job is at fault."""

    job_id: str
    attempt: int
    reason: str
    blames_job: bool = False
    request: str = ""


class DeliveryInDoubt(Value, frozen=True):
    """The request was sent, and no answer came: the worker may have the job."""

    job_id: str
    attempt: int
    reason: str
    request: str = ""


class AnswerWritten(Value, frozen=True):
    """The answer with the job was written to the worker's connection."""

    job_id: str
    attempt: int
    request: str = ""


class AnswerLost(Value, frozen=True):
    """The worker's connection broke before the answer; ``began``: some of it may have been sent."""

    job_id: str
    attempt: int
    began: bool
    request: str = ""


class OfferReturned(Value, frozen=True):
    """The connection of the worker was gone before the offer with the job was sent."""

    job_id: str
    attempt: int
    request: str = ""


class Leave(Value, frozen=True):
    """A connection is gone: the worker that it reached keeps its place for a while."""

    connection: str
    request: str = ""


class EndPoll(Value, frozen=True):
    """End a poll that got no offer; ask whether there is one by now."""

    worker_id: str
    connection: str
    request: str = ""


class ExpiryTold(Value, frozen=True):
    """The worker was told that its time to wait is over.

    ``is_sure``: it has answered, or does not wait any more.
    """

    look: EndRegistration
    is_sure: bool
    request: str = ""


class NoteTold(Value, frozen=True):
    """The push service has taken a message for the phone behind an endpoint."""

    job_id: str
    endpoint: str
    kind: str
    request: str = ""


class DataErased(Value, frozen=True):
    """No file has the data of a forgotten job any more."""

    job: JobRef
    request: str = ""


# ---- timers, and what was found out: of no effect once the subject has changed


class LookAtWorker(Value, frozen=True):
    """Check whether a worker that was set aside can be used again.

    ``looks`` counts the checks before this one, ``since_s`` is when it was set aside (monotonic
    seconds). An ``is_extra`` check comes between two scheduled ones, because the worker is needed,
    and schedules no next one.
    """

    worker_id: str
    aside: Aside
    looks: int
    since_s: float
    is_extra: bool = False
    request: str = ""


class OfferLapsed(Value, frozen=True):
    """The time to accept an offer is over."""

    job_id: str
    attempt: int
    request: str = ""


class DropIfAway(Value, frozen=True):
    """Drop a connected worker that has been away since then (monotonic seconds)."""

    worker_id: str
    since_s: float
    request: str = ""


class EndRegistration(Value, frozen=True):
    """End a registration whose time is over; ``tries`` counts the PUTs that told the worker so."""

    worker_id: str
    registered_at: str
    tries: int = 0
    request: str = ""


class KeepProgress(Value, frozen=True):
    """Store the newest progress of a job, KEEP_EVERY_S after the one that was stored last."""

    job_id: str
    attempt: int
    request: str = ""


class LookForWorkers(Value, frozen=True):
    """Check workers set aside ahead of schedule, because jobs wait and no worker is free.

    ``number`` counts the times that this has begun.
    """

    number: int
    request: str = ""


class MatchRules(Value, frozen=True):
    """Match new rules against some more of the waiting jobs."""

    request: str = ""


class LookAtJob(Value, frozen=True):
    """Check on a held job: its lease, its doubt, its use, its instance.

    ``looks`` counts the checks before this one. Monotonic seconds: ``since_s`` when this hold
    began, ``lease_ends_s`` when its lease ends (infinite without one), ``first_look_s`` when its
    doubt was first looked into. ``is_used``: the worker is known to have used its callback up.
    """

    job_id: str
    hold: Hold
    looks: int
    since_s: float
    lease_ends_s: float = inf
    first_look_s: float | None = None
    is_used: bool = False
    request: str = ""


class WorkerProbed(Value, frozen=True):
    """The result of probing a worker set aside: its callback, and its instance's state.

    None where unclear; the state is the engine's own word.
    """

    look: LookAtWorker
    is_pending: bool | None
    instance_state: str | None
    request: str = ""


class StaleProbed(Value, frozen=True):
    """The result of probing an older callback of a worker that registered again; None: unclear."""

    worker_id: str
    is_pending: bool | None
    request: str = ""


class HoldProbed(Value, frozen=True):
    """The result of probing the callback and the instance of a job's holder.

    ``is_timed``: a scheduled check, after which the next one is scheduled.
    """

    look: LookAtJob
    is_timed: bool
    found: ProbeResult
    request: str = ""


# ---- the life of the service


class Recover(Value, frozen=True):
    """Recover what the last run left; ``new_secret`` (hex) becomes the secret of a new topic."""

    new_secret: str
    request: str = ""


class Close(Value, frozen=True):
    """Assign no more jobs: the service is stopping."""

    request: str = ""


class ReplaceJobs(Value, frozen=True):
    """Take over an edited file of jobs: ``jobs`` is what it holds now, in order."""

    jobs: Sequence[Job]
    at_s: float
    request: str = ""


class ReplaceWorkers(Value, frozen=True):
    """Take over an edited file of workers: ``workers`` is what it holds now, in order."""

    workers: Sequence[Worker]
    at_s: float
    request: str = ""


Command = (
    Submit | Register | Withdraw | RegisterConnected | Resume | Accept
    | Complete | Fail | Extend | ReportProgress | AskIfCancelling | NoteRefusedReport
    | LookUp | Read | Forwarded | ForgetRun
    | Cancel | PutBack | MoveToFront | SetPriority | Forget
    | SetAside | BringBack | DropWorker | Pause
    | PutEndpoint | RemoveEndpoint | RotateSecret | ContinueEndpoint | MovePositions
    | PutSubscription | RemoveSubscription | NoteTold
    | DeliveryAccepted | DeliveryRefused | DeliveryInDoubt | AnswerWritten | AnswerLost | DataErased
    | OfferReturned | Leave | EndPoll | OfferLapsed | DropIfAway
    | EndRegistration | ExpiryTold | KeepProgress
    | LookAtWorker | LookForWorkers | LookAtJob | WorkerProbed | StaleProbed | HoldProbed
    | MatchRules
    | Recover | Close | ReplaceJobs | ReplaceWorkers
)  # fmt: skip

ONCE: frozenset[type] = frozenset((
    Withdraw, Fail, NoteRefusedReport,
    Cancel, PutBack, MoveToFront, SetPriority, SetAside, BringBack, DropWorker, Pause,
    ContinueEndpoint,
))  # fmt: skip
"""Commands of requests that would have a second effect if they were repeated.

What the others name tells that they were applied: a job's id, a callback, an attempt. And to renew
a lease twice is to renew it once.
"""
