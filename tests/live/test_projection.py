"""The fold of events to orders and robots."""

from __future__ import annotations

import pytest

from sanic_dispatch.core.events import Kind
from sanic_dispatch.core.job import State, Way
from sanic_dispatch.core.lifecycle import blame
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Aside, Cause
from sanic_dispatch.live import finished
from sanic_dispatch.live.finished import KEEP_FAILED_S, SHOWN_S
from sanic_dispatch.live.order import Texts, texts_of
from sanic_dispatch.live.projection import Bar, Line
from sanic_dispatch.live.robots import LINGER_S, Doing
from tests.live.story import Story, secret


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def line(story: Story) -> Line:
    line = Line()
    story.tell(line.fold)
    return line


def tickets(line: Line) -> list[int]:
    return [order.job.ticket for order in line.waiting.values()]


def doing(line: Line) -> dict[str, Doing]:
    return {robot.worker.label: robot.doing for robot in line.robots}


def test_orders_wait_in_order_of_their_places(story: Story, line: Line) -> None:
    """Tickets, unless an operator moved one; whoever comes back stands where it stood."""
    for _ in range(4):
        story.submit()
    story.assign(1)
    story.move(4, 1.5)
    assert tickets(line) == [4, 2, 3]
    story.refuse(1)
    assert tickets(line) == [1, 4, 2, 3]


def test_a_place_among_ten_thousand(story: Story, line: Line) -> None:
    """How many are ahead is right for each of 10,000 after some have left in between."""
    for _ in range(10_000):
        story.submit()
    for ticket in range(1, 10_000, 7):
        story.cancel(ticket)
    left = [ticket for ticket in range(1, 10_001) if (ticket - 1) % 7]
    for ahead, ticket in enumerate(left):
        order = line.get(secret(ticket))
        assert order
        assert line.ahead(order) == ahead


def test_a_job_may_be_assigned_when_it_is_first_heard_of(story: Story, line: Line) -> None:
    """Stored as held in its first write: it never waits."""
    ticket = story.submit()
    fresh = Line()
    story.tell(fresh.fold)
    story.assign(ticket)
    assert fresh.bar() == Bar(robots=1, waiting=0, assigned=1, paused=False)


def test_finished_orders_are_kept_for_ten_minutes(story: Story, line: Line) -> None:
    """Then they are forgotten, and that is a change like any other."""
    ticket = story.serve(10.0)
    line.expire(story.now_s + LINGER_S)
    before = line.moment
    line.expire(story.now_s + SHOWN_S)
    assert line.get(secret(ticket))
    assert line.moment == before
    line.expire(story.now_s + SHOWN_S + 1)
    assert line.get(secret(ticket)) is None
    assert line.moment == (before.number, before.age + 1)


def test_no_more_finished_orders_than_so_many(
    story: Story, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many finish within ten minutes."""
    monkeypatch.setattr(finished, "MOST_SHOWN", 3)
    for _ in range(5):
        story.serve(0.1)
    assert [order.job.ticket for order in line.over.finished.values()] == [3, 4, 5]


def test_a_failed_order_can_come_back(story: Story, line: Line) -> None:
    """Put back by an operator, it waits at its own place."""
    for _ in range(3):
        story.submit()
    story.assign(1)
    story.confirm(1)
    story.fail(1)
    assert tickets(line) == [2, 3]
    story.put_back(1)
    assert tickets(line) == [1, 2, 3]
    assert not line.over.failed


def test_a_failed_order_stays_for_as_long_as_it_is_kept(story: Story, line: Line) -> None:
    """Not ten minutes, however many others finish; its age counts until the last one finished."""
    ticket = story.submit()
    story.assign(ticket)
    story.fail(ticket)
    story.loop.run(KEEP_FAILED_S)
    story.serve(0.0)
    line.expire(story.now_s + SHOWN_S + 1)
    assert [order.job.ticket for order in line.over.failed.values()] == [ticket]
    story.serve(1.0)
    line.expire(story.now_s)
    assert line.get(secret(ticket)) is None


def test_no_more_failed_orders_than_so_many(
    story: Story, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of them goes first; the others do not count."""
    monkeypatch.setattr(finished, "MOST_FAILED", 2)
    for _ in range(3):
        story.serve(0.1)
        ticket = story.submit()
        story.assign(ticket)
        story.fail(ticket)
    assert [order.job.ticket for order in line.over.failed.values()] == [4, 6]


def test_a_line_begins_with_what_the_queues_hold(story: Story) -> None:
    """Seeded, it is the same as if it had folded every event."""
    folded = Line()
    story.tell(folded.fold)
    done = story.serve(30.0)
    waiting, held = story.submit(), story.submit()
    story.assign(held, way=Way.ANSWER)
    story.confirm(held)
    free = story.register("free")
    aside = story.register("aside", aside=Aside(Cause.REFUSED, story.now_s))
    story.pause()
    seeded = Line()
    jobs = [story.jobs[waiting], story.jobs[held]]
    seeded.seed(jobs, [story.jobs[done]], [free, aside], paused=True)
    folded.expire(story.now_s + LINGER_S)
    assert seeded.bar() == folded.bar() == Bar(robots=2, waiting=1, assigned=1, paused=True)
    assert doing(seeded) == doing(folded)
    for ticket in (done, waiting, held):
        orders = [line.get(secret(ticket)) for line in (seeded, folded)]
        assert orders[0]
        assert orders[1]
        assert orders[0].since_s == pytest.approx(orders[1].since_s)


def test_what_robots_are_doing(story: Story, line: Line) -> None:
    """waiting → assigned → in doubt → aside → waiting → gone."""
    story.submit()
    worker = story.register("r1")
    assert doing(line) == {"r1": Doing.WAITING}
    story.assign(1, worker)
    assert doing(line) == {"r1": Doing.ASSIGNED}
    story.doubt(1)
    assert doing(line) == {"r1": Doing.IN_DOUBT}
    story.put_back(1)
    story.register(
        "r1", kind=Kind.WORKER_SET_ASIDE, aside=Aside(Cause.REFUSED, story.now_s, "refused")
    )
    assert doing(line) == {"r1": Doing.ASIDE}
    assert line.bar().robots == 0, "one that was set aside may never come back"
    story.register("r1", kind=Kind.WORKER_CAME_BACK)
    assert doing(line) == {"r1": Doing.WAITING}
    story.leave(worker, Kind.WORKER_DROPPED)
    assert doing(line) == {}


def test_a_robot_between_two_jobs_is_still_there(story: Story, line: Line) -> None:
    """Done, it is about to ask for the next job; when it does not, it is gone."""
    story.serve(10.0)
    assert line.bar().robots == 1
    story.register("r1", callback_url="http://engine.example/flow/r1/callbacks/2/")
    assert line.bar().robots == 1
    story.submit()
    story.assign(2)
    story.finish(2)
    line.expire(story.now_s + LINGER_S)
    assert line.bar().robots == 1, "the one that waits"


def test_a_robot_is_not_awaited_for_as_long_as_a_clock_went_back(story: Story, line: Line) -> None:
    """Who has gone is not counted for an hour because the clock was set back by one."""
    story.serve(10.0)
    line.expire(story.now_s - 3600.0)
    assert line.bar().robots == 0


def test_a_worker_in_the_queue_that_holds_a_job_counts_once(story: Story, line: Line) -> None:
    """Also when it is changed in the queue, or used up, while it holds the job."""
    story.submit()
    worker = story.register("r1")
    story.assign(1, worker)
    story.register("r1", kind=Kind.WORKER_CAME_BACK)
    assert line.bar().robots == 1
    story.confirm(1)
    story.leave(worker)
    assert (line.bar().robots, doing(line)) == (1, {"r1": Doing.ASSIGNED})


def test_a_worker_whose_job_went_back_waits_on(story: Story, line: Line) -> None:
    """Until its own event says that it was set aside, if it was."""
    story.submit()
    worker = story.register("r1")
    story.assign(1, worker)
    story.refuse(1)
    assert (line.bar().robots, doing(line)) == (1, {"r1": Doing.WAITING})


def test_the_number_counts_every_change(story: Story, line: Line) -> None:
    """One per event."""
    story.submit()
    story.assign(1)
    story.pause()
    assert line.moment.number == story.bus.number == 3


def test_edits_from_outside_do_no_harm(story: Story, line: Line) -> None:
    """A job that got another place without an event is found again at the next one."""
    story.submit()
    story.jobs[1] = story.jobs[1]._replace(place=7.5)
    story.assign(1)
    assert (tickets(line), line.bar().assigned) == ([], 1)


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b'{"name":"Ada","logo":"lion","drink":"Mojito"}', Texts("Ada", "lion", "Mojito")),
        (b' \n{"drink":"Mojito"}', Texts(None, None, "Mojito")),
        (b'{"name":"","logo":7,"drink":["Mojito"]}', Texts()),
        (b'{"name":"%b","drink":"%b"}' % (b"x" * 80, b"x" * 81), Texts("x" * 80)),
        (b'{"name":"a","name":"b"}', Texts("b")),
        ('{"name":"   ","logo":"\\t","drink":"\u200b\u00a0"}'.encode(), Texts()),
        (b'[{"name":"Ada"}]', Texts()),
        (b'"name"', Texts()),
        (b"null", Texts()),
        (b"{", Texts()),
        (b'{"drink":"Mojito","x":"%b"}' % (b"x" * 65536), Texts()),
    ],
)
def test_texts_are_shown_only_where_they_are_short_strings(data: bytes, texts: Texts) -> None:
    """Data can be any JSON."""
    assert texts_of(data) == texts


def test_an_order_does_not_wait_twice(story: Story, line: Line) -> None:
    """The record counts, not the kind of the event."""
    ticket = story.submit()
    order = line.get(secret(ticket))
    story.take(ticket, lambda job: blame(job, Policy(), story.now_s, "poison"))
    assert line.get(secret(ticket)) is order
    assert tickets(line) == [1]
    assert order
    assert order.job.state is State.WAITING
