"""Jobs: any JSON that waits for a worker, and what has become of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import ujson

from sanic_dispatch.clock import from_rfc3339
from sanic_dispatch.strict_json import Entry
from sanic_dispatch.worker import Worker

N = TypeVar("N", int, float)

MOST = 2**53
"""The greatest number that a place, a ticket or a count can be: up to here a double is exact, and
there is always a next one."""


class State(StrEnum):
    """The five words for a job's state, the same on the wire, on the pages and in the metrics."""

    WAITING = "waiting"
    ASSIGNED = "assigned"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether only an operator can still change it."""
        return self is not State.WAITING and self is not State.ASSIGNED


class Way(StrEnum):
    """How a job goes to a worker."""

    PUT = "put"
    ANSWER = "answer"


class Stage(StrEnum):
    """How far a hand-over is: ``confirmed`` means 2xx to the PUT, or a 200 that was written."""

    UNDER_WAY = "under way"
    CONFIRMED = "confirmed"
    IN_DOUBT = "in doubt"


class Hold(NamedTuple):
    """Who has a job, by which way, how far the hand-over is, and since when (Unix seconds).

    ``is_again``: an earlier attempt with this worker was in doubt, so it may have the job already.
    ``unused`` counts how often the worker took the job by PUT and was then found still waiting on
    that callback: it had lost the job, as an instance does whose process was killed.
    ``refused_report``: why a report on the job was refused, if none was taken since.
    """

    worker: Worker
    way: Way
    stage: Stage
    since_s: float
    is_again: bool = False
    unused: int = 0
    refused_report: str = ""

    @property
    def is_unused(self) -> bool:
        """Whether it is known that the worker does not have the job, whatever it answered."""
        return self.stage is Stage.IN_DOUBT and self.unused > 0 and not self.is_again

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for files."""
        return {
            "worker": self.worker.to_dict(),
            "way": self.way.value,
            "stage": self.stage.value,
            "since": self.since_s,
            **({"is_again": True} if self.is_again else {}),
            **({"unused": self.unused} if self.unused else {}),
            **({"refused_report": self.refused_report} if self.refused_report else {}),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Hold:
        """Read it back. Raises KeyError, TypeError or ValueError where it is no hold."""
        return cls(
            Worker.from_dict(stored["worker"]),
            Way(stored["way"]),
            Stage(stored["stage"]),
            _number(stored["since"]),
            bool(stored.get("is_again", False)),
            _count(stored.get("unused", 0)),
            _text(stored.get("refused_report", "")),
        )


class Job(NamedTuple):
    """A job. ``data`` is the very bytes that were submitted; they are never encoded anew.

    ``ticket`` counts up and is what people see; ``id`` is a secret of 128 bits. ``place`` orders
    the queue: the ticket, unless an operator moved the job. ``former`` had it until its lease
    ended, and nobody has had it since. ``spent`` are callbacks that took it before: they are used
    up. ``attempt`` counts hand-overs begun, ``refusals`` those refused by a worker that was alive
    all the same.
    """

    id: str
    ticket: int
    data: bytes
    submitted_at: str
    place: float
    state: State = State.WAITING
    hold: Hold | None = None
    former: Hold | None = None
    spent: tuple[str, ...] = ()
    attempt: int = 0
    refusals: int = 0
    finished_s: float | None = None
    reason: str = ""
    result: bytes | None = None
    version: int = 0

    @property
    def is_free(self) -> bool:
        """Whether it may be paired."""
        return self.state is State.WAITING

    @property
    def worker(self) -> Worker | None:
        """Who holds it, or held it when it was finished."""
        return self.hold.worker if self.hold else None

    @property
    def callbacks(self) -> tuple[str, ...]:
        """All callback URLs by which it is to be found."""
        hold = self.hold or self.former
        return (*self.spent, hold.worker.callback_url) if hold else self.spent

    @property
    def submitted_s(self) -> float:
        """When it was submitted, Unix seconds."""
        return from_rfc3339(self.submitted_at)

    def to_wire(self) -> bytes:
        """What a worker gets: ``{"Job":{"id","data","submitted_at"}}``, the data spliced in."""
        return b'{"Job":%b%b,"submitted_at":"%b"}}' % (
            self._head(),
            self.data,
            self.submitted_at.encode(),
        )

    def to_stored(self) -> bytes:
        """Its JSON in ``jobs.json``: the original's three keys first, then ours."""
        if self[5:] == _NEW and self.place == self.ticket:
            return b'{"id":"%b","data":%b,"submitted_at":"%b","ticket":%d}' % (
                self.id.encode(),
                self.data,
                self.submitted_at.encode(),
                self.ticket,
            )
        return b"%b%b,%b" % (self._head(), self.data, self._tail())

    def _head(self) -> bytes:
        return b'{"id":"%b","data":' % self.id.encode()

    def _tail(self) -> bytes:
        tail = ujson.dumps(self._kept(), ensure_ascii=False, escape_forward_slashes=False).encode()
        if self.result is not None:
            tail = b'%b,"result":%b}' % (tail[:-1], self.result)
        return tail[1:]

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = {"submitted_at": self.submitted_at, "ticket": self.ticket}
        if self.place != self.ticket:
            kept["place"] = self.place
        if self.state is not State.WAITING:
            kept["state"] = self.state.value
        if self.hold:
            kept["hold"] = self.hold.to_dict()
        if self.former:
            kept["former"] = self.former.to_dict()
        for name in ("spent", "attempt", "refusals", "finished_s", "reason", "version"):
            if value := getattr(self, name):
                kept[name] = value
        return kept

    @classmethod
    def from_stored(cls, entry: Entry) -> Job:
        """Read it back from its entry in a file.

        A job of the original has no ticket: it gets ticket 0, and a number and its place when it
        is taken over. Raises KeyError, TypeError or ValueError where it is no job.
        """
        values = entry.values
        ticket = _count(values.get("ticket", 0))
        extras = {name: _READERS[name](value) for name, value in values.items() if name in _READERS}
        if "result" in values:
            extras["result"] = entry.raw("result").encode()
        place = extras.pop("place", ticket)
        job = cls(
            _plain(values["id"]),
            ticket,
            entry.raw("data").encode(),
            _plain(values["submitted_at"]),
            place if ticket else 0,
            **extras,
        )
        job.check()
        return job

    def check(self) -> None:
        """Raises ValueError where what was stored contradicts itself."""
        from_rfc3339(self.submitted_at)
        if self.state is State.WAITING:
            if self.hold is not None:
                raise ValueError("a waiting job has no hold")
        elif self.state is State.ASSIGNED:
            if self.hold is None:
                raise ValueError("an assigned job has a hold")
        elif self.finished_s is None:
            raise ValueError("a finished job has a time at which it finished")

    def numbered(self, ticket: int) -> Job:
        """A job taken over from the original, with the ticket number that people will see."""
        return self._replace(ticket=ticket, place=ticket)


PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""Printable ASCII, but for the quotation mark and the backslash."""


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, not {value!r}")
    return float(_in_range(value))


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"expected a whole number, not {value!r}")
    return _in_range(value)


def _in_range(value: N) -> N:
    if not -MOST <= value <= MOST:
        raise ValueError("a number is out of range")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, not {value!r}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, not {value!r}")
    return tuple(_text(one) for one in value)


def _plain(value: object) -> str:
    """A string that can be spliced into JSON as it is."""
    if not isinstance(value, str):
        raise TypeError(f"expected a plain string, not {value!r}")
    if not PLAIN.fullmatch(value):
        raise ValueError(f"{value!r} cannot be spliced into JSON")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "place": _number,
    "state": State,
    "hold": Hold.from_dict,
    "former": Hold.from_dict,
    "spent": _texts,
    "attempt": _count,
    "refusals": _count,
    "finished_s": _number,
    "reason": _text,
    "version": _count,
}
"""What a stored job has only where it is not what a new job has."""

_NEW = Job("", 0, b"", "", 0.0)[5:]
"""What a job has, from its state on, that has only been submitted."""
