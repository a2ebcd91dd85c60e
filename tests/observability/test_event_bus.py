"""The event bus: subscribers get the events of a turn together, independently of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.observability.event_bus import EventBus


def paused(number: int) -> Event:
    return Event(number, EventKind.DISPATCH_PAUSED, 1.0, None, None, "")


class RecordingFold:
    """Records the calls of a fold, in order."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.soon: list[list[int]] = []
        self.bus.subscribe(self.fold)

    def fold(self, events: Sequence[Event]) -> None:
        self.soon.append([event.number for event in events])


@pytest.fixture
def told() -> RecordingFold:
    return RecordingFold()


async def test_a_fold_gets_the_events_of_a_turn_together(told: RecordingFold) -> None:
    """Events of one turn arrive in one call, in order, once."""
    told.bus.publish([paused(1)])
    told.bus.publish([paused(2), paused(3)])
    assert (told.bus.number, told.soon) == (3, [])
    await asyncio.sleep(0)
    assert told.soon == [[1, 2, 3]]
    told.bus.publish([paused(4)])
    await asyncio.sleep(0)
    assert told.soon == [[1, 2, 3], [4]]


async def test_catching_up_at_once(told: RecordingFold) -> None:
    """catch_up folds all events, and the end of the turn repeats none."""
    told.bus.publish([paused(1)])
    told.bus.catch_up()
    assert told.soon == [[1]]
    await asyncio.sleep(0)
    assert told.soon == [[1]]


def test_without_a_loop_events_are_passed_on_at_once(told: RecordingFold) -> None:
    """Without a running loop there is no turn to wait for."""
    told.bus.publish([paused(1)])
    assert told.soon == [[1]]


def test_a_failing_fold_does_not_affect_others(told: RecordingFold) -> None:
    """A subscriber that raises does not affect the others."""

    def broken(events: Sequence[Event]) -> None:
        raise RuntimeError("broken")

    told.bus = EventBus()
    told.bus.subscribe(broken)
    told.bus.subscribe(told.fold)
    told.bus.publish([paused(1)])
    assert told.soon == [[1]]
