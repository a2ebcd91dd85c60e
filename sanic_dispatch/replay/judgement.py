"""How good promised waiting times were: by hour, drink and place in line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean, median
from typing import Any, NamedTuple

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import State
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.history.statistics import HOUR_S
from sanic_dispatch.live.conformal_range import MISS_RATE
from sanic_dispatch.live.estimator import SHIPPED, Estimator, EstimatorParameters
from sanic_dispatch.live.order import texts_of
from sanic_dispatch.replay.comparison import run_promised
from sanic_dispatch.replay.recording import Recording, seconds_of
from sanic_dispatch.replay.scenario import Scenario

PLACES = ((0, "next"), (1, "1 before it"), (3, "2 or 3"), (7, "4 to 7"), (15, "8 to 15"))
"""The names of places in line: up to so many orders before it."""

LAST_PLACE = "16 or more"


class PromiseOutcome(NamedTuple):
    """A promise, what became of it, and what it was for."""

    promise: Promise
    actual_s: float
    drink: str | None
    ahead: int

    @property
    def score_s(self) -> float:
        """The interval score (Gneiting and Raftery, 2007): smaller is better.

        It is the width of the range, and for a miss 10 times the distance to it.
        """
        low_s, high_s, actual_s = self.promise.low_s, self.promise.high_s, self.actual_s
        missed_s = max(low_s - actual_s, actual_s - high_s, 0.0)
        return high_s - low_s + missed_s / MISS_RATE


@dataclass(frozen=True, slots=True)
class Verdict:
    """How some promises turned out; shares, and seconds.

    Orders were ready ``early``, before the range began, ``late`` after it, or else it was ``kept``.
    ``width_s`` is the median width of the range, ``error_s`` the median distance between the
    estimate and the truth, and ``score_s`` the mean interval score.
    """

    promises: int
    kept: float | None = None
    early: float | None = None
    late: float | None = None
    width_s: float | None = None
    error_s: float | None = None
    score_s: float | None = None

    @classmethod
    def on(cls, outcomes: Sequence[PromiseOutcome]) -> Verdict:
        """Return the verdict on some outcomes."""
        count = len(outcomes)
        if not count:
            return cls(0)
        early = sum(each.actual_s < each.promise.low_s for each in outcomes)
        late = sum(each.actual_s > each.promise.high_s for each in outcomes)
        return cls(
            count,
            round((count - early - late) / count, 3),
            round(early / count, 3),
            round(late / count, 3),
            round(median(each.promise.high_s - each.promise.low_s for each in outcomes), 3),
            round(median(abs(each.actual_s - each.promise.ready_s) for each in outcomes), 3),
            round(fmean(each.score_s for each in outcomes), 3),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Judgement(NamedTuple):
    """The verdicts on the promises of an evening: on those of the log, and on those made again."""

    recorded: Verdict
    replayed: Verdict
    rows: Mapping[str, Sequence[tuple[str | None, Verdict]]]
    """By ``hour``, ``drink`` and ``place``: the promises made again, of each."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "recorded": self.recorded.as_json(),
            "replayed": self.replayed.as_json(),
            **{
                by: [{by: name, **verdict.as_json()} for name, verdict in rows]
                for by, rows in self.rows.items()
            },
        }


def judge(recording: Recording, parameters: EstimatorParameters) -> Judgement:
    """Make the promises of an evening again, and see what becomes of them."""
    outcomes: list[PromiseOutcome] = []
    made = {order.ticket: order.done for order in recording.counted() if order.done}
    open_promises: dict[str, tuple[Promise, int]] = {}

    def take(event: Event, waiting: int) -> None:
        job = event.job
        if job is None:
            return
        if event.kind is EventKind.JOB_SUBMITTED:
            if event.promise is not None and job.ticket in made:
                open_promises[job.id] = event.promise, waiting
        elif job.state is State.DONE and job.id in open_promises:
            promise, ahead = open_promises.pop(job.id)
            actual_s = promise.actual_s(event.at_s)
            drink = texts_of(job.data).drink
            outcomes.append(PromiseOutcome(promise, actual_s, drink, ahead))

    run_promised(recording, Scenario(), take, Estimator(parameters))
    recorded = [
        PromiseOutcome(told, told.actual_s(seconds_of(made[order.ticket].tick)), None, 0)
        for order in recording.counted()
        if order.ticket in made and (told := order.promise) is not None
    ]
    rows = {by: _rows(outcomes, key) for by, key in _KEYS.items()}
    return Judgement(Verdict.on(recorded), Verdict.on(outcomes), rows)


def parameters_of(given: Sequence[str]) -> EstimatorParameters:
    """Parse ``name=value``, each once. Raises ValueError with what is allowed."""
    kinds = {each.name: type(getattr(SHIPPED, each.name)) for each in fields(SHIPPED)}
    changes: dict[str, Any] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or name not in kinds:
            raise ValueError(f"{text!r} names no parameter; there are {', '.join(kinds)}")
        if name in changes:
            raise ValueError(f"{name} is there twice")
        low, high = RANGES[name]
        try:
            changes[name] = kinds[name](value)
        except ValueError:
            raise ValueError(f"{name} is a number from {low:g} to {high:g}") from None
        if not low <= changes[name] <= high:
            raise ValueError(f"{name} is a number from {low:g} to {high:g}")
    return replace(SHIPPED, **changes)


RANGES: Mapping[str, tuple[float, float]] = {
    "service_samples": (1, 10_000),
    "min_service_samples": (1, 10_000),
    "overdue_share": (0.0, 10.0),
    "ratio_samples": (2, 10_000),
    "min_ratio_samples": (2, 10_000),
    "miss_rate": (0.001, 0.499),
    "learning_rate": (0.0, 1.0),
}
"""The values that parameters can have."""


def _rows(
    outcomes: Sequence[PromiseOutcome], key: Callable[[PromiseOutcome], Any]
) -> list[tuple[str | None, Verdict]]:
    grouped: defaultdict[Any, list[PromiseOutcome]] = defaultdict(list)
    for each in outcomes:
        grouped[key(each)].append(each)
    ordered = sorted(grouped, key=lambda name: (name is None, name))
    return [(_name(name), Verdict.on(grouped[name])) for name in ordered]


def _name(key: Any) -> str | None:
    """Return the name of a row: an hour's beginning, a place's name, or a drink."""
    if isinstance(key, float):
        return to_rfc3339(key).replace(".000000", "")
    if isinstance(key, int):
        return PLACES[key][1] if key < len(PLACES) else LAST_PLACE
    return None if key is None else str(key)


def _place(outcome: PromiseOutcome) -> int:
    fitting = (at for at, (most, _) in enumerate(PLACES) if outcome.ahead <= most)
    return next(fitting, len(PLACES))


_KEYS: Mapping[str, Callable[[PromiseOutcome], Any]] = {
    "hour": lambda outcome: outcome.promise.at_s // HOUR_S * HOUR_S,
    "drink": lambda outcome: outcome.drink,
    "place": _place,
}
