"""The event bus: folds take in a turn's events together, each for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sanic_dispatch.core.events import Event, Kind
from sanic_dispatch.observability.event_bus import EventBus


def paused(number: int) -> Event:
    return Event(number, Kind.DISPATCH_PAUSED, 1.0, None, None, "")


class Told:
    """What a fold was told, in the order of the calls."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.soon: list[list[int]] = []
        self.bus.fold_into(self.fold)

    def fold(self, events: Sequence[Event]) -> None:
        self.soon.append([event.number for event in events])


@pytest.fixture
def told() -> Told:
    return Told()


async def test_a_fold_takes_in_a_turn_together(told: Told) -> None:
    """What becomes durable in one turn comes in one call, in order; and nothing comes twice."""
    told.bus.publish([paused(1)])
    told.bus.publish([paused(2), paused(3)])
    assert (told.bus.number, told.soon) == (3, [])
    await asyncio.sleep(0)
    assert told.soon == [[1, 2, 3]]
    told.bus.publish([paused(4)])
    await asyncio.sleep(0)
    assert told.soon == [[1, 2, 3], [4]]


async def test_who_asks_need_not_wait(told: Told) -> None:
    """After catching up all is folded, and the turn's end brings nothing anew."""
    told.bus.publish([paused(1)])
    told.bus.catch_up()
    assert told.soon == [[1]]
    await asyncio.sleep(0)
    assert told.soon == [[1]]


def test_where_no_loop_runs_it_is_at_once(told: Told) -> None:
    """A command on the command line has no turns to wait for."""
    told.bus.publish([paused(1)])
    assert told.soon == [[1]]


def test_a_fold_that_fails_stops_no_other(told: Told) -> None:
    """Turning the log off, or breaking it, turns nothing else off."""

    def broken(events: Sequence[Event]) -> None:
        raise RuntimeError("broken")

    told.bus = EventBus()
    told.bus.fold_into(broken)
    told.bus.fold_into(told.fold)
    told.bus.publish([paused(1)])
    assert told.soon == [[1]]
