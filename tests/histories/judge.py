"""Judge a history by the rules C1 to C6, and by the promises made on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sanic_dispatch.core.job import State
from tests.crash.history import Violation, c1, c2, c3, c4, c6
from tests.crash.records import History, Outcome
from tests.histories.plan import DRINKS

if TYPE_CHECKING:
    from tests.histories.simulation import Simulation


def judge(run: Simulation) -> list[Violation]:
    """Return the violations of a complete history."""
    jobs = run.truth.jobs.values()
    # A robot that asks again for an order that was erased gets it with null: docs/protocol.md.
    erased = {job.id for job in jobs if job.forgotten}
    history = replace(
        run.history,
        deliveries=[
            each
            for each in run.history.deliveries
            if each.job_id not in erased or each.data != b"null"
        ],
        cancelled={
            run.data_of(job)
            for job in jobs
            if job.id in erased or (job.state is State.CANCELLED and job.id in run.asked_to_cancel)
        },
    )
    cancelled = history.cancelled
    taken = [each for each in history.deliveries if each.outcome is Outcome.OK]
    # The inspector checks that a refused job keeps its place; and a job that an operator has moved
    # to the front may overtake others.
    in_order = replace(history, deliveries=taken, cancelled=cancelled | run.moved)
    # A robot whose process was killed takes job after job on one callback.
    by_the_living = [each for each in taken if (each.callback, each.job_id) not in run.swallowed]
    found = [
        Violation(rule.__name__.upper(), text) for rule in (c1, c2, c6) for text in rule(history)
    ]
    found += [Violation("C3", text) for text in c3(replace(history, deliveries=by_the_living))]
    for drink in DRINKS if run.plan.has_skills else (b"",):
        found += [Violation("C4", text) for text in c4(_of_drink(in_order, drink))]
    found += [Violation("CANCELLED", text) for text in _delivered_after_cancelling(run)]
    return found


def _of_drink(history: History, drink: bytes) -> History:
    """Return the history of the orders of one drink: the same robots make them."""
    return replace(
        history,
        submissions=[each for each in history.submissions if drink in each.data],
        deliveries=[each for each in history.deliveries if drink in each.data],
        cut_off=[each for each in history.cut_off if drink in each.data],
    )


def _delivered_after_cancelling(run: Simulation) -> Iterator[str]:
    """Yield the jobs that were handed out after their cancellation was answered."""
    for delivery in run.history.deliveries:
        at_s = run.cancelled_at.get(delivery.data)
        if at_s is not None and delivery.began_s > at_s:
            yield f"{delivery.data!r} was cancelled at {at_s} and sent at {delivery.began_s}"
