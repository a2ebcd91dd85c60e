"""What an instance waits for, what arrives, and what a call brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class InstanceEnded(Exception):
    """The instance was abandoned, deleted or has finished: it makes no more calls."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a call brought: by its answer, or by the callback."""

    value: object
    """As the process sees it; None for an empty result and for invalid JSON."""
    body: bytes
    """The very bytes that came."""
    by_callback: bool
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """What came with it; they can be looked up in any case."""


NOTHING = Result(None, b"", False)


@dataclass(frozen=True, slots=True)
class Put:
    """A PUT to a callback as it arrived; headers can be looked up in any case."""

    callback_id: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, eq=False)
class Wait:
    """The callback of one call: it advances the process once.

    Every body that comes through the evaluator before the activity ends sets ``result``.
    """

    callback_id: str
    activity: str
    label: str
    result: Result = NOTHING
    goes_on: bool = False
    """Whether the activity was told to go on; it ends once the evaluator has run its code."""
    has_ended: bool = False
    is_void: bool = False
    """Whether its position was removed: the call is made again."""

    def describe(self, uuid: str) -> dict[str, str]:
        """What a GET shows while it is pending, with the UUID of whoever has the number."""
        return {"uuid": uuid, "type": "callback", "position": self.activity, "label": self.label}
