"""The contents of the three views."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import ujson

from sanic_dispatch.core import line
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import Way
from sanic_dispatch.core.line import Ordering
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Aside, Cause, Worker
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.live.connection import MAX_BUFFERED_BYTES, ViewKey
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.order import MAX_TEXT_CHARS
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.serializers import MAX_REASON_CHARS, MAX_RULE_CHARS, link_of
from sanic_dispatch.live.views import (
    BOARD_FINISHED,
    BOARD_WAITING,
    MONITOR_FINISHED,
    MONITOR_LOG,
    MONITOR_WORKERS,
)
from tests.support.story import FakeConnection, Story, robot, secret, state_of

BOARD, MONITOR = ViewKey("board"), ViewKey("monitor")
ORDER = {"name": "Ada", "logo": "lion", "drink": "Mojito"}


def own(hub: Hub, ticket: int) -> dict[str, Any]:
    order: dict[str, Any] = state_of(hub, ViewKey("order", secret(ticket)))["order"]
    return order


def test_the_board_literally(story: Story, hub: Hub) -> None:
    """Number, logo, drink, state and time, and the counts."""
    story.submit(ORDER)
    assert state_of(hub) == {
        "order/1": {
            "n": 1, "logo": "lion", "drink": "Mojito", "state": "waiting", "t": story.now_s,
        },
        "bar": {"robots": 0, "waiting": 1, "assigned": 0, "paused": False, "unavailable": []},
    }  # fmt: skip
    story.loop.run(5.0)
    story.assign(1)
    assert state_of(hub)["order/1"]["state"] == "assigned"
    assert state_of(hub)["order/1"]["t"] == story.now_s
    assert state_of(hub)["bar"] == {
        "robots": 1,
        "waiting": 0,
        "assigned": 1,
        "paused": False,
        "unavailable": [],
    }


@pytest.mark.parametrize("key", [BOARD, MONITOR])
def test_the_longest_texts_leave_a_frame_that_can_be_sent(
    story: Story, hub: Hub, key: ViewKey
) -> None:
    """With very long texts fewer entries are shown, and always the counts."""
    long = "\N{SUNFLOWER}" * MAX_TEXT_CHARS
    for number in range(MONITOR_WORKERS):
        ticket = story.submit({"name": long, "logo": long, "drink": long})
        worker = story.register(f"{number}/{'x' * 3_000}", label="y" * MAX_REASON_CHARS)
        if number % 2:
            story.leave(worker)
            story.assign(ticket, worker)
    frame = hub.state_frame(key)
    assert len(frame.json) <= MAX_BUFFERED_BYTES
    state = ujson.loads(frame.json)["state"]
    assert state["bar"]["waiting"] == MONITOR_WORKERS // 2
    if key == MONITOR:
        assert len(frame.json) > MAX_BUFFERED_BYTES / 2
        assert f"log/{story.bus.number}" in state
        assert [key for key in state if key.startswith("worker/")]
        assert [key for key in state if key.startswith("order/")]


def test_the_board_never_shows_names(story: Story, hub: Hub) -> None:
    """Nor ids, reasons, workers or other data."""
    for data in (ORDER, {"name": "Ada", "drink": {"name": "Ada"}}, ["Ada"], {"Ada": "Ada"}):
        ticket = story.submit(data)
        for step in (story.assign, story.confirm, story.finish):
            assert b"Ada" not in hub.state_frame(BOARD).json
            assert secret(ticket).encode() not in hub.state_frame(BOARD).json
            step(ticket)
        assert b"Ada" not in hub.state_frame(BOARD).json
    assert b"engine.example" not in hub.state_frame(BOARD).json


def test_the_board_shows_the_first_fifty_that_wait(story: Story, hub: Hub) -> None:
    """Of 10,000; the next one moves up when one leaves; the bar counts all."""
    for _ in range(10_000):
        story.submit()
    state = state_of(hub)
    assert len(state) == BOARD_WAITING + 1
    assert state["bar"]["waiting"] == 10_000
    assert "order/51" not in state
    story.assign(7)
    assert state_of(hub)["order/51"]["n"] == 51


def test_the_board_shows_what_is_done(story: Story, hub: Hub) -> None:
    """The newest done orders; no failed or cancelled ones."""
    for _ in range(BOARD_FINISHED + 5):
        story.serve(0.1)
    failed, cancelled = story.submit(), story.submit()
    story.assign(failed)
    story.fail(failed)
    story.cancel(cancelled)
    shown = {key for key in state_of(hub) if key != "bar"}
    assert shown == {f"order/{n}" for n in range(6, BOARD_FINISHED + 6)}


def test_cancelled_orders_take_no_room_on_the_board(story: Story, hub: Hub) -> None:
    """A drink that is ready stays, however many orders are cancelled after it."""
    ready = story.serve(1.0)
    for _ in range(BOARD_FINISHED):
        story.cancel(story.submit())
    assert {key for key in state_of(hub) if "order/" in key} == {f"order/{ready}"}


def test_an_order_literally(story: Story, hub: Hub) -> None:
    """From waiting to done, with its place."""
    story.submit()
    story.submit(ORDER)
    expected = {
        "n": 2, "name": "Ada", "logo": "lion", "drink": "Mojito", "state": "waiting",
        "ahead": 1, "position": 2, "eta": None, "t": story.now_s,
    }  # fmt: skip
    assert own(hub, 2) == expected | {"why": {"reason": "no_worker"}}
    story.assign(1)
    behind = {"reason": "behind", "ahead": 0}
    assert own(hub, 2) == expected | {"ahead": 0, "position": 1, "why": behind}
    story.assign(2)
    served = expected | {"state": "assigned", "ahead": None, "position": None}
    assert own(hub, 2) == served
    story.doubt(2)
    assert own(hub, 2) == served | {"doubt": True}
    story.confirm(2)
    story.finish(2)
    assert own(hub, 2) == served | {"state": "done"}


def test_the_customer_sees_the_reason_of_a_failure(story: Story, hub: Hub) -> None:
    """But not the reason of an unreachable robot."""
    ticket = story.submit()
    story.assign(ticket)
    story.refuse(ticket)
    assert "reason" not in own(hub, ticket)
    story.assign(ticket)
    story.fail(ticket, "no more mint" + "!" * 500)
    assert own(hub, ticket)["reason"] == ("no more mint" + "!" * 500)[:MAX_REASON_CHARS]


def test_an_order_that_is_late_says_so(story: Story, hub: Hub) -> None:
    """Past the end of its promise, while it waits and while it is served."""
    for _ in range(8):
        story.serve(60.0)
    story.register("r1")
    ticket = story.submit()
    connection = FakeConnection()
    hub.follow(connection, ViewKey("order", secret(ticket)))
    end_s = own(hub, ticket)["eta"][1]
    story.loop.run(end_s - story.now_s)
    assert "late" not in own(hub, ticket)
    story.loop.run(3.0)
    assert own(hub, ticket)["late"] is True
    assert own(hub, ticket)["eta"][0] > story.now_s, "the newest estimate goes on"
    assert connection.state["order"]["late"] is True, "told at once, not with the next heartbeat"
    story.assign(ticket)
    assert own(hub, ticket)["late"] is True
    story.confirm(ticket)
    story.finish(ticket)
    assert "late" not in own(hub, ticket)


def test_an_order_without_a_promise_is_never_late(story: Story, hub: Hub) -> None:
    """Without an estimate there is nothing to be late for."""
    ticket = story.submit()
    story.loop.run(10_000.0)
    assert "late" not in own(hub, ticket)


def test_failed_orders_stay_on_the_monitor(story: Story, hub: Hub) -> None:
    """However many others finish later; also after a restart."""
    failed = story.submit()
    story.assign(failed)
    story.fail(failed)
    for _ in range(MONITOR_FINISHED + 5):
        story.serve(5.0)
    again = Story(story.loop).hub()
    again.show(again.project(TopicSnapshot([], list(story.jobs.values()), [], paused=False)))
    story.loop.run(1.0)
    for one in (hub, again):
        state = state_of(one, MONITOR)
        assert state[f"order/{failed}"]["state"] == "failed"
        assert state["bar"]["failed"] == 1
    story.put_back(failed)
    assert state_of(hub, MONITOR)["bar"]["failed"] == 0


def test_the_monitor_says_when_an_order_was_placed(story: Story, hub: Hub) -> None:
    """Also for an order that has just been requeued."""
    came_s, ticket = story.now_s, story.submit()
    story.assign(ticket)
    story.loop.run(600.0)
    story.put_back(ticket)
    order = state_of(hub, MONITOR)[f"order/{ticket}"]
    assert (order["submitted"], order["t"]) == (came_s, came_s + 600.0)


def test_an_unknown_order(hub: Hub) -> None:
    """A ticket number does not open an order."""
    for order_id in ("", "1", "f" * 32):
        with pytest.raises(UnknownJob):
            hub.state_frame(ViewKey("order", order_id))


def test_the_monitor_literally(story: Story, hub: Hub) -> None:
    """Orders with ids and holds, workers, the log, this minute, the counts."""
    worker = story.register("r1")
    story.register("r2", aside=Aside(Cause.REFUSED, story.now_s, "connection refused"))
    story.submit(ORDER)
    story.assign(1, worker)
    now_s = story.now_s
    assert state_of(hub, MONITOR) == {
        "order/1": {
            "n": 1, "id": secret(1), "name": "Ada", "logo": "lion", "drink": "Mojito",
            "state": "assigned", "t": now_s, "attempt": 1, "submitted": now_s,
            "hold": {"worker": worker.id, "way": "put", "stage": "under way", "since": now_s},
        },
        "worker/http://engine.example/flow/r1/callbacks/1/": {
            "state": "assigned", "since": now_s, "seen": now_s, "refusals": 0, "label": "r1",
            "link": "http://engine.example/flow/r1/", "activity": "a1", "ticket": 1,
        },
        "worker/http://engine.example/flow/r2/callbacks/1/": {
            "state": "aside", "since": now_s, "seen": now_s, "refusals": 0, "label": "r2",
            "link": "http://engine.example/flow/r2/", "activity": "a1",
            "reason": "connection refused",
        },
        "log/1": {
            "n": 1, "kind": "worker.registered", "t": now_s, "worker": worker.id, "label": "r1",
        },
        "log/2": {
            "n": 2, "kind": "worker.registered", "t": now_s, "worker": robot("r2").id,
            "label": "r2",
        },
        "log/3": {"n": 3, "kind": "job.submitted", "t": now_s, "ticket": 1},
        "log/4": {
            "n": 4, "kind": "job.assigned", "t": now_s, "ticket": 1, "worker": worker.id,
            "label": "r1",
        },
        f"minute/{int(now_s // 60)}": {
            "t": now_s // 60 * 60, "arrived": 1, "done": 0, "p50": None, "p90": None,
        },
        "bar": {
            "robots": 1, "waiting": 0, "assigned": 1, "paused": False,
            "unavailable": [], "failed": 0, "kept": None, "priorities": False,
            "per_hour": 0, "p50": None, "p90": None,
        },
    }  # fmt: skip


def test_an_order_that_was_moved_says_where_it_stands(story: Story, hub: Hub) -> None:
    """Its place is shown on board and monitor; otherwise the number is the place."""
    for _ in range(2):
        story.submit()
    story.move(2, 0.0)
    for key in (BOARD, MONITOR):
        assert state_of(hub, key)["order/2"]["place"] == 0.0
        assert "place" not in state_of(hub, key)["order/1"]


def by_priority(story: Story) -> Hub:
    """Start a hub for orders that rise by a level every 300 s."""
    return story.hub(new_projection=partial(Projection, ordering=Ordering(priority_step_s=300.0)))


@pytest.mark.parametrize("key", [BOARD, MONITOR])
def test_the_order_of_the_line(story: Story, key: ViewKey) -> None:
    """It is listed while the places of those that wait do not say it."""
    hub = by_priority(story)
    story.submit()
    assert "line" not in state_of(hub, key)
    story.submit(priority=7)
    story.submit(priority=0)
    assert state_of(hub, key)["line"] == {"tickets": [3, 1, 2]}
    story.assign(3)
    assert "line" not in state_of(hub, key)


@pytest.mark.parametrize("key", [BOARD, MONITOR])
def test_an_order_that_rises(story: Story, key: ViewKey) -> None:
    """It moves up when it has waited for long enough, although nothing else happens."""
    hub, connection = by_priority(story), FakeConnection()
    story.submit(priority=3)
    story.loop.run(100.0)
    story.submit(priority=2)
    hub.follow(connection, key)
    assert connection.state["line"] == {"tickets": [2, 1]}
    story.loop.run(205.0)
    assert "line" not in connection.state


def test_the_monitor_says_why_an_order_waits(story: Story, hub: Hub) -> None:
    """Again when robots come and go, with what it needs; and its priority, if it has one."""
    connection = FakeConnection()
    hub.follow(connection, MONITOR)
    story.submit({"drink": "mojito", "size": "x" * 1_000}, priority=0)
    story.submit({"drink": "beer"})

    def why(ticket: int) -> Any:
        story.loop.run(1.0)
        return connection.state[f"order/{ticket}"]["why"]

    assert why(1) == {"reason": "no_worker"}
    assert connection.state["order/1"]["priority"] == 0
    assert "priority" not in connection.state["order/2"]
    worker = story.register("r1", rule="match.drink=beer&not.size=xl")
    needs = {"drink": "mojito", "size": "x" * MAX_TEXT_CHARS}
    assert why(1) == {"reason": "no_able_worker", "needs": needs}
    assert why(2) == {"reason": "behind"}
    assert connection.state[f"worker/{worker.id}"]["rule"] == "match.drink=beer&not.size=xl"
    story.register("r1", aside=Aside(Cause.REFUSED, story.now_s))
    assert why(1) == {"reason": "worker_aside"}
    story.pause()
    assert why(2) == {"reason": "paused"}


def test_the_monitor_says_how_many_are_ahead(story: Story, hub: Hub) -> None:
    """Of the orders for the same robots, where not every robot at work makes everything."""
    story.register("r1", rule="match.drink=beer")
    worker = story.register("r2", rule="match.drink=beer|mojito")
    for drink in ("mojito", "gin", "beer", "beer", "mojito"):
        story.submit({"drink": drink})
    assert state_of(hub, MONITOR)["ahead"] == {"counts": [0, 0, 1, 2, 3]}
    story.assign(1, worker)
    assert state_of(hub, MONITOR)["ahead"] == {"counts": [0, 0, 1, 2]}
    assert "ahead" not in state_of(hub, BOARD)
    story.register("r3")
    assert "ahead" not in state_of(hub, MONITOR)


def test_the_monitor_says_when_a_rule_is_matched(
    story: Story, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if all robots that have it are busy then."""
    monkeypatch.setattr(line, "SLICE_JOBS", 1)
    connection, worker = FakeConnection(), robot("r1")._replace(rule="match.drink=beer")
    hub.follow(connection, MONITOR)
    for _ in range(2):
        story.submit({"drink": "beer"})
    story.register("r1", rule="match.drink=beer")
    assert state_of(hub, MONITOR)[f"worker/{worker.id}"]["state"] == "matching"
    story.assign(1, worker)
    assert state_of(hub, MONITOR)["order/2"]["why"] == {"reason": "matching"}
    story.loop.run(2.0)
    assert connection.state["order/2"]["why"] == {"reason": "behind"}


def test_a_long_rule_is_cut(story: Story, hub: Hub) -> None:
    """What is left of it ends with an ellipsis."""
    worker = story.register("r1", rule="match.drink=" + "x" * MAX_RULE_CHARS)
    rule = state_of(hub, MONITOR)[f"worker/{worker.id}"]["rule"]
    assert len(rule) == MAX_RULE_CHARS
    assert rule.endswith("x…")


def test_the_log_shows_the_last_two_hundred(story: Story, hub: Hub) -> None:
    """Their numbers have no gaps."""
    for _ in range(250):
        story.submit()
    log = {key for key in state_of(hub, MONITOR) if key.startswith("log/")}
    assert log == {f"log/{n}" for n in range(51, 251)}


def test_pausing_is_seen_everywhere(story: Story, hub: Hub) -> None:
    """And there is no estimate meanwhile."""
    for _ in range(8):
        story.serve(60.0)
    ticket = story.submit()
    story.register("r1")
    assert own(hub, ticket)["eta"] is not None
    story.pause()
    assert own(hub, ticket)["eta"] is None
    assert state_of(hub)["bar"]["paused"] is True
    story.pause(EventKind.DISPATCH_RESUMED)
    assert state_of(hub, MONITOR)["bar"]["paused"] is False


def test_estimates_survive_a_restart(story: Story) -> None:
    """The kept finished jobs are enough for an estimate."""
    done = [story.jobs[story.serve(60.0)] for _ in range(5)]
    again = Story()
    hub = again.hub()
    hub.show(hub.project(TopicSnapshot([], done, [robot("r1")], paused=False)))
    ticket = again.submit()
    low, high = own(hub, ticket)["eta"]
    assert low < again.now_s + 60.0 < high


def test_progress(story: Story, hub: Hub) -> None:
    """Everybody sees how far an order is; only its customer and operators, what the robot says."""
    story.submit(ORDER)
    worker = story.register("r1")
    story.assign(1, worker)
    story.confirm(1)
    assert "progress" not in own(hub, 1)
    story.loop.run(5.0)
    story.make_progress(1, 40, "adding gin for Ada " + "!" * 500)
    text = ("adding gin for Ada " + "!" * 500)[:MAX_REASON_CHARS]
    said = {"percent": 40, "text": text}
    assert own(hub, 1)["progress"] == said
    assert state_of(hub)["order/1"] == {
        "n": 1, "logo": "lion", "drink": "Mojito", "state": "assigned", "t": story.now_s - 5.0,
        "percent": 40,
    }  # fmt: skip
    monitor = state_of(hub, MONITOR)
    assert monitor["order/1"]["progress"] == monitor[f"worker/{worker.id}"]["progress"] == said
    assert monitor[f"worker/{worker.id}"]["seen"] == story.now_s
    story.make_progress(1, None, "shaking")
    assert own(hub, 1)["progress"] == {"text": "shaking"}
    assert "percent" not in state_of(hub)["order/1"]
    story.finish(1)
    assert "progress" not in own(hub, 1)


def test_progress_is_not_in_the_log(story: Story, hub: Hub) -> None:
    """It comes so often that nothing else would be seen."""
    ticket = story.submit()
    story.assign(ticket)
    for percent in range(2 * MONITOR_LOG):
        story.make_progress(ticket, percent / 4)
    log = [entry for key, entry in state_of(hub, MONITOR).items() if key.startswith("log/")]
    assert [entry["kind"] for entry in log] == ["job.assigned", "job.submitted"]


def test_an_order_whose_robot_is_asked_to_stop(story: Story, hub: Hub) -> None:
    """Its customer and operators see it, until the robot says what became of it."""
    story.submit(ORDER)
    story.assign(1, robot("r1"))
    story.confirm(1)
    story.ask_to_cancel(1)
    assert own(hub, 1)["cancelling"] is True
    monitor = state_of(hub, MONITOR)
    assert monitor["order/1"]["cancelling"] is True
    assert monitor["order/1"]["reason"] == "changed my mind"
    assert monitor[f"worker/{robot('r1').id}"]["cancelling"] is True
    assert "cancelling" not in state_of(hub)["order/1"]
    story.stop(1)
    assert own(hub, 1)["state"] == "cancelled"
    assert "cancelling" not in own(hub, 1)
    assert "order/1" not in state_of(hub)


@pytest.mark.parametrize("is_allowed", [True, False])
def test_who_can_be_asked_to_stop(is_allowed: bool, story: Story) -> None:
    """A robot that can hear of it and was not asked yet, if customers may ask at all."""
    hub = story.hub(new_projection=partial(Projection, cancel_assigned=is_allowed))
    deaf, talking, tablet = (story.submit() for _ in range(3))
    assert "can_cancel" not in own(hub, deaf)
    connected = Worker("ws:tablet-1", to_rfc3339(story.now_s))
    for ticket, worker in ((deaf, robot("r1")), (talking, robot("r2")), (tablet, connected)):
        story.assign(ticket, worker, Way.OFFER if worker is connected else Way.PUT)
        story.confirm(ticket)
    story.make_progress(talking, 1)
    shown = [own(hub, ticket).get("can_cancel", False) for ticket in (deaf, talking, tablet)]
    assert shown == [False, is_allowed, is_allowed]
    story.ask_to_cancel(talking)
    assert "can_cancel" not in own(hub, talking)


def test_a_connected_worker_has_no_address(story: Story, hub: Hub) -> None:
    """It is shown by its id and its label, and never with a link, whatever it claims."""
    for url in ("", "javascript:alert(1)", "http://engine.example/"):
        names = {"callback_url": "ws:tablet-1", "label": "Bar left", "key": None}
        story.register("tablet-1", instance_url=url, **names)
        assert state_of(hub, MONITOR)["worker/ws:tablet-1"] == {
            "state": "waiting", "since": story.now_s, "seen": story.now_s, "refusals": 0,
            "label": "Bar left",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("instance_url", "is_shown"),
    [
        ("http://engine.example/flow/r1/", True),
        ("http://engine.example:80/flow/r1/", True),
        ("HTTP://Engine.Example/x", True),
        ("https://engine.example/flow/r1/", False),
        ("http://engine.example:81/flow/r1/", False),
        ("http://evil.example/flow/r1/", False),
        ("http://engine.example@evil.example/", False),
        ("http://a@engine.example/", False),
        ("javascript://engine.example/%0aalert(1)", False),
        ("http://engine.example/" + "x" * 500, False),
        ("/flow/r1/", False),
        ("", False),
    ],
)
def test_a_link_only_where_the_callback_is(instance_url: str, is_shown: bool) -> None:
    """Any client can claim to be any instance."""
    worker = robot("r1")._replace(instance_url=instance_url)
    assert link_of(worker) == (instance_url if is_shown else None)
