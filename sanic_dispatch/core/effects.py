"""Effects: what has to be done outside once the state that asks for it is durable."""

from __future__ import annotations

from typing import NamedTuple

from sanic_dispatch.core.commands import Command, LookAtJob, LookAtWorker
from sanic_dispatch.core.job import Job, JobRef
from sanic_dispatch.core.worker import Worker


class PutJob(NamedTuple):
    """PUT a job to its holder's callback; ``is_probed``: first ask whether it is still pending."""

    job: Job
    receipt: str
    is_probed: bool
    request: str


class ProbeWorker(NamedTuple):
    """Probe a worker set aside: is its callback pending, and what is its instance's state?"""

    look: LookAtWorker
    worker: Worker
    request: str


class ProbeStale(NamedTuple):
    """Probe an older callback of a worker that has registered anew."""

    callback_url: str
    request: str


class ProbeHold(NamedTuple):
    """Probe a job's holder: its instance's state, its callback, and the state once more.

    A worker without a key has no callback that can be probed. Without ``asks_callback`` the
    callback is probed only if the instance has ended.
    """

    look: LookAtJob
    asks_callback: bool
    is_timed: bool
    request: str


class EraseData(NamedTuple):
    """Erase the data of a forgotten job from every file."""

    job: JobRef
    request: str


class StartTimer(NamedTuple):
    """Apply a command after ``after_s`` seconds; ``is_spread``: with up to 20 % of jitter."""

    command: Command
    after_s: float
    is_spread: bool = True


Effect = PutJob | ProbeWorker | ProbeStale | ProbeHold | EraseData | StartTimer
