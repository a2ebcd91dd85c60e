"""Promised waiting times, judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.live.estimator import SHIPPED
from sanic_dispatch.replay.judgement import PromiseOutcome, Verdict, judge, parameters_of
from tests.support.bar_evening import Bar, BarEvening

PROMISE = Promise(1000.0, 100.0, 80.0, 120.0)


def outcome(actual_s: float) -> PromiseOutcome:
    return PromiseOutcome(PROMISE, actual_s, "mojito", 0)


def test_a_verdict() -> None:
    """Kept, early and late are shares; a miss costs ten times its distance."""
    assert Verdict.on([outcome(s) for s in (80.0, 120.0, 79.0, 150.0)]) == Verdict(
        4, 0.5, 0.25, 0.25, 40.0, 20.5, 40.0 + (10.0 + 300.0) / 4
    )
    assert Verdict.on([]) == Verdict(0)


def test_the_promises_of_an_evening() -> None:
    """Made again they are those of the log; each row has its own."""
    evening = BarEvening(Bar.with_everything())
    found = judge(evening.read().recording, SHIPPED)
    assert found.recorded == found.replayed
    assert found.recorded.promises > 100
    assert found.recorded.kept is not None
    assert 0.6 < found.recorded.kept < 0.95
    assert list(found.rows) == ["hour", "drink", "place"]
    for rows in found.rows.values():
        assert sum(verdict.promises for _, verdict in rows) == found.replayed.promises
        assert len(rows) > 2
    assert {name for name, _ in found.rows["drink"]} == {"mojito", "negroni", "beer"}
    assert next(iter(found.rows["place"]))[0] == "next"


def test_promises_of_orders_that_are_not_over() -> None:
    """They do not count: only the replay knows what would become of them."""
    evening = BarEvening(Bar(gap_s=20.0))
    whole = judge(evening.read().recording, SHIPPED)
    del evening.events[len(evening.events) // 2 :]
    made = {
        event.job.id for event in evening.events if event.kind is EventKind.JOB_DONE if event.job
    }
    told = [
        event
        for event in evening.events
        if event.kind is EventKind.JOB_SUBMITTED and event.promise and event.job
        if event.job.id in made
    ]
    found = judge(evening.read().recording, SHIPPED)
    assert found.recorded.promises == found.replayed.promises == len(told)
    assert 0 < len(told) < whole.recorded.promises


def test_recorded_outcomes() -> None:
    """The promises of the log are compared with the log, although the replay goes another way."""
    evening = BarEvening(Bar.with_everything())
    recording = evening.read().recording
    whole = judge(recording, SHIPPED)
    for order in recording.orders[:20]:
        order.data = b"null"
    found = judge(recording, SHIPPED)
    assert found.recorded == whole.recorded
    assert found.replayed != whole.replayed


def test_other_parameters() -> None:
    """They make other promises of the same evening."""
    recording = BarEvening(Bar(gap_s=35.0)).read().recording
    shipped = judge(recording, SHIPPED)
    wide = judge(recording, replace(SHIPPED, miss_rate=0.02))
    assert wide.recorded == shipped.recorded
    assert wide.replayed.kept is not None
    assert shipped.replayed.kept is not None
    assert wide.replayed.kept > shipped.replayed.kept
    late = judge(recording, replace(SHIPPED, min_service_samples=40))
    assert late.replayed.promises < shipped.replayed.promises


def test_parameters() -> None:
    """Each has its kind and its range."""
    found = parameters_of(["service_samples=20", "learning_rate=0.05"])
    assert found == replace(SHIPPED, service_samples=20, learning_rate=0.05)
    for given, says in (
        (["services=3"], "names no parameter; there are service_samples, "),
        (["service_samples"], "names no parameter"),
        (["service_samples=2.5"], "service_samples is a number from 1 to 10000"),
        (["miss_rate=0.5"], "miss_rate is a number from 0.001 to 0.499"),
        (["miss_rate=nan"], "miss_rate is a number"),
        (["miss_rate=0.1", "miss_rate=0.2"], "miss_rate is there twice"),
    ):
        with pytest.raises(ValueError, match=says):
            parameters_of(given)
