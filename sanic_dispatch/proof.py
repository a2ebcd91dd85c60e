"""How a worker shows that it is the one that holds a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sanic_dispatch.job import Job
from sanic_dispatch.seal import Seal
from sanic_dispatch.worker import Key


class Proof(NamedTuple):
    """The callback on which it got the job, its key, or the receipt that came with the job.

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
