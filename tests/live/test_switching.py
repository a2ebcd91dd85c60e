"""Pages that go from one process to another: the same events, told by each in its own time."""

from __future__ import annotations

from typing import Any

import pytest
import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.core.events import Event
from sanic_dispatch.dispatch.queries import Snapshot
from sanic_dispatch.live.connection import Topic
from sanic_dispatch.live.finished import SHOWN_S
from sanic_dispatch.live.frames import Cursor
from sanic_dispatch.live.hub import RESTART, Hub
from sanic_dispatch.live.robots import LINGER_S
from sanic_dispatch.live.subscription import OutOfReach
from sanic_dispatch.observability.event_bus import EventBus
from tests.live.story import FakeWire, Story

BOARD, MONITOR = Topic("board"), Topic("monitor")


class Other:
    """A second process: it hears of everything, but later."""

    def __init__(self, story: Story) -> None:
        self.bus = EventBus()
        self.bus.epoch = story.bus.epoch
        self.hub = Hub(self.bus, story.loop, story.loop)
        self.hub.start()
        self._coming: list[Event] = []
        story.tell(self._coming.append)

    def tell(self, count: int) -> None:
        """Hear of so many more events."""
        told, self._coming[:] = self._coming[:count], self._coming[count:]
        self.bus.publish(told)

    def tell_all(self) -> None:
        """Hear of all."""
        self.tell(len(self._coming))


@pytest.fixture
def story() -> Story:
    return Story()


def shown(hub: Hub, topic: Topic) -> dict[str, Any]:
    state: dict[str, Any] = ujson.loads(hub.look(topic).json)["state"]
    return state


class Page:
    """A page that keeps what it has when it is connected elsewhere."""

    def __init__(self, hub: Hub, topic: Topic) -> None:
        self._topic = topic
        self.wire = FakeWire()
        self._hub, self._client = hub, hub.follow(self.wire, topic)

    def switch(self, hub: Hub) -> None:
        """Go on elsewhere."""
        self._hub.leave(self._client)
        before, self.wire = self.wire, FakeWire()
        self.wire.state = before.state
        self._hub = hub
        self._client = hub.follow(self.wire, self._topic, Cursor.parse(before.at))


def happen(story: Story, what: str) -> None:
    """Something, to the first order that it can happen to."""
    states = {"assign": "waiting", "cancel": "waiting", "confirm": "assigned", "finish": "assigned"}
    if what == "submit":
        story.submit()
    for ticket, job in story.jobs.items():
        if job.state == states.get(what):
            getattr(story, what)(ticket)
            return


STEPS = ("submit", "assign", "confirm", "finish", "cancel", "wait", "wait long", "tell", "switch")


@pytest.mark.parametrize("topic", [BOARD, MONITOR], ids=lambda topic: topic.view)
@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=80))
def test_any_switches_end_equal(topic: Topic, steps: list[str]) -> None:
    """Whenever a page switches, and whatever has grown old where: it ends equal to the servers."""
    story = Story()
    here = story.hub()
    story.loop.run(0.1)
    there = Other(story)
    page, hubs = Page(here, topic), [here, there.hub]
    for step in steps:
        if step == "switch":
            there.tell_all()
            hubs.reverse()
            page.switch(hubs[0])
        elif step == "tell":
            there.tell(1)
        elif step.startswith("wait"):
            story.loop.run(SHOWN_S / 3 if step == "wait long" else 0.05)
        else:
            happen(story, step)
    there.tell_all()
    story.loop.run(LINGER_S + 1.0)
    assert page.wire.state == shown(hubs[0], topic)
    assert shown(here, topic) == shown(there.hub, topic)


def test_a_switch_is_a_patch(story: Story) -> None:
    """What the page has is worth as much there: it gets what it missed, and nothing else."""
    hub, other = story.hub(), Other(story)
    Page(other.hub, BOARD)
    for _ in range(3):
        story.submit()
    page = Page(hub, BOARD)
    other.tell_all()
    story.loop.run(0.1)
    story.submit()
    other.tell_all()
    page.switch(other.hub)
    assert set(page.wire.taken[0]["patch"]) == {"order/4", "bar"}


def test_what_is_old_is_not_shown_as_new(story: Story) -> None:
    """While the events do not come through nobody can follow; those who did are sent away."""
    other = Other(story)
    page = Page(other.hub, BOARD)
    other.hub.cut_off(True)
    assert page.wire.code == RESTART
    with pytest.raises(OutOfReach):
        Page(other.hub, BOARD)
    with pytest.raises(OutOfReach):
        other.hub.look(BOARD)
    other.hub.cut_off(False)
    assert Page(other.hub, BOARD).wire.state


def test_whoever_missed_events_begins_anew(story: Story) -> None:
    """A new epoch, a snapshot, and everybody comes back for it."""
    other = Other(story)
    page = Page(other.hub, BOARD)
    story.submit()
    other.bus.epoch, other.bus.number = "f00d", 7
    other.hub.seed(Snapshot(list(story.jobs.values()), [], [], paused=True))
    assert page.wire.code == RESTART
    page.switch(other.hub)
    assert page.wire.taken[0]["at"] == "f00d:7"
    assert page.wire.taken[0]["state"]["bar"]["paused"] is True
