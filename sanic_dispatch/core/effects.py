"""Effects: what has to be done outside once the state that asks for it is durable."""

from __future__ import annotations

from typing import NamedTuple

from sanic_dispatch.core.commands import Command, LookAtJob, LookAtWorker
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.worker import Worker


class PutJob(NamedTuple):
    """PUT a job to the callback that holds it; where ``is_probed``, ask first if it still waits."""

    job: Job
    receipt: str
    is_probed: bool
    request: str


class ProbeWorker(NamedTuple):
    """Ask whether a worker that was set aside waits, and for the state of its instance."""

    look: LookAtWorker
    worker: Worker
    request: str


class ProbeStale(NamedTuple):
    """Ask whether an older callback of a key that has come back still waits."""

    callback_url: str
    request: str


class ProbeHold(NamedTuple):
    """Ask for the instance of a job's holder, whether its callback still waits, and once more.

    Of a worker without a key nothing but its instance can be asked. Without ``asks_callback`` the
    callback is asked only where the instance has ended.
    """

    look: LookAtJob
    asks_callback: bool
    is_timed: bool
    request: str


class StartTimer(NamedTuple):
    """Give this command after so many seconds; where ``is_spread``, a fifth more or less."""

    command: Command
    after_s: float
    is_spread: bool = True


Effect = PutJob | ProbeWorker | ProbeStale | ProbeHold | StartTimer
