"""lifecycle.py, exhaustively: every function in every state, way and stage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sanic_dispatch.core import lifecycle
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import Fate, Step
from sanic_dispatch.errors import WrongState
from tests.support.world import worker

NOW_S = 1_732_412_400.0
POLICY = Policy()
KEYED, NAMELESS = worker("c1", "i1"), worker("c9")


def job(
    state: State = State.WAITING,
    way: Way | None = None,
    stage: Stage = Stage.UNDER_WAY,
    *,
    keyed: bool = True,
    refusals: int = 0,
) -> Job:
    """Return a job in this state; with a way it is held."""
    hold = Hold(KEYED if keyed else NAMELESS, way, stage, NOW_S - 5) if way else None
    submitted_at = "2024-11-24T01:39:00.123456789Z"
    return Job("id", 7, b"1", submitted_at, 7.0, state, hold, attempt=1, refusals=refusals)


def held(way: Way = Way.PUT, stage: Stage = Stage.UNDER_WAY, *, keyed: bool = True) -> Job:
    """Return an assigned job."""
    return job(State.ASSIGNED, way, stage, keyed=keyed)


HOLDS = [(way, stage) for way in (Way.PUT, Way.ANSWER) for stage in Stage]
NOT_HELD = [State.WAITING, State.DONE, State.FAILED, State.CANCELLED]


@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_a_restart_leaves_what_was_under_way_in_doubt(way: Way, stage: Stage) -> None:
    """After a restart: confirmed stays, under way becomes in doubt, in doubt stays."""
    step = lifecycle.recover(held(way, stage), POLICY, NOW_S)
    if stage is Stage.UNDER_WAY:
        assert step is not None
        assert step.job.hold is not None
        assert step.job.hold.stage is Stage.IN_DOUBT
        assert step.note.kind is EventKind.JOB_DOUBTED
    else:
        assert step is None


ACTS_ON_HELD: dict[str, Callable[[Job], object]] = {
    "accept": lambda job: lifecycle.accept(job, POLICY, NOW_S),
    "refuse": lambda job: lifecycle.refuse(job, POLICY, NOW_S, "503"),
    "doubt": lambda job: lifecycle.doubt(job, POLICY, NOW_S, "time-out"),
    "recover": lambda job: lifecycle.recover(job, POLICY, NOW_S),
    "release": lambda job: lifecycle.release(job, NOW_S, "cut off"),
    "finish": lambda job: lifecycle.finish(job, NOW_S),
    "fail": lambda job: lifecycle.fail(job, NOW_S, "no ice"),
    "retry": lambda job: lifecycle.retry(job, POLICY, NOW_S, "no ice"),
    "extend": lambda job: lifecycle.extend(job, NOW_S),
}


@pytest.mark.parametrize("act", ACTS_ON_HELD)
@pytest.mark.parametrize("state", NOT_HELD)
def test_actions_on_a_held_job_need_a_hold(act: str, state: State) -> None:
    """Without a hold they raise WrongState with the state."""
    with pytest.raises(WrongState) as refused:
        ACTS_ON_HELD[act](job(state))
    assert refused.value.state == state


@pytest.mark.parametrize("state", State)
def test_only_waiting_and_assigned_jobs_can_be_assigned(state: State) -> None:
    """A finished job is never assigned."""
    before = held() if state is State.ASSIGNED else job(state)
    if state.is_final:
        with pytest.raises(WrongState):
            lifecycle.assign(before, KEYED, Way.PUT, NOW_S)
    else:
        step = lifecycle.assign(before, KEYED, Way.PUT, NOW_S)
        assert step.job.attempt == before.attempt + 1
        again = state is State.ASSIGNED
        assert step.job.hold == Hold(KEYED, Way.PUT, Stage.UNDER_WAY, NOW_S, is_again=again)


@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_accepted_is_confirmed_for_a_worker_with_a_key(way: Way, stage: Stage) -> None:
    """A worker with a key completes its job by registering again."""
    step = lifecycle.accept(held(way, stage), POLICY, NOW_S)
    assert step.job.state is State.ASSIGNED
    assert step.job.hold is not None
    assert step.job.hold.stage is Stage.CONFIRMED
    assert step.fate is (Fate.USED if way is Way.PUT else Fate.STAYS)


def test_accepted_is_done_for_a_worker_without_a_key() -> None:
    """Without a key and without a lease a job is done once it is confirmed."""
    assert lifecycle.accept(held(keyed=False), POLICY, NOW_S).job.state is State.DONE
    leased = lifecycle.accept(held(keyed=False), Policy(lease_s=60), NOW_S)
    assert leased.job.state is State.ASSIGNED


def test_a_refused_report_is_not_forgotten_by_what_becomes_known_of_the_hand_over() -> None:
    """It may be refused before the PUT is answered, or while that is in doubt."""
    for doubtful in (False, True):
        hold = held()
        if doubtful:
            hold = lifecycle.doubt(hold, POLICY, NOW_S, "no answer").job
        noted = lifecycle.refuse_report(hold, NOW_S, "fail: no proof")
        assert noted is not None
        accepted = lifecycle.accept(noted.job, POLICY, NOW_S).job
        done = lifecycle.finish_by_return(accepted, NOW_S).job
        assert done.reason.endswith("a report was refused: fail: no proof")


def test_refused_goes_back_to_its_own_place_and_the_worker_aside() -> None:
    """The job returns to its place, and the worker is set aside."""
    before = held()
    step = lifecycle.refuse(before, POLICY, NOW_S, "503")
    assert step.job == before._replace(state=State.WAITING, hold=None, reason="503")
    assert step.fate is Fate.ASIDE


def test_a_refused_resend_leaves_the_worker_alone() -> None:
    """An earlier attempt may still arrive, so the worker is not set aside."""
    doubted = lifecycle.doubt(held(), POLICY, NOW_S, "time-out").job
    again = lifecycle.assign(doubted, KEYED, Way.PUT, NOW_S).job._replace(refusals=2)
    step = lifecycle.refuse(again, POLICY, NOW_S, "503")
    assert (step.job.state, step.fate) == (State.FAILED, Fate.UNCLEAR)


def test_refused_by_an_answer_about_the_job_counts_at_once() -> None:
    """An answer that blames the job counts at once, without other workers being set aside first."""
    before = held()
    step = lifecycle.refuse(before, POLICY, NOW_S, "500", blames_job=True)
    assert (step.job.state, step.job.refusals, step.fate) == (State.WAITING, 1, Fate.BLAMELESS)
    worn = before._replace(refusals=2)
    assert lifecycle.refuse(worn, POLICY, NOW_S, "500", blames_job=True).job.state is State.FAILED


def test_blame_fails_a_waiting_job_after_max_attempts() -> None:
    """A job that waiting workers refuse again and again fails."""
    assert lifecycle.blame(job(refusals=1), POLICY, NOW_S, "x").job.state is State.WAITING
    assert lifecycle.blame(job(refusals=2), POLICY, NOW_S, "x").job.state is State.FAILED


def test_blame_waits_for_the_attempt_under_way() -> None:
    """A blamed job that is assigned fails only if this attempt is refused too."""
    blamed = lifecycle.blame(held()._replace(refusals=2), POLICY, NOW_S, "x").job
    assert blamed.state is State.ASSIGNED
    failed = lifecycle.refuse(blamed, POLICY, NOW_S, "503")
    assert failed.job.state is State.FAILED
    assert failed.job.hold is None
    assert failed.fate is Fate.ASIDE


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("resend", [None, True, False])
def test_doubt_stays_or_is_resent_as_the_policy_says(keyed: bool, resend: bool | None) -> None:
    """By default it stays if the worker can be probed, and is resent if not."""
    step = lifecycle.doubt(held(keyed=keyed), Policy(resend_doubt=resend), NOW_S, "time-out")
    if resend or (resend is None and not keyed):
        assert step.job.state is State.WAITING
        assert step.fate is (Fate.UNCLEAR if keyed else Fate.USED)
    else:
        assert step.job.state is State.ASSIGNED
        assert step.job.hold is not None
        assert step.job.hold.stage is Stage.IN_DOUBT
        assert step.fate is Fate.STAYS


@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_finished_and_failed_jobs_keep_their_holder(way: Way, stage: Stage) -> None:
    """Their callbacks count as used up."""
    for step in (
        lifecycle.finish(held(way, stage), NOW_S, b'{"ok":1}'),
        lifecycle.fail(held(way, stage), NOW_S, "no ice"),
    ):
        assert step.job.state.is_final
        assert step.job.finished_s == NOW_S
        assert step.job.worker == KEYED


def test_retry_goes_back_until_there_were_enough_attempts() -> None:
    """``retry`` puts the job back until it was refused max_attempts times.

    Attempts that repeat the job for the same worker do not count.
    """
    asked_again = held()._replace(attempt=20)
    assert lifecycle.retry(asked_again, POLICY, NOW_S, "no ice").job.state is State.WAITING
    worn = held()._replace(refusals=2)
    assert lifecycle.retry(worn, POLICY, NOW_S, "no ice").job.state is State.FAILED


@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_a_lease_that_ends_gives_the_job_back_and_remembers_the_holder(
    way: Way, stage: Stage
) -> None:
    """The job returns to its place; a late report counts until the job is assigned again."""
    before = held(way, stage)
    step = lifecycle.end_lease(before, NOW_S)
    assert (step.job.state, step.job.hold, step.job.former) == (State.WAITING, None, before.hold)
    assert step.fate is (Fate.STAYS if stage is Stage.CONFIRMED else Fate.UNCLEAR)
    late = lifecycle.finish(step.job, NOW_S)
    assert (late.job.state, late.job.worker) == (State.DONE, KEYED)
    taken = lifecycle.assign(step.job, NAMELESS, Way.PUT, NOW_S).job
    assert taken.former is None


@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_a_callback_that_took_a_job_stays_known_as_used_up(way: Way, stage: Stage) -> None:
    """It stays used up whoever gets the job next; a report of its worker shows that it took it."""
    before = held(way, stage)._replace(spent=("http://e/0",))
    both = ("http://e/0", KEYED.callback_url)
    spent = both if stage is Stage.CONFIRMED else both[:1]
    for step, expected in (
        (lifecycle.put_back(before, NOW_S, "operator"), spent),
        (lifecycle.end_lease(before, NOW_S), spent),
        (lifecycle.retry(before, POLICY, NOW_S, "no ice"), both),
    ):
        assert lifecycle.assign(step.job, NAMELESS, Way.PUT, NOW_S).job.spent == expected


@pytest.mark.parametrize("state", State)
def test_only_a_waiting_job_can_be_moved(state: State) -> None:
    """A move changes the place, and nothing else."""
    before = held() if state is State.ASSIGNED else job(state)
    if state is State.WAITING:
        assert lifecycle.move(before, -1.0, NOW_S, "vip").job == before._replace(place=-1.0)
    else:
        with pytest.raises(WrongState):
            lifecycle.move(before, -1.0, NOW_S, "vip")


def test_extend_restarts_the_lease() -> None:
    """The hold says when its worker was heard, and nothing else changes."""
    before = held(stage=Stage.CONFIRMED)
    step = lifecycle.extend(before, NOW_S)
    assert before.hold is not None
    assert step.job.hold == before.hold._replace(reported_s=NOW_S)


@pytest.mark.parametrize("state", State)
def test_only_a_waiting_job_can_be_cancelled(state: State) -> None:
    """In other states it raises WrongState with the state."""
    if state is State.WAITING:
        assert lifecycle.cancel(job(), NOW_S).job.state is State.CANCELLED
    else:
        with pytest.raises(WrongState):
            lifecycle.cancel(held() if state is State.ASSIGNED else job(state), NOW_S)


@pytest.mark.parametrize("state", State)
def test_only_assigned_and_failed_jobs_can_be_put_back(state: State) -> None:
    """The job returns to its place without refusals; attempts go on being counted."""
    before = held() if state is State.ASSIGNED else job(state, Way.PUT if state.is_final else None)
    if state in (State.ASSIGNED, State.FAILED):
        step = lifecycle.put_back(before, NOW_S, "operator")
        assert (step.job.state, step.job.hold) == (State.WAITING, None)
        assert (step.job.place, step.job.attempt, step.job.refusals) == (7.0, before.attempt, 0)
    else:
        with pytest.raises(WrongState):
            lifecycle.put_back(before, NOW_S, "operator")


@pytest.mark.parametrize("act", [*ACTS_ON_HELD][1:])
@pytest.mark.parametrize(("way", "stage"), HOLDS)
def test_a_step_never_touches_what_was_submitted(act: str, way: Way, stage: Stage) -> None:
    """No transition changes id, ticket, data, time or place."""
    before = held(way, stage)
    step = ACTS_ON_HELD[act](before)
    if isinstance(step, Step):
        for name in ("id", "ticket", "data", "submitted_at", "place"):
            assert getattr(step.job, name) == getattr(before, name)
