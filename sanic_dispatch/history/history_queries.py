"""Queries of the event log, in threads, since the log blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, nextafter
from threading import Event as Flag
from typing import Any, NamedTuple, TypeVar

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.history.questions import MAX_NUMBER
from sanic_dispatch.history.statistics import LOOK_BACK_S, By, Statistics
from sanic_dispatch.storage.checkpoint import Pace
from sanic_dispatch.storage.event_log import (
    MAX_LIMIT,
    Damage,
    EventLog,
    Hole,
    Missing,
    Page,
    Question,
    readable,
)
from sanic_dispatch.storage.event_record import Payload

__all__ = ["HistoryQueries", "Page"]

REST_S = 0.001
"""How long statistics rest after each millisecond of work."""

STRIDE = 64
"""How many events to count before looking whether to rest."""

M = TypeVar("M", Damage, Hole)


class Counted(NamedTuple):
    """The rows of statistics, and what may be missing in them."""

    rows: Sequence[dict[str, Any]]
    damage: Sequence[Damage] = ()
    holes: Sequence[Hole] = ()


class RecordedPage(NamedTuple):
    """A page of the event log, with the data of the orders in it that is kept."""

    page: Page
    payloads: Sequence[Payload] = ()


class HistoryQueries:
    """Answers questions about the events that were published so far.

    ``catch_up`` passes the events of this turn of the event loop to the log.
    """

    def __init__(
        self, log: EventLog, catch_up: Callable[[], None], now_s: Callable[[], float]
    ) -> None:
        self._log = log
        self._catch_up = catch_up
        self._now_s = now_s
        self._one_at_a_time = asyncio.Lock()

    async def find(self, question: Question) -> Page:
        """Return the first events that match."""
        self._catch_up()
        return await asyncio.to_thread(self._log.find, question)

    async def recorded(self, question: Question) -> RecordedPage:
        """Return the first events that match, with the data of the orders that came with them."""
        self._catch_up()
        return await asyncio.to_thread(self._with_data, question)

    def _with_data(self, question: Question) -> RecordedPage:
        page, missing = self._log.find(question), list[Missing]()
        if not page.events:
            return RecordedPage(page)
        numbers = {each.n for each in page.events if each.event == EventKind.JOB_SUBMITTED}
        times_s = [each.at_s for each in page.events]
        found = self._payloads(min(times_s), nextafter(max(times_s), inf)) if numbers else ()
        payloads = [each for each in readable(found, missing) if each.n in numbers]
        return RecordedPage(page, payloads)

    def _payloads(self, from_s: float | None, to_s: float | None) -> Iterator[Payload | Missing]:
        """Yield data and results of jobs, but not of forgotten ones."""
        withheld = newest = self._log.withheld
        for found in self._log.payloads(from_s, to_s):
            if self._log.withheld is not newest:  # what is erased by now may have been read before
                newest = self._log.withheld
                withheld |= newest
            if not (withheld and isinstance(found, Payload) and found.is_of(withheld)):
                yield found

    async def of_ticket(self, ticket: int) -> Page:
        """Return all events of a job."""
        if not 0 < ticket <= MAX_NUMBER:
            return Page([])
        self._catch_up()
        pages = self._log.pages(Question(ticket, limit=MAX_LIMIT))
        return _joined(await asyncio.to_thread(list, pages))

    async def statistics(
        self, by: By, from_s: float | None = None, to_s: float | None = None
    ) -> Counted:
        """Return the rows for a span; one question at a time, since it may be a long one."""
        self._catch_up()
        async with self._one_at_a_time:
            is_cancelled = Flag()
            try:
                return await asyncio.to_thread(self._count, by, from_s, to_s, is_cancelled)
            finally:
                is_cancelled.set()

    def _count(
        self, by: By, from_s: float | None, to_s: float | None, is_cancelled: Flag
    ) -> Counted:
        since_s, now_s = None if from_s is None else from_s - LOOK_BACK_S, self._now_s()
        missing: list[Missing] = []
        payloads = self._payloads(since_s, to_s) if by is By.DRINK else ()
        fold, pace = Statistics(by, from_s, to_s, readable(payloads, missing)), Pace(REST_S)
        for index, event in enumerate(readable(self._log.scan(since_s, to_s), missing)):
            fold.add(event)
            if index % STRIDE == 0:
                pace.rest()
                if is_cancelled.is_set():
                    break
        return Counted(
            fold.rows(now_s),
            _once(each for each in missing if isinstance(each, Damage)),
            _once(each for each in missing if isinstance(each, Hole)),
        )


def _joined(pages: list[Page]) -> Page:
    return Page(
        [event for page in pages for event in page.events],
        damage=_once(each for page in pages for each in page.damage),
        holes=_once(each for page in pages for each in page.holes),
    )


def _once(found: Iterable[M]) -> list[M]:
    """Return each of them once, in order."""
    return list(dict.fromkeys(found))
