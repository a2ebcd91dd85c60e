"""RFC 3339 times, as records and the wire have them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=16)
def to_rfc3339(unix_s: float) -> str:
    """Format Unix seconds: ``1732412340.5`` is ``2024-11-24T01:39:00.500000Z``.

    Jobs of one batch have one time: they share its text, of 80 B.
    """
    second, microseconds = divmod(round(unix_s * 1e6), 1_000_000)
    return f"{_to_the_second(second)}.{microseconds:06}Z"


@lru_cache(maxsize=16)
def _to_the_second(unix_s: int) -> str:
    """Format the part that consecutive calls share."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1024)
def from_rfc3339(text: str) -> float:
    """Parse an RFC 3339 time to Unix seconds; digits past the microsecond are dropped.

    As many are remembered as jobs are told of together: several folds ask for each of them. Raises
    ValueError where the text is not such a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()
