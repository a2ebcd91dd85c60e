"""registration_meaning.py: what a new callback means for the job that its key holds."""

from __future__ import annotations

import pytest

from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.registration_meaning import TABLE, Registration, meaning_of
from sanic_dispatch.errors import WrongState
from tests.support.world import worker

NOW_S = 1_732_412_400.0
HOLDS = [(way, stage) for way in (Way.PUT, Way.ANSWER) for stage in Stage]


def job(state: State, hold: Hold | None = None, former: Hold | None = None) -> Job:
    return Job("id", 7, b"1", "2024-11-24T01:39:00Z", 7.0, state, hold, former, attempt=1)


def held(way: Way, stage: Stage) -> Job:
    return job(State.ASSIGNED, Hold(worker("c1", "i1"), way, stage, NOW_S - 5))


@pytest.mark.parametrize(
    ("way", "stage", "new", "after_recovery"),
    [
        (Way.PUT, Stage.UNDER_WAY, "AWAIT", Stage.IN_DOUBT),
        (Way.PUT, Stage.IN_DOUBT, "CLEAR_UP", Stage.IN_DOUBT),
        (Way.PUT, Stage.CONFIRMED, "DONE", Stage.CONFIRMED),
        (Way.ANSWER, Stage.CONFIRMED, "DONE", Stage.CONFIRMED),
        (Way.ANSWER, Stage.UNDER_WAY, "SAME_JOB", Stage.IN_DOUBT),
        (Way.ANSWER, Stage.IN_DOUBT, "SAME_JOB", Stage.IN_DOUBT),
    ],
)
def test_what_a_registration_by_the_holders_key_means(
    way: Way, stage: Stage, new: str, after_recovery: Stage
) -> None:
    """The last two columns of the table in docs/design.md, row by row."""
    assert meaning_of(held(way, stage)).name == new
    assert TABLE[way, stage].after_recovery is after_recovery


def test_the_table_has_every_row() -> None:
    """Every way and stage of a hold of a worker with a callback has a row."""
    assert set(TABLE) == set(HOLDS)


@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_lost_gives_the_same_job_unless_its_delivery_is_under_way(way: Way, stage: Stage) -> None:
    """With ?lost the same job is given again, also if the answer was noted as written."""
    meaning = meaning_of(held(way, stage), lost=True)
    awaited = (way, stage) == (Way.PUT, Stage.UNDER_WAY)
    assert meaning is (Registration.AWAIT if awaited else Registration.SAME_JOB)


@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_after_its_lease_the_job_is_done_or_given_again(way: Way, stage: Stage) -> None:
    """While no other worker has it, the last holder's registration still counts."""
    waiting = job(State.WAITING, former=held(way, stage).hold)
    assert meaning_of(waiting) is Registration.DONE
    assert meaning_of(waiting, lost=True) is Registration.SAME_JOB


@pytest.mark.parametrize("state", [State.WAITING, State.DONE, State.FAILED, State.CANCELLED])
def test_a_registration_means_nothing_for_a_job_that_nobody_holds(state: State) -> None:
    """It raises WrongState with the state."""
    with pytest.raises(WrongState) as refused:
        meaning_of(job(state))
    assert refused.value.state == state
