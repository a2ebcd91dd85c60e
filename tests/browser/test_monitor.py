"""The monitor: what an operator sees."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import expect

from sanic_dispatch.menu import BUILT_IN
from tests.browser.bar import Bar
from tests.browser.visitors import Visitors

MARKUP = "<img src=x onerror=alert(1)>"


async def test_the_numbers_follow_the_bar(bar: Bar, visitors: Visitors) -> None:
    """Each tile says what is so now: orders, robots, the last hour."""
    monitor = await visitors.operator()
    ada = await bar.robot("Robot Ada")
    await bar.robot("Robot Bert")
    await expect(monitor.tile("idle")).to_have_text("2")
    await bar.order("Ann", "Ben", "Cleo")
    for tile, value in {"waiting": "1", "assigned": "2", "idle": "0", "busy": "2"}.items():
        await expect(monitor.tile(tile)).to_have_text(value)
    ada.finish()
    for tile, value in {"waiting": "0", "hour": "1", "p50": "0:00", "p90": "0:00"}.items():
        await expect(monitor.tile(tile)).to_have_text(value)
    await expect(monitor.page).to_have_title("0 waiting · Monitor")


async def test_a_robots_row(bar: Bar, visitors: Visitors) -> None:
    """Its name leads to its instance; its state, its order, and for how long."""
    monitor = await visitors.operator()
    robot = await bar.robot("Robot Ada")
    await bar.order("Ann")
    row = monitor.worker("Robot Ada 1")
    await expect(row.locator("td")).to_have_text(["Mixing", "#1", "0:00", "0:00", ""])
    link = row.get_by_role("link", name="Robot Ada 1, its process instance")
    await expect(link).to_have_attribute("href", robot.instance.url)
    await expect(link).to_have_attribute("rel", "noopener noreferrer")


async def test_orders_stand_on_shelves(bar: Bar, visitors: Visitors) -> None:
    """One shelf at a time: those that wait, those being mixed, those that are over."""
    monitor = await visitors.operator()
    ada = await bar.robot()
    await bar.order("Ann", "Ben", "Cleo", drink="gin-tonic")
    await monitor.stands("Waiting", 2, 3)
    await expect(monitor.orders.first).to_contain_text("Gin Tonic")
    await expect(monitor.orders.first).to_contain_text("Ben")
    ada.finish()
    await monitor.stands("Being mixed", 2)
    await expect(monitor.orders).to_contain_text("Robot Ada 1")
    await monitor.stands("Finished", 1)


async def test_a_long_queue_is_shown_in_part(bar: Bar, visitors: Visitors) -> None:
    """The first hundred, and how many there are."""
    await bar.order(*[""] * 130)
    monitor = await visitors.operator()
    await expect(monitor.orders).to_have_count(100)
    await expect(monitor.page.locator("#orders-more")).to_have_text("+30 more")
    await expect(monitor.shelf("Waiting")).to_have_text("Waiting 130")


async def test_events_can_be_filtered(bar: Bar, visitors: Visitors) -> None:
    """By kind and by any word: a number, a robot, a reason."""
    monitor = await visitors.operator()
    await bar.robot()
    await bar.order("Ann", "Ben")
    await expect(monitor.events.first).to_contain_text("Came in")
    await monitor.filter.fill("#2")
    await expect(monitor.events).to_have_count(1)
    await monitor.filter.fill("robot ada")
    await expect(monitor.events.last).to_contain_text("Robot registered")
    await monitor.page.get_by_label("Events about").select_option("Orders")
    await expect(monitor.events.last).to_contain_text("Came in#1Robot Ada 1")
    await monitor.filter.fill("nothing like that")
    await expect(monitor.page.get_by_text("No event.")).to_be_visible()


async def test_events_can_be_held_still(bar: Bar, visitors: Visitors) -> None:
    """Held, nothing moves under the reader's eyes; how much is new is counted."""
    monitor = await visitors.operator()
    await bar.order("Ann")
    await expect(monitor.events).to_have_count(1)
    await monitor.button("Hold").click()
    await bar.order("Ben", "Cleo")
    await monitor.button("Go on (2 new)").click()
    await expect(monitor.events).to_have_count(3)


async def test_the_chart_is_the_servers_memory(bar: Bar, visitors: Visitors) -> None:
    """The last hour is there at the first look, and said in words for those who do not see it."""
    bar.remembers_an_evening([60.0, 120.0, 180.0] * 10)
    monitor = await visitors.operator()
    await expect(monitor.chart.locator("polyline")).to_have_count(2)
    await expect(monitor.chart).to_have_accessible_name(
        "In the last hour 30 orders came in and 30 were served. "
        "Last, half waited at most 3:00 minutes for a robot, nine in ten at most 3:00."
    )
    await expect(monitor.tile("p50")).to_have_text("2:00")
    drawn = await monitor.chart.locator("rect.done").count()
    await monitor.page.reload()
    await expect(monitor.chart.locator("rect.done")).to_have_count(drawn)


async def test_markup_is_shown_as_text(bar: Bar, visitors: Visitors) -> None:
    """Names, drinks, mascots, labels and reasons come from anybody: they are text everywhere."""
    monitor = await visitors.operator()
    await bar.robot(MARKUP)
    await expect(monitor.workers.locator("th")).to_contain_text(MARKUP)
    await monitor.button(f"Set aside {MARKUP} 1").click()
    await expect(monitor.dialog).to_contain_text(MARKUP)
    await monitor.who.fill(MARKUP[:40])
    await monitor.reason.fill(MARKUP)
    await monitor.button("Yes, set it aside").click()
    await expect(monitor.said).to_contain_text(MARKUP)
    await bar.order(MARKUP, drink=MARKUP, logo=MARKUP)
    await expect(monitor.orders.locator("td").nth(0)).to_contain_text(MARKUP)
    await expect(monitor.orders.locator("td").nth(1)).to_have_text(MARKUP)
    await expect(monitor.events.nth(1)).to_contain_text(MARKUP)
    await expect(monitor.page.locator("[src=x]")).to_have_count(0)


async def test_everything_as_json(visitors: Visitors, bar: Bar) -> None:
    """Copied; or, where a page may not use the clipboard, shown and selected."""
    monitor = await visitors.operator(permissions=["clipboard-read", "clipboard-write"])
    await bar.order("Ann")
    await expect(monitor.orders).to_have_count(1)
    await monitor.button("Copy as JSON").click()
    await expect(monitor.said).to_have_text("Everything is copied as JSON.")
    copied = json.loads(await monitor.page.evaluate("navigator.clipboard.readText()"))
    assert copied["entries"]["order/1"]["name"] == "Ann"
    await monitor.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
    await monitor.button("Copy as JSON").click()
    await expect(monitor.dialog.locator("textarea")).to_have_value(json.dumps(copied, indent=2))
    await monitor.button("Close").click()
    await expect(monitor.dialog).to_be_hidden()


async def test_a_monitor_that_is_cut_off_says_so(bar: Bar, visitors: Visitors) -> None:
    """After two seconds it is out of date; back again it has all that happened meanwhile."""
    visitors.expect_network_errors = True
    monitor = await visitors.blank_desk()
    await monitor.page.clock.install()
    await monitor.open(visitors.OPERATORS_LINK)
    await monitor.is_live()
    bar.proxy.go_offline()
    await expect(monitor.badge).to_have_text("Reconnecting …")
    await monitor.page.clock.fast_forward(2_000)
    await expect(monitor.badge).to_have_text("Out of date")
    await bar.order("Ann")
    bar.proxy.go_online()
    await monitor.page.clock.fast_forward(15_000)
    await expect(monitor.badge).to_have_text("Live")
    await expect(monitor.tile("waiting")).to_have_text("1")


async def test_where_upgrades_are_refused(bar: Bar, visitors: Visitors) -> None:
    """Behind a proxy that knows no websockets the monitor is live, too; and asks for its token."""
    visitors.expect_network_errors = True
    bar.proxy.refuses_upgrades = True
    monitor = await visitors.operator()
    await bar.order("Ann")
    await expect(monitor.tile("waiting")).to_have_text("1")
    wrong = await (await visitors.blank_desk()).open("?token=operator-token-2")
    await expect(wrong.refused).to_have_text("This token does not open the monitor.")


@pytest.mark.parametrize("bar", ["/"], ids=["root"], indirect=True)
async def test_a_german_monitor(bar: Bar, visitors: Visitors) -> None:
    """The monitor speaks German where the browser does."""
    monitor = await (await visitors.blank_desk(locale="de-DE")).open(visitors.OPERATORS_LINK)
    await bar.order("Ann")
    await monitor.button("Pause machen").click()
    await monitor.button("Ja, Pause").click()
    await expect(monitor.said).to_have_text("Die Bar macht Pause.")
    await expect(monitor.button("Nach vorn: Bestellung 1")).to_be_visible()
    await expect(monitor.page).to_have_title("Pause · Monitor")


async def test_both_languages_have_the_same_texts(visitors: Visitors) -> None:
    """No text is missing in one of them."""
    monitor = await visitors.operator()
    keys = await monitor.page.evaluate(
        """async () => {
            const keysOf = (value) => typeof value === 'object'
                ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, keysOf(v)])) : '';
            const load = (path) => import(new URL(path, document.baseURI));
            const both = (path) =>
                Promise.all(['en', 'de'].map((lang) => load(`${path}/${lang}.js`)));
            const all = await Promise.all([both('js/words'), both('js/monitor/words')]);
            return all.map((pair) => pair.map(({ words }) => keysOf(words)));
        }"""
    )
    for english, german in keys:
        assert english == german


async def test_the_pages_know_the_built_in_menu(visitors: Visitors) -> None:
    """What the order page falls back on is what the service has."""
    monitor = await visitors.operator()
    load = "import(new URL('js/menu.js', document.baseURI)).then((module) => module.BUILT_IN)"
    assert await monitor.page.evaluate(load) == BUILT_IN["drinks"]
