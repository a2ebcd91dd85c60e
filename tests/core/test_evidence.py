"""evidence.py, exhaustively: what a probe proves, and when the next one is due."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, cast

import pytest
import ujson

from sanic_dispatch.core import evidence, lifecycle
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.evidence import (
    UNCLEAR_S,
    Finding,
    ProbeResult,
    after_taking,
    due_for_probe,
    in_doubt,
    next_look_s,
    why_aside,
)
from sanic_dispatch.core.job import Hold, Job, Stage, State, Way
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import Fate
from sanic_dispatch.storage.record_json import _decode_hold, encode_job
from tests.support.world import worker

POLICY = Policy()
AFTER_S = POLICY.unconsumed_after_s
NOW_S = 1_732_412_400.0
WORKER = worker("c1", "i1")
WAITS, IS_USED = (
    ProbeResult(True, "running", "running"),
    ProbeResult(False, "running", "running"),
)
STATES = ("running", "stopped", "gone", None)
LOOKS = [ProbeResult(*each) for each in product((True, False, None), STATES, STATES)]


def hold(stage: Stage, *, unused: int = 0, is_again: bool = False) -> Hold:
    return Hold(WORKER, Way.PUT, stage, NOW_S, is_again=is_again, times_unused=unused)


DOUBT = hold(Stage.IN_DOUBT)
UNUSED = hold(Stage.IN_DOUBT, unused=1)
SENT_AGAIN = hold(Stage.IN_DOUBT, unused=1, is_again=True)


def found(held: Hold, look: ProbeResult, *, came_back: bool = False, s: float = 0.0) -> Finding:
    return in_doubt(held, look, came_back=came_back, held_s=s, unclear_s=s, policy=POLICY)


def job(held: Hold) -> Job:
    submitted_at = "2024-11-24T01:39:00.123456789Z"
    return Job("id", 7, b"1", submitted_at, 7.0, State.ASSIGNED, held, attempt=1)


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_what_a_probe_after_a_delivery_proves(look: ProbeResult) -> None:
    """Waiting in a running instance: lost. Not waiting while it ran all the time: used. Otherwise
    nothing is proved."""
    expected = Finding.WAIT
    if look.pending is True and look.before == "running":
        expected = Finding.UNUSED
    elif look.pending is False and look.before == look.after == "running":
        expected = Finding.USED
    assert after_taking(look) is expected


@pytest.mark.parametrize("held", [DOUBT, UNUSED, SENT_AGAIN], ids=["doubt", "unused", "again"])
@pytest.mark.parametrize("look", [each for each in LOOKS if "gone" in each], ids=str)
def test_nothing_is_sent_to_an_instance_that_has_ended(held: Hold, look: ProbeResult) -> None:
    """Nothing is resent to it, whichever instance has its callback now."""
    for came_back in (True, False):
        assert found(held, look, came_back=came_back, s=1e9) is Finding.WAIT


def test_a_plain_doubt() -> None:
    """The callback waits: resend. It does not: taken, if the instance ran or is back. Unknown for
    long: resend to the callback with which it is back."""
    assert found(DOUBT, WAITS) is Finding.SEND_AGAIN
    assert found(DOUBT, IS_USED) is Finding.USED
    assert found(DOUBT, ProbeResult(False, "stopped", "stopped")) is Finding.WAIT
    assert found(DOUBT, ProbeResult(False, "stopped", "stopped"), came_back=True) is Finding.USED
    assert found(DOUBT, ProbeResult(), came_back=True) is Finding.WAIT
    late = UNCLEAR_S + 1
    odd, away = ProbeResult(None, "running", "running"), ProbeResult()
    assert found(DOUBT, odd, came_back=True, s=late) is Finding.SEND_TO_NEW_CALLBACK
    assert found(DOUBT, away, came_back=True, s=late) is Finding.WAIT
    assert found(DOUBT, ProbeResult(), s=late) is Finding.WAIT


def test_an_unconsumed_job() -> None:
    """The callback waits: resend. It was used after all: taken. The worker is back with a new
    callback: the job goes there, since it was never used."""
    assert found(UNUSED, WAITS) is Finding.SEND_AGAIN
    assert found(UNUSED, IS_USED) is Finding.USED
    assert found(UNUSED, ProbeResult(False, "stopped", "stopped")) is Finding.WAIT
    for look in (WAITS, IS_USED, ProbeResult()):
        assert found(UNUSED, look, came_back=True) is Finding.SEND_TO_NEW_CALLBACK


def test_an_unconsumed_job_that_was_resent() -> None:
    """It gets as much time as the first attempt before it is resent once more."""
    assert found(SENT_AGAIN, WAITS) is Finding.WAIT
    assert found(SENT_AGAIN, WAITS, s=AFTER_S) is Finding.UNUSED
    assert found(SENT_AGAIN, IS_USED) is Finding.USED
    assert found(SENT_AGAIN, IS_USED, came_back=True) is Finding.USED


def test_when_the_next_probe_is_due() -> None:
    """A confirmed job: once after --unconsumed-after, then with its instance. An unconsumed one: at
    growing intervals."""
    taken = hold(Stage.CONFIRMED)

    def due_s(held: Hold, looks: int = 0, held_s: float = 0.0) -> float:
        return next_look_s(held, looks, held_s, replace(POLICY, instance_interval_s=45.0))

    assert due_s(taken) == AFTER_S
    assert due_s(taken, held_s=20.0) == AFTER_S - 20.0
    assert due_s(taken, held_s=AFTER_S) == 45.0
    assert due_s(taken._replace(way=Way.ANSWER)) == 45.0
    assert due_s(taken._replace(worker=worker("c9"))) == 45.0
    assert [due_s(DOUBT, looks) for looks in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    unused = [due_s(hold(Stage.IN_DOUBT, unused=times)) for times in range(1, 9)]
    assert unused == [1, 2, 4, 8, 16, 32, 60, 60]
    assert due_s(SENT_AGAIN, 3, 7.0) == 8.0
    assert due_s(SENT_AGAIN, 4, 15.0) == 15.0
    assert due_s(SENT_AGAIN, 9, AFTER_S) == 1.0


def test_the_longest_unprobed_come_first() -> None:
    """At most PROBES_PER_S of them, and none before its time."""
    last_probed_s = {f"w{n}": float(n) for n in range(50)}
    chosen, pause_s = due_for_probe(last_probed_s, 60.0)
    assert chosen == [f"w{n}" for n in range(20)]
    assert pause_s == 1.0
    assert due_for_probe({"w": 10.0}, 12.5) == ([], 1.5)
    assert due_for_probe({"w": 10.0}, 14.0) == (["w"], 1.0)
    assert due_for_probe({}, 0.0) == ([], 1.0)


@pytest.mark.parametrize(
    ("pending", "word", "why"),
    [
        (False, "stopped", "its instance is stopped"),
        (False, "stopping", "its instance is stopping"),
        (False, "running", "its instance is running, but does not wait for a job"),
        (False, None, ""),
        (None, "stopped", ""),
        (True, "running", ""),
    ],
)
def test_the_reason_says_what_is_known(pending: bool | None, word: str | None, why: str) -> None:
    """The state of the instance, if that explains why the callback does not wait."""
    assert why_aside(pending, word) == why


def test_an_unconsumed_job_is_in_doubt_and_counted() -> None:
    """It is not put back: the same worker gets it again."""
    step = lifecycle.find_unused(job(hold(Stage.CONFIRMED)), NOW_S + 30)
    assert step.job.hold == UNUSED._replace(since_s=NOW_S + 30)
    assert (step.note.kind, step.fate) == (EventKind.JOB_UNCONSUMED, Fate.STAYS)
    again = lifecycle.find_unused(job(SENT_AGAIN), NOW_S)
    assert again.job.hold == UNUSED._replace(times_unused=2)


def test_taking_it_once_more_proves_nothing() -> None:
    """A worker that lost the job before stays in doubt until its callback is used."""
    sent = lifecycle.assign(job(UNUSED), WORKER, Way.PUT, NOW_S).job
    assert sent.hold == hold(Stage.UNDER_WAY, unused=1, is_again=True)
    taken = lifecycle.accept(sent, POLICY, NOW_S)
    assert (taken.job.hold, taken.note.kind) == (SENT_AGAIN, EventKind.JOB_DOUBTED)
    used = lifecycle.accept(taken.job, POLICY, NOW_S)
    assert (used.job.hold, used.job.reason) == (hold(Stage.CONFIRMED), "")
    assert used.note.kind is EventKind.JOB_CONFIRMED


def test_the_new_callback_of_a_worker_that_lost_it_begins_again() -> None:
    """A new callback has not had the job: its answers count as those of any other."""
    other = worker("c2", "i1")
    for way in (Way.PUT, Way.ANSWER):
        given = lifecycle.assign(job(UNUSED), other, way, NOW_S).job.hold
        assert given == Hold(other, way, Stage.UNDER_WAY, NOW_S)
    doubted = lifecycle.assign(job(SENT_AGAIN), other, Way.PUT, NOW_S).job.hold
    assert doubted == Hold(other, Way.PUT, Stage.UNDER_WAY, NOW_S, is_again=True)


@pytest.mark.parametrize("held", [UNUSED, SENT_AGAIN], ids=["unused", "again"])
def test_a_worker_that_lost_it_is_not_forgotten(held: Hold) -> None:
    """However the job is taken away, the worker is enqueued, and its callback is not used up."""
    steps = [
        lifecycle.end_lease(job(held), NOW_S),
        lifecycle.put_back(job(held), NOW_S, "its process is dead"),
        lifecycle.doubt(
            job(held._replace(stage=Stage.UNDER_WAY)), Policy(resend_doubt=True), NOW_S, "time-out"
        ),
        lifecycle.refuse(
            job(held._replace(stage=Stage.UNDER_WAY, is_again=True)), Policy(max_attempts=1),
            NOW_S, "answered 400",
        ),
    ]  # fmt: skip
    for step in steps:
        assert step.fate is Fate.REJOINS
        assert step.job.spent == ()


def test_an_ended_lease_of_a_worker_that_lost_its_job() -> None:
    """Its next registration does not complete the job, unless it may have had it."""
    assert lifecycle.end_lease(job(UNUSED), NOW_S).job.former is None
    lost = lifecycle.end_lease(job(hold(Stage.CONFIRMED)), NOW_S, is_unused=True)
    assert (lost.job.former, lost.job.spent, lost.fate) == (None, (), Fate.REJOINS)
    assert lifecycle.end_lease(job(SENT_AGAIN), NOW_S).job.former == SENT_AGAIN


@pytest.mark.parametrize("held", [hold(Stage.CONFIRMED), DOUBT, UNUSED, SENT_AGAIN], ids=str)
@pytest.mark.parametrize("word", ["gone", "abandoned", "finished"])
def test_what_an_instance_that_has_ended_leaves(held: Hold, word: str) -> None:
    """Finished: done. Otherwise failed, or put back if it is known to be unused."""
    for is_unused in (True, False):
        step = lifecycle.end_with_instance(job(held), word, NOW_S, is_unused=is_unused)
        if word == "finished":
            assert step.job.state is State.DONE
        else:
            assert step.job.state is (State.WAITING if is_unused else State.FAILED)


@pytest.mark.parametrize("held", [hold(Stage.CONFIRMED), DOUBT], ids=str)
def test_what_the_callback_of_a_deleted_instance_says(held: Hold) -> None:
    """A new instance may have the callback, and for a while it may use what was sent there."""
    assert evidence.of_ended(held, "gone", True, AFTER_S - 1, POLICY) is Finding.WAIT
    assert evidence.of_ended(held, "gone", True, AFTER_S, POLICY) is Finding.UNUSED
    assert evidence.of_ended(held, "gone", False, 0.0, POLICY) is Finding.USED
    assert evidence.of_ended(UNUSED, "gone", False, 0.0, POLICY) is Finding.UNUSED
    assert evidence.of_ended(held, "abandoned", True, 0.0, POLICY) is Finding.UNUSED


def test_a_refused_report_keeps_the_hold() -> None:
    """The lease and the results of probes stay."""
    marked = DOUBT._replace(refused_report="fail: retry is true or false")
    assert evidence.is_same(DOUBT, marked)
    assert evidence.is_same(marked, DOUBT)
    assert not evidence.is_same(DOUBT, marked._replace(since_s=NOW_S + 1))
    assert not evidence.is_same(DOUBT, None)


@pytest.mark.parametrize("held", [hold(Stage.CONFIRMED), UNUSED, SENT_AGAIN], ids=str)
def test_evidence_is_stored(held: Hold) -> None:
    """Evidence survives a round trip; absent values take no space."""
    for marked in (held, held._replace(refused_report="fail: no")):
        assert _decode_hold(stored(marked)) == marked
    assert not {"unused", "refused_report"} & stored(DOUBT).keys()


def stored(held: Hold) -> dict[str, Any]:
    """Return a hold as the record of its job has it."""
    at = held.worker.registered_at
    record = ujson.loads(encode_job(Job("ab", 1, b"1", at, 1, hold=held)))
    return cast("dict[str, Any]", record["hold"])
