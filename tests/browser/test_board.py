"""The board on the wall."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Page, Request, WebSocket, WebSocketRoute, expect

from sanic_dispatch.live.projection import Projection
from tests.browser.journeys import DRINKS
from tests.browser.served_bar import Bar, Bartender
from tests.browser.visitors import PHONE, Visitors
from tests.support.server import eventually

IS_INSIDE = """() => {
    const list = document.getElementById('ready-others').getBoundingClientRect();
    return [...document.querySelectorAll('#ready-others li')]
        .every((one) => one.getBoundingClientRect().bottom <= list.bottom + 1);
}"""


FONT_SIZES_PX = """() => [...document.querySelectorAll('body *')]
    .filter((node) => node.checkVisibility() && !node.childElementCount && node.textContent)
    .map((node) => parseFloat(getComputedStyle(node).fontSize))"""
FONT_SIZE_PX = "node => parseFloat(getComputedStyle(node).fontSize)"
CUT_SHORT = """() => [...document.querySelectorAll('small')]
    .filter((node) => node.scrollWidth > node.clientWidth).map((node) => node.textContent)"""

READABLE_PX = 29.5
"""Capitals are 12 mm high on a 50-inch television: eight minutes of arc from five metres, where
good eyes need five. The numbers are larger."""

NUMBER_PX = 41.5

LINES = """(node) => {
    const text = document.createRange();
    text.selectNodeContents(node);
    return text.getClientRects().length;
}"""
NOTHING_IS_CUT_OFF = """() => [...document.querySelectorAll('section')].every(
    (section) => section.scrollHeight <= section.clientHeight + 1
        && section.scrollWidth <= section.clientWidth)"""


async def test_orders_move_from_next_to_mixing_to_ready(bar: Bar, visitors: Visitors) -> None:
    """Each order is in the column of its state; in Ready the newest is first."""
    board = await visitors.television()
    ada, bert = await bar.robot("Robot Ada"), await bar.robot("Robot Bert")
    await bar.order("Ann", "Ben", "Cleo", "Dan")
    await board.shows(ready=[], mixing=[1, 2], next=[3, 4])
    ada.finish()
    await board.shows(ready=[1], mixing=[2, 3], next=[4])
    bert.finish()
    await board.shows(ready=[2, 1], mixing=[3, 4], next=[])
    for title in ("Ready", "Being mixed", "Next"):
        await expect(board.page.get_by_role("heading", name=title)).to_be_visible()


async def test_names_never_reach_the_board(bar: Bar, visitors: Visitors) -> None:
    """The board shows numbers, logos and drinks; names are not even sent to it."""
    heard: list[str | bytes] = []
    board = await visitors.blank_television()
    board.page.on("websocket", lambda socket: listen(socket, heard))
    await board.open()
    ada = await bar.robot()
    await bar.order("Ann", "Ben", drink="gin-tonic", logo="bee")
    await board.shows(mixing=[1], next=[2])
    ada.finish()
    await board.shows(ready=[1], mixing=[2])
    await expect(board.page.locator("#ready")).to_contain_text("Gin Tonic")
    await expect(board.page.locator("#ready").get_by_role("img", name="Bee")).to_be_visible()
    assert heard
    for text in (*map(str, heard), await board.page.content()):
        assert "Ann" not in text
        assert "Ben" not in text


async def test_a_number_that_is_given_out_again(visitors: Visitors) -> None:
    """It has the logo and the drink of the new order, as after the restore of a backup."""
    opened: asyncio.Future[WebSocketRoute] = asyncio.get_running_loop().create_future()
    board = await visitors.blank_television()
    await board.page.route_web_socket(re.compile("/live"), lambda live: opened.set_result(live))
    await board.open()
    live = await asyncio.wait_for(opened, timeout=30)
    for logo, drink in (("lion", "Mojito"), ("fox", "Gin Tonic")):
        order = {"n": 1, "logo": logo, "drink": drink, "state": "done", "t": 1.0}
        live.send(json.dumps({"at": f"{logo}:1", "now": 1.0, "state": {"order/1": order}}))
        await expect(board.page.locator("#ready li")).to_have_text(f"1{drink}")
        picture = board.page.locator("#ready img")
        await expect(picture).to_have_attribute("src", f"img/logos/{logo}.svg")


@pytest.mark.parametrize("logo", ["valueOf", "lion.at", {"toString": 1}])
async def test_a_logo_that_is_none(bar: Bar, visitors: Visitors, logo: Any) -> None:
    """An order with any logo is shown, and so are all orders after it."""
    board, monitor = await visitors.television(), await visitors.operator()
    await bar.service.submit({"drink": "mojito", "logo": logo})
    await bar.order("Ann")
    await board.shows(next=[1, 2])
    await monitor.shows_orders(1, 2)
    robot = bar.begin()
    await board.shows(mixing=[1], next=[2])
    robot.finish()
    await board.shows(ready=[1], mixing=[2])


def listen(socket: WebSocket, heard: list[str | bytes]) -> None:
    """Collect the frames that the page receives."""
    socket.on("framereceived", lambda frame: heard.append(frame))


async def test_what_has_no_room_is_counted(bar: Bar, visitors: Visitors) -> None:
    """Nothing scrolls: a long queue shows its first eight, and how many more there are."""
    await bar.order(*["Ann"] * 60)
    board = await visitors.television()
    await board.shows(next=[*range(1, 9)])
    await expect(board.more("next")).to_have_text("+52")
    await expect(board.strip).to_have_text("No robot is on duty right now")


async def test_older_ready_orders_are_small_numbers(bar: Bar, visitors: Visitors) -> None:
    """Older ready orders are numbers as far as there is room, then a count."""
    robot = await bar.robot()
    await serve(bar, robot, 14)
    board = await visitors.television()
    await board.shows(ready=[*range(14, 6, -1)])
    others = board.page.locator("#ready-others li")
    await expect(others).to_have_text([str(n) for n in range(6, 0, -1)])
    await serve(bar, robot, 60)
    await board.shows(ready=[*range(74, 66, -1)])
    await expect(others.last).to_have_text(re.compile(r"^\+\d+$"))
    left = int(await others.last.inner_text())
    assert await others.count() - 1 + left == 14 + 60 - 8
    assert await board.page.evaluate(IS_INSIDE)


async def serve(bar: Bar, robot: Bartender, count: int) -> None:
    """Submit so many orders, and have them finished."""
    await bar.order(*[""] * count)
    for _ in range(count):
        robot.finish()
    projection = bar.service.app.ctx.hub.projection
    await eventually(lambda: has_served(projection), within_s=60.0)


async def has_served(projection: Projection) -> bool:
    """Return whether no order is waiting or being mixed."""
    return projection.counts().waiting == projection.counts().assigned == 0


async def test_it_can_be_read_from_five_metres(bar: Bar, visitors: Visitors) -> None:
    """At 1080p all letters are large and no drink of the menu is cut short, full or not."""
    board = await visitors.television("?lang=de")
    for drink in 4 * DRINKS:
        await bar.order("", drink=drink)
    await board.shows(next=[*range(1, 9)])
    await is_readable(board.page)
    robots = [bar.begin() for _ in range(6)]
    for robot in (*robots, *robots):
        robot.finish()
    await expect(board.page.locator("#ready-others li")).to_have_count(4)
    await expect(board.more("mixing")).to_have_text("+1")
    await is_readable(board.page)


@pytest.mark.parametrize("height", [720, 1080, 2160])
async def test_many_robots_say_how_far_they_are(bar: Bar, visitors: Visitors, height: int) -> None:
    """On a television all bars fit, and so does how many more orders are being mixed."""
    viewport = {"width": height * 16 // 9, "height": height}
    board = await visitors.television(viewport=viewport)
    for _ in range(7):
        bar.begin()
    await bar.order(*["Ann"] * 7)
    await expect(board.more("mixing")).to_have_text("+2")
    for percent, order_id in enumerate(bar.being_made, 40):
        await bar.make_progress(order_id, percent)
    await expect(board.filled).to_have_count(5)
    assert await board.page.evaluate(NOTHING_IS_CUT_OFF)
    await expect(board.more("mixing")).to_be_in_viewport(ratio=1)


async def is_readable(page: Page) -> None:
    """Return whether all letters are large, and no name is cut short."""
    assert min(await page.evaluate(FONT_SIZES_PX)) >= READABLE_PX
    numbers = [await one.evaluate(FONT_SIZE_PX) for one in await page.locator("li b").all()]
    assert min(numbers) >= NUMBER_PX
    assert await page.evaluate(CUT_SHORT) == []


async def test_columns_on_a_phone_stay_where_they_are(bar: Bar, visitors: Visitors) -> None:
    """They do not move when waiting orders appear in the last of them."""
    board = await visitors.television(**PHONE)
    tops = "() => [...document.querySelectorAll('section')].map((one) => one.offsetTop)"
    before = await board.page.evaluate(tops)
    await bar.order("Ann", "Ben", "Cleo")
    await board.shows(next=[1, 2, 3])
    assert await board.page.evaluate(tops) == before


@pytest.mark.parametrize("width", [320, 390])
async def test_the_title_on_a_phone(visitors: Visitors, width: int) -> None:
    """It is on one line: the switch gives way."""
    phone = PHONE | {"viewport": {"width": width, "height": 700}}
    board = await visitors.television(**phone)
    assert await board.page.get_by_role("heading", level=1).evaluate(LINES) == 1
    await expect(board.sound).to_be_in_viewport(ratio=1)


async def test_a_phone_in_landscape(bar: Bar, visitors: Visitors) -> None:
    """All columns can be reached by scrolling; nothing is cut off."""
    await bar.robot()
    await bar.order(*["Ann"] * 12)
    board = await visitors.television("?lang=de", viewport={"width": 844, "height": 390})
    await board.shows(mixing=[1], next=[*range(2, 10)])
    assert await board.page.evaluate(NOTHING_IS_CUT_OFF)
    await expect(board.more("next")).to_have_text("+3")
    await board.more("next").scroll_into_view_if_needed()
    await expect(board.more("next")).to_be_in_viewport(ratio=1)


async def test_a_disconnected_board_says_so(bar: Bar, visitors: Visitors) -> None:
    """Two seconds after the connection broke it says that it may be out of date."""
    visitors.expect_network_errors = True
    await bar.robot()
    board = await visitors.blank_television()
    await board.page.clock.install()
    async with board.page.expect_websocket() as opened:
        await board.open()
    await expect(board.page.locator("body")).to_have_attribute("data-stale", "false")
    async with (await opened.value).expect_event("close"):
        bar.proxy.go_offline()
    await board.page.clock.fast_forward(2_000)
    await expect(board.strip).to_have_text("Connection lost. This may be out of date.")
    await bar.order("Ann")
    bar.proxy.go_online()
    await board.page.clock.fast_forward(15_000)
    await board.shows(mixing=[1])
    await expect(board.strip).to_have_text("")


async def test_an_unconnected_board_claims_nothing(bar: Bar, visitors: Visitors) -> None:
    """Until it has received the first state, the board does not say that no one waits."""
    visitors.expect_network_errors = True
    bar.proxy.refuses_upgrades = True
    asked = asyncio.Event()
    board = await visitors.blank_television()
    await board.page.route("**/state?*", lambda _: asked.set())
    await board.open()
    await asyncio.wait_for(asked.wait(), timeout=30)
    nothing = board.page.locator(".nothing").filter(visible=True)
    await expect(nothing).to_have_count(0)
    await board.page.unroute("**/state?*")
    await board.page.reload()
    await expect(nothing).to_have_count(3)


async def test_a_german_board(visitors: Visitors) -> None:
    """With ?lang=de the board is in German."""
    board = await visitors.television("?lang=de")
    for title in ("Fertig", "Wird gemixt", "Als Nächstes"):
        await expect(board.page.get_by_role("heading", name=title)).to_be_visible()
    await expect(board.page).to_have_title("Bestellungen")


async def test_qr_code_of_the_order_page(bar: Bar, visitors: Visitors) -> None:
    """The board has the code of the order page, below the URL that the board was opened at."""
    board = await visitors.television()
    await expect(board.page.get_by_role("img", name="Order here")).to_be_visible()
    url = quote(f"{bar.proxy.url}public/order_drink.html", safe="")
    assert bar.proxy.count(f"GET /qr.svg?url={url}") == 1


async def test_a_code_that_could_not_be_loaded(visitors: Visitors) -> None:
    """The board asks for it again until it is there."""
    visitors.expect_network_errors = True
    board = await visitors.blank_television()
    await board.page.clock.install()
    await board.page.route("**/qr.svg?*", lambda route: route.abort(), times=2)
    failed: list[Request] = []
    board.page.on("requestfailed", lambda request: failed.append(request))
    code = board.page.get_by_role("img", name="Order here")
    async with board.page.expect_event("requestfailed"):
        await board.open()
    await expect(code).to_be_hidden()

    async def is_there() -> bool:
        await board.page.clock.run_for(15_000)
        return await code.is_visible()

    await eventually(is_there, within_s=30.0)
    assert len(failed) == 2
