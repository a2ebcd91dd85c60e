"""A recorded evening beside what it would have been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.live.estimator import Estimator
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.replay.evening_summary import EveningSummary, SummaryFold
from sanic_dispatch.replay.recording import Recording, seconds_of
from sanic_dispatch.replay.scenario import Scenario
from sanic_dispatch.replay.virtual_run import Outcome, VirtualRun
from sanic_dispatch.storage.event_record import LoggedEvent

EXPIRE_EVERY_S = 15.0
"""How often to forget robots that did not come back, and orders that are not shown any more."""


class Pairing(NamedTuple):
    """Of the orders that robots were given both times: who got the same ones.

    ``faults`` counts the recorded hand-overs that something interfered with.
    """

    same: int
    different: int
    faults: int


class Comparison(NamedTuple):
    """What was and what would have been; ``outcome`` is that of the run."""

    recorded: EveningSummary
    replayed: EveningSummary
    pairing: Pairing
    outcome: Outcome

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "recorded": self.recorded.as_json(),
            "replayed": self.replayed.as_json(),
            "pairing": self.pairing._asdict(),
        }


def replay(recording: Recording, recorded: EveningSummary, scenario: Scenario) -> Comparison:
    """Run an evening again. Raises UnusableReplay."""
    replayed, outcome = run_again(recording, scenario)
    return Comparison(recorded, replayed, _pairing(recording, outcome), outcome)


def run_again(recording: Recording, scenario: Scenario) -> tuple[EveningSummary, Outcome]:
    """Run an evening again, and return its summary. Raises UnusableReplay."""
    fold = SummaryFold(seconds_of(recording.begin), seconds_of(recording.end))
    outcome = run_promised(recording, scenario, lambda event, _: fold.add(_logged(event)))
    return fold.summary(), outcome


def run_promised(
    recording: Recording,
    scenario: Scenario,
    take: Callable[[Event, int], None],
    estimator: Estimator | None = None,
) -> Outcome:
    """Run an evening again, with the promises that guests would have been told.

    ``take`` gets each event, and how many orders wait then. Raises UnusableReplay.
    """
    expired_s = 0.0
    projection = Projection(ordering=scenario.policy(recording.ordering).ordering)
    if estimator is not None:
        projection.forecast.estimator = estimator

    def take_all(events: Sequence[Event]) -> None:
        nonlocal expired_s
        waiting = projection.line.size
        if events[0].kind is EventKind.JOB_SUBMITTED:  # a command begins with it, or has none
            events = projection.promised(events)
        projection.fold(*events)
        if events[-1].at_s >= expired_s + EXPIRE_EVERY_S:
            expired_s = events[-1].at_s
            projection.expire(expired_s)
        for event in events:
            take(event, waiting)

    return VirtualRun(recording, scenario, take_all).run()


def _logged(event: Event) -> LoggedEvent:
    """Return what a summary needs of an event."""
    job, worker = event.job, event.worker
    return LoggedEvent(
        event.number,
        event.at_s,
        event.kind,
        job.ticket if job else 0,
        worker=worker.label if worker else "",
        callback=worker.callback_url if worker else "",
        promise=event.promise,
    )


def _pairing(recording: Recording, outcome: Outcome) -> Pairing:
    same = different = faults = 0
    for order in recording.counted():
        recorded = [each.robot for each in order.hand_overs]
        replayed = outcome.served_by.get(order.ticket)
        faults += sum(each.is_faulty for each in order.hand_overs)
        if recorded and replayed:
            is_same = recorded == replayed
            same, different = same + is_same, different + (not is_same)
    return Pairing(same, different, faults)
