"""The hub: each client ends equal to the server, after any lags and reconnects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import State
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.live import connection as connection_module
from sanic_dispatch.live.connection import LOW_WATER_BYTES, ViewKey
from sanic_dispatch.live.finished import RECENT_S
from sanic_dispatch.live.frames import Cursor
from sanic_dispatch.live.hub import (
    STALL_TIMEOUT_S,
    SWEEP_S,
    TICK_S,
    Hub,
)
from sanic_dispatch.live.pacer import MIN_REST_S
from sanic_dispatch.live.subscription import Client, TooManyClients
from sanic_dispatch.live.tracked_robots import RETURN_GRACE_S
from sanic_dispatch.live.views import HEARTBEAT_S, Board, Monitor
from tests.support.clock import START_S
from tests.support.story import FakeConnection, Story, reduced, robot, secret

BOARD, MONITOR = ViewKey("board"), ViewKey("monitor")


def order(ticket: int) -> ViewKey:
    return ViewKey("order", secret(ticket))


def followed(hub: Hub, key: ViewKey = BOARD, **values: Any) -> FakeConnection:
    """Connect a client."""
    connection = FakeConnection(**values)
    hub.follow(connection, key)
    return connection


# ---- the great test


class Screen:
    """A client that lags, leaves and reconnects with what it has."""

    def __init__(self, hub: Hub, key: ViewKey) -> None:
        self.hub, self.key = hub, key
        self.state: dict[str, Any] = {}
        self.at: str | None = None
        self.client: Client | None = None
        self.connection = FakeConnection()

    def arrive(self) -> None:
        if self.client is None:
            self.connection = FakeConnection()
            since = Cursor.parse(self.at) if self.at else None
            self.client = self.hub.follow(self.connection, self.key, since)

    def leave(self) -> None:
        """Disconnect; frames in flight are lost."""
        self.read()
        if self.client:
            self.hub.leave(self.client)
        self.client = None

    def read(self) -> None:
        for frame in self.connection.taken:
            self.state, self.at = reduced(self.state, frame), frame["at"]
        self.connection.taken.clear()
        if self.connection.is_cut or self.connection.code:
            self.client = None

    def catch_up(self) -> None:
        self.connection.release()
        self.read()
        self.arrive()


def steps_of(story: Story) -> dict[str, Callable[[int], object]]:
    """Return everything that can happen.

    A number selects the order; a step that no order allows is skipped.
    """

    def on(states: tuple[State, ...], step: Callable[[int], object]) -> Callable[[int], object]:
        def chosen(n: int) -> None:
            tickets = [ticket for ticket, job in story.jobs.items() if job.state in states]
            if tickets:
                step(tickets[n % len(tickets)])

        return chosen

    waiting, assigned = (State.WAITING,), (State.ASSIGNED,)
    return {
        "submit": lambda n: [story.submit({"name": "Ada", "drink": str(n)}) for _ in range(n % 4)],
        "assign": on(waiting, story.assign),
        "confirm": on(assigned, story.confirm),
        "doubt": on(assigned, story.doubt),
        "refuse": on(assigned, story.refuse),
        "finish": on(assigned, story.finish),
        "fail": on(assigned, story.fail),
        "cancel": on(waiting, story.cancel),
        "put back": on((State.FAILED, State.ASSIGNED), story.put_back),
        "move": on(waiting, lambda ticket: story.move(ticket, -story.bus.number - 0.5)),
        "register": lambda n: story.register(f"r{n % 5}"),
        "drop": lambda n: story.leave(story.register(f"r{n % 5}"), EventKind.WORKER_DROPPED),
        "pause": lambda n: story.pause(
            EventKind.DISPATCH_PAUSED if n % 2 else EventKind.DISPATCH_RESUMED
        ),
        "time": lambda n: story.loop.run(n / 4),
        "long time": lambda n: story.loop.run(n * 20.0),
        "push": lambda n: story.loop.run(0.0),
    }


SCREEN_STEPS: dict[str, Callable[[Screen], None]] = {
    "arrive": Screen.arrive,
    "leave": Screen.leave,
    "stop reading": lambda screen: setattr(screen.connection, "is_held", True),
    "read again": lambda screen: screen.connection.release(),
}

schedules = st.lists(
    st.tuples(st.sampled_from([*steps_of(Story()), *SCREEN_STEPS]), st.integers(0, 60)),
    max_size=80,
)


@settings(max_examples=150)
@given(schedules, st.sampled_from([1, 4, 512]))
def test_all_screens_end_equal_to_the_server(schedule: list[tuple[str, int]], ring: int) -> None:
    """Clients lag, leave and reconnect at random; in the end each has the server's state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sanic_dispatch.live.delta_view.RING_PATCHES", ring)
        patch.setattr(connection_module, "LOW_WATER_BYTES", 300)
        story = Story()
        hub = story.hub()
        first = story.submit({"name": "Ada", "drink": "Mojito"})
        screens = [Screen(hub, key) for key in (BOARD, BOARD, MONITOR, order(first))]
        steps = steps_of(story)
        for name, n in schedule:
            if name in steps:
                steps[name](n)
            elif hub.projection.get(secret(first)):
                SCREEN_STEPS[name](screens[n % len(screens)])
            for screen in screens:
                screen.read()
        check_equal(story, hub, [screen for screen in screens if not screen.connection.code])


def check_equal(story: Story, hub: Hub, screens: list[Screen]) -> None:
    for screen in screens:
        if hub.projection.get(screen.key.order_id) or not screen.key.order_id:
            screen.catch_up()
    story.loop.run(RETURN_GRACE_S)
    story.loop.run(HEARTBEAT_S + SWEEP_S + TICK_S)
    for screen in screens:
        screen.read()
        if hub.projection.get(screen.key.order_id) or not screen.key.order_id:
            assert comparable(screen.state) == comparable(truth(hub, screen.key))


def truth(hub: Hub, key: ViewKey) -> dict[str, Any]:
    """Return the state of a view without a past."""
    if key.order_id:
        return dict(ujson.loads(hub.state_frame(key).json)["state"])
    view = {BOARD: Board, MONITOR: Monitor}[key](hub.projection, "fresh", lambda: START_S)
    view.refresh()
    return dict(ujson.loads(view.frame_since(None).json)["state"])


def comparable(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state without the waiting time, which differs at each computation."""
    return {
        key: {name: value for name, value in shown.items() if name != "eta"}
        for key, shown in state.items()
    }


# ---- single rules


def test_the_first_frame_comes_at_once(story: Story, hub: Hub) -> None:
    """A client gets a frame when it connects, before anything happens."""
    connection = followed(hub)
    assert connection.state == {
        "bar": {"robots": 0, "waiting": 0, "assigned": 0, "paused": False, "unavailable": []}
    }
    back = FakeConnection()
    hub.follow(back, BOARD, Cursor.parse(connection.at))
    assert [set(frame) for frame in back.taken] == [{"at", "now"}]


def test_a_cursor_of_another_epoch_gets_the_whole_state(story: Story, hub: Hub) -> None:
    """Cursors are valid in their own epoch only."""
    for _ in range(3):
        story.submit()
    followed(hub)
    for number in range(5):
        connection = FakeConnection()
        hub.follow(connection, BOARD, Cursor("0badcafe", number))
        assert "state" in connection.taken[0]


def test_many_changes_are_one_frame(story: Story, hub: Hub) -> None:
    """Changes before the push are sent together."""
    connection = followed(hub)
    for _ in range(100):
        story.submit()
    story.loop.run(0.0)
    assert len(connection.taken) == 2
    assert connection.state["bar"]["waiting"] == 100


@pytest.mark.parametrize("key", [BOARD, MONITOR])
def test_an_order_that_is_assigned_at_once_is_never_shown_as_waiting(
    story: Story, hub: Hub, key: ViewKey
) -> None:
    """All events of a batch are folded before a frame is made of them."""
    machine, now = StateMachine(Policy()), Now(story.now_s, 0.0)
    machine.apply(c.Recover("00" * 32), now)
    story.bus.publish(machine.apply(c.Register(robot("robot")), now).events)
    connection = followed(hub, key)
    story.bus.publish(machine.apply(c.Submit(secret(1), b"1"), now).events)
    story.loop.run(1.0)
    patches = [frame.get("patch", {}) for frame in connection.taken]
    assert [p["order/1"]["state"] for p in patches if "order/1" in p] == ["assigned"]
    assert {p["bar"]["waiting"] for p in patches if "bar" in p} == {0}


def test_events_that_a_view_does_not_show_are_no_frame(story: Story, hub: Hub) -> None:
    """An event that only the monitor shows makes no frame for the others."""
    board, monitor = followed(hub), followed(hub, MONITOR)
    story.assign(story.submit())
    story.loop.run(0.1)
    frames = len(board.taken), len(monitor.taken)
    story.register("r9", kind=EventKind.WORKER_DROPPED)
    story.loop.run(0.1)
    assert (len(board.taken), len(monitor.taken)) == (frames[0], frames[1] + 1)
    assert set(monitor.taken[-1]["patch"]) == {f"log/{story.bus.number}"}


def test_all_get_the_same_bytes(story: Story, hub: Hub) -> None:
    """A frame is encoded once for all clients at the same cursor."""
    frames: list[Any] = []

    class Recorder(FakeConnection):
        def offer(self, frame: Any) -> bool:
            frames.append(frame)
            return True

    for _ in range(50):
        hub.follow(Recorder(), BOARD)
    frames.clear()
    story.submit()
    story.loop.run(0.0)
    assert len(frames) == 50
    assert len({id(frame) for frame in frames}) == 1


def test_a_stalled_client_catches_up_in_one_frame(story: Story, hub: Hub) -> None:
    """A stalled client gets one frame with all it missed, as soon as there is room."""
    connection, other = followed(hub, MONITOR), followed(hub, MONITOR)
    connection.is_held = True
    for _ in range(30):
        for _ in range(20):
            story.submit({"drink": "x" * 80})
        story.loop.run(TICK_S)
    assert LOW_WATER_BYTES < connection.buffered() < 2 * LOW_WATER_BYTES
    held = len(connection.held)
    connection.release()
    story.loop.run(TICK_S)
    assert len(connection.taken) == 1 + held + 1
    assert connection.state == other.state
    assert hub.size == 2


def test_a_client_that_stalls_too_long_is_dropped(story: Story, hub: Hub) -> None:
    """A client without room for ten seconds is dropped; others are not affected."""
    connection, other = followed(hub), followed(hub)
    connection.is_held = True
    filled_s = None
    while not connection.is_cut:
        story.submit({"drink": "x" * 80})
        story.loop.run(0.05)
        if filled_s is None and connection.buffered() > LOW_WATER_BYTES:
            filled_s = story.loop.elapsed_s
    assert filled_s is not None
    assert STALL_TIMEOUT_S <= story.loop.elapsed_s - filled_s <= STALL_TIMEOUT_S + 2 * TICK_S
    assert connection.buffered() <= 1024 * 1024
    assert hub.size == 1
    assert other.state["bar"]["waiting"] == len(story.jobs)


def test_buffers_are_bounded(story: Story, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection buffers more than the limit; a client that cannot be served is dropped."""
    monkeypatch.setattr(connection_module, "MAX_BUFFERED_BYTES", 150)
    connection = followed(hub)
    for _ in range(3):
        story.submit()
    story.loop.run(STALL_TIMEOUT_S + 3 * TICK_S)
    assert len(connection.taken) == 1
    assert connection.is_cut


def test_heartbeats(story: Story, hub: Hub) -> None:
    """Every 20 seconds, also when nothing happens; they move the cursor."""
    wires = [followed(hub), followed(hub, MONITOR)]
    story.loop.run(3 * HEARTBEAT_S + 1)
    for connection in wires:
        beats = [frame for frame in connection.taken if set(frame) == {"at", "now"}]
        assert 3 <= len(beats) <= 4
        assert beats[-1]["now"] > beats[0]["now"]


def test_a_heartbeat_of_an_order_is_a_state(story: Story, hub: Hub) -> None:
    """The waiting time is computed again."""
    connection = followed(hub, order(story.submit()))
    story.loop.run(HEARTBEAT_S + SWEEP_S + TICK_S)
    assert len(connection.taken) == 2
    assert all("state" in frame for frame in connection.taken)


def test_the_number_of_clients_is_limited(story: Story) -> None:
    """One client too many is refused."""
    hub = story.hub(max_clients=2)
    clients = [hub.follow(FakeConnection(), BOARD), hub.follow(FakeConnection(), MONITOR)]
    with pytest.raises(TooManyClients):
        hub.follow(FakeConnection(), BOARD)
    hub.leave(clients[0])
    hub.leave(clients[0])
    hub.follow(FakeConnection(), BOARD)
    assert hub.size == 2


def test_stop_closes_with_1012(story: Story, hub: Hub) -> None:
    """All clients are closed with 1012, and the tick stops."""
    wires = [followed(hub), followed(hub, order(story.submit()))]
    hub.stop()
    assert [connection.code for connection in wires] == [1012, 1012]
    assert hub.size == 0
    story.loop.run(60.0)


def test_a_client_that_connects_during_the_stop(story: Story, hub: Hub) -> None:
    """A client that connects during the stop is closed with 1012."""
    hub.stop()
    assert followed(hub).code == 1012
    assert hub.size == 0


def test_an_order_that_is_no_longer_kept(story: Story, hub: Hub) -> None:
    """Its clients are closed with 4404."""
    connection = followed(hub, order(story.serve(1.0)))
    story.loop.run(RECENT_S + SWEEP_S + 2 * TICK_S)
    assert connection.code == 4404
    assert hub.size == 0


def test_a_stalled_client_of_an_order_that_is_no_longer_kept(
    story: Story, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed as the others, and everybody else is told on."""
    served, board = order(story.serve(1.0)), followed(hub)
    story.loop.run(RECENT_S - HEARTBEAT_S - STALL_TIMEOUT_S / 2)
    connection = followed(hub, served)
    monkeypatch.setattr(connection, "offer", lambda _: False)
    story.loop.run(HEARTBEAT_S + STALL_TIMEOUT_S)
    assert connection.code == 4404
    story.submit()
    story.loop.run(TICK_S)
    assert board.state["bar"]["waiting"] == 1
    assert hub.size == 1


def test_customers_learn_at_once_about_their_order(story: Story, hub: Hub) -> None:
    """At any place in the queue, and after it has left the queue."""
    for _ in range(100):
        story.submit()
    connection = followed(hub, order(100))
    for step in (story.assign, story.doubt, story.put_back, story.cancel):
        step(100)
        story.loop.run(MIN_REST_S)
    states = [frame["state"]["order"]["state"] for frame in connection.taken]
    assert states == ["waiting", "assigned", "assigned", "waiting", "cancelled"]


def test_an_old_connection_that_ends_late_takes_nothing_away(story: Story, hub: Hub) -> None:
    """The customer has reconnected by then, and is still notified at once."""
    key = order(story.submit())
    old = hub.follow(FakeConnection(), key)
    hub.set_out_of_reach(True)
    hub.set_out_of_reach(False)
    connection = followed(hub, key)
    hub.leave(old)
    story.cancel(1)
    story.loop.run(MIN_REST_S)
    assert connection.state["order"]["state"] == "cancelled"


# ---- places in a long line


def places_sent(connection: FakeConnection) -> list[int]:
    """Return the places that an order was sent, in order."""
    return [frame["state"]["order"]["ahead"] for frame in connection.taken]


def test_near_orders_get_every_step(story: Story, hub: Hub) -> None:
    """Within ten places of the front, at once."""
    for _ in range(14):
        story.submit()
    connection = followed(hub, order(14))
    for ticket in range(1, 14):
        story.assign(ticket)
        story.loop.run(MIN_REST_S)
    assert places_sent(connection) == [13, *range(10, -1, -1)]


def test_far_orders_get_a_tenth_of_the_way(story: Story, hub: Hub) -> None:
    """Once per tenth of the way, and at a bounded rate."""
    for _ in range(1000):
        story.submit()
    connection = followed(hub, order(1000))
    for ticket in range(1, 900):
        story.assign(ticket)
        story.loop.run(0.1)
    places = places_sent(connection)
    assert len(places) < 30
    assert places == sorted(places, reverse=True)
    assert abs(places[-1] - 100) <= 30


def test_thousands_of_links_do_not_cost_thousands_of_updates(story: Story, hub: Hub) -> None:
    """When one order leaves a long followed queue, only the near ones are notified."""
    wires = []
    for _ in range(2000):
        wires.append(followed(hub, order(story.submit())))
        story.loop.run(0.0)
    story.loop.run(HEARTBEAT_S)
    for connection in wires:
        connection.taken.clear()
    story.assign(1)
    story.loop.run(MIN_REST_S)
    assert 10 <= sum(len(connection.taken) for connection in wires) <= 12
    assert wires[5].state["order"]["ahead"] == 4


def test_all_customers_learn_that_the_robots_are_gone(story: Story, hub: Hub) -> None:
    """Or that the bar is paused: within seconds, at any place."""
    worker = story.register("r1")
    for _ in range(100):
        story.submit()
    connection = followed(hub, order(100))
    story.leave(worker, EventKind.WORKER_DROPPED)
    story.loop.run(SWEEP_S + TICK_S)
    assert connection.state["bar"]["robots"] == 0
    story.pause()
    story.loop.run(SWEEP_S + TICK_S)
    assert connection.state["bar"]["paused"] is True
