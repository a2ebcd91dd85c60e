"""What only this service can make: job ids from idempotency keys, and receipts for workers.

Both are HMAC-SHA256 over a secret that is kept with the jobs, so a repeated submission finds the
same job without a store of its own, also after a restart.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import NamedTuple

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.worker import Key

ID_DIGITS = 32
"""Hex digits of a job id: 128 bits."""


class Receipts:
    """Derives ids and receipts from the topic's secret."""

    def __init__(self, secret: str) -> None:
        """``secret`` is hex."""
        self._hmac = hmac.new(bytes.fromhex(secret), digestmod="sha256")

    def job_id(self, idempotency_key: str) -> str:
        """Derive the id of the job that this idempotency key makes."""
        return self._derive(f"job:{idempotency_key}")

    def receipt(self, job: Job) -> str:
        """Derive what a worker can show to prove that it got the job; a repeat gets the same."""
        hold = job.hold or job.former
        return self._receipt(job, hold.worker.callback_url if hold else "")

    def _receipt(self, job: Job, callback_url: str) -> str:
        return self._derive(f"receipt:{job.id}:{callback_url}")

    def is_of_spent(self, proof: Proof, job: Job) -> bool:
        """Whether this is a worker that took the job before, shown by its callback or receipt."""
        if proof.callback_url in job.spent:
            return True
        shown = (proof.receipt or "").encode()
        return any(
            hmac.compare_digest(self._receipt(job, url).encode(), shown) for url in job.spent
        )

    def is_of_holder(self, proof: Proof, job: Job) -> bool:
        """Whether this is the job's holder, or the last one while nobody else has the job."""
        hold = job.hold or job.former
        if hold is None:
            return False
        if proof.receipt is not None and hmac.compare_digest(
            self.receipt(job).encode(), proof.receipt.encode()
        ):
            return True
        worker = hold.worker
        by_key = proof.key is not None and proof.key == worker.key
        return by_key or (proof.callback_url is not None and proof.callback_url == worker.id)

    def _derive(self, text: str) -> str:
        """A copy of a prepared HMAC takes 3.1 µs in place of 7.6."""
        prepared = self._hmac.copy()
        prepared.update(text.encode())
        return prepared.hexdigest()[:ID_DIGITS]


class Proof(NamedTuple):
    """The callback on which a worker got the job, its key, or the receipt that came with it.

    A process model that reports from another activity than the one that got the job can show none
    of these but the receipt: its ``instance`` alone is enough where that holds no other job.
    """

    callback_url: str | None = None
    key: Key | None = None
    receipt: str | None = None
    instance: str | None = None

    def is_of_instance(self, job: Job, held: Sequence[Job]) -> bool:
        """Whether it is of the instance that holds, or last held, this job and none besides.

        ``held`` are all jobs of that instance. A job that is finished cannot be mistaken any more:
        a repeat of the report that finished it is taken.
        """
        hold = job.hold or job.former
        if hold is None or hold.worker.key is None or hold.worker.key.instance != self.instance:
            return False
        return job.state.is_final or [each.id for each in held] == [job.id]
