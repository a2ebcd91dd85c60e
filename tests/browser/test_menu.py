"""The operator's menu on the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ujson
from playwright.async_api import Browser, Page, expect

from tests.browser.pages import OrderPage
from tests.browser.served_bar import Bar, open_bar
from tests.browser.visitors import Visitors
from tests.support.server import eventually

MENU: dict[str, Any] = {
    "drinks": [
        {"id": "tea", "name": {"en": "Tea", "de": "Tee"}, "description": "Hot"},
        {"id": "mint", "name": "Mint <b>", "image": "img/drinks/nothing.svg"},
    ]
}

MENU_FILE = "menu.json"

KNOWS = """async (id) => {
    const { find } = await import(new URL('js/shared/menu.js', document.baseURI));
    return Boolean(find(id));
}"""


@asynccontextmanager
async def bar_with_menu(
    browser: Browser, folder: Path, menu: dict[str, Any]
) -> AsyncIterator[tuple[Bar, Visitors]]:
    """Open a bar with a menu, and its pages, which must not complain."""
    path = folder / MENU_FILE
    path.write_text(ujson.dumps(menu))
    async with open_bar(menu=path) as bar:
        visitors = Visitors(browser, bar.proxy)
        visitors.expect_network_errors = True
        yield bar, visitors
        await visitors.leave()
        assert visitors.complaints == []


@pytest.mark.parametrize(("locale", "name"), [("en-GB", "Tea"), ("de-DE", "Tee")])
async def test_the_operators_menu(browser: Browser, tmp_path: Path, locale: str, name: str) -> None:
    """The pages have its drinks and no others, in the customer's language; markup is text."""
    async with bar_with_menu(browser, tmp_path, MENU) as (bar, visitors):
        phone = await visitors.phone(locale=locale)
        await expect(phone.page.locator("#drinks b")).to_have_text([name, "Mint <b>"])
        await phone.drink(f"{name} Hot").check()
        await phone.name.fill("Ada")
        await phone.submit.click()
        await expect(phone.page.locator("#drink")).to_have_text(name)
        await bar.sees(1, "waiting")
        assert [order["drink"] for order in (await bar.orders()).values()] == ["tea"]


async def test_an_id_that_another_drink_has_as_its_name(browser: Browser, tmp_path: Path) -> None:
    """The drink with that id is meant, on the button, on the ticket and on the board."""
    drinks = [{"id": "tonic-water", "name": "Tonic"}, {"id": "tonic", "name": "Gin & Tonic"}]
    async with bar_with_menu(browser, tmp_path, {"drinks": drinks}) as (bar, visitors):
        phone, board = await visitors.phone(), await visitors.television()
        await phone.place("Gin & Tonic")
        await expect(phone.page.locator("#drink")).to_have_text("Gin & Tonic")
        await expect(board.page.locator("#next small")).to_have_text("Gin & Tonic")
        assert [order["drink"] for order in (await bar.orders()).values()] == ["tonic"]


async def test_a_missing_picture(browser: Browser, tmp_path: Path) -> None:
    """The form and the order show the picture of drinks that have none."""
    async with bar_with_menu(browser, tmp_path, MENU) as (_, visitors):
        phone = await visitors.phone()
        no_picture = "img/drinks/drink.svg"
        await expect(phone.page.locator("#drinks img").last).to_have_attribute("src", no_picture)
        await phone.place("Mint <b>")
        for picture in await phone.page.locator("#ticket .drink").all():
            await expect(picture).to_have_attribute("src", no_picture)


async def test_a_menu_that_cannot_be_had(visitors: Visitors) -> None:
    """Pages open with the built-in menu, even if a proxy answers with an error in JSON."""
    visitors.expect_network_errors = True
    phone = await visitors.newcomer()
    await phone.page.route("**/menu", lambda route: route.fulfill(status=503, json={"error": ""}))
    await phone.open()
    await phone.place()


async def test_an_edit_of_the_menu(browser: Browser, tmp_path: Path) -> None:
    """A board that stays open has the names of new drinks, and keeps them without a network."""
    async with bar_with_menu(browser, tmp_path, MENU) as (bar, visitors):
        board = await visitors.blank_television()
        await board.page.clock.install()
        await board.open()
        await board.shows(next=[])
        drinks = [*MENU["drinks"], {"id": "sbagliato", "name": "Negroni Sbagliato"}]
        (tmp_path / MENU_FILE).write_text(ujson.dumps({"drinks": drinks}))
        await loads_again(board.page)
        await eventually(lambda: board.page.evaluate(KNOWS, "sbagliato"))
        await bar.order("Ada", drink="sbagliato")
        await expect(board.page.locator("#next small")).to_have_text("Negroni Sbagliato")
        await board.page.route("**/menu", lambda route: route.fulfill(status=503))
        await loads_again(board.page)
        await bar.order("Bert", drink="sbagliato")
        await expect(board.page.locator("#next small")).to_have_text(["Negroni Sbagliato"] * 2)


async def test_a_menu_that_comes_late(browser: Browser, tmp_path: Path) -> None:
    """The board then has the names of drinks, also of those that it shows already."""
    async with bar_with_menu(browser, tmp_path, MENU) as (bar, visitors):
        await bar.order("Ada", drink="tea")
        board = await visitors.blank_television()
        await board.page.clock.install()
        await board.page.route("**/menu", lambda route: route.abort())
        await board.open()
        name = board.page.locator("#next small").first
        await expect(name).to_have_text("tea")
        bar.proxy.go_offline()  # so that nothing else makes it look
        await expect(board.strip).to_contain_text("Connection lost")
        await board.page.route("**/menu", lambda route: route.fulfill(json=MENU))
        await loads_again(board.page)
        await expect(name).to_have_text("Tea")


async def loads_again(page: Page) -> None:
    """Let a minute pass, and wait for the answer."""
    async with page.expect_response("**/menu"):
        await page.clock.run_for(60_000)


NOT_MADE = {
    "en-GB": "No robot can make this right now",
    "de-DE": "Das macht hier gerade kein Roboter",
}
CHOSEN_NOT_MADE = {
    "en-GB": "No robot can make Mojito right now. Please choose another drink.",
    "de-DE": "Mojito macht hier gerade kein Roboter. Such dir bitte etwas anderes aus.",
}
CHOSEN_IS_BACK = {"en-GB": "Mojito is available again.", "de-DE": "Mojito gibt es jetzt wieder."}

IS_VALID = "node => node.checkValidity()"


async def shows_unavailable(phone: OrderPage, *drinks: str) -> None:
    """Wait until exactly these drinks are greyed out."""
    greyed = phone.page.locator("#drinks label:has([aria-disabled=true]) b")
    await expect(greyed).to_have_text(list(drinks))


async def test_a_drink_that_no_robot_makes(bar: Bar, visitors: Visitors) -> None:
    """It is grey from the first paint on, says why, and neither tap nor keyboard choose it."""
    visitors.expect_network_errors = True  # the live channel is left out
    await bar.robot("Robot Bert", "match.drink=mojito|gin-tonic|lemonade")
    phone = await visitors.newcomer()
    await phone.page.route("**/js/order/my_orders.js", lambda route: route.abort())
    await phone.open()
    await shows_unavailable(phone, "Cuba Libre", "Margarita", "Virgin Colada")
    label = f"Cuba Libre Rum, cola, lime {NOT_MADE['en-GB']}"
    await expect(phone.page.get_by_role("radio", name=label, exact=True)).to_be_disabled()
    await phone.page.locator("#drinks .card", has_text="Cuba Libre").tap(force=True)
    await expect(phone.drink("Cuba Libre")).not_to_be_checked()
    await phone.drink("Mojito").check()
    await phone.page.keyboard.press("ArrowRight")
    await expect(phone.drink("Cuba Libre")).to_be_focused()
    assert await phone.focus_is_visible()
    await phone.page.keyboard.press("Space")
    await expect(phone.drink("Mojito")).to_be_checked()
    await phone.page.keyboard.press("ArrowRight")
    await expect(phone.drink("Gin Tonic")).to_be_checked()
    await expect(phone.submit).to_have_text("Order Gin Tonic")


@pytest.mark.parametrize("locale", NOT_MADE)
async def test_drinks_come_and_go_with_the_robots(
    bar: Bar, visitors: Visitors, locale: str
) -> None:
    """Live; one that is chosen cannot be ordered meanwhile, which is said, and stays chosen."""
    phone = await visitors.phone(locale=locale)
    await phone.is_loaded()
    news = phone.page.get_by_role("status").and_(phone.page.locator("#drink-news"))
    await shows_unavailable(phone)
    await phone.drink("Mojito").check()
    await phone.name.fill("Ada")
    bert = await bar.robot("Robot Bert", "match.drink=gin-tonic")
    await expect(phone.page.locator("#drinks .reason:visible")).to_have_text([NOT_MADE[locale]] * 5)
    await expect(news).to_have_text(CHOSEN_NOT_MADE[locale])
    await phone.submit.click()
    assert not await phone.drink("Mojito").evaluate(IS_VALID)
    assert bar.proxy.count("POST /submit-job") == 0
    await bar.robot("Robot Ada", "not.drink=margarita")
    await shows_unavailable(phone, "Margarita")
    await expect(news).to_have_text(CHOSEN_IS_BACK[locale])
    await phone.submit.click()
    await bar.sees(1, "assigned")
    assert bert.instance.waiting


async def test_the_last_robot_goes(bar: Bar, visitors: Visitors) -> None:
    """Any drink can be ordered then, and waits; the page does not say that one is there again."""
    bert = await bar.robot("Robot Bert", "match.drink=gin-tonic")
    phone = await visitors.phone("?drink=mojito")
    await phone.is_loaded()
    news = phone.page.locator("#drink-news")
    await expect(news).to_have_text(CHOSEN_NOT_MADE["en-GB"])
    await bar.drop(bert)
    await shows_unavailable(phone)
    await expect(news).to_be_empty()
    await phone.name.fill("Ada")
    await phone.submit.click()
    await phone.shows("waiting")


async def test_robots_that_are_set_aside(bar: Bar, visitors: Visitors) -> None:
    """What none of them makes cannot be ordered, which is said although no robot is at work."""
    rules = "match.drink=gin-tonic", "match.drink=lemonade"
    bert, cleo = [await bar.robot(rule, rule) for rule in rules]
    for robot in (bert, cleo):
        operator = bar.service.app.ctx.dispatcher.operator
        await operator.set_aside(robot.instance.callback_urls[-1], "cleaning")
    phone = await visitors.phone("?drink=mojito")
    await phone.is_loaded()
    await bar.drop(cleo)
    await shows_unavailable(phone, "Mojito", "Cuba Libre", "Margarita", "Virgin Colada", "Lemonade")
    news = phone.page.locator("#drink-news")
    await expect(news).to_have_text(CHOSEN_NOT_MADE["en-GB"], timeout=2_000)


async def test_a_link_to_a_drink_that_no_robot_makes(bar: Bar, visitors: Visitors) -> None:
    """The page says so, and another drink can be chosen instead."""
    await bar.robot("Robot Bert", "match.drink=gin-tonic")
    phone = await visitors.phone("?drink=mojito")
    news = phone.page.locator("#drink-news")
    await expect(news).to_have_text(CHOSEN_NOT_MADE["en-GB"])
    await phone.drink("Gin Tonic").check()
    await expect(news).to_be_empty()
    await phone.name.fill("Ada")
    await phone.button("Order Gin Tonic").click()
    await phone.shows("assigned")
    await phone.button("Order another").click()
    await expect(phone.drink("Gin Tonic")).to_be_checked()
    await shows_unavailable(phone, "Mojito", "Cuba Libre", "Margarita", "Virgin Colada", "Lemonade")
