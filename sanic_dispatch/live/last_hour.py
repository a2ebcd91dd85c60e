"""The last hour in minutes: orders that arrived, orders that were done, and their waiting times.

A waiting time runs from the submission until a robot has the order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.live.conformal_range import quantile

MINUTE_S, HOUR_S = 60, 3600

MAX_MINUTE_SAMPLES = 1000
MAX_HOUR_SAMPLES = 1000
"""Waiting times kept for the quantiles: an even sample of a minute, the last ones of the hour."""


class Minute:
    """The counts and waiting times of one minute; ``number`` is in Unix minutes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.arrived = self.done = 0
        self._waits: list[float] = []
        self._seen, self._stride = 0, 1
        self._json: dict[str, Any] | None = None

    @classmethod
    def of(cls, state: MinuteState) -> Minute:
        """Return the minute that had this state."""
        minute = cls(state.number)
        minute.arrived, minute.done = state.arrived, state.done
        minute._waits, minute._seen, minute._stride = state.waits, state.seen, state.stride
        return minute

    def state(self) -> MinuteState:
        """Return what ``of`` needs."""
        counts = self.number, self.arrived, self.done
        return MinuteState(*counts, self._waits[:], self._seen, self._stride)

    def add(self, *, arrived: int = 0, done: int = 0) -> None:
        """Count orders that arrived or were done."""
        self.arrived += arrived
        self.done += done
        self._json = None

    def add_wait(self, wait_s: float) -> None:
        """Add a waiting time.

        The sample is systematic: every ``_stride``-th value is kept, and the stride doubles when
        the sample is full.
        """
        if self._seen % self._stride == 0:
            self._waits.append(wait_s)
        self._seen += 1
        if len(self._waits) > MAX_MINUTE_SAMPLES:
            self._waits, self._stride = self._waits[::2], self._stride * 2
        self._json = None

    def as_json(self) -> dict[str, Any]:
        """Return the minute as the monitor gets it; the same object until something changes."""
        if self._json is None:
            counts = {"t": self.number * MINUTE_S, "arrived": self.arrived, "done": self.done}
            self._json = counts | _quantiles(self._waits)
        return self._json


class MinuteState(NamedTuple):
    """A minute as it can be kept."""

    number: int
    arrived: int
    done: int
    waits: list[float]
    seen: int
    stride: int


class HourState(NamedTuple):
    """The last hour as it can be kept; ``waits`` are times and waiting times."""

    minutes: list[MinuteState]
    waits: list[tuple[float, float]]


class LastHour:
    """The minutes of the last hour in which something happened, and their totals."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}
        self._waits: deque[tuple[float, float]] = deque(maxlen=MAX_HOUR_SAMPLES)

    def __iter__(self) -> Iterator[Minute]:
        return iter(self._minutes.values())

    def fold(self, event: Event) -> None:
        """Count an event."""
        job, at_s = event.job, event.at_s
        if job is None:
            return
        if event.kind is EventKind.JOB_SUBMITTED:
            self._minute(at_s).add(arrived=1)
        elif event.kind is EventKind.JOB_CONFIRMED:
            self._add_wait(job, at_s)
        elif event.kind is EventKind.JOB_DONE:
            self._minute(at_s).add(done=1)
            # Without a key a job is done as soon as it is taken.
            if job.hold and job.hold.stage is Stage.UNDER_WAY:
                self._add_wait(job, at_s)

    def seed(self, job: Job) -> None:
        """Count a finished job from before the start."""
        self._minute(from_rfc3339(job.submitted_at)).add(arrived=1)
        if job.state is State.DONE and job.finished_s is not None:
            self._minute(job.finished_s).add(done=1)
        self.seed_wait(job)

    def seed_wait(self, job: Job) -> None:
        """Count how long a job waited, from before the start, for the robot that has or had it."""
        hold = job.hold
        if hold and (hold.stage is Stage.CONFIRMED or job.state is State.DONE):
            self._add_wait(job, hold.since_s)

    def seed_unfinished(self, jobs: Iterable[Job], now_s: float) -> None:
        """Count the arrivals of unfinished jobs from before the start.

        A long queue is mostly older than an hour: a time in this program's own format is compared
        as text first, and only parsed if it is recent enough.
        """
        since = to_rfc3339(max(now_s - HOUR_S - MINUTE_S, 0.0))[: len("1970-01-01T00:00")]
        for job in jobs:
            at = job.submitted_at
            if at >= since or at[10:11] != "T" or not at.endswith("Z"):
                self._minute(from_rfc3339(job.submitted_at)).add(arrived=1)

    def state(self) -> HourState:
        """Return what ``restore`` needs."""
        return HourState([minute.state() for minute in self], list(self._waits))

    def restore(self, state: HourState) -> None:
        """Go on from a state."""
        self._minutes = {each.number: Minute.of(each) for each in state.minutes}
        self._waits = deque(state.waits, maxlen=MAX_HOUR_SAMPLES)

    def expire(self, now_s: float) -> bool:
        """Forget what is older than an hour, and return whether there was anything.

        What lies ahead is forgotten, too: the clock was set back since then.
        """
        since_s, until_s = now_s - HOUR_S, now_s + MINUTE_S
        gone = [n for n in self._minutes if not since_s < (n + 1) * MINUTE_S <= until_s + MINUTE_S]
        for number in gone:
            del self._minutes[number]
        kept = [wait for wait in self._waits if since_s < wait[0] <= until_s]
        is_less = len(kept) < len(self._waits)
        if is_less:
            self._waits = deque(kept, maxlen=MAX_HOUR_SAMPLES)
        return bool(gone) or is_less

    def as_json(self) -> dict[str, Any]:
        """Return the orders done in the hour, and the median and 90th percentile of their waits."""
        done = sum(minute.done for minute in self)
        return {"per_hour": done, **_quantiles([wait_s for _, wait_s in self._waits])}

    def _add_wait(self, job: Job, at_s: float) -> None:
        wait_s = max(at_s - from_rfc3339(job.submitted_at), 0.0)
        self._minute(at_s).add_wait(wait_s)
        self._waits.append((at_s, wait_s))

    def _minute(self, at_s: float) -> Minute:
        number = int(at_s // MINUTE_S)
        minute = self._minutes.get(number)
        if minute is None:
            minute = self._minutes[number] = Minute(number)
        return minute


def _quantiles(waits: list[float]) -> dict[str, float | None]:
    ordered = sorted(waits)
    if not ordered:
        return {"p50": None, "p90": None}
    return {name: round(quantile(ordered, share), 1) for name, share in _QUANTILES.items()}


_QUANTILES = {"p50": 0.5, "p90": 0.9}
