"""Pages that switch between processes that get the same events at different times."""

from __future__ import annotations

from typing import Any

import pytest
import ujson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sanic_dispatch.core.events import Event
from sanic_dispatch.dispatch.queries import TopicSnapshot
from sanic_dispatch.live.close_codes import RESTART
from sanic_dispatch.live.connection import ViewKey
from sanic_dispatch.live.finished import RECENT_S
from sanic_dispatch.live.frames import Cursor
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.subscription import OutOfReach
from sanic_dispatch.live.tracked_robots import RETURN_GRACE_S
from sanic_dispatch.observability.event_bus import EventBus
from tests.support.story import FakeConnection, Story

BOARD, MONITOR = ViewKey("board"), ViewKey("monitor")


class OtherProcess:
    """A second process, which gets the same events later."""

    def __init__(self, story: Story) -> None:
        self.bus = EventBus()
        self.bus.epoch = story.bus.epoch
        self.hub = Hub(self.bus, story.loop, story.loop)
        self.hub.start()
        self._coming: list[Event] = []
        story.tell(self._coming.append)

    def receive(self, count: int) -> None:
        """Receive ``count`` more events."""
        told, self._coming[:] = self._coming[:count], self._coming[count:]
        self.bus.publish(told)

    def receive_all(self) -> None:
        """Receive all events."""
        self.receive(len(self._coming))


def shown(hub: Hub, key: ViewKey) -> dict[str, Any]:
    state: dict[str, Any] = ujson.loads(hub.state_frame(key).json)["state"]
    return state


class Page:
    """A page that keeps its state when it connects elsewhere."""

    def __init__(self, hub: Hub, key: ViewKey) -> None:
        self._topic = key
        self.connection = FakeConnection()
        self._hub, self._client = hub, hub.follow(self.connection, key)

    def switch(self, hub: Hub) -> None:
        """Reconnect to another process."""
        self._hub.leave(self._client)
        before, self.connection = self.connection, FakeConnection()
        self.connection.state = before.state
        self._hub = hub
        self._client = hub.follow(self.connection, self._topic, Cursor.parse(before.at))


def happen(story: Story, what: str) -> None:
    """Apply a step to the first order that allows it."""
    states = {"assign": "waiting", "cancel": "waiting", "confirm": "assigned", "finish": "assigned"}
    if what == "submit":
        story.submit()
    for ticket, job in story.jobs.items():
        if job.state == states.get(what):
            getattr(story, what)(ticket)
            return


STEPS = (
    "submit",
    "assign",
    "confirm",
    "finish",
    "cancel",
    "wait",
    "wait_long",
    "receive",
    "switch",
)


@pytest.mark.parametrize("key", [BOARD, MONITOR], ids=lambda key: key.view)
@settings(max_examples=80)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=80))
@example(["submit", "assign", "finish", "wait_long", "submit", "switch", "switch"])
def test_any_switches_end_equal(key: ViewKey, steps: list[str]) -> None:
    """After any switches and expiries, a page ends equal to the servers."""
    story = Story()
    here = story.hub()
    story.loop.run(0.1)
    there = OtherProcess(story)
    page, hubs = Page(here, key), [here, there.hub]
    for step in steps:
        if step == "switch":
            there.receive_all()
            hubs.reverse()
            page.switch(hubs[0])
        elif step == "receive":
            there.receive(1)
        elif step.startswith("wait"):
            story.loop.run(RECENT_S / 3 if step == "wait_long" else 0.05)
        else:
            happen(story, step)
    there.receive_all()
    story.loop.run(RETURN_GRACE_S + 1.0)
    assert page.connection.state == shown(hubs[0], key)
    assert shown(here, key) == shown(there.hub, key)


def test_a_switch_is_a_patch(story: Story) -> None:
    """A cursor is valid in the other process: the page gets a patch with what it missed."""
    hub, other = story.hub(), OtherProcess(story)
    Page(other.hub, BOARD)
    for _ in range(3):
        story.submit()
    page = Page(hub, BOARD)
    other.receive_all()
    story.loop.run(0.1)
    story.submit()
    other.receive_all()
    page.switch(other.hub)
    assert set(page.connection.taken[0]["patch"]) == {"order/4", "bar"}


def test_a_process_out_of_reach_of_the_topic_has_no_clients(story: Story) -> None:
    """It refuses clients, and disconnects those it has."""
    other = OtherProcess(story)
    page = Page(other.hub, BOARD)
    other.hub.set_out_of_reach(True)
    assert page.connection.code == RESTART
    with pytest.raises(OutOfReach):
        Page(other.hub, BOARD)
    with pytest.raises(OutOfReach):
        other.hub.state_frame(BOARD)
    other.hub.set_out_of_reach(False)
    assert Page(other.hub, BOARD).connection.state


def test_a_gap_in_the_events_begins_a_new_epoch(story: Story) -> None:
    """After a gap there is a new epoch and a snapshot, and everybody reconnects."""
    other = OtherProcess(story)
    page = Page(other.hub, BOARD)
    story.submit()
    other.bus.epoch, other.bus.number = "f00d", 7
    other.hub.show(other.hub.project(TopicSnapshot(list(story.jobs.values()), [], [], paused=True)))
    assert page.connection.code == RESTART
    page.switch(other.hub)
    assert page.connection.taken[0]["at"] == "f00d:7"
    assert page.connection.taken[0]["state"]["bar"]["paused"] is True
