"""The history checker, with histories made by hand: each rule, kept and broken."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.history import check
from tests.crash.records import (
    Delivery,
    History,
    Look,
    Mark,
    Outcome,
    Registration,
    Submission,
)

ROBOTS = ("ada", "bob")


def order(n: int, sent_s: float, known_s: float, outcome: Outcome = Outcome.OK) -> Submission:
    job_id = f"j{n}" if outcome is Outcome.OK else ""
    return Submission(b"%d" % n, sent_s, known_s, outcome, job_id)


def given(n: int, worker: str, began_s: float, ended_s: float, **values: Any) -> Delivery:
    values = {"job_id": f"j{n}", "callback": f"{worker}/{n}", **values}
    return Delivery(b"%d" % n, worker=worker, began_s=began_s, ended_s=ended_s, **values)


def history(*happened: Any, **values: Any) -> History:
    """Return a history of these events, in which each callback with a job has registered."""
    deliveries = [each for each in happened if isinstance(each, Delivery)]
    return History(
        submissions=[each for each in happened if isinstance(each, Submission)],
        registrations=[
            Registration(each.callback, each.worker, 0.0, 0.1, Outcome.OK) for each in deliveries
        ],
        deliveries=deliveries,
        **values,
    )


def broken(history: History) -> set[str]:
    """Return the rules that are broken."""
    return {violation.rule for violation in check(history)}


def test_a_correct_history() -> None:
    """Deliveries in order, each once, and the rest still waits."""
    assert not broken(
        history(
            *(order(n, n, n + 0.5) for n in (1, 2, 3)),
            given(1, "ada", 4, 5),
            given(2, "bob", 4.5, 4.8),
            left={"j3"},
        )
    )


# ---- C1


def test_acknowledged_orders_are_delivered_or_wait() -> None:
    """C1: an acknowledged order that is nowhere is lost."""
    assert broken(history(order(1, 1, 2))) == {"C1"}


def test_a_refused_delivery_delivers_nothing() -> None:
    """C1: an attempt is not a delivery."""
    refused = given(1, "ada", 3, 4, outcome=Outcome.FAILED)
    assert broken(history(order(1, 1, 2), refused)) == {"C1"}


def test_unacknowledged_orders_may_be_lost() -> None:
    """C1: unknown and refused submissions promise nothing."""
    assert not broken(history(order(1, 1, 2, Outcome.UNKNOWN), order(2, 1, 2, Outcome.FAILED)))


def test_cancelled_orders_are_not_lost() -> None:
    """C1: a cancelled order need not be delivered."""
    assert not broken(history(order(1, 1, 2), cancelled={b"1"}))


# ---- C2


def test_only_submitted_orders_are_delivered() -> None:
    """C2: each delivery has a submission."""
    assert broken(history(given(1, "ada", 3, 4))) == {"C2"}


def test_the_very_bytes_are_delivered() -> None:
    """C2: equivalent JSON is not enough."""
    submitted = Submission(b'{"n": 1.0}', 1, 2, Outcome.OK, "j1")
    delivered = given(1, "ada", 3, 4)._replace(data=b'{"n":1.0}')
    assert broken(history(submitted, delivered, left={"j1"})) == {"C2"}


def test_a_repeat_is_the_same_job() -> None:
    """C2: one order is one job, however often it is sent."""
    repeat = order(1, 3, 4)._replace(job_id="another")
    assert broken(history(order(1, 1, 2), repeat, left={"j1", "another"})) == {"C2"}


def test_a_job_keeps_its_id() -> None:
    """C2: the delivered id is the one in the acknowledgement."""
    assert broken(history(order(1, 1, 2), given(1, "ada", 3, 4, job_id="another"))) == {"C2"}


def test_only_registered_callbacks_are_called() -> None:
    """C2: a callback has registered before it gets a job."""
    unknown = history(order(1, 1, 2), given(1, "ada", 3, 4))
    unknown.registrations = []
    assert broken(unknown) == {"C2"}


def test_orders_of_unknown_fate_may_be_delivered() -> None:
    """C2: a submission of unknown fate may have been accepted."""
    assert not broken(history(order(1, 1, 2, Outcome.UNKNOWN), given(1, "ada", 3, 4)))


# ---- C3


def test_two_workers_never_get_the_same_job() -> None:
    """C3: not without a reason."""
    twice = [given(1, worker, n, n + 0.5) for n, worker in enumerate(ROBOTS, 3)]
    assert broken(history(order(1, 1, 2), *twice)) == {"C3"}


def test_another_worker_gets_it_when_that_was_allowed() -> None:
    """C3: an operator put it back, or its lease ended."""
    twice = [given(1, worker, n, n + 0.5) for n, worker in enumerate(ROBOTS, 3)]
    assert not broken(history(order(1, 1, 2), *twice, allowed=[Mark(b"1", 3.9)]))
    assert broken(history(order(1, 1, 2), *twice, allowed=[Mark(b"1", 2.0)])) == {"C3"}


def test_the_same_worker_may_get_it_again() -> None:
    """C3: a worker that lost the answer gets the same job."""
    twice = [given(1, "ada", n, n + 0.5, callback=f"ada/{n}") for n in (3, 4)]
    assert not broken(history(order(1, 1, 2), *twice))


def test_the_next_worker_gets_what_the_first_refused() -> None:
    """C3: a refused job is free."""
    refused = given(1, "ada", 3, 3.5, outcome=Outcome.FAILED)
    assert not broken(history(order(1, 1, 2), refused, given(1, "bob", 4, 5)))


def test_a_callback_is_used_once() -> None:
    """C3: a used callback gets no other job."""
    same = [given(n, "ada", n + 2, n + 2.5, callback="ada/x") for n in (1, 2)]
    assert broken(history(order(1, 1, 1.5), order(2, 2, 2.5), *same)) == {"C3"}


# ---- C4


def test_later_orders_are_not_handed_out_before() -> None:
    """C4: acknowledged before the other was sent means handed out before it."""
    first, second = order(1, 1, 2), order(2, 2.5, 3)
    deliveries = given(2, "ada", 4, 5), given(1, "bob", 6, 7)
    assert broken(history(first, second, *deliveries)) == {"C4"}


def test_a_job_that_waits_on_is_overtaken_too() -> None:
    """C4: also if the first is never handed out."""
    assert broken(
        history(order(1, 1, 2), order(2, 2.5, 3), given(2, "ada", 4, 5), left={"j1"})
    ) == {"C4"}


def test_concurrent_orders_have_no_order() -> None:
    """C4: until the first is acknowledged their order is unknown."""
    first, second = order(1, 1, 3), order(2, 2.5, 3.5)
    assert not broken(history(first, second, given(2, "ada", 4, 5), given(1, "bob", 6, 7)))


def test_concurrent_hand_overs_have_no_order() -> None:
    """C4: the first had begun before the second was over."""
    first, second = order(1, 1, 2), order(2, 2.5, 3)
    assert not broken(history(first, second, given(2, "ada", 4, 5), given(1, "bob", 4.9, 9)))


def test_a_hand_over_that_was_cut_off_had_begun() -> None:
    """C4: a job in doubt delays no others."""
    orders = order(1, 1, 2), order(2, 2.5, 3)
    deliveries = given(2, "ada", 4, 5), given(1, "bob", 6, 7)
    assert not broken(history(*orders, *deliveries, cut_off=[Mark(b"1", 3.5)]))


def test_a_refused_job_keeps_its_place() -> None:
    """C4: it does not go to the tail."""
    orders = [order(n, n, n + 0.5) for n in (1, 2)]
    refused = given(1, "ada", 3, 3.5, outcome=Outcome.FAILED)
    tail = history(*orders, refused, given(2, "bob", 4, 4.5), given(1, "ada", 5, 6, callback="a"))
    assert broken(tail) == {"C4"}
    tail.slack_s = 1.0
    assert not broken(tail)


def test_a_refused_job_delays_no_others_while_it_is_retried() -> None:
    """C4: it was handed out again before the other, with any outcome."""
    orders = [order(n, n, n + 0.5) for n in (1, 2)]
    refused = [
        given(1, "ada", at_s, at_s + 0.5, outcome=Outcome.FAILED, callback=f"a{at_s}")
        for at_s in (3.0, 4.0)
    ]
    last = given(2, "bob", 4.2, 4.3), given(1, "ada", 5, 6, callback="a5")
    assert not broken(history(*orders, *refused, *last))


# ---- C5


def look(at_s: float, jobs: str, workers: str, took_s: float = 0.0) -> Look:
    return Look(at_s, frozenset(jobs.split()), frozenset(workers.split()), took_s)


def test_a_job_and_a_worker_do_not_wait_together() -> None:
    """C5: for over a second, and both at the same time."""
    together = [look(at_s, "j1", "ada") for at_s in (1.0, 1.6, 2.2)]
    assert broken(history(looks=together)) == {"C5"}
    assert not broken(history(looks=together[:2]))


@pytest.mark.parametrize(
    "looks",
    [
        [look(1, "j1", "ada"), look(1.6, "j1", "bob"), look(2.2, "j1", "cy")],
        [look(1, "j1", "ada"), look(1.6, "j2", "ada"), look(2.2, "j3", "ada")],
        [look(1, "j1", "ada"), look(1.6, "j1", ""), look(2.2, "j1", "ada")],
        [look(1, "j1", ""), look(1.6, "j1", ""), look(2.2, "j1", "ada")],
    ],
)
def test_changing_pairs_are_no_waiting(looks: list[Look]) -> None:
    """C5: it has to be the same job and the same worker all the time."""
    assert not broken(history(looks=looks))


def test_a_look_that_takes_long_shows_one_moment_of_that_time() -> None:
    """C5: what was seen at its beginning need not be so any more when its last answer comes."""
    first = look(1.0, "j1", "ada")
    assert not broken(history(looks=[first, look(1.5, "j1", "ada", took_s=3.0)]))
    slow = look(1.0, "j1", "ada", took_s=3.0)
    assert not broken(history(looks=[slow, look(4.5, "j1", "ada")]))
    assert broken(history(looks=[slow, look(5.1, "j1", "ada")])) == {"C5"}


def test_a_restart_resets_the_waiting_time() -> None:
    """C5: waiting counts from the restart."""
    looks = [look(1.0, "j1", "ada"), look(2.2, "j1", "ada")]
    assert not broken(history(looks=looks, restarts_s=[1.5]))


# ---- C6


def test_refused_orders_are_not_delivered() -> None:
    """C6: 4xx, or 5xx before its write began."""
    assert broken(history(order(1, 1, 2, Outcome.FAILED), given(1, "ada", 3, 4))) == {"C6"}


def test_a_refused_order_may_succeed_on_repeat() -> None:
    """C6: the repeat counts."""
    again = order(1, 1, 2, Outcome.FAILED), order(1, 3, 4)
    assert not broken(history(*again, given(1, "ada", 5, 6)))


def test_a_refused_worker_is_not_called() -> None:
    """C6: for registrations too."""
    refused = history(order(1, 1, 2), given(1, "ada", 3, 4))
    refused.registrations = [Registration("ada/1", "ada", 0, 1, Outcome.FAILED)]
    assert broken(refused) == {"C6"}
