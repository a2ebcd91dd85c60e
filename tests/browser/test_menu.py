"""The operator's menu on the pages."""

from __future__ import annotations

from pathlib import Path

import pytest
import ujson
from playwright.async_api import Browser, expect

from tests.browser.served_bar import open_bar
from tests.browser.visitors import Visitors

MENU = {
    "drinks": [
        {"id": "tea", "name": {"en": "Tea", "de": "Tee"}, "description": "Hot"},
        {"id": "mint", "name": "Mint <b>", "image": "img/drinks/nothing.svg"},
    ]
}


@pytest.mark.parametrize(("locale", "name"), [("en-GB", "Tea"), ("de-DE", "Tee")])
async def test_the_operators_menu(browser: Browser, tmp_path: Path, locale: str, name: str) -> None:
    """The pages have its drinks and no others, in the customer's language; markup is text."""
    path = tmp_path / "menu.json"
    path.write_text(ujson.dumps(MENU))
    async with open_bar(menu=path) as bar:
        visitors = Visitors(browser, bar.proxy)
        visitors.expect_network_errors = True
        phone = await visitors.phone(locale=locale)
        await expect(phone.page.locator("#drinks b")).to_have_text([name, "Mint <b>"])
        await phone.drink(f"{name} Hot").check()
        await phone.name.fill("Ada")
        await phone.submit.click()
        await expect(phone.page.locator("#drink")).to_have_text(name)
        await bar.sees(1, "waiting")
        assert [order["drink"] for order in (await bar.orders()).values()] == ["tea"]
        await visitors.leave()
        assert visitors.complaints == []
