"""Pages that could not be loaded completely, as on a bad network: they say so, and try again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from playwright.async_api import Locator, Page, Request, Route, expect

from tests.browser.served_bar import Bar
from tests.browser.visitors import DESK, PHONE, TABLET, TELEVISION, Visitors
from tests.support.proxy import NO_SERVER, NOT_HERE
from tests.support.server import eventually

FAILED = {
    "en": "This page didn’t load. Trying again…",
    "de": "Die Seite lädt nicht. Neuer Versuch …",
}
SOON_MS = 1_000
PATIENCE_S = 30.0
"""When it says so."""
LONGEST_PAUSE_MS = 60_000
IS_STYLED = "getComputedStyle(document.body).marginTop === '0px'"


class Kind(NamedTuple):
    """A page, what shows that it has started, and a file of its own that it starts with."""

    file: str
    profile: dict[str, object]
    started: str
    own: str


KINDS = [
    Kind("order_drink.html", PHONE, "#form", "js/order/form.js"),
    Kind("board.html", TELEVISION, "body[data-known=true]", "js/board/page.js"),
    Kind("monitor.html", DESK, "#sign-in", "js/monitor/words/en.js"),
    Kind("worker.html", TABLET, "#set-up", "js/worker/words/en.js"),
]
of_each_page = pytest.mark.parametrize("kind", KINDS, ids=[kind.file for kind in KINDS])
BOARD = KINDS[1]


class Loading:
    """A page that is being loaded; ``requests`` counts those for each file.

    ``looks`` counts how often it has looked whether it is served.
    """

    def __init__(self, page: Page, bar: Bar, kind: Kind) -> None:
        self.page = page
        self.started = page.locator(kind.started)
        self.requests: Counter[str] = Counter()
        self.looks = 0
        self._public = f"{bar.proxy.url}public/"
        self._file = kind.file
        page.on("request", self._count)

    async def open(self, query: str = "") -> None:
        """Open the page."""
        await self.page.goto(f"{self._public}{self._file}{query}")

    @property
    def loads(self) -> int:
        """How often the page was loaded."""
        return self.requests[self._file]

    async def lacks(self, file: str) -> None:
        """Let requests for this file fail."""
        await self.page.route(f"**/{file}", lambda route: route.abort())

    async def lacks_nothing(self) -> None:
        """Let requests succeed again."""
        await self.page.unroute_all()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Let one pause after the other end until this has happened."""

        async def has_happened() -> bool:
            return happened()

        await self.until_it_shows(has_happened)

    async def until_it_shows(self, happened: Callable[[], Awaitable[bool]]) -> None:
        """Let one pause after the other end until the page shows that this has happened.

        For what a request that is already on its way may bring about: no other may follow it.
        """

        async def has_happened() -> bool:
            await self.page.clock.fast_forward(LONGEST_PAUSE_MS)
            return await happened()

        await eventually(has_happened, PATIENCE_S)

    def says(self, text: str) -> Locator:
        """Locate a visible text of the page's status."""
        return self.page.get_by_role("status").filter(has_text=text, visible=True)

    def _count(self, request: Request) -> None:
        if request.method == "HEAD":
            self.looks += 1
        else:
            self.requests[request.url.removeprefix(self._public).partition("?")[0]] += 1


async def loading(visitors: Visitors, bar: Bar, kind: Kind) -> Loading:
    """Return a page that is not open yet, with a clock that the test moves."""
    visitors.expect_network_errors = True
    page = await visitors.page(**kind.profile)
    await page.clock.install()
    return Loading(page, bar, kind)


@of_each_page
@pytest.mark.parametrize("what", ["script", "own", "texts"])
async def test_a_page_that_was_not_loaded(
    bar: Bar, visitors: Visitors, kind: Kind, what: str
) -> None:
    """It says so, and loads itself again, whatever is missing."""
    missing = {"script": "js/shared/i18n.js", "own": kind.own, "texts": "js/shared/words/en.js"}
    loaded = await loading(visitors, bar, kind)
    await loaded.lacks(missing[what])
    await loaded.open()
    await loaded.page.clock.fast_forward(SOON_MS)
    await expect(loaded.says(FAILED["en"])).to_have_count(1)
    await expect(loaded.started).to_be_hidden()
    await loaded.lacks_nothing()
    await loaded.until_it_shows(loaded.started.is_visible)
    await expect(loaded.says(FAILED["en"])).to_have_count(0)


@of_each_page
async def test_a_page_whose_file_stays_missing(bar: Bar, visitors: Visitors, kind: Kind) -> None:
    """It says so in the visitor's language, tries less and less often, and never gives up."""
    loaded = await loading(visitors, bar, kind)
    await loaded.lacks("js/shared/i18n.js")
    await loaded.open("?lang=de")
    await loaded.until(lambda: loaded.loads > 6)
    await loaded.page.wait_for_load_state()
    await loaded.page.clock.fast_forward(SOON_MS)
    await expect(loaded.says(FAILED["de"])).to_have_count(1)
    await loaded.page.wait_for_function(f"() => history.state?.pause === {LONGEST_PAUSE_MS}")
    await loaded.lacks_nothing()
    await loaded.until_it_shows(loaded.started.is_visible)


async def test_a_page_whose_end_has_not_come(bar: Bar, visitors: Visitors) -> None:
    """It loads itself again, though it has no place yet to say so."""
    loaded = await loading(visitors, bar, BOARD)

    async def cut(route: Route) -> None:
        head, *_ = (await (await route.fetch()).text()).partition("<body>")
        await route.fulfill(content_type="text/html", body=head)

    await loaded.page.route("**/board.html", cut, times=1)
    await loaded.lacks(BOARD.own)
    async with loaded.page.expect_event("requestfailed"):
        await loaded.open()
    await loaded.lacks_nothing()
    await loaded.until_it_shows(loaded.started.is_visible)


@pytest.mark.parametrize("no_server", [None, NO_SERVER, NOT_HERE], ids=["offline", "502", "404"])
async def test_a_board_whose_bar_is_away(
    bar: Bar, visitors: Visitors, no_server: bytes | None
) -> None:
    """It stays until the bar is back: in place of the page there would be an error for good."""
    loaded = await loading(visitors, bar, BOARD)
    await loaded.lacks(BOARD.own)
    await loaded.open()
    await loaded.page.clock.fast_forward(SOON_MS)
    await expect(loaded.says(FAILED["en"])).to_have_count(1)
    await loaded.lacks_nothing()
    if no_server:
        bar.proxy.no_server, bar.proxy.is_broken = no_server, True
    else:
        bar.proxy.go_offline()
    await loaded.until(lambda: loaded.looks > 5)
    await expect(loaded.says(FAILED["en"])).to_have_count(1)
    assert loaded.loads == 1
    bar.proxy.is_broken = False
    bar.proxy.go_online()
    await loaded.until_it_shows(loaded.started.is_visible)


@of_each_page
async def test_a_page_without_a_style(bar: Bar, visitors: Visitors, kind: Kind) -> None:
    """It works, and is not loaded again; the style is, less and less often."""
    loaded = await loading(visitors, bar, kind)
    await loaded.lacks("css/base.css")
    await loaded.open()
    await expect(loaded.started).to_be_visible()
    await loaded.until(lambda: loaded.requests["css/base.css"] > 3)
    assert not await loaded.page.evaluate(IS_STYLED)
    await loaded.lacks_nothing()
    await loaded.until_it_shows(lambda: loaded.page.evaluate(IS_STYLED))
    assert loaded.loads == 1


async def test_a_script_that_a_page_does_not_start_with(bar: Bar, visitors: Visitors) -> None:
    """A board that works goes on without it."""
    loaded = await loading(visitors, bar, BOARD)
    await loaded.open()
    await loaded.lacks("js/board/announcer.js")
    await expect(loaded.started).to_be_visible()
    async with loaded.page.expect_event("requestfailed"):
        await loaded.page.get_by_role("switch").click()
    await loaded.page.clock.fast_forward(LONGEST_PAUSE_MS)
    await loaded.page.clock.fast_forward(LONGEST_PAUSE_MS)
    await expect(loaded.started).to_be_visible()
    assert loaded.loads == 1
