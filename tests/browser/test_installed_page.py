"""The order page as an app: installed, without the bar, and in a new version."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from sanic_dispatch.web.routes.pages import shipped_files
from tests.browser.conftest import WHOLE
from tests.browser.pages import BoardPage, OrderPage
from tests.browser.served_bar import Bar, open_bar
from tests.browser.service_worker import is_kept
from tests.browser.visitors import EVERYBODY, PHONE, Visitors
from tests.support.proxy import NO_SERVER, NOT_HERE
from tests.support.server import eventually

KEPT_PAGES = """async () => (await caches.keys()).filter((name) => name.startsWith('page '))"""
IS_KEPT_ANEW = f"""async (old) => {{
    const kept = await ({KEPT_PAGES})();
    return kept.length === 1 && kept[0] !== old;
}}"""
KEEP_AS_OF_TOMORROW = """async ([name]) => {
    const later = name.replace(/\\d+$/, (now) => Number(now) + 86_400_000);
    const [from, to] = await Promise.all([name, later].map((one) => caches.open(one)));
    for (const request of await from.keys()) await to.put(request, await from.match(request));
    await caches.delete(name);
    return later;
}"""
IS_SETTLED = "navigator.serviceWorker.ready.then((one) => !one.installing && !one.waiting)"
THREE_HOURS_SLOW = "const { now } = Date; Date.now = () => now() - 3 * 3600_000;"
TELLS_NOTHING = "performance.getEntriesByType = () => []"
CONTROLLER = "navigator.serviceWorker.controller?.scriptURL"


@pytest.fixture(scope="session")
def browser(whole_browser: Browser) -> Browser:
    """The Chromium that can install pages."""
    return whole_browser


@pytest_asyncio.fixture(loop_scope="session")
async def own_phone(tmp_path: Path, whole_browser: Browser) -> AsyncIterator[Page]:
    """A page in a browser that is somebody's own: in the others nothing can be installed."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile", **WHOLE, **EVERYBODY | PHONE
        )
        yield context.pages[0]
        await context.close()


@pytest.mark.parametrize("path", ["", "topics/roof/"], ids=["service", "topic"])
async def test_it_can_be_installed(own_phone: Page, path: str) -> None:
    """Behind a prefix and in a topic: nothing is missing, and each bar is an app of its own."""
    async with open_bar(topics={"roof": {"title": "The roof"}}) as bar:
        base_url = bar.proxy.url + path
        phone = await OrderPage(own_phone, base_url).open("?drink=mojito")
        await phone.page.evaluate("navigator.serviceWorker.ready.then(() => {})")
        devtools = await own_phone.context.new_cdp_session(own_phone)
        answer = await devtools.send("Page.getInstallabilityErrors")
        assert answer["installabilityErrors"] == []
        answer = await devtools.send("Page.getAppManifest")
        assert answer["errors"] == []
        manifest = answer["manifest"]
        page_url = f"{base_url}public/order_drink.html"
        assert (manifest["id"], manifest["startUrl"], manifest["scope"]) == (page_url,) * 3
        assert manifest["name"] == ("The roof" if path else "Robot Bar")
        assert {one["url"] for one in manifest["icons"]} == {
            f"{base_url}public/img/app-{size}.png" for size in (192, 512)
        }


async def test_an_order_without_the_bar(bar: Bar, visitors: Visitors) -> None:
    """The page opens with the last known state, says how old it is, and goes on from there."""
    visitors.expect_network_errors = True
    await bar.order("Ann", "Ben")
    phone = await visitors.phone()
    await phone.place("Gin Tonic")
    robot = bar.begin()
    await expect(phone.headline).to_have_text("1 ahead of you")
    await is_kept(phone.page)
    bar.proxy.go_offline()
    await phone.page.reload()
    await expect(phone.headline).to_have_text("1 ahead of you")
    await expect(phone.ticket).to_contain_text("Gin Tonic for Ada")
    await expect(phone.banner).to_have_text(
        re.compile(r"^Connection lost. Reconnecting… As of \d\d:\d\d.$")
    )
    await expect(phone.ticket).to_have_attribute("data-stale", "true")
    await has_all_pictures(phone.page)
    robot.finish()
    bar.proxy.go_online()
    await expect(phone.headline).to_have_text("You are next", timeout=20_000)
    await expect(phone.banner).to_be_hidden()


async def test_a_phone_whose_clock_is_wrong(bar: Bar, visitors: Visitors) -> None:
    """Without the bar, too, the waiting time is not off by as much as the clock."""
    visitors.expect_network_errors = True
    bar.knows_mixing_times(*[90.0] * 20)
    await bar.robot()
    phone = await visitors.newcomer()
    await phone.page.add_init_script(THREE_HOURS_SLOW)
    await phone.open()
    await phone.place()
    about = re.compile(r"^about \d(–\d)? min$")
    await expect(phone.waiting_time).to_have_text(about)
    await is_kept(phone.page)
    bar.proxy.go_offline()
    await phone.page.reload()
    await expect(phone.waiting_time).to_have_text(about)


@pytest.mark.parametrize("no_server", [NO_SERVER, NOT_HERE], ids=["502", "404"])
async def test_the_form_without_the_bar(bar: Bar, visitors: Visitors, no_server: bytes) -> None:
    """Somebody who opens the page without a network can fill the form in: it is sent later."""
    visitors.expect_network_errors = True
    phone = await visitors.phone("?drink=mojito")
    await is_kept(phone.page)
    bar.proxy.no_server = no_server
    bar.proxy.is_broken = True
    await phone.open("?drink=lemonade")
    await phone.is_loaded()
    await has_all_pictures(phone.page)
    await phone.order("Lemonade")
    await phone.shows("unsent")
    bar.proxy.is_broken = False
    await phone.shows("waiting")


async def test_a_menu_with_a_missing_picture(browser: Browser, tmp_path: Path) -> None:
    """The page is kept all the same, with the picture of drinks that have none."""
    menu = tmp_path / "menu.json"
    menu.write_text('{"drinks":[{"id":"mint","name":"Mint","image":"img/drinks/nothing.svg"}]}')
    async with open_bar(menu=menu) as bar:
        visitors = Visitors(browser, bar.proxy)
        visitors.expect_network_errors = True
        phone = await visitors.phone()
        await is_kept(phone.page)
        bar.proxy.is_broken = True
        await phone.page.reload()
        await expect(phone.page.locator("#drinks b")).to_have_text("Mint")
        await has_all_pictures(phone.page)
        await visitors.leave()
        assert visitors.complaints == []


async def test_another_language_without_the_bar(bar: Bar, visitors: Visitors) -> None:
    """As of an app, which starts in the phone's language, not in that of the bar's QR code."""
    visitors.expect_network_errors = True
    phone = await visitors.phone("?lang=de")
    await is_kept(phone.page)
    bar.proxy.is_broken = True
    await phone.open()
    await expect(phone.page.locator("#title")).to_have_text("Order a drink")


async def test_an_app_that_starts_with_an_old_order(bar: Bar, visitors: Visitors) -> None:
    """As on a home screen: once that order is gone, it shows the one that is under way."""
    phone = await visitors.phone()
    number = await phone.place()
    await phone.open(f"?order={'0' * 32}")
    await expect(phone.number).to_have_text(str(number))
    await phone.shows("waiting")
    await expect(phone.tabs).to_have_count(1)
    assert f"order={await phone.order_id()}" in phone.page.url


async def has_all_pictures(page: Page) -> None:
    """Check that all pictures that are shown could be loaded."""
    await page.wait_for_function(
        "() => [...document.images].filter((one) => one.checkVisibility())"
        ".every(({ complete, naturalWidth }) => complete && naturalWidth)"
    )


async def test_a_new_version(browser: Browser, tmp_path: Path) -> None:
    """It shows at the next load, offline too; nothing of the old one is left, but the orders."""
    page_file, worker_file = "order_drink.html", "service_worker.js"
    for name in (page_file, worker_file):
        shutil.copy(shipped_files() / name, tmp_path)
    async with open_bar(public=tmp_path) as bar:
        visitors = Visitors(browser, bar.proxy)
        visitors.expect_network_errors = True
        phone = await visitors.phone()
        await phone.place()
        await is_kept(phone.page)
        (old,) = await phone.page.evaluate(KEPT_PAGES)

        page = (tmp_path / page_file).read_text()
        (tmp_path / page_file).write_text(page.replace("<body>", '<body class="new">'))
        with (tmp_path / worker_file).open("a") as worker:
            worker.write("self.isNew = true;\n")
        async with phone.page.context.expect_event("serviceworker") as begun:
            await phone.page.reload()
        await expect(phone.page.locator("body")).to_have_class("new")
        new = await begun.value
        await eventually(lambda: new.evaluate("Boolean(self.isNew)"))
        await eventually(lambda: phone.page.evaluate(IS_SETTLED))
        await eventually(lambda: phone.page.evaluate(IS_KEPT_ANEW, old))

        bar.proxy.go_offline()
        await phone.page.reload()
        await expect(phone.page.locator("body")).to_have_class("new")
        await phone.shows("waiting")
        await visitors.leave()
        assert visitors.complaints == []


async def test_a_kept_page_is_not_kept_again(bar: Bar, visitors: Visitors) -> None:
    """Its files are those of an old version; with the bar's new page they would not fit."""
    visitors.expect_network_errors = True
    phone = await visitors.phone()
    await is_kept(phone.page)
    kept = await phone.page.evaluate(KEPT_PAGES)
    bar.proxy.is_broken = True
    await phone.page.reload()
    await phone.is_loaded()
    bar.proxy.is_broken = False
    await phone.page.evaluate("navigator.serviceWorker.controller.postMessage({ keep: [] })")
    await asyncio.sleep(1.0)
    assert await phone.page.evaluate(KEPT_PAGES) == kept


async def test_a_browser_that_does_not_say_what_was_loaded(visitors: Visitors) -> None:
    """A page without its scripts is not kept, and does not replace one that has them."""
    phone = await visitors.phone()
    await is_kept(phone.page)
    kept = await phone.page.evaluate(KEPT_PAGES)
    await phone.page.add_init_script(TELLS_NOTHING)
    await phone.page.reload()
    await phone.is_loaded()
    await asyncio.sleep(1.0)
    assert await phone.page.evaluate(KEPT_PAGES) == kept


async def test_a_phone_whose_clock_was_set_back(visitors: Visitors) -> None:
    """A copy of the page replaces one that was named by a clock that was ahead."""
    phone = await visitors.phone()
    await is_kept(phone.page)
    old = await phone.page.evaluate(KEEP_AS_OF_TOMORROW, await phone.page.evaluate(KEPT_PAGES))
    await phone.page.reload()
    await eventually(lambda: phone.page.evaluate(IS_KEPT_ANEW, old))


async def test_other_pages_are_left_alone(bar: Bar, visitors: Visitors) -> None:
    """The board is not slowed: the service worker is that of the order page."""
    phone = await visitors.phone()
    await is_kept(phone.page)
    await phone.open()
    assert await phone.page.evaluate(CONTROLLER) == f"{bar.proxy.url}public/service_worker.js"
    board = await BoardPage(phone.page, phone.base_url).open()
    assert await board.page.evaluate(CONTROLLER) is None
