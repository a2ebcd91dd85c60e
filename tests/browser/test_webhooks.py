"""The monitor's webhooks: what is pending for whom, and how the operator goes on or drops it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import expect

from tests.browser.evenings import add_webhooks
from tests.browser.served_bar import Bar, open_bar
from tests.browser.visitors import Visitors
from tests.support.receiver import OK, Receiver, running_receiver


@pytest_asyncio.fixture(loop_scope="session")
async def bar() -> AsyncIterator[Bar]:
    """A service that may tell addresses of this machine."""
    async with open_bar(allow_webhook=("127.0.0.0/8",)) as bar:
        yield bar


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    async with running_receiver() as receiver:
        yield receiver


async def test_no_link_without_webhooks(visitors: Visitors) -> None:
    """A service that tells nobody has no such view among its links; its address says so."""
    monitor = await visitors.operator()
    await expect(monitor.page.get_by_role("link", name=re.compile("Webhooks"))).to_have_count(0)
    await monitor.page.evaluate("() => { location.hash = 'webhooks' }")
    await expect(monitor.page.get_by_text("There are no webhooks.")).to_be_visible()


async def test_what_is_pending_and_why(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """Each destination with its state, and of a failing one why, since when, and the next try."""
    await add_webhooks(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Webhooks (1 failing)").click()
    display, till = monitor.webhooks.first, monitor.webhooks.last
    await expect(display).to_contain_text(re.compile(r"/display\s*job\.\*\s*Delivering\s*nothing"))
    await expect(till).to_contain_text(re.compile("Trying again.*503.*failing since .*next try in"))
    await expect(till).to_contain_text(re.compile("1 event.*the oldest of"))
    await expect(display.get_by_role("button")).to_have_count(0)


async def test_sending_again(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """The operator who knows that it works again does not wait for the next try."""
    await add_webhooks(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Webhooks").click()
    receiver.answer = OK
    await monitor.button(f"Send again to {receiver.url('till')}").click()
    await expect(monitor.said).to_have_text(f"{receiver.url('till')} is being told again.")
    await expect(monitor.webhooks.last).to_contain_text("Delivering")
    await expect(monitor.webhooks.last).to_contain_text("nothing")
    assert [each.said["type"] for each in receiver.of_path("till")][-1] == "job.submitted"


async def test_dropping(bar: Bar, receiver: Receiver, visitors: Visitors) -> None:
    """What is pending is dropped after a question, without a reason, and only if it is a yes."""
    await add_webhooks(bar, receiver)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Webhooks").click()
    drop = monitor.button(f"Drop what is pending for {receiver.url('till')}")
    await drop.click()
    await expect(monitor.reason).to_be_hidden()
    await monitor.button("No, leave it").click()
    await expect(monitor.webhooks.last).to_contain_text("Trying again")
    await drop.click()
    await monitor.button("Yes, drop it").click()
    await expect(monitor.said).to_contain_text("is dropped.")
    await expect(monitor.webhooks.last).to_contain_text("nothing")
    receiver.answer = OK
    await bar.order("Grace")
    await expect(monitor.webhooks.last).to_contain_text("Delivering")
    assert [each.said["data"]["ticket"] for each in receiver.of_path("till")][-1] == 2
