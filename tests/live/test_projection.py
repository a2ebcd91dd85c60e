"""The projection of events to orders and robots."""

from __future__ import annotations

import pytest

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import State, Way
from sanic_dispatch.core.lifecycle import blame
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Aside, Cause, Worker
from sanic_dispatch.dispatch.queries import EarlierRuns, TopicSnapshot
from sanic_dispatch.live import finished
from sanic_dispatch.live.finished import KEEP_FAILED_S, RECENT_S
from sanic_dispatch.live.log_line import line_of
from sanic_dispatch.live.order import OrderTexts, texts_of
from sanic_dispatch.live.projection import Projection, QueueCounts
from sanic_dispatch.live.tracked_robots import RETURN_GRACE_S, RobotState
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from tests.support.story import Story, robot, secret


@pytest.fixture
def projection(story: Story) -> Projection:
    projection = Projection()
    story.tell(projection.fold)
    return projection


def tickets(projection: Projection) -> list[int]:
    return [order.job.ticket for order in projection.waiting]


def states(projection: Projection) -> dict[str, RobotState]:
    return {robot.worker.label: robot.state for robot in projection.robots}


def test_orders_wait_in_order_of_their_places(story: Story, projection: Projection) -> None:
    """The place is the ticket unless an operator moved the order, also after a return."""
    for _ in range(4):
        story.submit()
    story.assign(1)
    story.move(4, 1.5)
    assert tickets(projection) == [4, 2, 3]
    story.refuse(1)
    assert tickets(projection) == [1, 4, 2, 3]


def test_two_assigned_orders_of_one_place(story: Story, projection: Projection) -> None:
    """Edits of the file can give a place twice: both are shown, and each goes for itself."""
    first, second = story.submit(), story.submit()
    story.assign(first)
    story.move(second, float(first))
    story.assign(second)
    assert [order.job.ticket for order in projection.assigned] == [first, second]
    assert projection.counts().assigned == 2
    story.finish(first)
    assert [order.job.ticket for order in projection.assigned] == [second]


def test_a_place_among_ten_thousand(story: Story, projection: Projection) -> None:
    """The number ahead is right for each of 10,000 after some have left."""
    for _ in range(10_000):
        story.submit()
    for ticket in range(1, 10_000, 7):
        story.cancel(ticket)
    left = [ticket for ticket in range(1, 10_001) if (ticket - 1) % 7]
    for ahead, ticket in enumerate(left):
        order = projection.get(secret(ticket))
        assert order
        assert projection.ahead(order) == ahead


def test_a_forgotten_order_keeps_its_place(story: Story, projection: Projection) -> None:
    """It loses its texts, and is not shown longer than the others, nor again."""
    for _ in range(2):
        story.serve(5.0)
    order = projection.get(secret(1))
    assert order
    assert order.texts.drink == "Mojito"
    story.loop.run(RECENT_S - 7.0)
    story.forget(1)
    assert order.job.forgotten
    assert order.texts == OrderTexts()
    story.loop.run(3.0)
    projection.expire(story.now_s)
    story.forget(1)
    assert list(projection.finished.recent) == [secret(2)]
    assert projection.get(secret(1)) is None


def test_a_job_assigned_in_its_first_event(story: Story, projection: Projection) -> None:
    """A job stored as held in its first write never waits."""
    ticket = story.submit()
    fresh = Projection()
    story.tell(fresh.fold)
    story.assign(ticket)
    assert fresh.counts() == QueueCounts(robots=1, waiting=0, assigned=1, paused=False)


def test_finished_orders_are_kept_for_ten_minutes(story: Story, projection: Projection) -> None:
    """Then they are forgotten, which is a new version."""
    ticket = story.serve(10.0)
    projection.expire(story.now_s + RETURN_GRACE_S)
    before = projection.version
    projection.expire(story.now_s + RECENT_S)
    assert projection.get(secret(ticket))
    assert projection.version == before
    projection.expire(story.now_s + RECENT_S + 1)
    assert projection.get(secret(ticket)) is None
    assert projection.version == (before.number, before.age + 1)


def test_a_clock_set_back_keeps_no_finished_order(story: Story, projection: Projection) -> None:
    """An order that is ready leaves the board in time, and so do those after it."""
    early = story.serve(10.0)
    projection.expire(story.now_s - 7200.0)
    assert projection.get(secret(early)) is None
    projection.expire(story.now_s)
    late = story.serve(10.0)
    projection.expire(story.now_s - 1.0)
    assert projection.get(secret(late))


def test_the_number_of_finished_orders_is_bounded(
    story: Story, projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is bounded, however many finish within ten minutes."""
    monkeypatch.setattr(finished, "MAX_RECENT", 3)
    for _ in range(5):
        story.serve(0.1)
    assert [order.job.ticket for order in projection.finished.recent.values()] == [3, 4, 5]


def test_a_failed_order_can_come_back(story: Story, projection: Projection) -> None:
    """A requeued order waits at its own place."""
    for _ in range(3):
        story.submit()
    story.assign(1)
    story.confirm(1)
    story.fail(1)
    assert tickets(projection) == [2, 3]
    story.put_back(1)
    assert tickets(projection) == [1, 2, 3]
    assert not projection.finished.failed


def test_a_failed_order_stays_for_as_long_as_it_is_kept(
    story: Story, projection: Projection
) -> None:
    """Its age counts up to the last finish, and other finished orders do not push it out."""
    ticket = story.submit()
    story.assign(ticket)
    story.fail(ticket)
    story.loop.run(KEEP_FAILED_S)
    story.serve(0.0)
    projection.expire(story.now_s + RECENT_S + 1)
    assert [order.job.ticket for order in projection.finished.failed.values()] == [ticket]
    story.serve(1.0)
    projection.expire(story.now_s)
    assert projection.get(secret(ticket)) is None


def test_the_number_of_failed_orders_is_bounded(
    story: Story, projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest failed order goes first; others do not count."""
    monkeypatch.setattr(finished, "MAX_FAILED", 2)
    for _ in range(3):
        story.serve(0.1)
        ticket = story.submit()
        story.assign(ticket)
        story.fail(ticket)
    assert [order.job.ticket for order in projection.finished.failed.values()] == [4, 6]


def test_a_robot_that_has_another_job_by_now(story: Story, projection: Projection) -> None:
    """It stays busy when the first one is put back."""
    robot = story.register("r")
    for ticket in (story.submit(), story.submit()):
        story.assign(ticket, robot)
    story.put_back(1)
    assert [busy.job and busy.job.ticket for busy in projection.robots] == [2]


def test_an_edit_of_the_menu(story: Story) -> None:
    """It is one new version, in which other drinks are unavailable."""
    menus = [("tea", "water")]
    projection = Projection(drinks=lambda: menus[-1])
    story.tell(projection.fold)
    story.register("r", rule="match.drink=water")
    before = projection.version
    projection.expire(story.now_s)
    assert (projection.counts().unavailable, projection.version) == (("tea",), before)
    menus.append(("water", "beer"))
    for _ in range(2):
        projection.expire(story.now_s)
        assert projection.version == (before.number, before.age + 1)
    assert projection.counts().unavailable == ("beer",)


def test_what_the_log_tells_at_a_start(story: Story, projection: Projection) -> None:
    """Since when an order has been waiting again, or being made; and what happened before."""
    events: list[LoggedEvent] = []
    story.tell(lambda event: events.append(logged(event)))
    returned, held = story.submit(), story.submit()
    for ticket in (returned, held):
        story.loop.run(5.0)
        story.assign(ticket)
        story.loop.run(5.0)
        story.confirm(ticket)
    story.put_back(returned)
    seeded = Projection()
    earlier = EarlierRuns((), events)
    seeded.seed(TopicSnapshot(list(story.jobs.values()), [], [], paused=False, earlier=earlier))
    for ticket in (returned, held):
        orders = [each.get(secret(ticket)) for each in (seeded, projection)]
        assert orders[0] is not None
        assert orders[1] is not None
        assert orders[0].since_s == orders[1].since_s
    assert list(map(line_of, seeded.log)) == list(map(line_of, projection.log))


def test_seeding_equals_folding(story: Story) -> None:
    """A seeded projection equals one that folded every event."""
    folded = Projection()
    story.tell(folded.fold)
    done = story.serve(30.0)
    waiting, held = story.submit(), story.submit()
    story.assign(held, way=Way.ANSWER)
    story.confirm(held)
    free = story.register("free")
    aside = story.register("aside", aside=Aside(Cause.REFUSED, story.now_s))
    story.pause()
    seeded = Projection()
    jobs = [story.jobs[waiting], story.jobs[held]]
    finished_jobs = [story.jobs[done]]
    snapshot = TopicSnapshot(jobs, finished_jobs, [free, aside], paused=True)
    seeded.seed(snapshot, now_s=story.now_s)
    folded.expire(story.now_s + RETURN_GRACE_S)
    assert (
        seeded.counts()
        == folded.counts()
        == QueueCounts(robots=2, waiting=1, assigned=1, paused=True)
    )
    assert states(seeded) == states(folded)
    for ticket in (done, waiting, held):
        orders = [projection.get(secret(ticket)) for projection in (seeded, folded)]
        assert orders[0]
        assert orders[1]
        assert orders[0].since_s == pytest.approx(orders[1].since_s)


def test_states_of_robots(story: Story, projection: Projection) -> None:
    """waiting → assigned → in doubt → aside → waiting → gone."""
    story.submit()
    worker = story.register("r1")
    assert states(projection) == {"r1": RobotState.WAITING}
    story.assign(1, worker)
    assert states(projection) == {"r1": RobotState.ASSIGNED}
    story.doubt(1)
    assert states(projection) == {"r1": RobotState.IN_DOUBT}
    story.put_back(1)
    story.register(
        "r1", kind=EventKind.WORKER_SET_ASIDE, aside=Aside(Cause.REFUSED, story.now_s, "refused")
    )
    assert states(projection) == {"r1": RobotState.ASIDE}
    assert projection.counts().robots == 0, "one that was set aside may never come back"
    story.register("r1", kind=EventKind.WORKER_CAME_BACK)
    assert states(projection) == {"r1": RobotState.WAITING}
    story.leave(worker, EventKind.WORKER_DROPPED)
    assert states(projection) == {}


def test_a_robot_between_two_jobs_is_still_there(story: Story, projection: Projection) -> None:
    """It counts for the grace period after a job, then no longer."""
    story.serve(10.0)
    assert projection.counts().robots == 1
    story.register("r1", callback_url="http://engine.example/flow/r1/callbacks/2/")
    assert projection.counts().robots == 1
    story.submit()
    story.assign(2)
    story.finish(2)
    projection.expire(story.now_s + RETURN_GRACE_S)
    assert projection.counts().robots == 1, "the one that waits"


def test_a_robot_that_is_set_aside_with_a_job_does_not_come_back(
    story: Story, projection: Projection
) -> None:
    """It counts until it is done; its callback stays in the queue, set aside."""
    worker = story.register("r1")
    story.assign(story.submit(), worker)
    aside = Aside(Cause.OPERATOR, story.now_s, "smells burnt")
    story.register("r1", kind=EventKind.WORKER_SET_ASIDE, aside=aside)
    story.confirm(1)
    assert projection.counts().robots == 1
    story.finish(1)
    assert states(projection) == {"r1": RobotState.ASIDE}
    assert projection.counts().robots == 0


def test_a_robot_with_two_jobs_is_not_between_two(story: Story, projection: Projection) -> None:
    """One of them is done, and then it takes the other one: it counts once."""
    for ticket in (1, 2):
        story.submit()
        url = f"http://engine.example/flow/r1/callbacks/{ticket}/"
        story.assign(ticket, robot("r1")._replace(callback_url=url))
    story.finish(1)
    story.confirm(2)
    assert projection.counts().robots == 1


def test_a_connected_worker_is_known_by_its_name(story: Story, projection: Projection) -> None:
    """Between two jobs it is still there, though it names no instance; it counts once."""
    tablet = Worker("ws:tablet-1", to_rfc3339(story.now_s), label="Bar left")
    story.submit()
    story.assign(1, tablet, Way.OFFER)
    story.confirm(1)
    story.finish(1)
    assert projection.counts().robots == 1
    story.register("tablet-1", callback_url=tablet.id, key=None)
    assert projection.counts().robots == 1
    story.leave(tablet, EventKind.WORKER_DROPPED)
    assert projection.counts().robots == 0


def test_a_clock_set_back_keeps_no_robot(story: Story, projection: Projection) -> None:
    """A clock set back by an hour does not prolong the grace period."""
    story.serve(10.0)
    projection.expire(story.now_s - 3600.0)
    assert projection.counts().robots == 0


def test_a_worker_in_the_queue_that_holds_a_job_counts_once(
    story: Story, projection: Projection
) -> None:
    """Also when its registration changes or is used up while it holds the job."""
    story.submit()
    worker = story.register("r1")
    story.assign(1, worker)
    story.register("r1", kind=EventKind.WORKER_CAME_BACK)
    assert projection.counts().robots == 1
    story.confirm(1)
    story.leave(worker)
    assert (projection.counts().robots, states(projection)) == (1, {"r1": RobotState.ASSIGNED})


def test_a_worker_whose_job_went_back_waits_on(story: Story, projection: Projection) -> None:
    """It is free until an event of its own sets it aside."""
    story.submit()
    worker = story.register("r1")
    story.assign(1, worker)
    story.refuse(1)
    assert (projection.counts().robots, states(projection)) == (1, {"r1": RobotState.WAITING})


def test_the_number_counts_every_change(story: Story, projection: Projection) -> None:
    """Each event is a new version."""
    story.submit()
    story.assign(1)
    story.pause()
    assert projection.version.number == story.bus.number == 3


def test_edits_from_outside_do_no_harm(story: Story, projection: Projection) -> None:
    """A job that was moved without an event is found again at its next one."""
    story.submit()
    story.jobs[1] = story.jobs[1]._replace(place=7.5)
    story.assign(1)
    assert (tickets(projection), projection.counts().assigned) == ([], 1)


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b'{"name":"Ada","logo":"lion","drink":"Mojito"}', OrderTexts("Ada", "lion", "Mojito")),
        (b' \n{"drink":"Mojito"}', OrderTexts(None, None, "Mojito")),
        (b'{"name":"","logo":7,"drink":["Mojito"]}', OrderTexts()),
        (b'{"name":"%b","drink":"%b"}' % (b"x" * 80, b"x" * 81), OrderTexts("x" * 80)),
        (b'{"name":"a","name":"b"}', OrderTexts("b")),
        ('{"name":"   ","logo":"\\t","drink":"\u200b\u00a0"}'.encode(), OrderTexts()),
        (b'[{"name":"Ada"}]', OrderTexts()),
        (b'"name"', OrderTexts()),
        (b"null", OrderTexts()),
        (b"{", OrderTexts()),
        (b'{"drink":"Mojito","x":"%b"}' % (b"x" * 65536), OrderTexts()),
    ],
)
def test_texts_are_shown_only_where_they_are_short_strings(data: bytes, texts: OrderTexts) -> None:
    """Job data may be any JSON."""
    assert texts_of(data) == texts


def test_an_order_does_not_wait_twice(story: Story, projection: Projection) -> None:
    """The record decides, not the kind of the event."""
    ticket = story.submit()
    order = projection.get(secret(ticket))
    story.take(ticket, lambda job: blame(job, Policy(), story.now_s, "poison"))
    assert projection.get(secret(ticket)) is order
    assert tickets(projection) == [1]
    assert order
    assert order.job.state is State.WAITING
