"""The figures of an evening."""

from __future__ import annotations

from math import inf

import pytest

from sanic_dispatch.core.promise import Promise
from sanic_dispatch.replay.evening_summary import EveningSummary, SummaryFold
from sanic_dispatch.storage.event_record import LoggedEvent

Told = tuple[float, str, int]


def summary(*told: Told, begin_s: float = 0.0, end_s: float = inf) -> EveningSummary:
    """Fold events: time, kind, ticket (or number of the robot)."""
    fold = SummaryFold(begin_s, end_s)
    for n, (at_s, kind, ticket) in enumerate(told, 1):
        of_robot = kind.startswith("worker.") or kind in (
            "job.assigned",
            "job.confirmed",
            "job.done",
        )
        promise = Promise(at_s, 60.0, 50.0, 70.0) if kind == "job.submitted" else None
        fold.add(
            LoggedEvent(
                n, at_s, kind, 0 if kind.startswith("worker.") else ticket, promise=promise,
                worker="Ada" if of_robot else "", callback="http://ada/1" if of_robot else "",
            )
        )  # fmt: skip
    return fold.summary()


ONE = [
    (0.0, "worker.registered", 1),
    (10.0, "job.submitted", 1),
    (10.0, "job.assigned", 1),
    (12.0, "job.confirmed", 1),
    (20.0, "job.submitted", 2),
    (30.0, "job.submitted", 3),
    (40.0, "job.cancelled", 2),
    (70.0, "job.done", 1),
]


def test_figures() -> None:
    """Waits until the robot has an order, the longest line, promises, and how busy it was."""
    found = summary(*ONE)
    assert (found.orders, found.waits_s, found.unserved) == (3, [2.0], 1)
    assert found.longest_line == 2
    assert found.line == [(10.0, 0), (20.0, 1), (30.0, 2), (40.0, 1)]
    assert found.kept == 1.0
    assert found.utilisation == pytest.approx(60 / 70, abs=0.001)
    assert found.wait_s == {"mean": 2.0, "p50": 2.0, "p90": 2.0, "p99": 2.0}


def test_an_order_that_a_robot_takes_at_once_was_not_in_line() -> None:
    """It is submitted and assigned in one moment."""
    assert summary(*ONE[:4]).longest_line == 0
    assert summary(*ONE[:2]).longest_line == 1


def test_a_span() -> None:
    """Orders that came before or after it do not count; they may be in line."""
    found = summary(*ONE, begin_s=20.0, end_s=30.0)
    assert (found.orders, found.waits_s, found.longest_line) == (1, [], 1)
    assert found.wait_s["p90"] is None


def test_an_order_that_went_back_waits_from_the_beginning() -> None:
    """What counts is the robot that made it; one that failed has no wait."""
    back = [(80.0, "job.returned", 1), (90.0, "job.assigned", 1), (95.0, "job.confirmed", 1)]
    again = summary(*ONE[:4], *back, (99.0, "job.done", 1))
    assert again.waits_s == [85.0]
    assert again.kept == 0.0
    failed = summary(*ONE[:4], (99.0, "job.failed", 1))
    assert (failed.waits_s, failed.unserved) == ([], 0)
