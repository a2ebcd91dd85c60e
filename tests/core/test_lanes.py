"""Lanes: jobs by arrival, also where some have the same place."""

from __future__ import annotations

from itertools import permutations

import pytest

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.lanes import ArrivalLane, FairLane, place_of
from sanic_dispatch.core.rules import ANYTHING

AT = "2024-11-24T01:39:00.500000Z"

JOBS = [
    Job(f"{ticket}", ticket, b"1", AT, place)
    for ticket, place in ((1, 1), (2, -3.0), (3, -3.0), (4, -3.0), (5, 5))
]
IN_ORDER = sorted(JOBS, key=place_of)


def ids(lane: ArrivalLane) -> list[str]:
    return [job.id for job in lane]


@pytest.mark.parametrize("at_once", [False, True])
def test_jobs_of_one_place_are_in_the_order_of_their_tickets(at_once: bool) -> None:
    """However they were added; and ``before`` counts those with a lower ticket."""
    for order in permutations(JOBS):
        lane = ArrivalLane()
        if at_once:
            lane.add_all(order[:2])
            lane.add_all(order[2:])
        else:
            for job in order:
                lane.add(job, "")
        assert list(lane) == IN_ORDER
        assert [lane.before(lane.rank_of(job, "")) for job in IN_ORDER] == list(range(len(JOBS)))
        assert [rank for rank, _ in lane.ranked()] == [place_of(job) for job in IN_ORDER]


def test_the_oldest_job_of_a_lane() -> None:
    """It need not be the first in line: jobs are moved, and customers take turns."""
    arrival, fair = ArrivalLane(), FairLane({"Bert": {ANYTHING: 7}}, frozenset())
    for job in JOBS[1:]:
        arrival.add(job, "")
    assert arrival.oldest() == JOBS[1]
    arrival.add(JOBS[0], "")
    assert arrival.oldest() == JOBS[0]
    unmoved = [job._replace(place=job.ticket) for job in JOBS]
    for job, customer in zip(unmoved, ("Bert", "Ada", "Bert", "Cleo", "Ada"), strict=True):
        fair.add(job, customer)
    assert fair.first()[1] == unmoved[1]
    assert fair.oldest() == unmoved[0]


def test_a_job_leaves_from_among_those_of_its_place() -> None:
    lane = ArrivalLane()
    lane.add_all(JOBS)
    lane.remove(JOBS[2], "")
    assert ids(lane) == ["2", "4", "1", "5"]
    assert lane.first() == ((-3.0, 2), JOBS[1])
    lane.remove(JOBS[1], "")
    lane.add(JOBS[2], "")
    assert ids(lane) == ["3", "4", "1", "5"]
    assert len(lane) == 4
