"""Everybody who follows ends equal to the server, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.core.events import Kind
from sanic_dispatch.core.job import State
from sanic_dispatch.live import connection as wire_module
from sanic_dispatch.live.connection import LOW_BYTES, Topic
from sanic_dispatch.live.finished import SHOWN_S
from sanic_dispatch.live.frames import Cursor
from sanic_dispatch.live.hub import (
    PATIENCE_S,
    SWEEP_S,
    TICK_S,
    Hub,
)
from sanic_dispatch.live.pacer import LEAST_REST_S
from sanic_dispatch.live.robots import LINGER_S
from sanic_dispatch.live.subscription import Client, TooManyClients
from sanic_dispatch.live.views import BEAT_S, Board, Monitor
from tests.live.story import FakeWire, Story, reduced, secret
from tests.support.clock import START_S

BOARD, MONITOR = Topic("board"), Topic("monitor")


def order(ticket: int) -> Topic:
    return Topic("order", secret(ticket))


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def hub(story: Story) -> Hub:
    return story.hub()


def followed(hub: Hub, topic: Topic = BOARD, **values: Any) -> FakeWire:
    """A wire that follows."""
    wire = FakeWire(**values)
    hub.follow(wire, topic)
    return wire


# ---- the great test


class Screen:
    """A client that lags, leaves and comes back with what it has."""

    def __init__(self, hub: Hub, topic: Topic) -> None:
        self.hub, self.topic = hub, topic
        self.state: dict[str, Any] = {}
        self.at: str | None = None
        self.client: Client | None = None
        self.wire = FakeWire()

    def arrive(self) -> None:
        if self.client is None:
            self.wire = FakeWire()
            since = Cursor.parse(self.at) if self.at else None
            self.client = self.hub.follow(self.wire, self.topic, since)

    def leave(self) -> None:
        """Break off: what is still on the wire is lost."""
        self.read()
        if self.client:
            self.hub.leave(self.client)
        self.client = None

    def read(self) -> None:
        for frame in self.wire.taken:
            self.state, self.at = reduced(self.state, frame), frame["at"]
        self.wire.taken.clear()
        if self.wire.is_cut or self.wire.code:
            self.client = None

    def catch_up(self) -> None:
        self.wire.release()
        self.read()
        self.arrive()


def steps_of(story: Story) -> dict[str, Callable[[int], object]]:
    """Everything that can happen; a number says to whom, and what makes no sense is left out."""

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
        "drop": lambda n: story.leave(story.register(f"r{n % 5}"), Kind.WORKER_DROPPED),
        "pause": lambda n: story.pause(Kind.DISPATCH_PAUSED if n % 2 else Kind.DISPATCH_RESUMED),
        "time": lambda n: story.loop.run(n / 4),
        "long time": lambda n: story.loop.run(n * 20.0),
        "push": lambda n: story.loop.run(0.0),
    }


SCREEN_STEPS: dict[str, Callable[[Screen], None]] = {
    "arrive": Screen.arrive,
    "leave": Screen.leave,
    "stop reading": lambda screen: setattr(screen.wire, "is_held", True),
    "read again": lambda screen: screen.wire.release(),
}

schedules = st.lists(
    st.tuples(st.sampled_from([*steps_of(Story()), *SCREEN_STEPS]), st.integers(0, 60)),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(schedules, st.sampled_from([1, 4, 512]))
def test_all_screens_end_equal_to_the_server(schedule: list[tuple[str, int]], ring: int) -> None:
    """They lag, leave and come back at random; in the end each shows what the server has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sanic_dispatch.live.view.RING", ring)
        patch.setattr(wire_module, "LOW_BYTES", 300)
        story = Story()
        hub = story.hub()
        first = story.submit({"name": "Ada", "drink": "Mojito"})
        screens = [Screen(hub, topic) for topic in (BOARD, BOARD, MONITOR, order(first))]
        steps = steps_of(story)
        for name, n in schedule:
            if name in steps:
                steps[name](n)
            elif hub.line.get(secret(first)):
                SCREEN_STEPS[name](screens[n % len(screens)])
            for screen in screens:
                screen.read()
        check_equal(story, hub, [screen for screen in screens if not screen.wire.code])


def check_equal(story: Story, hub: Hub, screens: list[Screen]) -> None:
    for screen in screens:
        if hub.line.get(screen.topic.order_id) or not screen.topic.order_id:
            screen.catch_up()
    story.loop.run(LINGER_S)
    story.loop.run(BEAT_S + SWEEP_S + TICK_S)
    for screen in screens:
        screen.read()
        if hub.line.get(screen.topic.order_id) or not screen.topic.order_id:
            assert comparable(screen.state) == comparable(truth(hub, screen.topic))


def truth(hub: Hub, topic: Topic) -> dict[str, Any]:
    """What the line holds, drawn by a view that has no past."""
    if topic.order_id:
        return dict(ujson.loads(hub.look(topic).json)["state"])
    view = {BOARD: Board, MONITOR: Monitor}[topic](hub.line, "fresh", lambda: START_S)
    view.refresh()
    return dict(ujson.loads(view.frame_since(None).json)["state"])


def comparable(state: dict[str, Any]) -> dict[str, Any]:
    """Without the waiting time, which is another one whenever it is asked for."""
    return {
        key: {name: value for name, value in shown.items() if name != "eta"}
        for key, shown in state.items()
    }


# ---- single rules


def test_the_first_frame_comes_at_once(story: Story, hub: Hub) -> None:
    """Before anything happens, and whether or not there is something to tell."""
    wire = followed(hub)
    assert wire.state == {"bar": {"robots": 0, "waiting": 0, "assigned": 0, "paused": False}}
    back = FakeWire()
    hub.follow(back, BOARD, Cursor.parse(wire.at))
    assert [set(frame) for frame in back.taken] == [{"at", "now"}]


def test_a_cursor_of_another_epoch_is_worth_nothing(story: Story, hub: Hub) -> None:
    """Whatever its number is: the whole state."""
    for _ in range(3):
        story.submit()
    followed(hub)
    for number in range(5):
        wire = FakeWire()
        hub.follow(wire, BOARD, Cursor("0badcafe", number))
        assert "state" in wire.taken[0]


def test_many_changes_are_one_frame(story: Story, hub: Hub) -> None:
    """What happens before the loop comes to pushing goes out together."""
    wire = followed(hub)
    for _ in range(100):
        story.submit()
    story.loop.run(0.0)
    assert len(wire.taken) == 2
    assert wire.state["bar"]["waiting"] == 100


def test_what_changes_nothing_here_is_not_told(story: Story, hub: Hub) -> None:
    """An event that only operators see is no frame for the others."""
    board, monitor = followed(hub), followed(hub, MONITOR)
    story.assign(story.submit())
    story.loop.run(0.1)
    frames = len(board.taken), len(monitor.taken)
    story.register("r9", kind=Kind.WORKER_DROPPED)
    story.loop.run(0.1)
    assert (len(board.taken), len(monitor.taken)) == (frames[0], frames[1] + 1)
    assert set(monitor.taken[-1]["patch"]) == {f"log/{story.bus.number}"}


def test_all_get_the_same_bytes(story: Story, hub: Hub) -> None:
    """A frame is encoded once for all who are at the same cursor."""
    frames: list[Any] = []

    class Recorder(FakeWire):
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


def test_who_does_not_drain_is_skipped_and_catches_up(story: Story, hub: Hub) -> None:
    """One composed frame for all that it has missed, as soon as there is room."""
    wire, other = followed(hub, MONITOR), followed(hub, MONITOR)
    wire.is_held = True
    for _ in range(30):
        for _ in range(20):
            story.submit({"drink": "x" * 80})
        story.loop.run(TICK_S)
    assert LOW_BYTES < wire.buffered() < 2 * LOW_BYTES
    held = len(wire.held)
    wire.release()
    story.loop.run(TICK_S)
    assert len(wire.taken) == 1 + held + 1
    assert wire.state == other.state
    assert hub.size == 2


def test_who_never_drains_is_cut(story: Story, hub: Hub) -> None:
    """After ten seconds without room, and nobody else notices."""
    wire, other = followed(hub), followed(hub)
    wire.is_held = True
    filled_s = None
    while not wire.is_cut:
        story.submit({"drink": "x" * 80})
        story.loop.run(0.05)
        if filled_s is None and wire.buffered() > LOW_BYTES:
            filled_s = story.loop.elapsed_s
    assert filled_s is not None
    assert PATIENCE_S <= story.loop.elapsed_s - filled_s <= PATIENCE_S + 2 * TICK_S
    assert wire.buffered() <= 1024 * 1024
    assert hub.size == 1
    assert other.state["bar"]["waiting"] == len(story.jobs)


def test_a_frame_that_would_be_too_much_is_not_written(
    story: Story, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No wire ever holds more than the limit; who cannot be served is cut."""
    monkeypatch.setattr(wire_module, "MOST_BYTES", 150)
    wire = followed(hub)
    for _ in range(3):
        story.submit()
    story.loop.run(PATIENCE_S + 3 * TICK_S)
    assert len(wire.taken) == 1
    assert wire.is_cut


def test_heartbeats(story: Story, hub: Hub) -> None:
    """Every 20 seconds, also when nothing happens; they move the cursor."""
    wires = [followed(hub), followed(hub, MONITOR)]
    story.loop.run(3 * BEAT_S + 1)
    for wire in wires:
        beats = [frame for frame in wire.taken if set(frame) == {"at", "now"}]
        assert 3 <= len(beats) <= 4
        assert beats[-1]["now"] > beats[0]["now"]


def test_a_heartbeat_of_an_order_is_a_state(story: Story, hub: Hub) -> None:
    """The waiting time is computed anew."""
    wire = followed(hub, order(story.submit()))
    story.loop.run(BEAT_S + SWEEP_S + TICK_S)
    assert len(wire.taken) == 2
    assert all("state" in frame for frame in wire.taken)


def test_over_the_limit(story: Story) -> None:
    """As many as may follow, and not one more."""
    hub = story.hub(most_clients=2)
    clients = [hub.follow(FakeWire(), BOARD), hub.follow(FakeWire(), MONITOR)]
    with pytest.raises(TooManyClients):
        hub.follow(FakeWire(), BOARD)
    hub.leave(clients[0])
    hub.leave(clients[0])
    hub.follow(FakeWire(), BOARD)
    assert hub.size == 2


def test_stop_says_goodbye(story: Story, hub: Hub) -> None:
    """1012 to all, and no more looks at the clock."""
    wires = [followed(hub), followed(hub, order(story.submit()))]
    hub.stop()
    assert [wire.code for wire in wires] == [1012, 1012]
    assert hub.size == 0
    story.loop.run(60.0)


def test_who_comes_after_the_stop_is_told_to_come_back(story: Story, hub: Hub) -> None:
    """Nobody is left connected to a service that stops."""
    hub.stop()
    assert followed(hub).code == 1012
    assert hub.size == 0


def test_an_order_that_is_shown_no_longer(story: Story, hub: Hub) -> None:
    """4404 to whoever still looks."""
    wire = followed(hub, order(story.serve(1.0)))
    story.loop.run(SHOWN_S + SWEEP_S + 2 * TICK_S)
    assert wire.code == 4404
    assert hub.size == 0


def test_an_owner_learns_at_once_what_happens_to_the_order(story: Story, hub: Hub) -> None:
    """However far back it stands, and after it has left the line."""
    for _ in range(100):
        story.submit()
    wire = followed(hub, order(100))
    for step in (story.assign, story.doubt, story.put_back, story.cancel):
        step(100)
        story.loop.run(LEAST_REST_S)
    states = [frame["state"]["order"]["state"] for frame in wire.taken]
    assert states == ["waiting", "assigned", "assigned", "waiting", "cancelled"]


def test_an_old_connection_that_ends_late_takes_nothing_away(story: Story, hub: Hub) -> None:
    """The owner is back on a new one by then, and is still told at once."""
    topic = order(story.submit())
    old = hub.follow(FakeWire(), topic)
    hub.cut_off(True)
    hub.cut_off(False)
    wire = followed(hub, topic)
    hub.leave(old)
    story.cancel(1)
    story.loop.run(LEAST_REST_S)
    assert wire.state["order"]["state"] == "cancelled"


# ---- places in a long line


def told(wire: FakeWire) -> list[int]:
    """The places that an order was told, in order."""
    return [frame["state"]["order"]["ahead"] for frame in wire.taken]


def test_who_is_near_is_told_of_every_step(story: Story, hub: Hub) -> None:
    """At once, from ten ahead on."""
    for _ in range(14):
        story.submit()
    wire = followed(hub, order(14))
    for ticket in range(1, 14):
        story.assign(ticket)
        story.loop.run(LEAST_REST_S)
    assert told(wire) == [13, *range(10, -1, -1)]


def test_who_is_far_is_told_seldom(story: Story, hub: Hub) -> None:
    """A tenth of the way at a time, and not more often than every so many seconds."""
    for _ in range(1000):
        story.submit()
    wire = followed(hub, order(1000))
    for ticket in range(1, 900):
        story.assign(ticket)
        story.loop.run(0.1)
    places = told(wire)
    assert len(places) < 30
    assert places == sorted(places, reverse=True)
    assert abs(places[-1] - 100) <= 30


def test_ten_thousand_links_do_not_cost_ten_thousand_updates(story: Story, hub: Hub) -> None:
    """One leaves the head of a line in which each order is watched: the near ones are told."""
    wires = []
    for _ in range(10_000):
        wires.append(followed(hub, order(story.submit())))
        story.loop.run(0.0)
    story.loop.run(BEAT_S)
    for wire in wires:
        wire.taken.clear()
    story.assign(1)
    story.loop.run(LEAST_REST_S)
    assert 10 <= sum(len(wire.taken) for wire in wires) <= 12
    assert wires[5].state["order"]["ahead"] == 4


def test_all_owners_learn_that_the_robots_are_gone(story: Story, hub: Hub) -> None:
    """Or that the bar is paused: within seconds, wherever they stand."""
    worker = story.register("r1")
    for _ in range(100):
        story.submit()
    wire = followed(hub, order(100))
    story.leave(worker, Kind.WORKER_DROPPED)
    story.loop.run(SWEEP_S + TICK_S)
    assert wire.state["bar"]["robots"] == 0
    story.pause()
    story.loop.run(SWEEP_S + TICK_S)
    assert wire.state["bar"]["paused"] is True
