"""The last hour, minute by minute: who came, who was served, and how long they waited.

The waiting time here is from the submission until a robot has the order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from sanic_dispatch.core.events import Event, Kind
from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.live.estimator import quantile

MINUTE_S, HOUR_S = 60, 3600

MOST_OF_A_MINUTE = 1000
MOST_OF_THE_HOUR = 1000
"""How many waiting times are kept for the quantiles: evenly of a minute, the last of the hour."""


class Minute:
    """What happened in one minute; ``number`` is Unix minutes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.arrived = self.done = 0
        self._waits: list[float] = []
        self._seen, self._stride = 0, 1
        self._drawn: dict[str, Any] | None = None

    def count(self, *, arrived: int = 0, done: int = 0) -> None:
        """So many more came, or were served."""
        self.arrived += arrived
        self.done += done
        self._drawn = None

    def waited(self, wait_s: float) -> None:
        """One more was given to a robot; of very many every so-manieth one is kept."""
        if self._seen % self._stride == 0:
            self._waits.append(wait_s)
        self._seen += 1
        if len(self._waits) > MOST_OF_A_MINUTE:
            self._waits, self._stride = self._waits[::2], self._stride * 2
        self._drawn = None

    def shown(self) -> dict[str, Any]:
        """As the monitor shows it; the same object until something changes."""
        if self._drawn is None:
            counts = {"t": self.number * MINUTE_S, "arrived": self.arrived, "done": self.done}
            self._drawn = counts | _spread(self._waits)
        return self._drawn


class History:
    """The minutes of the last hour in which something happened, and the sum of them."""

    def __init__(self) -> None:
        self._minutes: dict[int, Minute] = {}
        self._waits: deque[tuple[float, float]] = deque(maxlen=MOST_OF_THE_HOUR)

    def __iter__(self) -> Iterator[Minute]:
        return iter(self._minutes.values())

    def fold(self, event: Event) -> None:
        """Take in what happened."""
        job, at_s = event.job, event.at_s
        if job is None:
            return
        if event.kind is Kind.JOB_SUBMITTED:
            self._minute(at_s).count(arrived=1)
        elif event.kind is Kind.JOB_CONFIRMED:
            self._waited(job, at_s)
        elif event.kind is Kind.JOB_DONE:
            self._minute(at_s).count(done=1)
            if job.hold and job.hold.stage is Stage.UNDER_WAY:  # done as soon as it was taken
                self._waited(job, at_s)

    def seed(self, job: Job) -> None:
        """What a finished job that was kept tells of the time before the start."""
        self._minute(from_rfc3339(job.submitted_at)).count(arrived=1)
        if job.state is State.DONE and job.finished_s is not None:
            self._minute(job.finished_s).count(done=1)
            if job.hold:
                self._waited(job, job.hold.since_s)

    def seed_unfinished(self, jobs: Iterable[Job], now_s: float) -> None:
        """When those came that are not finished; a long queue is mostly older than an hour.

        Where that can be seen in the text of a time, as this program writes it, the time is not
        read.
        """
        since = to_rfc3339(max(now_s - HOUR_S - MINUTE_S, 0.0))[: len("1970-01-01T00:00")]
        for job in jobs:
            at = job.submitted_at
            if at >= since or at[10:11] != "T" or not at.endswith("Z"):
                self._minute(from_rfc3339(job.submitted_at)).count(arrived=1)

    def expire(self, now_s: float) -> bool:
        """Let go of what is older than an hour; whether there was any."""
        since_s = now_s - HOUR_S
        gone = [n for n in self._minutes if (n + 1) * MINUTE_S <= since_s]
        for number in gone:
            del self._minutes[number]
        kept = [wait for wait in self._waits if wait[0] > since_s]
        is_less = len(kept) < len(self._waits)
        if is_less:
            self._waits = deque(kept, maxlen=MOST_OF_THE_HOUR)
        return bool(gone) or is_less

    def shown(self) -> dict[str, Any]:
        """How many were served in an hour, and how long half and nine of ten waited at most."""
        done = sum(minute.done for minute in self)
        return {"per_hour": done, **_spread([wait_s for _, wait_s in self._waits])}

    def _waited(self, job: Job, at_s: float) -> None:
        wait_s = max(at_s - from_rfc3339(job.submitted_at), 0.0)
        self._minute(at_s).waited(wait_s)
        self._waits.append((at_s, wait_s))

    def _minute(self, at_s: float) -> Minute:
        number = int(at_s // MINUTE_S)
        minute = self._minutes.get(number)
        if minute is None:
            minute = self._minutes[number] = Minute(number)
        return minute


def _spread(waits: list[float]) -> dict[str, float | None]:
    ordered = sorted(waits)
    if not ordered:
        return {"p50": None, "p90": None}
    return {name: round(quantile(ordered, share), 1) for name, share in _SHARES.items()}


_SHARES = {"p50": 0.5, "p90": 0.9}
