"""The queue of an endpoint: order, window, retries, and reading from the event log."""

from __future__ import annotations

from sanic_dispatch.core.webhooks import Endpoint, Position
from sanic_dispatch.outbox.destination import MAX_RETRY_S
from sanic_dispatch.outbox.endpoint_queue import (
    GIVE_UP_HERE_S,
    GIVE_UP_S,
    MAX_LOADED,
    SLOW_S,
    WINDOW,
    EndpointQueue,
    EndpointState,
)
from sanic_dispatch.storage.event_log import Page
from sanic_dispatch.storage.event_record import LoggedEvent

TILL = Endpoint("till", "https://till.example/", ("job.*",), False, "whsec_a")


def event(n: int, job: str = "", kind: str = "job.done") -> LoggedEvent:
    return LoggedEvent(n, 1000.0 + n, kind, n, job or f"job-{n}")


def queue_at(n: int = 0, last_n: int = 0) -> EndpointQueue:
    """Return the queue of an endpoint that has answered quickly."""
    queue = EndpointQueue(TILL, Position("till", n), last_n)
    queue.is_slow = False
    return queue


def begun(queue: EndpointQueue, now_s: float = 0.0) -> list[int]:
    """Begin all that may be sent now, and return the numbers."""
    numbers = []
    while (found := queue.next(now_s)) is not None:
        queue.begin(found)
        numbers.append(found.n)
    return numbers


def test_the_events_of_a_job_follow_each_other() -> None:
    """Another job's event overtakes them, the next one of the same job does not."""
    queue = queue_at()
    for each in (event(1, "a"), event(2, "a"), event(3, "b")):
        queue.offer(each)
    assert begun(queue) == [1, 3]
    queue.succeed(event(3, "b"), 0.0)
    assert begun(queue) == []
    queue.succeed(event(1, "a"), 0.0)
    assert begun(queue) == [2]


def test_a_window_is_under_way() -> None:
    """To one that takes long only one message."""
    queue = queue_at()
    for n in range(1, 20):
        queue.offer(event(n))
    assert len(begun(queue)) == WINDOW
    for n in range(1, WINDOW + 1):
        queue.succeed(event(n), SLOW_S + 1)
    assert len(begun(queue)) == 1


def test_an_endpoint_that_has_not_answered_gets_one_message() -> None:
    """A window follows once it has answered quickly."""
    queue = EndpointQueue(TILL, Position("till", 0), 0)
    for n in range(1, 20):
        queue.offer(event(n))
    assert begun(queue) == [1]
    queue.succeed(event(1), 0.0)
    assert len(begun(queue)) == WINDOW


def test_the_position_is_before_the_first_that_is_not_delivered() -> None:
    """Later ones that are delivered already do not move it."""
    queue = queue_at()
    for n in (1, 2, 5):
        queue.offer(event(n))
    begun(queue)
    queue.succeed(event(2), 0.0)
    assert queue.position(9).n == 0
    queue.succeed(event(1), 0.0)
    assert queue.position(9).n == 4
    queue.succeed(event(5), 0.0)
    assert queue.position(9).n == 9


def test_after_a_failure_the_oldest_comes_first_and_alone() -> None:
    """Several that fail together count as one failure; a success ends it."""
    queue = queue_at()
    for n in range(1, 9):
        queue.offer(event(n))
    for n in begun(queue):
        queue.fail(event(n), "status 500", 10.0, 5000.0)
    assert queue.attempts == 1
    assert 11.0 <= queue.retry_at_s <= 15.0
    assert queue.state is EndpointState.RETRYING
    assert begun(queue, queue.retry_at_s - 0.01) == []
    assert begun(queue, queue.retry_at_s) == [1]
    queue.succeed(event(1), 0.0)
    assert queue.state is EndpointState.DELIVERING
    assert len(begun(queue)) == WINDOW


def test_after_a_day_it_is_disabled() -> None:
    """Also if the day began before a restart; nothing is sent or read any more."""
    queue = EndpointQueue(TILL, Position("till", 0, failing_since_s=5000.0), 0)
    queue.offer(event(1))
    begun(queue)
    queue.fail(event(1), "status 500", 0.0, 5000.0 + GIVE_UP_S - 1)
    assert queue.state is EndpointState.RETRYING
    begun(queue, MAX_RETRY_S)
    queue.fail(event(1), "status 502", MAX_RETRY_S, 5000.0 + GIVE_UP_S)
    assert queue.position(9) == Position("till", 0, 5000.0, "status 502")
    assert begun(queue, 10 * MAX_RETRY_S) == []
    queue.offer(event(2))
    assert not queue.is_to_read


def test_a_closed_day_is_no_day_of_failures() -> None:
    """The first failure after it does not disable an endpoint whose machine starts later."""
    queue = EndpointQueue(TILL, Position("till", 0, failing_since_s=5000.0), 0)
    queue.offer(event(1))
    opened_s = 5000.0 + 2 * GIVE_UP_S
    begun(queue)
    queue.fail(event(1), "status 500", 7.0, opened_s)
    assert queue.state is EndpointState.RETRYING
    begun(queue, 7.0 + GIVE_UP_HERE_S)
    queue.fail(event(1), "status 500", 7.0 + GIVE_UP_HERE_S, opened_s + GIVE_UP_HERE_S)
    assert queue.state is EndpointState.DISABLED


def test_a_full_queue_reads_the_rest_from_the_log() -> None:
    """What comes while the log is read is neither lost nor there twice."""
    queue = queue_at()
    for n in range(1, MAX_LOADED + 3):
        queue.offer(event(n))
    assert queue.pending == MAX_LOADED
    assert not queue.is_to_read
    for n in range(1, MAX_LOADED + 1):
        queue.succeed(event(n), 0.0)
    assert queue.is_to_read
    assert queue.read_to == MAX_LOADED
    queue.begin_reading()
    queue.offer(event(MAX_LOADED + 3))
    queue.offer(event(MAX_LOADED + 4))
    page = [
        event(MAX_LOADED + n, kind=kind)
        for n, kind in ((1, "job.done"), (2, "worker.used"), (3, "job.done"))
    ]
    queue.end_reading(Page(page), MAX_LOADED + 4)
    assert begun(queue) == [MAX_LOADED + 1, MAX_LOADED + 3, MAX_LOADED + 4]
    queue.succeed(event(MAX_LOADED + 3), 0.0)
    queue.offer(event(MAX_LOADED + 3))  # it was in the log before it was published
    queue.offer(event(MAX_LOADED + 5))
    assert begun(queue) == [MAX_LOADED + 5]


def test_the_log_is_read_page_by_page() -> None:
    """An endpoint that is behind is live only after the last page."""
    queue = queue_at(0, last_n=3000)
    assert queue.is_to_read
    queue.begin_reading()
    queue.end_reading(Page([event(1), event(1000)], next=1000), 3000)
    assert (queue.is_live, queue.read_to) == (False, 1000)
    queue.begin_reading()
    queue.end_reading(None, 3000)
    assert (queue.is_live, queue.read_to) == (False, 1000)
    queue.begin_reading()
    queue.end_reading(Page([event(2000)]), 3000)
    assert queue.is_live
    assert queue.position(3000).n == 0
