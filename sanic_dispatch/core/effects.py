"""Effects: what has to be done outside once the state that asks for it is durable."""

from __future__ import annotations

from sanic_dispatch.core.commands import Command, EndRegistration, LookAtJob, LookAtWorker
from sanic_dispatch.core.job import Job, JobRef
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Worker

JITTER = 0.2
"""How much earlier or later a timer may fire, as a share of its time, so that they are spread."""


class PutJob(Value, frozen=True):
    """PUT a job to its holder's callback; ``is_probed``: first ask whether it is still pending."""

    job: Job
    receipt: str
    is_probed: bool
    request: str


class OfferJob(Value, frozen=True):
    """Offer a job to a connected worker, by this connection."""

    job: Job
    receipt: str
    lease_s: float
    connection: str
    request: str


class AskToStop(Value, frozen=True):
    """Tell a connected worker that its job is to be cancelled, if it is reached."""

    job_id: str
    connection: str
    request: str


class EndConnection(Value, frozen=True):
    """Close a connection, since another one of the same worker has replaced it."""

    connection: str
    request: str


class PutExpired(Value, frozen=True):
    """Tell a worker, on its callback, that its time to wait is over."""

    look: EndRegistration
    worker: Worker
    request: str


class ProbeWorker(Value, frozen=True):
    """Probe a worker set aside: is its callback pending, and what is its instance's state?"""

    look: LookAtWorker
    worker: Worker
    request: str


class ProbeStale(Value, frozen=True):
    """Probe an older callback of a worker that has registered again."""

    callback_url: str
    request: str


class ProbeHold(Value, frozen=True):
    """Probe a job's holder: its instance's state, its callback, and the state once more.

    A worker without a key has no callback that can be probed. Without ``asks_callback`` the
    callback is probed only if the instance has ended.
    """

    look: LookAtJob
    asks_callback: bool
    is_timed: bool
    request: str


class EraseData(Value, frozen=True):
    """Erase the data of a forgotten job from every file."""

    job: JobRef
    request: str


class StartTimer(Value, frozen=True):
    """Apply a command after ``after_s`` seconds; ``is_spread``: with JITTER."""

    command: Command
    after_s: float
    is_spread: bool = True


class StopTimer(Value, frozen=True):
    """Cancel the timer of a job that is over, or of a registration that has ended.

    A lease may last for hours; and a worker is told only once that its registration has ended.
    """

    record_id: str


Effect = (
    PutJob | OfferJob | AskToStop | EndConnection | PutExpired
    | ProbeWorker | ProbeStale | ProbeHold | EraseData | StartTimer | StopTimer
)  # fmt: skip
