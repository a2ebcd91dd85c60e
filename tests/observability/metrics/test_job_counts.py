"""Counts that are folded from events."""

from __future__ import annotations

from sanic_dispatch.core import lifecycle
from sanic_dispatch.core.job import Way
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.observability.metrics.job_counts import JobCounts
from tests.support.story import Story, robot


def test_hand_overs_by_way() -> None:
    """An offer that is accepted, one that lapses, and one to an order that is then cancelled."""
    story = Story()
    counts = JobCounts(story.bus)
    tablet = Worker("ws:tablet-1", robot("r1").registered_at)
    accepted, lapsed, cancelled, answered = (story.submit() for _ in range(4))
    for ticket in (accepted, lapsed, cancelled):
        story.assign(ticket, tablet, Way.OFFER)
    story.confirm(accepted)
    story.take(lapsed, lambda job: lifecycle.let_lapse(job, story.now_s))
    story.cancel(cancelled)
    story.assign(answered, way=Way.ANSWER)
    story.confirm(answered)
    counts.catch_up()
    offers, answers = counts.hand_overs[Way.OFFER], counts.hand_overs[Way.ANSWER]
    assert offers == {"accepted": 1, "refused": 1, "in_doubt": 0}
    assert answers == {"accepted": 1, "refused": 0, "in_doubt": 0}
    assert counts.finished["cancelled"] == 1
    assert not counts._handing_over
