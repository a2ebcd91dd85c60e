"""What the pages say about the line: why an order waits, who makes what, and what comes first."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from sanic_dispatch.core import line
from tests.browser.served_bar import Bar, open_bar
from tests.browser.visitors import Visitors

GUESTS = {
    "en": {
        "next": "You are next",
        "second": "1 ahead of you",
        "unserved": "Waiting for a robot",
        "on_hold": "Waiting for the bar",
        "paused": "The bar is taking a short break. You keep your place.",
        "no_worker": "No robot is on duty right now. You keep your place.",
        "no_able_worker": "No robot can make this right now. You keep your place until one can.",
        "worker_aside": "The robot that makes this is out of service right now. "
        "You keep your place.",
        "matching": "A robot is getting ready for your drink.",
        "spoken": "Order 3: Waiting for a robot. No robot can make this right now. "
        "You keep your place until one can.",
    },
    "de": {
        "next": "Du bist als Nächstes dran",
        "second": "Noch 1 vor dir",
        "unserved": "Wartet auf einen Roboter",
        "on_hold": "Wartet auf die Bar",
        "paused": "Die Bar macht kurz Pause. Du behältst deinen Platz.",
        "no_worker": "Gerade ist kein Roboter im Dienst. Du behältst deinen Platz.",
        "no_able_worker": "Das macht hier gerade kein Roboter. "
        "Du behältst deinen Platz, bis einer kommt.",
        "worker_aside": "Der Roboter, der das macht, ist gerade außer Dienst. "
        "Du behältst deinen Platz.",
        "matching": "Ein Roboter macht sich gerade für deinen Drink bereit.",
        "spoken": "Bestellung 3: Wartet auf einen Roboter. Das macht hier gerade kein Roboter. "
        "Du behältst deinen Platz, bis einer kommt.",
    },
}
"""What a customer reads, by language."""

OPERATORS = {
    "en": {
        "paused": "the bar is paused",
        "no_worker": "no robot is here",
        "no_able_worker": "no robot here makes it (drink: mojito)",
        "worker_aside": "the robots that make it are set aside",
        "matching": "a robot that makes it is getting ready",
        "next": "next",
        "second": "1 ahead",
    },
    "de": {
        "paused": "die Bar macht Pause",
        "no_worker": "kein Roboter da",
        "no_able_worker": "kein Roboter hier macht das (drink: mojito)",
        "worker_aside": "die Roboter dafür sind außer Dienst",
        "matching": "ein Roboter dafür macht sich bereit",
        "next": "als Nächstes",
        "second": "1 davor",
    },
}
"""What an operator reads."""

RULE = "match.drink=mojito|negroni&match.size=l|xl&not.drink=beer&not.glass=a||b"
RULES_IN_WORDS = {
    "en": "makes Mojito, negroni; size: l, xl; not beer; glass: not a|b",
    "de": "macht Mojito, negroni; size: l, xl; nicht beer; glass: nicht a|b",
}


@pytest_asyncio.fixture(loop_scope="session")
async def bar() -> AsyncIterator[Bar]:
    """A service in which operators can change priorities."""
    async with open_bar(priorities=True) as bar:
        yield bar


@pytest.fixture
def slow_matching(bar: Bar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Show new rules as being matched for as long as the test takes."""
    monkeypatch.setattr(line, "SLICE_JOBS", 1)
    monkeypatch.setattr(bar.service.app.ctx.hub, "_keep_matching", lambda: None)


@pytest.mark.parametrize("lang", ["en", "de"])
async def test_why_an_order_waits(bar: Bar, visitors: Visitors, lang: str) -> None:
    """The customer's page and the monitor say each reason in words; the page also announces it."""
    *_, own = await bar.order("Ann", "Ben", "Cleo", drink="mojito")
    phone = await visitors.phone(f"?lang={lang}&order={own}")
    monitor = await visitors.operator(f"{Visitors.OPERATORS_LINK}&lang={lang}")
    act, guest, staff = bar.service.app.ctx.dispatcher.operator, GUESTS[lang], OPERATORS[lang]
    row = monitor.orders.filter(has_text="Cleo")

    async def says(reason: str, headline: str) -> None:
        await expect(phone.page.locator("#why")).to_have_text(guest[reason])
        await expect(phone.headline).to_have_text(guest[headline])
        await expect(row).to_contain_text(staff[reason])

    async def only_waits(headline: str) -> None:
        await expect(phone.headline).to_have_text(guest[headline])
        await expect(phone.page.locator("#why")).to_be_hidden()
        await expect(row.locator("td").nth(3)).to_have_text(staff[headline])

    await expect(phone.page.locator("#why")).to_have_text(guest["no_worker"])
    await expect(row).to_contain_text(staff["no_worker"])
    await bar.robot("Robot Bert", "match.drink=beer")
    await says("no_able_worker", "unserved")
    await expect(phone.page.locator("#status")).to_have_text(guest["spoken"])
    await act.pause("out of ice")
    await says("paused", "on_hold")
    await act.resume("")
    ada = bar.begin("Robot Ada", "match.drink=mojito")
    await only_waits("second")
    ada.finish()
    await only_waits("next")
    await act.pause("")
    await says("paused", "on_hold")
    ada.finish()
    await ada.instance.until(lambda: ada.instance.waiting)
    await act.set_aside(ada.instance.callback_urls[-1], "")
    await act.resume("")
    await says("worker_aside", "unserved")


async def test_an_orders_way_says_why_it_waits(bar: Bar, visitors: Visitors) -> None:
    """Beside what was ordered."""
    await bar.robot("Robot Bert", "match.drink=beer")
    await bar.order("Ann", drink="mojito")
    monitor = await visitors.operator()
    await monitor.look_back("order?n=1")
    text = "Mojito for Ann: no robot here makes it (drink: mojito)"
    await expect(monitor.found.get_by_text(text)).to_be_visible()


@pytest.mark.usefixtures("slow_matching")
@pytest.mark.parametrize("lang", ["en", "de"])
async def test_a_robot_that_is_getting_ready(bar: Bar, visitors: Visitors, lang: str) -> None:
    """While its rule is matched against the line, those that it could serve are told."""
    _, own = await bar.order("Ann", "Ben", drink="mojito")
    phone = await visitors.phone(f"?lang={lang}&order={own}")
    monitor = await visitors.operator(f"{Visitors.OPERATORS_LINK}&lang={lang}")
    bar.begin("Robot Ada", "match.drink=mojito")
    await expect(phone.page.locator("#why")).to_have_text(GUESTS[lang]["matching"])
    await expect(phone.headline).to_have_text(GUESTS[lang]["unserved"])
    row = monitor.orders.filter(has_text="Ben")
    await expect(row).to_contain_text(OPERATORS[lang]["matching"])
    await bar.robot("Robot Bert", "match.drink=beer")
    state = {"en": "Getting ready", "de": "Macht sich bereit"}[lang]
    await expect(monitor.worker("Robot Bert").locator(".pill")).to_have_text(state)
    await expect(monitor.tile("idle")).to_have_text("1")


@pytest.mark.parametrize("lang", ["en", "de"])
async def test_a_robots_rule(bar: Bar, visitors: Visitors, lang: str) -> None:
    """The monitor says in words what a robot makes."""
    await bar.robot("Robot Ada", RULE)
    monitor = await visitors.operator(f"{Visitors.OPERATORS_LINK}&lang={lang}")
    await expect(monitor.worker("Robot Ada").locator(".rule")).to_have_text(RULES_IN_WORDS[lang])


async def test_a_priority(bar: Bar, visitors: Visitors) -> None:
    """An operator changes it; monitor, board and the phone's queue follow; and undoes it."""
    ids = await bar.order("Ann", "Ben", "Cleo")
    monitor, board = await visitors.operator(), await visitors.television()
    phone = await visitors.phone(f"?order={ids[2]}")
    await phone.queue.locator("summary").click()
    await expect(phone.headline).to_have_text("2 ahead of you")
    await monitor.button("Set priority of order 3").click()
    choice = monitor.page.get_by_role("combobox", name="Priority")
    await expect(choice).to_be_focused()
    await expect(choice).to_have_value("3")
    await choice.select_option("0: first")
    await monitor.reason.fill("birthday")
    await monitor.button("Yes, change it").click()
    await expect(monitor.said).to_have_text("Order 3 has priority 0.")
    await monitor.shows_orders(3, 1, 2)
    await expect(monitor.orders.first).to_contain_text("priority 0")
    await expect(monitor.events.first).to_contain_text("priority 0: birthday")
    await board.shows(next=[3, 1, 2])
    await expect(phone.queue.locator("li b")).to_have_text(["3", "1", "2"])
    await expect(phone.headline).to_have_text("Waiting for a robot")
    await monitor.button("Undo").click()
    await monitor.shows_orders(1, 2, 3)
    await expect(monitor.orders.last).not_to_contain_text(re.compile(r"priority \d"))
    await board.shows(next=[1, 2, 3])
    bar.begin()
    await monitor.shelf("Being mixed").click()
    await expect(monitor.button("Set priority of order 1")).to_have_count(0)
