"""Tokens in a browser: who is let in, and where a token is not left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import expect

from tests.browser.pages import OrderPage, hold_back
from tests.browser.served_bar import OPERATOR_TOKEN, Bar, open_bar
from tests.browser.visitors import Visitors

SUBMIT_TOKEN = "submit-token-1"
KEPT = "() => JSON.stringify([{...localStorage}, document.cookie, location.href])"


@pytest_asyncio.fixture(loop_scope="session")
async def bar() -> AsyncIterator[Bar]:
    """A service where ordering needs a token too."""
    async with open_bar(submit_tokens=(SUBMIT_TOKEN,)) as bar:
        yield bar


async def test_the_operators_link_opens_the_monitor(visitors: Visitors) -> None:
    """The token leaves the address bar at once, survives a reload, and only in this tab."""
    monitor = await visitors.operator()
    assert monitor.page.url.endswith("public/monitor.html")
    await monitor.page.reload()
    await monitor.is_live()
    assert OPERATOR_TOKEN not in await monitor.page.evaluate(KEPT)
    other = await monitor.page.context.new_page()
    await other.goto(monitor.page.url)
    await expect(other.get_by_label("Operator token")).to_be_focused()


async def test_other_parameters_stay_in_the_address(visitors: Visitors) -> None:
    """Only the token is removed."""
    monitor = await visitors.operator(f"?lang=de&token={OPERATOR_TOKEN}")
    assert monitor.page.url.endswith("public/monitor.html?lang=de")


async def test_a_token_can_be_typed(visitors: Visitors) -> None:
    """Without the link there is a field; a wrong token is refused, and the right one accepted."""
    monitor = await (await visitors.blank_desk()).open()
    await expect(monitor.token).to_be_focused()
    await expect(monitor.badge).to_be_hidden()
    await monitor.sign_in("operator-token-2")
    await expect(monitor.refused).to_have_text("This token is not valid.")
    await expect(monitor.token).to_be_focused()
    await expect(monitor.token).to_have_attribute("type", "password")
    await expect(monitor.page.locator("#monitor")).to_be_hidden()
    await monitor.sign_in(f" {OPERATOR_TOKEN} ")
    await monitor.is_live()
    await expect(monitor.page.locator("#title")).to_be_focused()


async def test_a_token_is_sent_twice(visitors: Visitors) -> None:
    """An impatient operator, on a slow network, is let in all the same."""
    monitor = await (await visitors.blank_desk()).open()
    answered = await hold_back(monitor.page, "**/topics")
    async with monitor.page.expect_request("**/topics"):
        await monitor.sign_in(OPERATOR_TOKEN)
    await monitor.sign_in(OPERATOR_TOKEN)
    answered.set()
    await monitor.is_live()


async def test_a_link_with_a_wrong_token(visitors: Visitors) -> None:
    """It is refused and forgotten: a reload asks for a token without an error."""
    monitor = await (await visitors.blank_desk()).open("?token=operator-token-2")
    await expect(monitor.refused).to_have_text("This token is not valid.")
    await monitor.page.reload()
    await expect(monitor.token).to_be_visible()
    await expect(monitor.refused).to_be_empty()


async def test_signing_out(visitors: Visitors) -> None:
    """Nothing is shown any more, also after a reload."""
    monitor = await visitors.operator()
    await monitor.button("Sign out").click()
    await expect(monitor.token).to_be_visible()
    await monitor.page.reload()
    await expect(monitor.token).to_be_visible()


async def test_a_token_that_is_no_longer_valid(visitors: Visitors) -> None:
    """An action that is answered with 401 leads back to the sign-in."""
    visitors.expect_network_errors = True
    monitor = await visitors.operator()
    await monitor.page.route("**/operator/*", lambda route: route.fulfill(status=401, json={}))
    await monitor.act("Pause", "Yes, pause")
    await expect(monitor.refused).to_have_text("This token is not valid.")
    await expect(monitor.page.locator("#monitor")).to_be_hidden()


async def test_an_order_has_the_token_of_its_link(bar: Bar, visitors: Visitors) -> None:
    """?token= of the order page is sent with the order, and leaves the address bar at once."""
    phone = await visitors.phone(f"?drink=margarita&token={SUBMIT_TOKEN}")
    assert phone.page.url.endswith("public/order_drink.html?drink=margarita")
    await phone.place("Margarita")
    assert SUBMIT_TOKEN not in await phone.page.evaluate(KEPT)
    await phone.page.reload()
    await phone.button("Order another").click()
    await phone.place("Lemonade")
    assert len(await bar.orders()) == 2


async def test_a_missing_token_is_reported_at_once(visitors: Visitors) -> None:
    """Before the form is filled in."""
    phone = await visitors.phone()
    await expect(phone.page.locator("#closed")).to_contain_text("please scan the code at the bar.")
    await expect(phone.submit).to_be_hidden()
    await expect(phone.name).to_be_hidden()


async def test_an_order_with_a_wrong_token_says_what_to_do(visitors: Visitors) -> None:
    """It is rejected with a helpful text, and not retried."""
    visitors.expect_network_errors = True
    phone = await visitors.phone("?token=submit-token-2")
    await phone.order()
    await phone.shows("rejected")
    await expect(phone.note).to_contain_text("please scan the code at the bar.")


async def test_an_order_that_a_tab_without_the_token_cannot_send(visitors: Visitors) -> None:
    """The tab that has the token keeps it, and sends it."""
    visitors.expect_network_errors = True
    phone = await visitors.phone(f"?token={SUBMIT_TOKEN}")
    await phone.is_loaded()
    await phone.page.route("**/submit-job", lambda route: route.abort())
    await phone.order()
    await phone.shows("unsent")
    other = OrderPage(await phone.page.context.new_page(), phone.base_url)
    await other.open()
    await other.shows("rejected")
    await phone.page.unroute("**/submit-job")
    await phone.shows("waiting")


async def test_the_code_is_scanned_after_all(bar: Bar, visitors: Visitors) -> None:
    """The order that was refused without it is sent then, once."""
    visitors.expect_network_errors = True
    phone = await visitors.phone("?token=submit-token-2")
    await phone.order()
    await phone.shows("rejected")
    await phone.open(f"?token={SUBMIT_TOKEN}")
    await phone.shows("waiting")
    assert len(await bar.orders()) == 1
