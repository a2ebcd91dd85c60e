"""Two bars of one service in one browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.pages import BoardPage, OrderPage
from tests.browser.served_bar import open_bar
from tests.browser.visitors import PHONE, Visitors

KEPT = "() => Object.keys({...localStorage, ...sessionStorage}).sort()"
TITLE = "The <b>roof</b>"


@pytest.mark.parametrize(("locale", "brand"), [("en-GB", "Robot Bar"), ("de-DE", "Roboter-Bar")])
async def test_titles(browser: Browser, locale: str, brand: str) -> None:
    """A bar with a title is called by it, as text; the others are called as before."""
    async with open_bar(topics={"roof": {"title": TITLE}}) as bar:
        visitors = Visitors(browser, bar.proxy)
        page = await visitors.page(locale=locale)
        for path, name in (("topics/roof/", TITLE), ("", brand)):
            for kind in (OrderPage, BoardPage):
                await kind(page, bar.proxy.url + path).open()
                await expect(page.locator("#brand")).to_have_text(name)
        await visitors.leave()
        assert visitors.complaints == []


async def test_what_a_browser_keeps_is_apart(browser: Browser) -> None:
    """Orders, name and token of one bar are unknown to the pages of the other."""
    values = {"submit_tokens": ("submit-token",), "topic_names": ("roof",)}
    async with open_bar(**values) as bar:
        visitors = Visitors(browser, bar.proxy)
        page = await visitors.page(**PHONE)
        house = OrderPage(page, bar.proxy.url)
        roof = OrderPage(page, f"{bar.proxy.url}topics/roof/")
        await house.open("?token=submit-token")
        assert await house.place(name="Ada") == 1
        assert await page.evaluate(KEPT) == ["customer", "orders", "submit-token"]

        await roof.open()
        await expect(roof.ticket).to_be_hidden()
        await expect(roof.name).to_have_value("")
        await expect(page.locator("#closed")).to_be_visible()
        await roof.open("?token=submit-token")
        await expect(page.locator("#brand")).to_have_text("roof")
        assert await roof.place(name="Bert") == 1
        await expect(page).to_have_title("You are next · #1 · roof")
        assert len(await page.evaluate(KEPT)) == 6

        await house.open()
        await expect(house.ticket).to_contain_text("Ada")
        await visitors.leave()
        assert visitors.complaints == []
