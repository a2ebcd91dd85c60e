"""The rest of a service, from how far its worker says that it is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.live.progress_estimator import TENTHS, ProgressEstimator, Report


def reports_of(
    learnt: ProgressEstimator, *said: tuple[float, float], by_services_s: float = 50.0
) -> tuple[Report, ...]:
    """Return the reports of a service in which its worker said (after seconds, percent)."""
    reports: tuple[Report, ...] = ()
    for elapsed_s, percent in said:
        reports = learnt.add_report(reports, percent, elapsed_s, elapsed_s, by_services_s)
    return reports


def test_the_formula() -> None:
    """At p after t it is t·(1−p)/p; at first that counts for p, and what is known for the rest."""
    (report,) = reports_of(ProgressEstimator(), (20.0, 40.0), by_services_s=50.0)
    assert report.by_progress_s == pytest.approx(30.0)
    assert report.rest_s == pytest.approx(0.4 * 30.0 + 0.6 * 50.0)
    assert report.window() == pytest.approx((20.0 + 0.6 * 42.0, 20.0 + 1.6 * 42.0))


@pytest.mark.parametrize(("is_honest", "rest_s"), [(True, 30.0), (False, 50.0)])
def test_the_better_one_counts(is_honest: bool, rest_s: float) -> None:
    """Of what the workers say and what other services took, whichever was right of late."""
    learnt, dice = ProgressEstimator(), random.Random(1)
    for _ in range(40):
        service_s = dice.uniform(60.0, 150.0)
        elapsed_s = 0.4 * service_s if is_honest else service_s - 50.0
        learnt.observe(reports_of(learnt, (elapsed_s, 40.0)), service_s)
    (report,) = reports_of(learnt, (20.0, 40.0))
    assert report.rest_s == pytest.approx(rest_s, abs=3.0)


def test_the_first_of_each_tenth_counts() -> None:
    """So a service has ten at most, however often its worker says something."""
    said = [(float(second), second / 5) for second in range(501)]
    reports = reports_of(ProgressEstimator(), *said)
    assert [report.tenth for report in reports] == list(range(TENTHS))
    assert [report.at_s for report in reports] == [5.0, *range(50, 500, 50)]


def test_a_worker_that_begins_again() -> None:
    """What it said of later tenths is dropped."""
    reports = reports_of(ProgressEstimator(), (10.0, 15.0), (20.0, 70.0), (30.0, 25.0))
    assert [(report.at_s, report.tenth) for report in reports] == [(10.0, 1), (30.0, 2)]


@given(
    st.lists(st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 100.0)), max_size=20), st.floats(0, 1e6)
)
def test_whatever_is_said(said: list[tuple[float, float]], finished_s: float) -> None:
    """An estimate is never negative, its range never the wrong way round, and it can be learnt."""
    learnt = ProgressEstimator()
    for _ in range(25):
        reports = reports_of(learnt, *said)
        for report in reports:
            assert 0 <= report.low_s <= report.high_s < float("inf")
            assert report.rest_s >= 0
        learnt.observe(reports, finished_s)
