"""Values of an instance: results of calls, PUTs that arrived, and callbacks that wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class InstanceEnded(Exception):
    """The instance was abandoned, deleted or has finished, and makes no more calls."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a call, from its answer or its callback."""

    value: object
    """The body as the process sees it; None for an empty body and for invalid JSON."""
    body: bytes
    """The bytes as received."""
    by_callback: bool
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The received headers; lookups ignore case."""


NOTHING = Result(None, b"", by_callback=False)


@dataclass(frozen=True, slots=True)
class Put:
    """A PUT to a callback as received; lookups of headers ignore case."""

    callback_id: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, eq=False)
class Wait:
    """The callback of one call; it advances the process once.

    Each body that is evaluated before the activity ends replaces ``result``.
    """

    callback_id: str
    activity: str
    label: str
    result: Result = NOTHING
    goes_on: bool = False
    """Whether the final result is there; the activity ends once the evaluator ran its code."""
    has_ended: bool = False
    is_void: bool = False
    """Whether its position was removed, so that the call has to be repeated."""

    def describe(self, uuid: str) -> dict[str, str]:
        """Return the answer to a GET while pending; ``uuid`` is that of the number's instance."""
        return {"uuid": uuid, "type": "callback", "position": self.activity, "label": self.label}
