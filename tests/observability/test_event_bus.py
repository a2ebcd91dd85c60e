"""The event bus: subscribers get the events of a turn together, independently of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.observability.event_bus import EventBus


def paused(number: int) -> Event:
    return Event(number, EventKind.DISPATCH_PAUSED, 1.0, None, None, "")


class Told:
    """What a fold was told, in the order of the calls."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.soon: list[list[int]] = []
        self.bus.subscribe(self.fold)

    def fold(self, events: Sequence[Event]) -> None:
        self.soon.append([event.number for event in events])


@pytest.fixture
def told() -> Told:
    return Told()


async def test_a_fold_takes_in_a_turn_together(told: Told) -> None:
    """Events of one turn arrive in one call, in order, once."""
    told.bus.publish([paused(1)])
    told.bus.publish([paused(2), paused(3)])
    assert (told.bus.number, told.soon) == (3, [])
    await asyncio.sleep(0)
    assert told.soon == [[1, 2, 3]]
    told.bus.publish([paused(4)])
    await asyncio.sleep(0)
    assert told.soon == [[1, 2, 3], [4]]


async def test_catching_up_at_once(told: Told) -> None:
    """After catch_up all is folded, and the end of the turn repeats nothing."""
    told.bus.publish([paused(1)])
    told.bus.catch_up()
    assert told.soon == [[1]]
    await asyncio.sleep(0)
    assert told.soon == [[1]]


def test_where_no_loop_runs_it_is_at_once(told: Told) -> None:
    """Without a running loop events are passed on at once."""
    told.bus.publish([paused(1)])
    assert told.soon == [[1]]


def test_a_fold_that_fails_stops_no_other(told: Told) -> None:
    """A subscriber that raises does not affect the others."""

    def broken(events: Sequence[Event]) -> None:
        raise RuntimeError("broken")

    told.bus = EventBus()
    told.bus.subscribe(broken)
    told.bus.subscribe(told.fold)
    told.bus.publish([paused(1)])
    assert told.soon == [[1]]
