"""Scripts that lead the page for people behind the bar through every state that they can see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from playwright.async_api import expect

from tests.browser.journeys import LONG_DRINK, LONG_NAME
from tests.browser.served_bar import Bar
from tests.browser.visitors import Visitors
from tests.browser.worker_page import WorkerPage

Journey = AsyncIterator[str]
"""Yields the name of each state when it is reached."""


async def a_quiet_shift(bar: Bar, tablet: WorkerPage, _: Visitors) -> Journey:
    """Sign in, choose drinks, make one, and finish."""
    yield "set-up"
    await tablet.name.fill("Ada")
    await tablet.page.get_by_role("checkbox", name="Mojito").check()
    await tablet.page.get_by_role("checkbox", name="Lemonade").check()
    yield "set-up-filled"
    await tablet.button("Start").click()
    await tablet.is_connected()
    yield "waiting"
    await bar.order("Bea", drink="mojito", logo="fox")
    await tablet.accept(1)
    await tablet.settles()
    await tablet.button("50 %").click()
    yield "making"
    await tablet.button("Can’t make it").click()
    await expect(tablet.dialog).to_be_visible()
    yield "cannot"
    await tablet.button("Say it can’t be made").click()
    await tablet.shows("waiting")


async def a_long_line(bar: Bar, tablet: WorkerPage, visitors: Visitors) -> Journey:
    """Long names and many orders; one is cancelled, and one is lost."""
    await tablet.start(LONG_NAME)
    await tablet.is_connected()
    ids = await bar.order(LONG_NAME, drink=LONG_DRINK)
    ids += await bar.order("Bea", "Cleo", "Dora", logo="cat")
    ids += await bar.order("Edi", "Flo", "Gil", "Hana", drink=LONG_DRINK)
    await bar.service.submit({"drink": "mojito", "size": "xl", "extras": ["ice", "mint"]})
    await tablet.shows("offered", 1)
    await tablet.settles()
    await expect(tablet.next).to_have_count(5)
    yield "offered"
    await tablet.accept(1)
    await bar.ask_to_cancel(ids[0])
    await tablet.shows("cancelling")
    await tablet.settles()
    yield "cancelling"
    await tablet.button("I stopped").click()
    await tablet.accept(2)
    await bar.put_back(ids[1])
    await tablet.button("25 %").click()
    await tablet.shows("lost", 2)
    await tablet.settles()
    yield "lost"
    await tablet.button("Get the next order").click()
    await tablet.accept(2)
    bar.proxy.go_offline()
    await expect(tablet.link).to_have_text("Reconnecting…")
    yield "reconnecting"
    bar.proxy.go_online()
    await tablet.is_connected()
    other = await visitors.tablet()
    await other.start(LONG_NAME)
    await tablet.shows("away")
    await tablet.settles()
    yield "away"


async def a_missed_order(bar: Bar, tablet: WorkerPage, _: Visitors) -> Journey:
    """An order is not accepted in time."""
    await tablet.start()
    await bar.order("Bea")
    await tablet.shows("missed", 1)
    await tablet.settles()
    yield "missed"


ShiftJourney = Callable[[Bar, WorkerPage, Visitors], Journey]

BEHIND_THE_BAR: tuple[ShiftJourney, ...] = (a_quiet_shift, a_long_line)
