"""The wall board: what a whole room sees."""

from __future__ import annotations

from urllib.parse import quote

from playwright.async_api import WebSocket, expect

from tests.browser.bar import Bar
from tests.browser.visitors import Visitors


async def test_orders_move_from_next_over_being_mixed_to_ready(
    bar: Bar, visitors: Visitors
) -> None:
    """Each order stands in the column of its state; the newest of those that are ready is first."""
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
    """The board shows numbers, mascots and drinks; a name is not even sent to it."""
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


def listen(socket: WebSocket, heard: list[str | bytes]) -> None:
    """Collect what comes in."""
    socket.on("framereceived", lambda frame: heard.append(frame))


async def test_what_has_no_room_is_counted(bar: Bar, visitors: Visitors) -> None:
    """Nothing scrolls: a long queue shows its first eight, and how many more there are."""
    await bar.order(*["Ann"] * 60)
    board = await visitors.television()
    await board.shows(next=[*range(1, 9)])
    await expect(board.more("next")).to_have_text("+52")
    await expect(board.strip).to_have_text("No robot on duty right now")


async def test_a_board_that_is_cut_off_says_so(bar: Bar, visitors: Visitors) -> None:
    """An old board is worse than none: after two seconds it says that it may be out of date."""
    visitors.expect_network_errors = True
    await bar.robot()
    board = await visitors.blank_television()
    await board.page.clock.install()
    await board.open()
    await expect(board.page.locator("body")).to_have_attribute("data-stale", "false")
    bar.proxy.go_offline()
    await board.page.clock.fast_forward(2_000)
    await expect(board.strip).to_have_text("Connection lost. This may be out of date.")
    await bar.order("Ann")
    bar.proxy.go_online()
    await board.page.clock.fast_forward(15_000)
    await board.shows(mixing=[1])
    await expect(board.strip).to_have_text("")


async def test_a_german_board(visitors: Visitors) -> None:
    """The board speaks German where it is told to."""
    board = await visitors.television("?lang=de")
    for title in ("Fertig", "Wird gemixt", "Als Nächstes"):
        await expect(board.page.get_by_role("heading", name=title)).to_be_visible()
    await expect(board.page).to_have_title("Bestellungen")


async def test_the_way_to_the_order_page(bar: Bar, visitors: Visitors) -> None:
    """The board shows the code of the order page under the address that it was itself opened at."""
    board = await visitors.television()
    await expect(board.page.get_by_role("img", name="Order here")).to_be_visible()
    url = quote(f"{bar.proxy.url}public/order_drink.html", safe="")
    assert bar.proxy.count(f"GET /qr.svg?url={url}") == 1
