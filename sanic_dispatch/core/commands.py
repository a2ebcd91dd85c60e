"""Commands: what requests, outcomes and timers say to the state machine.

``request`` is the id of the request that began it, empty where a timer did; it is the last member
of each, and goes on into the events and the effects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sanic_dispatch.core.evidence import Look
from sanic_dispatch.core.job import Hold, Job
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.tables import Tables
from sanic_dispatch.core.worker import Aside, Worker

# ---- what requests say


class Submit(NamedTuple):
    """Take in a job; where ``is_repeatable``, one of that id and data may be there already."""

    job_id: str
    data: bytes
    is_repeatable: bool = False
    request: str = ""


class Register(NamedTuple):
    """Take in a worker that asks for a job; ``lost``: its last answer never arrived."""

    worker: Worker
    lost: bool = False
    request: str = ""


class Complete(NamedTuple):
    """The holder has done the work; ``result`` is JSON, already checked."""

    job_id: str
    proof: Proof
    result: bytes | None = None
    request: str = ""


class Fail(NamedTuple):
    """The holder cannot do the work; with ``retry`` another worker may try."""

    job_id: str
    proof: Proof
    reason: str
    retry: bool = False
    request: str = ""


class Extend(NamedTuple):
    """The holder is still at it."""

    job_id: str
    proof: Proof
    request: str = ""


class NoteRefusedReport(NamedTuple):
    """A report on a job was refused, for that reason."""

    job_id: str
    proof: Proof
    reason: str
    request: str = ""


class LookUp(NamedTuple):
    """Ask for a job and its position."""

    job_id: str
    request: str = ""


class Read(NamedTuple):
    """Ask for what ``read`` finds in the tables, which it must not change."""

    read: Callable[[Tables], Any]
    request: str = ""


# ---- what an operator says: ``why`` is kept with the job, ``who`` only in the event


class Cancel(NamedTuple):
    """Take a waiting job out of the line."""

    job_id: str
    why: str = ""
    who: str = ""
    request: str = ""


class PutBack(NamedTuple):
    """Put an assigned, doubtful or failed job back to its own place."""

    job_id: str
    why: str = ""
    who: str = ""
    request: str = ""


class MoveToFront(NamedTuple):
    """Let a waiting job be the next."""

    job_id: str
    why: str = ""
    who: str = ""
    request: str = ""


class SetAside(NamedTuple):
    """Give a waiting worker nothing, also with its next callbacks."""

    worker_id: str
    reason: str = ""
    request: str = ""


class BringBack(NamedTuple):
    """Let a worker that was set aside be used again, at its old place."""

    worker_id: str
    reason: str = ""
    request: str = ""


class DropWorker(NamedTuple):
    """Forget a worker that waits."""

    worker_id: str
    reason: str = ""
    request: str = ""


class Pause(NamedTuple):
    """Hand out nothing more, or go on."""

    paused: bool
    reason: str = ""
    request: str = ""


# ---- what became of an attempt: of no effect once the attempt is settled otherwise


class DeliveryAccepted(NamedTuple):
    """The worker has answered the PUT with 2xx: it has the job."""

    job_id: str
    attempt: int
    request: str = ""


class DeliveryRefused(NamedTuple):
    """The worker did not take the job; ``blames_job``: its answer says that the job is at fault."""

    job_id: str
    attempt: int
    reason: str
    blames_job: bool = False
    request: str = ""


class DeliveryUnknown(NamedTuple):
    """The request was sent, and no answer came."""

    job_id: str
    attempt: int
    reason: str
    request: str = ""


class AnswerWritten(NamedTuple):
    """The answer with the job was written to the worker's connection."""

    job_id: str
    attempt: int
    request: str = ""


class AnswerLost(NamedTuple):
    """The worker's connection broke before the answer, or after it ``began``."""

    job_id: str
    attempt: int
    began: bool
    request: str = ""


# ---- timers, and what was found out: of no effect once the subject has changed


class LookAtWorker(NamedTuple):
    """Look whether a worker that was set aside can be used again.

    ``looks`` were made before; ``since_s`` is monotonic. One that ``is_extra`` comes between two
    others, since the worker is needed, and no other one follows it.
    """

    worker_id: str
    aside: Aside
    looks: int
    since_s: float
    is_extra: bool = False
    request: str = ""


class LookForWorkers(NamedTuple):
    """Look which workers that were set aside are to be looked at sooner, since they are needed.

    ``number`` counts how often they have come to be needed.
    """

    number: int
    request: str = ""


class LookAtJob(NamedTuple):
    """Look after a job that is held: its lease, its doubt, its use, its instance.

    ``looks`` were made before. Monotonic are ``since_s``, when it came to be held so, ``leased_s``,
    when its lease began, and ``first_look_s``, when its doubt was looked into first. ``is_used``
    once it is known that the worker has used its callback up.
    """

    job_id: str
    hold: Hold
    looks: int
    since_s: float
    leased_s: float
    first_look_s: float | None = None
    is_used: bool = False
    request: str = ""


class WorkerProbed(NamedTuple):
    """Whether the callback still waits (None: unclear), and the engine's word for the instance."""

    look: LookAtWorker
    is_pending: bool | None
    instance_state: str | None
    request: str = ""


class StaleProbed(NamedTuple):
    """Whether an older callback of a key that has come back still waits (None: unclear)."""

    worker_id: str
    is_pending: bool | None
    request: str = ""


class HoldProbed(NamedTuple):
    """What was found at the callback and the instance of a job's holder.

    Where ``is_timed`` the next look follows by a timer.
    """

    look: LookAtJob
    is_timed: bool
    found: Look
    request: str = ""


# ---- the life of the service


class Recover(NamedTuple):
    """Take up what the last run left; ``new_secret`` (hex) is for a topic that has none."""

    new_secret: str
    request: str = ""


class Close(NamedTuple):
    """Pair nothing more: the service stops."""

    request: str = ""


class ReplaceJobs(NamedTuple):
    """The file of waiting jobs was edited from outside: ``jobs`` is what it has now, in order."""

    jobs: Sequence[Job]
    at_s: float
    request: str = ""


class ReplaceWorkers(NamedTuple):
    """The file of workers was edited from outside: ``workers`` is what it has now, in order."""

    workers: Sequence[Worker]
    at_s: float
    request: str = ""


Command = (
    Submit | Register | Complete | Fail | Extend | NoteRefusedReport
    | LookUp | Read
    | Cancel | PutBack | MoveToFront | SetAside | BringBack | DropWorker | Pause
    | DeliveryAccepted | DeliveryRefused | DeliveryUnknown | AnswerWritten | AnswerLost
    | LookAtWorker | LookForWorkers | LookAtJob | WorkerProbed | StaleProbed | HoldProbed
    | Recover | Close | ReplaceJobs | ReplaceWorkers
)  # fmt: skip
