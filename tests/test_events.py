"""Events: whoever wakes others hears of them at once, whoever folds them soon, and of several."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sanic_dispatch.events import Event, Events, Kind, Note
from sanic_dispatch.request_id import begin

PAUSED, RESUMED = Note(Kind.DISPATCH_PAUSED, 1.0), Note(Kind.DISPATCH_RESUMED, 2.0)


class Told:
    """What a fold and a subscriber were told, in the order of the calls."""

    def __init__(self) -> None:
        self.events = Events()
        self.at_once: list[int] = []
        self.soon: list[list[int]] = []
        self.events.subscribe(lambda event: self.at_once.append(event.number))
        self.events.fold_into(self.fold)

    def fold(self, events: Sequence[Event]) -> None:
        self.soon.append([event.number for event in events])


@pytest.fixture
def told() -> Told:
    return Told()


async def test_a_fold_takes_in_a_turn_together(told: Told) -> None:
    """What happens in one turn of the loop comes in one call, in order; and nothing comes twice."""
    told.events.publish(PAUSED)
    told.events.publish(RESUMED)
    assert (told.at_once, told.soon) == ([1, 2], [])
    await asyncio.sleep(0)
    assert told.soon == [[1, 2]]
    told.events.publish(PAUSED)
    await asyncio.sleep(0)
    assert told.soon == [[1, 2], [3]]


async def test_before_whoever_waited_for_it_goes_on(told: Told) -> None:
    """Who hears of a change by its end, and looks then, sees it folded."""
    changed = asyncio.get_running_loop().create_future()
    seen = asyncio.create_task(_folded_after(changed, told))
    await asyncio.sleep(0)
    told.events.publish(PAUSED)
    changed.set_result(None)
    assert await seen == [[1]]


async def _folded_after(changed: asyncio.Future[None], told: Told) -> list[list[int]]:
    await changed
    return told.soon


async def test_who_asks_need_not_wait(told: Told) -> None:
    """After catching up all is folded, and the turn's end brings nothing anew."""
    told.events.publish(PAUSED)
    told.events.catch_up()
    assert told.soon == [[1]]
    told.events.publish(RESUMED)
    await asyncio.sleep(0)
    assert told.soon == [[1], [2]]


def test_where_no_loop_runs_it_is_at_once(told: Told) -> None:
    """A command has no turns to wait for."""
    told.events.publish(PAUSED)
    assert told.soon == [[1]]


async def test_an_event_knows_its_request() -> None:
    """Also where it is folded later, beside those of other requests."""
    events, requests = Events(), []
    events.fold_into(lambda some: requests.extend(event.request for event in some))

    async def act(name: str) -> None:
        begin(name)
        events.publish(PAUSED)

    await asyncio.gather(act("one"), act("two"))
    await asyncio.sleep(0)
    assert requests == ["one", "two"]


def test_a_subscriber_hears_of_the_kinds_that_it_named() -> None:
    """And of nothing else; whoever named none hears of all, in the order of subscription."""
    events, told = Events(), []
    events.subscribe(lambda event: told.append(("paused", event.kind)), [Kind.DISPATCH_PAUSED])
    events.subscribe(lambda event: told.append(("all", event.kind)))
    events.publish(PAUSED)
    events.publish(RESUMED)
    assert told == [
        ("paused", Kind.DISPATCH_PAUSED),
        ("all", Kind.DISPATCH_PAUSED),
        ("all", Kind.DISPATCH_RESUMED),
    ]
