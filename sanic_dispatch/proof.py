"""How a worker shows that it is the one that holds a job."""

from __future__ import annotations

from typing import NamedTuple

from sanic_dispatch.job import Job
from sanic_dispatch.seal import Seal
from sanic_dispatch.worker import Key


class Proof(NamedTuple):
    """The callback on which it got the job, its key, or the receipt that came with the job."""

    callback_url: str | None = None
    key: Key | None = None
    receipt: str | None = None

    def is_of_holder(self, job: Job, seal: Seal) -> bool:
        """Whether it is of the job's holder, or of the last one while nobody else has the job."""
        hold = job.hold or job.former
        if hold is None:
            return False
        if self.receipt is not None and seal.is_receipt(job, self.receipt):
            return True
        worker = hold.worker
        by_key = self.key is not None and self.key == worker.key
        return by_key or (self.callback_url is not None and self.callback_url == worker.id)
