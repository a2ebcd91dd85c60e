"""Answers with a job that another process writes to the worker, and reports on later."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from sanic_dispatch.clock import Clock
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.worker import Key, Worker

ANSWER_WAIT_S = 4.0
"""How long a worker's next registration waits for what became of the answer with its job."""


class _Expected(NamedTuple):
    job: Job
    run: str
    may_go_on: asyncio.Event
    """Set once the worker's next registration need not wait any more."""


class AnswersElsewhere:
    """Knows which answers are being written by other processes.

    A worker that has read its answer may be back with its next registration, by way of any process,
    before the owner knows that the answer was written. It would be given the same job again. So
    that registration waits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_job: dict[str, _Expected] = {}
        self._by_key: dict[Key, _Expected] = {}

    def expect(self, job: Job, run: str) -> None:
        """Note that a process, of which ``run`` is the id, writes the answer with this job."""
        self.settle(job.id)
        expected = self._by_job[job.id] = _Expected(job, run, asyncio.Event())
        if job.worker is not None and job.worker.key is not None:
            self._by_key[job.worker.key] = expected

    def settle(self, job_id: str) -> None:
        """Note that it is known what became of the answer with a job."""
        expected = self._by_job.pop(job_id, None)
        if expected is None:
            return
        expected.may_go_on.set()
        key = expected.job.worker and expected.job.worker.key
        if key and self._by_key.get(key) is expected:
            del self._by_key[key]

    def of_run(self, run: str) -> list[Job]:
        """Return the jobs of the answers that a process was to write."""
        return [each.job for each in self._by_job.values() if each.run == run]

    async def until_settled(self, worker: Worker) -> None:
        """Wait until the outcome of the answer with this worker's job is known.

        For at most ANSWER_WAIT_S, and not at all if there is none, or if this is the registration
        that is being answered.
        """
        expected = self._by_key.get(worker.key) if worker.key and self._by_key else None
        if expected is None or worker.id in expected.job.callbacks:
            return
        timer = self._clock.call_later(ANSWER_WAIT_S, expected.may_go_on.set)
        try:
            await expected.may_go_on.wait()
        finally:
            timer.cancel()
