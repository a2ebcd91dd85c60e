"""The monitor's outbox: what is pending for whom; the operator sends it again or drops it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import expect

from tests.browser.evenings import add_phone, add_webhooks
from tests.browser.served_bar import Bar, open_bar
from tests.browser.subscriber import PUSHED_TO
from tests.browser.visitors import Visitors
from tests.support.phone_order import PhoneOrder
from tests.support.receiver import OK, Receiver, running_receiver, status
from tests.support.server import eventually


@pytest_asyncio.fixture(loop_scope="session")
async def bar() -> AsyncIterator[Bar]:
    """A service that may tell addresses of this machine, and push services there."""
    async with open_bar(allow_webhook=("127.0.0.0/8",), allow_push=PUSHED_TO) as bar:
        yield bar


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of webhooks and a push service, on a free port."""
    async with running_receiver() as receiver:
        yield receiver


async def test_no_link_without_destinations(visitors: Visitors) -> None:
    """Without webhooks and subscriptions there is no link to this view; its address says so."""
    monitor = await visitors.operator()
    await expect(monitor.page.get_by_role("link", name=re.compile("Outbox"))).to_have_count(0)
    await monitor.page.evaluate("() => { location.hash = 'outbox' }")
    await expect(monitor.page.get_by_text("There are no webhooks.")).to_be_visible()
    await expect(monitor.page.get_by_text("No phone is subscribed.")).to_be_visible()


async def test_what_is_pending_and_why(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """Each destination with its state, and of a failing one why, since when, and the next try."""
    await add_webhooks(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox (1 failing)").click()
    display, till = monitor.webhooks.first, monitor.webhooks.last
    await expect(display).to_contain_text(re.compile(r"/display\s*job\.\*\s*Delivering\s*nothing"))
    await expect(till).to_contain_text(re.compile("Trying again.*503.*failing since .*next try in"))
    await expect(till).to_contain_text(re.compile("1 event.*oldest from"))
    await expect(display.get_by_role("button")).to_have_count(0)


async def test_sending_again(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """The operator who knows that it works again does not wait for the next try."""
    await add_webhooks(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox").click()
    receiver.answer = OK
    await monitor.button(f"Send again to {receiver.url('till')}").click()
    await expect(monitor.said).to_have_text(f"Sending to {receiver.url('till')} again.")
    await expect(monitor.webhooks.last).to_contain_text("Delivering")
    await expect(monitor.webhooks.last).to_contain_text("nothing")
    assert [each.said["type"] for each in receiver.of_path("till")][-1] == "job.submitted"


async def test_dropping(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """What is pending is dropped after a question, without a reason, and only if it is a yes."""
    await add_webhooks(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox").click()
    drop = monitor.button(f"Drop what is pending for {receiver.url('till')}")
    await drop.click()
    await expect(monitor.reason).to_be_hidden()
    await monitor.button("No, leave it").click()
    await expect(monitor.webhooks.last).to_contain_text("Trying again")
    await drop.click()
    await monitor.button("Yes, drop it").click()
    await expect(monitor.said).to_contain_text("was dropped.")
    await expect(monitor.webhooks.last).to_contain_text("nothing")
    receiver.answer = OK
    await bar.order("Grace")

    async def is_told() -> bool:
        return bool(receiver.of_path("till")[-1].said["data"]["ticket"] == 2)

    await eventually(is_told)
    await expect(monitor.webhooks.last).to_contain_text("Delivering")


async def test_a_button_that_is_pressed_for_a_while(
    bar: Bar, receiver: Receiver, visitors: Visitors
) -> None:
    """It is clicked, although its row changes meanwhile, as it does every two seconds."""
    await add_webhooks(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox").click()
    till, countdown = monitor.webhooks.last, re.compile(r"next try in \d:\d\d")
    await expect(till).to_contain_text(countdown)
    await monitor.button(f"Drop what is pending for {receiver.url('till')}").hover()
    await monitor.page.mouse.down()
    before = countdown.search(await till.inner_text())
    assert before
    await expect(till).not_to_contain_text(before[0])
    await monitor.page.mouse.up()
    await expect(monitor.dialog).to_be_visible()


async def test_what_is_pending_for_phones(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """How many subscriptions there are; of one that fails the order, the message, and why."""
    await add_phone(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox (1 failing)").click()
    about = monitor.page.get_by_text("1 subscription, 1 message pending")
    await expect(about).to_be_visible()
    service = re.escape(receiver.url("")[:-1])
    await expect(monitor.phones).to_have_text(
        re.compile(
            rf"#1\s*{service}\s*Being mixed\s*Trying again\s*status 503\s*"
            r"\d attempts?\s*next try in 0:\d\d\s*Send again\s*Drop"
        )
    )


async def test_telling_a_phone_again(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """While it still fails the button keeps the focus; once it is told, the title has it."""
    order = await add_phone(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox").click()
    again = monitor.button("Send the message about order 1 again")
    tries = len(receiver.received)
    await again.press("Enter")
    await expect(monitor.said).to_have_text("The message about order 1 is being sent again.")
    await expect(monitor.phones).to_contain_text(re.compile("[2-9] attempts"))
    await expect(again).to_be_focused()
    assert len(receiver.received) > tries
    receiver.answer = OK
    await again.press("Enter")
    await expect(monitor.page.get_by_text("1 subscription, no messages pending")).to_be_visible()
    await expect(monitor.phones).to_have_count(0)
    await expect(monitor.page.get_by_role("heading", name="Outbox")).to_be_focused()
    assert [each.kind for each in await order.told("making")][-1] == "making"


async def test_dropping_a_message(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """It is dropped after a question, without a reason; what comes later is told."""
    order = await add_phone(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox").click()
    await monitor.button("Drop the message about order 1").click()
    await expect(monitor.reason).to_be_hidden()
    await monitor.button("Yes, drop it").click()
    await expect(monitor.said).to_have_text("The message about order 1 was dropped.")
    await expect(monitor.phones).to_have_count(0)
    tried, receiver.answer = len(receiver.received), OK
    await order.finish(bar.service.base_url)
    await order.told("ready")
    assert [each.kind for each in await order.told("ready")][tried:] == ["ready"]


async def test_a_push_service_that_is_down(
    bar: Bar, receiver: Receiver, visitors: Visitors
) -> None:
    """It counts as one that fails, for however many phones; the first hundred are shown."""
    receiver.answer = status(503)
    for robot in range(102):
        order = PhoneOrder(bar.service.http, receiver)
        await order.submit(bar.service.base_url)
        await order.make(bar.service.base_url, robot)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Outbox (1 failing)").click()
    await expect(
        monitor.page.get_by_text("102 subscriptions, 102 messages pending")
    ).to_be_visible()
    await expect(monitor.phones).to_have_count(100)
    await expect(monitor.page.get_by_text("+2 more")).to_be_visible()
