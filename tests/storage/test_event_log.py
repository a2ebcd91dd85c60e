"""Questions about events, and cursors of older epochs."""

from __future__ import annotations

from typing import Any

import pytest

from sanic_dispatch.storage.event_log import Epoch, Page, Question, ends_of, is_good, page_of
from sanic_dispatch.storage.event_record import LoggedEvent
from tests.storage.events import event

EVENTS = [
    LoggedEvent(1, 10.0, "worker.registered", worker="Ada", callback="http://e/1"),
    LoggedEvent(2, 11.0, "job.submitted", 7, "a7"),
    LoggedEvent(3, 12.0, "job.assigned", 7, "a7", "Ada", "http://e/1"),
    LoggedEvent(4, 12.0, "job.returned", 7, "a7", "Ada", "http://e/1", "Out of ICE"),
    LoggedEvent(5, 13.0, "job.submitted", 8, "a8"),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"ticket": 7}, [2, 3, 4]),
        ({"worker": "Ada"}, [1, 3, 4]),
        ({"worker": "http://e/1"}, [1, 3, 4]),
        ({"worker": "ada"}, []),
        ({"kind": "job.submitted"}, [2, 5]),
        ({"from_s": 12.0}, [3, 4, 5]),
        ({"to_s": 12.0}, [1, 2]),
        ({"text": "of ice"}, [4]),
        ({"text": "ada"}, [1, 3, 4]),
        ({"after": 3}, [4, 5]),
        ({"ticket": 7, "worker": "Ada", "kind": "job.assigned", "to_s": 13.0}, [3]),
    ],
)
def test_what_matches(wanted: dict[str, Any], found: list[int]) -> None:
    """All that is asked for has to be right; from is inclusive, to exclusive."""
    assert [event.n for event in page_of(EVENTS, Question(**wanted)).events] == found


def test_pages() -> None:
    """A page has the next one's cursor exactly if there is more."""
    assert page_of(EVENTS, Question(limit=5)) == Page(EVENTS)
    assert page_of(EVENTS, Question(limit=2)) == Page(EVENTS[:2], 2)
    assert page_of(EVENTS, Question(limit=2, after=2)) == Page(EVENTS[2:4], 4)
    assert page_of(EVENTS, Question(limit=2, after=4)) == Page(EVENTS[4:])
    assert page_of(EVENTS, Question(limit=1, ticket=8)) == Page(EVENTS[4:])


EPOCHS = [Epoch("a", 1, 0.0), Epoch("b", 11, 1.0), Epoch("c", 11, 2.0), Epoch("d", 8, 3.0)]


@pytest.mark.parametrize(
    ("name", "number", "good"),
    [
        ("a", 7, True),
        ("a", 8, False),
        ("b", 7, True),
        ("b", 10, False),
        ("c", 12, False),
        ("d", 12, True),
        ("e", 1, False),
    ],
)
def test_numbers_of_older_epochs(name: str, number: int, good: bool) -> None:
    """A number is good up to where any later epoch began."""
    assert is_good(EPOCHS, name, number) is good
    assert is_good(EPOCHS[:1], "a", 8) is True


@pytest.mark.parametrize(
    ("numbers", "last_n", "ends"),
    [
        ([3, 4, 5], 5, [3, 4, 5]),
        ([2, 4, 5], 5, [4, 5]),
        ([3, 4, 4, 5], 5, [4, 5]),
        ([3, 4], 5, []),
        ([], 5, []),
    ],
)
def test_the_last_events_without_a_gap(numbers: list[int], last_n: int, ends: list[int]) -> None:
    """They end with the last event, or there are none."""
    assert [each.n for each in ends_of([event(n) for n in numbers], last_n)] == ends
