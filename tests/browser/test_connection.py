"""Pages on bad networks: nothing is lost or sent twice, and the page says what it knows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Request, expect

from tests.browser.pages import OrderPage, connects_while_loading, hold_back
from tests.browser.served_bar import Bar
from tests.browser.visitors import Visitors

NO_ANSWER = "() => { self.WebSocket = class { close() {} }; }"
"""As of a network that has gone: connections neither open nor fail."""
KEEP_ORDERS = """async (ids) => {
    const { saveOrder } = await import(new URL('js/order/order_store.js', document.baseURI));
    ids.forEach((id, key) => saveOrder({ key, id, asked: Date.now() }));
}"""
NO_ROOM = """() => {
    Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); };
}"""
DEAF = "addEventListener('storage', (event) => event.stopImmediatePropagation())"
"""As of a tab that has not heard yet what another one has stored."""
NEXT_STORAGE_EVENT = """() => new Promise((resolve) => {
    addEventListener('storage', () => resolve(), { once: true });
})"""


@pytest.fixture(autouse=True)
def bad_network(visitors: Visitors) -> None:
    """Allow failed requests in a browser's console."""
    visitors.expect_network_errors = True


async def test_a_page_catches_up_after_a_break(bar: Bar, visitors: Visitors) -> None:
    """After a break the page resumes at its cursor, and shows what has happened meanwhile."""
    phone, board = await visitors.phone(), await visitors.television()
    await phone.place()
    await board.shows(next=[1])
    bar.proxy.go_offline()
    bar.begin()
    await bar.sees(1, "assigned")
    bar.proxy.go_online()
    await phone.shows("assigned")
    await board.shows(mixing=[1], next=[])
    order_id = await phone.order_id()
    assert bar.proxy.count(f"GET /live?order={order_id}&since=") == 1
    assert bar.proxy.count("GET /live?view=board&since=") == 1


async def test_a_page_that_still_loads_its_pictures(visitors: Visitors) -> None:
    """It connects once: that all of them are there is no reason to begin again."""
    phone = await visitors.phone()
    await phone.place()
    assert len(await connects_while_loading(phone.page, "**/live?order=*")) == 1
    await phone.shows("waiting")


async def test_a_disconnected_page_shows_a_banner(bar: Bar, visitors: Visitors) -> None:
    """A banner shows after two seconds without a connection, and goes once it is back."""
    phone = await visitors.newcomer()
    await phone.page.clock.install()
    await phone.open()
    await phone.place()
    await phone.shows("waiting")
    bar.proxy.go_offline()
    await expect(phone.ticket).to_have_attribute("data-stale", "false")
    await phone.page.clock.fast_forward(2_000)
    await expect(phone.banner).to_have_text("Connection lost. Reconnecting…")
    await expect(phone.ticket).to_have_attribute("data-stale", "true")
    bar.proxy.go_online()
    await phone.page.clock.fast_forward(15_000)
    await expect(phone.banner).to_be_hidden()
    await expect(phone.ticket).to_have_attribute("data-stale", "false")


async def test_a_phone_wakes_up_without_a_network(bar: Bar, visitors: Visitors) -> None:
    """What it showed before is old: two seconds later the page says so."""
    phone = await visitors.newcomer()
    await phone.page.clock.install()
    await phone.open()
    await phone.place()
    await phone.shows("waiting")
    await phone.page.evaluate(NO_ANSWER)
    await phone.page.clock.set_system_time(datetime.now(UTC) + timedelta(minutes=1))
    await phone.page.evaluate("dispatchEvent(new Event('visibilitychange'))")
    await phone.page.clock.run_for(2_000)
    await expect(phone.banner).to_have_text("Connection lost. Reconnecting…")
    await expect(phone.ticket).to_have_attribute("data-stale", "true")


async def test_event_stream_where_websockets_are_refused(bar: Bar, visitors: Visitors) -> None:
    """Behind a proxy without websockets an order is followed live too, also after a break."""
    bar.proxy.refuses_upgrades = True
    robot = await bar.robot()
    phone = await visitors.phone()
    await phone.place()
    await phone.shows("assigned")
    bar.proxy.drop_all()
    robot.finish()
    await phone.shows("done")
    assert bar.proxy.count("GET /live") == 0
    assert bar.proxy.count(f"GET /state?order={await phone.order_id()}") >= 2


async def test_many_orders_where_websockets_are_refused(bar: Bar, visitors: Visitors) -> None:
    """All are followed, and leave a connection on which the next one is sent."""
    bar.proxy.refuses_upgrades = True
    phone = await visitors.phone()
    await phone.page.evaluate(KEEP_ORDERS, await bar.order(*["Ada"] * 8))
    await phone.open()
    for tab in await phone.tabs.all():
        await expect(tab).to_contain_text("Waiting", timeout=20_000)
    await phone.button("Order another").click()
    assert await phone.place() == 9


async def test_a_proxy_that_finds_no_service(bar: Bar, visitors: Visitors) -> None:
    """While the service is restarted its 404 is not taken for a word about the order."""
    bar.proxy.refuses_upgrades = True
    phone = await visitors.phone()
    await phone.place()
    await phone.shows("waiting")
    await phone.page.route("**/state?*", lambda route: route.fulfill(status=404, body="none here"))
    bar.proxy.drop_all()
    await expect(phone.banner).to_have_text("Connection lost. Reconnecting…")
    await phone.shows("waiting")
    await phone.page.unroute("**/state?*")
    await expect(phone.banner).to_be_hidden(timeout=20_000)
    await phone.shows("waiting")


async def test_an_order_to_a_proxy_that_finds_no_service(bar: Bar, visitors: Visitors) -> None:
    """Its 404 is no refusal: the order is kept, and sent again."""
    phone = await visitors.phone()
    await phone.page.route("**/submit-job", lambda route: route.fulfill(status=404, body="none"))
    await phone.order()
    await phone.shows("unsent")
    await phone.page.unroute("**/submit-job")
    await phone.shows("waiting")
    assert len(await bar.orders()) == 1


async def test_a_captive_portal(visitors: Visitors) -> None:
    """Its page is no answer of the bar: an order that it says to have cancelled is not."""
    phone = await visitors.phone()
    await phone.place()
    portal = {"status": 200, "content_type": "text/html", "body": "Please log in"}
    await phone.page.route("**/jobs/*", lambda route: route.fulfill(**portal))
    await phone.cancel()
    await expect(phone.note).to_have_text("That did not go through. Please try again.")
    await phone.shows("waiting")


async def test_an_offline_order_is_sent_once_when_back_online(bar: Bar, visitors: Visitors) -> None:
    """An order made offline is kept over a reload, and sent once."""
    phone = await visitors.phone()
    await phone.is_loaded()
    await phone.page.context.set_offline(True)
    await phone.order()
    await phone.shows("unsent")
    await phone.page.context.set_offline(False)
    await phone.shows("waiting")
    assert bar.proxy.count("POST /submit-job") == 1
    assert len(await bar.orders()) == 1


async def test_an_unsent_order_survives_a_reload(bar: Bar, visitors: Visitors) -> None:
    """An order that could not be sent is kept, and sent without being asked."""
    phone = await visitors.phone()
    await phone.page.route("**/submit-job", lambda route: route.abort())
    await phone.order()
    await phone.shows("unsent")
    await phone.page.unroute("**/submit-job")
    await phone.page.reload()
    await phone.shows("waiting")
    assert len(await bar.orders()) == 1


async def test_an_unsent_order_of_a_link_survives_a_reload(bar: Bar, visitors: Visitors) -> None:
    """The drink is no longer in the address, since it was ordered."""
    phone = await visitors.phone("?drink=margarita&lang=en")
    await phone.page.route("**/submit-job", lambda route: route.abort())
    await phone.order("Margarita")
    await phone.shows("unsent")
    assert phone.page.url.endswith("?lang=en")
    await phone.page.reload()
    await phone.shows("unsent")


async def test_an_old_order_is_not_sent_unasked(bar: Bar, visitors: Visitors) -> None:
    """After two minutes the page asks whether an unsent order is still wanted."""
    phone = await visitors.newcomer()
    await phone.page.clock.install()
    await phone.open()
    await phone.is_loaded()
    bar.proxy.go_offline()
    await phone.order()
    await phone.shows("unsent")
    await phone.page.clock.fast_forward("03:00")
    await phone.shows("unsentTooLong")
    bar.proxy.go_online()
    await phone.button("Send now").click()
    await phone.shows("waiting")
    assert bar.proxy.count("POST /submit-job") == 1


async def test_an_unsent_order_can_be_discarded(bar: Bar, visitors: Visitors) -> None:
    """A discarded order is gone, also after a reload."""
    phone = await visitors.phone()
    await phone.is_loaded()
    bar.proxy.go_offline()
    await phone.order("Lemonade")
    await phone.shows("unsent")
    await phone.button("Discard").click()
    await expect(phone.drink("Lemonade")).to_be_checked()
    bar.proxy.go_online()
    await phone.page.reload()
    await expect(phone.submit).to_be_visible()
    assert await bar.orders() == {}


async def phone_with_unsent_order(visitors: Visitors) -> OrderPage:
    """Return a page whose order could not be sent; nor can it be from other tabs of the phone."""
    phone = await visitors.phone()
    await phone.is_loaded()
    await phone.page.context.route("**/submit-job", lambda route: route.abort())
    await phone.order("Lemonade")
    await phone.shows("unsent")
    return phone


async def test_discarding_in_one_tab_discards_in_all(bar: Bar, visitors: Visitors) -> None:
    """An unsent order that two tabs show is discarded in both."""
    phone = await phone_with_unsent_order(visitors)
    other = OrderPage(await phone.page.context.new_page(), phone.base_url)
    await other.open()
    await other.shows("unsent")
    await phone.button("Discard").click()
    await expect(other.submit).to_be_visible()
    await phone.page.context.unroute("**/submit-job")
    await other.page.reload()
    await expect(other.submit).to_be_visible()
    assert await bar.orders() == {}


async def test_a_discarded_order_that_another_tab_is_sending(visitors: Visitors) -> None:
    """If that fails before the other tab hears of it, the order stays discarded."""
    phone = await phone_with_unsent_order(visitors)
    other = OrderPage(await phone.page.context.new_page(), phone.base_url)
    await other.page.add_init_script(DEAF)
    await other.open()
    await other.shows("unsent")
    await phone.button("Discard").click()
    async with other.page.expect_event("requestfailed", is_an_order):
        await other.page.evaluate("dispatchEvent(new Event('online'))")
    await other.page.evaluate("new Promise(requestAnimationFrame)")  # then the page knows, too
    await other.page.reload()
    await expect(other.submit).to_be_visible()


async def test_an_order_that_another_tab_has_sent(bar: Bar, visitors: Visitors) -> None:
    """It is followed, and nothing to discard; a late answer to the own request changes nothing."""
    phone = await visitors.phone()
    await phone.is_loaded()
    may_send = await hold_back(phone.page, "**/submit-job")
    await phone.order("Lemonade")
    await phone.shows("sending")
    other = OrderPage(await phone.page.context.new_page(), phone.base_url)
    await other.open()
    await other.shows("waiting")
    await phone.shows("waiting")
    async with phone.page.expect_request_finished(is_an_order):
        may_send.set()
    bar.begin()
    for page in (phone, other):
        await page.shows("assigned")
        await expect(page.tabs).to_have_count(1)
    assert bar.proxy.count("POST /submit-job") == 2


def is_an_order(request: Request) -> bool:
    """Return whether a request sends an order."""
    return request.url.endswith("/submit-job")


async def test_an_order_for_which_the_browser_has_no_room(bar: Bar, visitors: Visitors) -> None:
    """It is sent all the same, also if another tab stores something meanwhile."""
    phone = await visitors.phone()
    await phone.place()
    await phone.button("Order another").click()
    answered = await hold_back(phone.page, "**/submit-job")
    await phone.page.evaluate(NO_ROOM)
    await phone.order("Lemonade")
    await phone.shows("sending")
    other = await phone.page.context.new_page()
    await other.goto(phone.base_url + "menu")
    stored = asyncio.create_task(phone.page.evaluate(NEXT_STORAGE_EVENT))
    while not stored.done():
        await other.evaluate("localStorage.setItem('another', Math.random())")
    answered.set()
    await phone.shows("waiting")
    await expect(phone.number).to_have_text("2")


async def test_a_lost_answer_gives_one_order(bar: Bar, visitors: Visitors) -> None:
    """If only the answer was lost, the retry is the same order."""
    bar.proxy.loses_answer_to = "POST /submit-job"
    phone = await visitors.phone()
    await phone.place()
    await phone.shows("waiting")
    assert bar.proxy.count("POST /submit-job") == 2
    assert len(await bar.orders()) == 1


@pytest.mark.parametrize("upgrades", [True, False], ids=["websocket", "event-stream"])
async def test_a_link_to_an_unknown_order(bar: Bar, visitors: Visitors, upgrades: bool) -> None:
    """The page says that the order is unknown, and does not ask again."""
    bar.proxy.refuses_upgrades = not upgrades
    phone = await visitors.phone(f"?order={'0' * 32}")
    await phone.shows("gone")
    await phone.button("Order again").click()
    await expect(phone.submit).to_be_visible()
    await expect(phone.tabs).to_have_count(0)
