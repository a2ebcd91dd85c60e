"""What an instance waits for, what arrives, and what a call brings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """What a call brought: by its answer, or by the callback."""

    value: object
    """As the process sees it; None for an empty result and for invalid JSON."""
    body: bytes
    """The very bytes that came."""
    by_callback: bool


@dataclass(frozen=True, slots=True)
class Put:
    """A PUT to a callback as it arrived; headers can be looked up in any case."""

    callback_id: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """The callback of one call: it advances the process once."""

    callback_id: str
    activity: str
    label: str
    result: asyncio.Future[Result]
