"""Two bars of one service in one browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from sanic_dispatch.live.hub import Hub
from tests.browser.monitor_page import MonitorPage
from tests.browser.pages import BoardPage, OrderPage
from tests.browser.served_bar import PREFIX, Bar, open_bar
from tests.browser.visitors import PHONE, Visitors
from tests.support.server import eventually

KEPT = "() => Object.keys({...localStorage, ...sessionStorage}).sort()"
KEYS = """async (paths) => {
    const { keyOf } = await import(new URL('js/shared/service_url.js', document.baseURI));
    return paths.map((pathname) => keyOf('orders', { pathname }));
}"""
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
    values: dict[str, Any] = {"submit_tokens": ("submit-token",), "topic_names": ("roof",)}
    async with open_bar(**values) as bar:
        visitors = Visitors(browser, bar.proxy)
        page = await visitors.page(**PHONE)
        house = OrderPage(page, bar.proxy.url)
        roof = OrderPage(page, f"{bar.proxy.url}topics/roof/")
        await house.open("?token=submit-token")
        assert await house.place(name="Ada") == 1
        kept = [f"{PREFIX}{name}" for name in ("customer", "orders", "submit-token")]
        assert await page.evaluate(KEPT) == kept

        await roof.open()
        await expect(roof.ticket).to_be_hidden()
        await expect(roof.name).to_have_value("")
        await expect(page.locator("#closed")).to_be_visible()
        await roof.open("?token=submit-token")
        await expect(page.locator("#brand")).to_have_text("roof")
        assert await roof.place(name="Bert") == 1
        await expect(page).to_have_title("Waiting for a robot · #1 · roof")
        assert len(await page.evaluate(KEPT)) == 6

        await house.open()
        await expect(house.ticket).to_contain_text("Ada")
        await visitors.leave()
        assert visitors.complaints == []


async def test_services_behind_one_proxy_are_apart(visitors: Visitors) -> None:
    """Two prefixes of one host are two bars, to a browser as to everybody else."""
    phone = await visitors.phone()
    paths = ["/", "/ports/2567/", "/ports/2568/", "/ports/2568/topics/roof/"]
    keys = await phone.page.evaluate(KEYS, paths)
    assert keys == ["orders", *(f"{path}orders" for path in paths[1:])]


async def test_two_bars_side_by_side(browser: Browser) -> None:
    """Orders and robots of one bar are on its board and its monitor, and on no other."""
    async with open_bar(topic_names=("roof",)) as house:
        roof = house.topic("roof")
        await house.robot("Robot Ada")
        await roof.robot("Robot Bert")
        await house.order("Alan", "Grace")
        await roof.order("Ken")
        await eventually(lambda: _have_served(house, roof))
        visitors = Visitors(browser, house.proxy)
        page = await visitors.page()
        for path, robot, waiting in (("", "Robot Ada", [2]), ("topics/roof/", "Robot Bert", [])):
            board = await BoardPage(page, house.proxy.url + path).open()
            await board.shows(mixing=[1], next=waiting)
            monitor = MonitorPage(page, house.proxy.url + path)
            await (await monitor.open(visitors.OPERATORS_LINK)).is_live()
            await expect(monitor.workers.locator("th")).to_have_text([f"{robot} a1"])
            await monitor.shows_orders(*waiting)
        await visitors.leave()
        assert visitors.complaints == []
    assert (house.served, roof.served) == ([("Robot Ada", "Alan")], [("Robot Bert", "Ken")])


async def _have_served(*bars: Bar) -> bool:
    return all(bar.served for bar in bars)


async def test_the_switch(browser: Browser) -> None:
    """A token of the service opens all bars: each has a link, and none asks for the token."""
    topics = {"roof": {"title": TITLE}, "cellar": {"listed": False}}
    async with open_bar(topics=topics) as bar:
        visitors = Visitors(browser, bar.proxy)
        monitor = await visitors.operator(f"{visitors.OPERATORS_LINK}&lang=en")
        page, current = monitor.page, monitor.page.locator("#topics [aria-current=page]")
        await expect(monitor.topics).to_have_text(["All bars", "Robot Bar", TITLE, "cellar"])
        await expect(current).to_have_text("Robot Bar")
        await expect(page).to_have_title("0 waiting · Monitor")

        await monitor.topics.filter(has_text=TITLE).focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/topics/roof/public/monitor.html?lang=en")
        await monitor.is_live()
        await expect(current).to_have_text(TITLE)
        await expect(page.locator("h1")).to_have_text(TITLE)
        await expect(page).to_have_title(f"0 waiting · {TITLE} · Monitor")

        await monitor.button("Sign out").click()
        await expect(monitor.token).to_be_visible()
        await expect(monitor.topics).to_have_count(0)
        await monitor.open()
        await expect(monitor.token).to_be_visible()
        await visitors.leave()
        assert visitors.complaints == []


async def test_the_overview(browser: Browser) -> None:
    """It has the numbers of each bar as they change, and a link into it."""
    async with open_bar(topics={"roof": {"title": "The roof"}}) as house:
        roof = house.topic("roof")
        await house.robot("Robot Ada")
        visitors = Visitors(browser, house.proxy)
        monitor = await visitors.operator()
        await monitor.topics.filter(has_text="All bars").click()
        await expect(monitor.page).to_have_title("All bars · Monitor")
        await expect(monitor.card("Robot Bar").locator("dd:not(.remark)")).to_have_text(
            ["0", "–", "1", "0"]
        )
        numbers = monitor.card("The roof").locator("dd:not(.remark)")
        await expect(numbers).to_have_text(["0", "–", "0", "0"])

        house.clock.moved_s = -65.0
        await roof.order("Ada")
        house.clock.moved_s = 0.0
        await roof.order("Grace")
        await expect(numbers).to_have_text(["2", re.compile(r"1:\d\d"), "0", "0"])
        robot = roof.begin("Robot Bert")
        await expect(numbers).to_have_text(["1", re.compile(r"0:\d\d"), "0", "1"])
        await house.service.app.ctx.topics["roof"].dispatcher.operator.pause("out of ice")
        await expect(monitor.card("The roof")).to_contain_text("Paused")
        await expect(monitor.card("Robot Bar")).not_to_contain_text("Paused")
        robot.finish()
        await expect(numbers).to_have_text(["1", re.compile(r"0:\d\d"), "1", "0"])

        await monitor.card("The roof").get_by_role("link").click()
        await monitor.is_live()
        await monitor.shows_orders(2)
        await visitors.leave()
        assert visitors.complaints == []


async def test_an_overview_that_is_left_follows_nothing(browser: Browser) -> None:
    """Only the bar that is shown is followed."""
    async with open_bar(topic_names=("roof",)) as bar:
        visitors = Visitors(browser, bar.proxy)
        monitor = await visitors.operator()
        house, roof = bar.service.app.ctx.hub, bar.service.app.ctx.topics["roof"].hub
        await monitor.topics.filter(has_text="All bars").click()
        await eventually(lambda: _follow(house, 2, roof, 1))
        await monitor.topics.filter(has_text="Robot Bar").click()
        await eventually(lambda: _follow(house, 1, roof, 0))
        await visitors.leave()


async def _follow(house: Hub, of_house: int, roof: Hub, of_roof: int) -> bool:
    return (house.size, roof.size) == (of_house, of_roof)


async def test_a_token_of_one_bar(browser: Browser) -> None:
    """It opens the monitor of its bar, which knows no other one, and no overview."""
    async with open_bar(topics={"roof": {"operator_tokens": ("roof-token",)}}) as bar:
        visitors = Visitors(browser, bar.proxy)
        page = await visitors.page()
        roof = MonitorPage(page, f"{bar.proxy.url}topics/roof/")
        await (await roof.open("?token=roof-token#overview")).is_live()
        await expect(page.locator("h1")).to_have_text("roof")
        await expect(roof.topics).to_have_count(0)
        await expect(roof.cards).to_have_count(0)
        house = await MonitorPage(page, bar.proxy.url).open()
        await expect(house.token).to_be_visible()
        await visitors.leave()
        assert visitors.complaints == []
