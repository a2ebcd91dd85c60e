"""How messages to one destination fare, and when to try again. It knows no network and no clock."""

from __future__ import annotations

import random

FIRST_RETRY_S = (1.0, 5.0)
"""The range of the time until the first retry; it doubles with each further one."""

MAX_RETRY_S = 3600.0
"""The longest time until a retry."""


class Destination:
    """A destination, to which messages fail or not; times are monotonic seconds."""

    def __init__(self) -> None:
        self.error = ""
        """Why the last message failed; empty after one that did not."""
        self.attempts = 0
        """How often in a row it has failed."""
        self.retry_at_s = 0.0

    def note_success(self) -> None:
        """Note that a message was delivered."""
        self.attempts, self.retry_at_s, self.error = 0, 0.0, ""

    def note_failure(self, reason: str, now_s: float, retry_after_s: float | None) -> None:
        """Note that a message was not delivered; ``retry_after_s`` is what the destination asks.

        Several messages that were under way together count as one failure.
        """
        self.error = reason
        if now_s >= self.retry_at_s:
            self.attempts += 1
            self.retry_at_s = now_s + retry_s(self.attempts)
        if retry_after_s is not None:
            self.retry_at_s = now_s + max(retry_after_s, FIRST_RETRY_S[0])


def retry_s(attempts: int) -> float:
    """Return after how long to try again, after so many failures in a row."""
    first_s = random.uniform(*FIRST_RETRY_S)  # noqa: S311 - spreads retries
    return min(first_s * 2.0 ** min(attempts - 1, 30), MAX_RETRY_S)
