"""What only this service can make: job ids from idempotency keys, and receipts for workers.

Both are HMAC-SHA256 over a secret that is kept with the jobs, so a repeated submission finds the
same job without a store of its own, also after a restart.
"""

from __future__ import annotations

import hmac
import secrets

from sanic_dispatch.job import Job

ID_DIGITS = 32
"""Hex digits of a job id: 128 bits."""


class Seal:
    """Derives from the secret, once it is known: the queue keeps it."""

    def __init__(self) -> None:
        self._secret = b""

    def set(self, secret: str) -> None:
        """The secret as the queue keeps it (hex)."""
        self._secret = bytes.fromhex(secret)

    def job_id(self, idempotency_key: str | None) -> str:
        """The id of a new job: the same for the same key, a random one where there is none."""
        if idempotency_key is None:
            return secrets.token_hex(ID_DIGITS // 2)
        return self._derive(f"job:{idempotency_key}")

    def receipt(self, job: Job) -> str:
        """What a worker can show to prove that it got the job: the same for each repeat of it."""
        hold = job.hold or job.former
        callback_url = hold.worker.callback_url if hold else ""
        return self._derive(f"receipt:{job.id}:{callback_url}")

    def is_receipt(self, job: Job, shown: str) -> bool:
        """Whether that is the receipt of the job's holder, compared in constant time."""
        return hmac.compare_digest(self.receipt(job).encode(), shown.encode())

    def _derive(self, text: str) -> str:
        return hmac.digest(self._secret, text.encode(), "sha256").hex()[:ID_DIGITS]
