"""Queries of the event log: pages, the whole of a job, statistics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event as Flag
from typing import Never

import pytest

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.history.history_queries import HistoryQueries
from sanic_dispatch.history.statistics import By
from sanic_dispatch.storage.event_log import Damage, Hole, Missing, Page, Question
from sanic_dispatch.storage.event_record import LoggedEvent, Payload
from sanic_dispatch.storage.memory_log import MemoryEventLog
from tests.history.stories import LoggedStory
from tests.storage.events import events
from tests.support.story import robot


def asked(story: LoggedStory, log: MemoryEventLog) -> HistoryQueries:
    """Queries of a log that follows a story."""
    story.bus.subscribe(log.note)
    return HistoryQueries(log, story.bus.catch_up, lambda: story.now_s)


async def test_the_present_turn_is_included() -> None:
    """Also within the turn in which it happened."""
    story = LoggedStory()
    queries = asked(story, MemoryEventLog())
    story.submit()
    assert [each.event for each in (await queries.find(Question())).events] == ["job.submitted"]
    assert [each.event for each in (await queries.of_ticket(1)).events] == ["job.submitted"]
    story.submit()
    (row,) = (await queries.statistics(By.HOUR)).rows
    assert row["submitted"] == 2


async def test_the_oldest_events_are_forgotten_first() -> None:
    """A log of this run is bounded; what is left is whole and in order."""
    story = LoggedStory()
    queries = asked(story, MemoryEventLog(max_events=10))
    story.register("r1")
    for _ in range(5):
        story.serve(1.0)
    found = {
        ticket: [each.event for each in (await queries.of_ticket(ticket)).events]
        for ticket in range(1, 6)
    }
    whole = ["job.submitted", "job.assigned", "job.confirmed", "job.done"]
    assert found == {1: [], 2: [], 3: whole[2:], 4: whole, 5: whole}


async def test_by_drink() -> None:
    """The data of jobs is read where it is needed; also of orders from before the span."""
    story = LoggedStory()
    queries = asked(story, MemoryEventLog())
    ticket = story.submit({"drink": "water"})
    story.wait(3600)
    begin_s = story.now_s
    story.assign(ticket, robot("Ada"))
    story.confirm(ticket)
    story.finish(ticket)
    (row,) = (await queries.statistics(By.DRINK, begin_s)).rows
    assert (row["drink"], row["submitted"], row["done"]) == ("water", 0, 1)


class ErasingLog(MemoryEventLog):
    """Everything is erased while the data is read, and then nothing has to be withheld."""

    def payloads(self, from_s: float | None = None, to_s: float | None = None) -> Iterator[Payload]:
        for found in list(super().payloads(from_s, to_s)):
            yield found
            self.withheld = frozenset()


async def test_what_is_erased_during_an_answer() -> None:
    """It had been read before, and is told no more than before."""
    story, log = LoggedStory(), ErasingLog()
    queries = asked(story, log)
    for drink in ("water", "mojito"):
        story.submit({"drink": drink})
    _, forgotten = (await queries.find(Question())).events
    log.withheld = frozenset({JobRef(forgotten.ticket, forgotten.job)})
    (told,) = (await queries.recorded(Question())).payloads
    assert b"water" in told.json


class Uncopied(frozenset[JobRef]):
    """It can have 10,000 orders, and a copy of so many takes half a millisecond."""

    def __or__(self, _: object) -> Never:
        raise AssertionError("it was copied")


async def test_many_to_erase_slow_down_no_answer() -> None:
    """Nothing is copied for each order that is read."""
    story, log = LoggedStory(), MemoryEventLog()
    queries = asked(story, log)
    story.submit({"drink": "water"})
    log.withheld = Uncopied({JobRef(n, f"{n:032}") for n in range(1000, 1100)})
    (told,) = (await queries.recorded(Question())).payloads
    assert b"water" in told.json


DAMAGE, OF_PAYLOADS = Damage(Path("s"), 7, "torn"), Damage(Path("s"), 99, "its checksum is wrong")
HOLE = Hole(3, 4, 1.0, 2.0)


class SegmentedLog(MemoryEventLog):
    """A log with many events, a damaged place and a hole; it can be watched."""

    def __init__(self, found: Sequence[LoggedEvent]) -> None:
        super().__init__()
        self.found = found
        self.scanned = 0
        self.is_scanning = Flag()
        self.may_go_on = Flag()
        self.may_go_on.set()

    def find(self, question: Question) -> Page:
        found = [each for each in self.found if question.matches(each)]
        page, more = found[: question.limit], found[question.limit :]
        return Page(page, page[-1].n if more else None, [DAMAGE], [HOLE])

    def payloads(
        self, from_s: float | None = None, to_s: float | None = None
    ) -> Iterator[Payload | Missing]:
        yield DAMAGE
        yield OF_PAYLOADS

    def scan(
        self, from_s: float | None = None, to_s: float | None = None
    ) -> Iterator[LoggedEvent | Missing]:
        yield DAMAGE
        yield HOLE
        for event in self.found:
            self.is_scanning.set()
            self.may_go_on.wait(5)
            self.scanned += 1
            yield event


async def test_a_job_with_more_events_than_a_page() -> None:
    """All of them are there; what may be missing is said once."""
    told = [LoggedEvent(n, float(n), "job.doubted", 7) for n in range(1, 2502)]
    queries = HistoryQueries(SegmentedLog(told), lambda: None, lambda: 0.0)
    page = await queries.of_ticket(7)
    assert page.events == told
    assert (len(page.damage), len(page.holes), page.next) == (1, 1, None)


@pytest.mark.parametrize(("by", "damage"), [(By.HOUR, [DAMAGE]), (By.DRINK, [DAMAGE, OF_PAYLOADS])])
async def test_statistics_say_what_may_be_missing(by: By, damage: list[Damage]) -> None:
    """Once, with what is damaged of the data if that was read."""
    queries = HistoryQueries(SegmentedLog(events(1, 10)), lambda: None, lambda: 6000.0)
    counted = await queries.statistics(by)
    assert sum(row["submitted"] for row in counted.rows) == 2
    assert (counted.damage, counted.holes) == (damage, [HOLE])


@pytest.mark.parametrize("ticket", [-1, 0, 2**53 + 1])
async def test_tickets_that_cannot_be(ticket: int) -> None:
    """Nothing is known of them."""
    queries = HistoryQueries(SegmentedLog(events(1, 10)), lambda: None, lambda: 0.0)
    assert (await queries.of_ticket(ticket)).events == []


async def test_statistics_that_nobody_waits_for() -> None:
    """They end soon after their request was cut off."""
    log = SegmentedLog(events(1, 5000))
    log.may_go_on.clear()
    queries = HistoryQueries(log, lambda: None, lambda: 0.0)
    asking = asyncio.create_task(queries.statistics(By.HOUR))
    await asyncio.to_thread(log.is_scanning.wait, 5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    log.may_go_on.set()
    counted = await HistoryQueries(log, lambda: None, lambda: 6000.0).statistics(By.HOUR)
    assert counted.rows[0]["submitted"] > 0
    assert log.scanned < 2 * len(log.found)
