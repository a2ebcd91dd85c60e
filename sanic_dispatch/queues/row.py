"""Rows: what stands on a store's shelves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ujson

from sanic_dispatch.job import MOST, Job
from sanic_dispatch.worker import Worker


class Fact(NamedTuple):
    """One thing that the dispatcher has to remember, by its name."""

    id: str
    value: Any

    def to_stored(self) -> bytes:
        """Its value as JSON."""
        return ujson.dumps(self.value).encode()


FACTS: dict[str, type] = {"last_ticket": int, "paused": bool, "secret": str}
"""What each fact is."""


def _is_ticket(value: Any) -> bool:
    return not isinstance(value, bool) and 0 <= value <= MOST


def _is_secret(value: Any) -> bool:
    """With an empty one anybody could derive what only this service can."""
    return len(value) > 1 and len(bytes.fromhex(value)) * 2 == len(value)


def _fits(_: Any) -> bool:
    return True


FITS: dict[str, Callable[[Any], bool]] = {"last_ticket": _is_ticket, "secret": _is_secret}
"""What more has to hold of it. Raises ValueError, too, where it does not."""


class Row(NamedTuple):
    """A record with its place on the shelf, and its stored form, or the text that has it."""

    place: float
    record: Any
    source: bytes | str
    at: int = 0
    end: int = 0

    @property
    def stored(self) -> bytes:
        """Its JSON; cut out when it is asked for, so that a long queue is not there twice."""
        if isinstance(self.source, bytes):
            return self.source
        return self.source[self.at : self.end].encode()

    @classmethod
    def of(cls, record: Job | Worker) -> Row:
        """A record at its own place."""
        return cls(record.place, record, record.to_stored())

    @classmethod
    def fact(cls, name: str, value: Any) -> Row:
        """A fact that was read. Raises TypeError where it cannot be what its name says."""
        if not isinstance(value, FACTS.get(name, object)) or not FITS.get(name, _fits)(value):
            raise TypeError(f"{name} cannot be {value!r}")
        fact = Fact(name, value)
        return cls(0.0, fact, fact.to_stored())
