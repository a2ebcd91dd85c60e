"""Every state of every page: accessible, and nothing cut off.

With PICTURES=1 a picture of each is kept in artefacts/.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Literal, NamedTuple

import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, expect

from tests.browser import evenings, journeys, shifts
from tests.browser.contrast import LOW_CONTRAST
from tests.browser.pages import BoardPage
from tests.browser.served_bar import Bar, open_bar
from tests.browser.visitors import Visitors
from tests.support.paths import ROOT

ARTEFACTS = ROOT / "artefacts"

CUT_OFF = """() => [...document.querySelectorAll('body *')].filter((node) => {
    const frame = node.closest('button, article, section, .card, body');
    const isText = node.checkVisibility() && node.textContent && !node.childElementCount;
    if (!isText || node.closest('.unseen, .orders')) return false;
    const [inner, outer] = [node, frame].map((one) => one.getBoundingClientRect());
    return node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== 'inline'
        || inner.right > outer.right || inner.right > document.documentElement.clientWidth
        || inner.bottom > outer.bottom + 1 && !node.closest('.scroll');
}).map((node) => node.outerHTML.slice(0, 80))"""
"""Texts that overflow their container."""

SMALL_TARGETS = """() => [...document.querySelectorAll('button, label:has(input), input')]
    .filter((node) => node.checkVisibility())
    .filter((node) => Math.min(node.offsetWidth, node.offsetHeight) < 64)
    .map((node) => node.outerHTML.slice(0, 80))"""
"""What a wet finger would miss."""

RUN_AXE = """axe.run({
    resultTypes: ['violations'], rules: { 'color-contrast': { enabled: false } },
})"""
"""LOW_CONTRAST finds all contrasts that axe finds, and more, without seven tenths of its time."""


class Screen(NamedTuple):
    """A kind of screen."""

    name: str
    scheme: Literal["light", "dark"]
    width: int
    height: int = 844
    letters: str = ""
    is_audited: bool = False
    """Whether axe examines it: both schemes and both layouts, since that takes longest."""


DESKS = (
    Screen("light", "light", 1440, 1000, is_audited=True),
    Screen("dark", "dark", 1440, 1000),
    Screen("narrow", "light", 390),
    Screen("narrow-dark", "dark", 320, is_audited=True),
    Screen("zoomed", "light", 720, 500),
)
LOOKS = (
    Screen("light", "light", 390, is_audited=True),
    Screen("dark", "dark", 390, is_audited=True),
    Screen("narrow", "light", 320),
    Screen("large", "light", 390, letters="200%"),
)


TABLETS = (
    Screen("portrait", "light", 820, 1180, is_audited=True),
    Screen("landscape", "dark", 1180, 820, is_audited=True),
    Screen("phone", "light", 390),
    Screen("phone-dark", "dark", 320),
)


@pytest_asyncio.fixture(loop_scope="session")
async def bar(request: pytest.FixtureRequest) -> AsyncIterator[Bar]:
    """A service with priorities that blames the order for the first refusal of a live robot."""
    settings = getattr(request, "param", {})
    async with open_bar(max_attempts=1, priorities=True, **settings) as bar:
        yield bar


@pytest.mark.parametrize("journey", journeys.ON_A_PHONE, ids=lambda journey: journey.__name__)
async def test_the_order_page(bar: Bar, visitors: Visitors, journey: journeys.OrderJourney) -> None:
    """No state violates an accessibility rule or has a text that the phone cuts off."""
    visitors.expect_network_errors = True
    phone = await visitors.newcomer()
    async for state in journey(bar, phone):
        for look in LOOKS:
            await put_on(phone.page, look)
            await examine(phone.page, f"order-{state}-{look.name}", look.is_audited)
        await put_on(phone.page, LOOKS[0])


@pytest.mark.parametrize("journey", journeys.ON_THE_WALL, ids=lambda journey: journey.__name__)
async def test_the_board(bar: Bar, visitors: Visitors, journey: journeys.BoardJourney) -> None:
    """No state violates an accessibility rule or has anything that does not fit."""
    visitors.expect_network_errors = True
    board = await visitors.blank_television()
    async for state in journey(bar, board):
        await examine(board.page, f"board-{state}", is_audited=True)


@pytest.mark.parametrize("journey", shifts.BEHIND_THE_BAR, ids=lambda journey: journey.__name__)
async def test_the_page_behind_the_bar(
    bar: Bar, visitors: Visitors, journey: shifts.ShiftJourney
) -> None:
    """No state violates an accessibility rule, is cut off, or has a target for dry fingers only."""
    await examine_on_all_tablets(bar, visitors, journey)


@pytest.mark.parametrize("bar", [{"callback_timeout_s": 1.0}], indirect=True, ids=["impatient"])
async def test_an_order_that_is_missed_behind_the_bar(bar: Bar, visitors: Visitors) -> None:
    """The same holds where nobody is there to accept."""
    await examine_on_all_tablets(bar, visitors, shifts.a_missed_order)


@pytest.mark.parametrize("journey", evenings.ON_THE_DESK, ids=lambda journey: journey.__name__)
async def test_the_monitor(bar: Bar, visitors: Visitors, journey: evenings.DeskJourney) -> None:
    """No state violates an accessibility rule or has a text that the screen cuts off."""
    visitors.expect_network_errors = True
    monitor = await visitors.blank_desk()
    async for state in journey(bar, monitor):
        await examine_in_all_looks(monitor.page, f"monitor-{state}")


@pytest.mark.parametrize(
    "bar",
    [{"allow_webhook": ("127.0.0.0/8",), "allow_push": ("127.0.0.0/8",)}],
    indirect=True,
    ids=["outbox"],
)
async def test_the_outbox(bar: Bar, visitors: Visitors) -> None:
    """The same holds for who is told of events, and which phones."""
    monitor = await visitors.blank_desk()
    async for state in evenings.a_till_that_is_down(bar, monitor):
        await examine_in_all_looks(monitor.page, f"monitor-{state}")


@pytest.mark.parametrize("bar", [{"topics": evenings.BARS}], indirect=True, ids=["topics"])
async def test_the_monitor_of_several_bars(bar: Bar, visitors: Visitors) -> None:
    """The same holds for the links between them, and for the overview."""
    visitors.expect_network_errors = True
    monitor = await visitors.blank_desk()
    async for state in evenings.a_house_of_bars(bar, monitor):
        await examine_in_all_looks(monitor.page, f"monitor-{state}")


@pytest.mark.parametrize("bar", [{"topics": evenings.BARS}], indirect=True, ids=["topics"])
async def test_the_board_of_a_bar_with_a_long_title(bar: Bar, visitors: Visitors) -> None:
    """The title and what is said beside it have room."""
    television = await visitors.blank_television()
    board = BoardPage(television.page, f"{television.base_url}topics/garden/")
    async for state in journeys.a_late_crew(bar.topic("garden"), board):
        await expect(board.page.locator("h1")).to_have_text(evenings.BARS["garden"]["title"])
        await examine(board.page, f"board-long-title-{state}", is_audited=True)


@pytest.mark.parametrize("lang", ["de", "en"])
async def test_an_order_that_failed_in_large_letters(
    bar: Bar, visitors: Visitors, lang: str
) -> None:
    """Its ticket is no wider than the phone, although German has a long word for it."""
    robot = await bar.robot()
    (order_id,) = await bar.order("Ann")
    await bar.fail(order_id, robot, "no ice")
    phone = await visitors.phone(f"?order={order_id}&lang={lang}")
    await expect(phone.ticket).to_have_attribute("data-phase", "failed")
    for look in (LOOKS[3], LOOKS[3]._replace(name="narrow-large", width=320)):
        await put_on(phone.page, look)
        await examine(phone.page, f"order-failed-{lang}-{look.name}", is_audited=False)


async def test_an_order_in_hand_in_large_letters(bar: Bar, visitors: Visitors) -> None:
    """The page behind the bar is no wider than a phone, although three buttons are in a row."""
    tablet = await visitors.tablet("?lang=de")
    await tablet.page.locator("#name").fill("Ada")
    await tablet.button("Los geht’s").click()
    await bar.order("Ann")
    await tablet.button("Annehmen").click()
    await expect(tablet.button("Fertig")).to_be_enabled()
    for look in (LOOKS[3], LOOKS[3]._replace(name="narrow-large", width=320)):
        await put_on(tablet.page, look)
        await examine(tablet.page, f"worker-making-{look.name}", is_audited=False)


async def test_a_title_of_one_long_word(browser: Browser) -> None:
    """It is broken on the narrowest phones, and makes no page wider than they are."""
    async with open_bar(title="Donaudampfschifffahrtsgesellschaft") as bar:
        visitors = Visitors(browser, bar.proxy)
        pages = (await visitors.phone()).page, (await visitors.tablet()).page
        for page in pages:
            await expect(page.locator("#brand")).to_have_text(bar.service.app.ctx.settings.title)
            for look in (LOOKS[2], LOOKS[3]):
                await put_on(page, look)
                await examine(page, f"long-title-{look.name}", is_audited=False)
        await visitors.leave()


async def test_the_docs(bar: Bar, visitors: Visitors) -> None:
    """/docs is accessible, fits on a phone, and none of its requests is refused."""
    desk = await visitors.blank_desk()
    page = desk.page
    await page.goto(desk.base_url + "docs")
    for look in (DESKS[0], DESKS[2]):
        await put_on(page, look)
        assert await violations(page) == [], look.name
        assert await page.evaluate(LOW_CONTRAST) == [], look.name
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), look.name


async def examine_on_all_tablets(
    bar: Bar, visitors: Visitors, journey: shifts.ShiftJourney
) -> None:
    """Examine the page for people behind the bar on tablets and phones."""
    visitors.expect_network_errors = True
    tablet = await visitors.tablet()
    async for state in journey(bar, tablet, visitors):
        for look in TABLETS:
            await put_on(tablet.page, look)
            await examine(tablet.page, f"worker-{state}-{look.name}", look.is_audited)
            assert await tablet.page.evaluate(SMALL_TARGETS) == [], state


async def examine_in_all_looks(page: Page, name: str) -> None:
    """Examine a page of the monitor on all screens."""
    for look in DESKS:
        await put_on(page, look)
        await examine(page, f"{name}-{look.name}", look.is_audited)
    await put_on(page, DESKS[0])


async def put_on(page: Page, look: Screen) -> None:
    """Turn a screen into another one, tall enough for the whole page."""
    await page.emulate_media(color_scheme=look.scheme, reduced_motion="reduce")
    await page.evaluate("size => document.documentElement.style.fontSize = size", look.letters)
    await page.set_viewport_size({"width": look.width, "height": look.height})
    height = await page.evaluate("document.documentElement.scrollHeight")
    if height > look.height:
        await page.set_viewport_size({"width": look.width, "height": height})


async def examine(page: Page, name: str, is_audited: bool) -> None:
    """Check that nothing is wrong with the page; keep a picture of it if asked for."""
    if "PICTURES" in os.environ:
        ARTEFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTEFACTS / f"{name}.png", animations="disabled")
    if is_audited:
        assert await violations(page) == [], name
    assert await page.evaluate(CUT_OFF) == [], name
    assert await page.evaluate(LOW_CONTRAST) == [], name


async def violations(page: Page) -> list[str]:
    """Return what axe finds, one line each."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE_SCRIPT)
    found = (await page.evaluate(RUN_AXE))["violations"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]
