"""The order page and the board as their users see them."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Self

from playwright.async_api import Locator, Page, Route, WebSocketRoute, expect

SENTENCE: dict[str, str | re.Pattern[str]] = {
    "waiting": re.compile(r"^(\d+ ahead of you|You are next|Waiting for a robot)$"),
    "assigned": re.compile(r"^(Being mixed|Asking the robot to stop…)$"),
    "done": "Ready!",
    "failed": "Something went wrong",
    "cancelled": "Cancelled",
    "unsent": "Not sent yet",
    "unsentTooLong": "Still thirsty?",
    "rejected": "The bar couldn’t take your order",
    "gone": "This order no longer exists",
    "sending": "Sending your order…",
}
"""The ticket's headline, by phase."""


async def hold_back(page: Page, requests: str) -> asyncio.Event:
    """Hold back requests, by a glob pattern of their addresses, until the event is set."""
    may_go = asyncio.Event()

    async def later(route: Route) -> None:
        await may_go.wait()
        await route.continue_()

    await page.route(requests, later)
    return may_go


async def connects_while_loading(page: Page, address: str) -> list[str]:
    """Load a page again, and let a picture come while it connects; return where it connected."""
    opened: list[str] = []
    is_opened, may_answer = asyncio.Event(), asyncio.Event()

    async def answer_late(socket: WebSocketRoute) -> None:
        opened.append(socket.url)
        is_opened.set()
        await may_answer.wait()
        socket.connect_to_server()

    await page.route_web_socket(address, answer_late)
    has_all = await hold_back(page, "**/robot.svg")
    await page.goto(page.url, wait_until="commit")
    async with asyncio.timeout(30):
        await is_opened.wait()
    has_all.set()
    await page.wait_for_load_state()
    await page.evaluate("new Promise(requestAnimationFrame)")  # then the page has heard of it
    may_answer.set()
    return opened


async def stop_clock(page: Page) -> None:
    """Let no more time pass on a page, whose clock is installed, until the test moves it."""
    await page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=10))


class Keys:
    """A page that is used by keyboard only."""

    page: Page

    async def tab_to(self, target: Locator) -> None:
        """Press Tab until this element has the focus."""
        for _ in range(60):
            if await target.evaluate("node => node === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {target}")

    async def focus_is_visible(self) -> bool:
        """Return whether the focus can be seen: on the element itself, or on the card around it."""
        return bool(
            await self.page.evaluate(
                """() => [document.activeElement, document.activeElement.nextElementSibling].some(
                    (node) => node && getComputedStyle(node).outlineStyle !== 'none')"""
            )
        )


class OrderPage(Keys):
    """The order page on a phone: the form, then the ticket."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.ticket = page.locator("#ticket")
        self.number = page.locator("#number")
        self.headline = page.locator("#headline")
        self.waiting_time = page.locator("#eta")
        self.note = page.locator("#note")
        self.making = page.locator("#making")
        self.filled = page.get_by_role("progressbar")
        self.spoken = page.locator("#status")
        self.banner = page.locator("#banner")
        self.notified = page.locator("#notified")
        self.name = page.locator("#name")
        self.submit = page.locator("#submit")
        self.steps = page.locator("#steps li")
        self.tabs = page.locator("#orders button")
        self.queue = page.locator("#queue")
        self.dialog = page.get_by_role("dialog")

    async def open(self, query: str = "") -> Self:
        """Open the page by a link or a QR code."""
        await self.page.goto(f"{self.base_url}public/order_drink.html{query}")
        await self.page.locator("main :is(#form, #ticket):visible").wait_for()
        return self

    async def is_loaded(self) -> None:
        """Wait until everything is loaded that an order needs: from then on it works offline."""
        await self.page.wait_for_function(
            "() => Boolean(document.getElementById('another').onclick)"
        )

    def drink(self, name: str) -> Locator:
        """Locate the radio button of a drink."""
        return self.page.get_by_role("radio", name=name)

    def button(self, name: str) -> Locator:
        """Locate a visible button."""
        return self.page.get_by_role("button", name=name, exact=True)

    def step(self, name: str) -> Locator:
        """Locate a step of the order by its text."""
        return self.steps.filter(has_text=name)

    async def fill(self, drink: str = "Mojito", name: str = "Ada", logo: str = "Lion") -> None:
        """Fill the form in."""
        await self.drink(drink).check()
        await self.page.get_by_role("radio", name=logo).check()
        await self.name.fill(name)

    async def order(self, drink: str = "Mojito", name: str = "Ada", logo: str = "Lion") -> None:
        """Fill the form in and send it."""
        await self.fill(drink, name, logo)
        await self.button(f"Order {drink}").click()

    async def place(self, drink: str = "Mojito", name: str = "Ada", logo: str = "Lion") -> int:
        """Order, and return the number that the service gave."""
        await self.order(drink, name, logo)
        await expect(self.number).to_have_text(re.compile(r"^\d+$"))
        return int(await self.number.inner_text())

    async def cancel(self) -> None:
        """Cancel, and confirm."""
        await self.button("Cancel").click()
        await self.button("Yes, cancel it").click()

    async def shows(self, phase: str) -> None:
        """Wait until the ticket shows this phase, in colour and in words."""
        await expect(self.ticket).to_have_attribute("data-phase", phase)
        await expect(self.headline).to_have_text(SENTENCE[phase])

    async def colour(self) -> str:
        """Return the ticket's colour, after its transition."""
        colour = "node => getComputedStyle(node).getPropertyValue('--colour')"
        return str(await self.ticket.evaluate(colour))

    async def order_id(self) -> str:
        """Return the secret id from the page's address."""
        await self.page.wait_for_url(re.compile("order="))
        return self.page.url.partition("order=")[2].partition("&")[0]


class BoardPage:
    """The board on a television."""

    COLUMNS = ("ready", "mixing", "next")

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.strip = page.locator("#strip")
        self.sound = page.get_by_role("switch")
        self.filled = page.get_by_role("progressbar")

    async def open(self, query: str = "") -> Self:
        """Open the board."""
        await self.page.goto(f"{self.base_url}public/board.html{query}")
        return self

    def numbers(self, column: str) -> Locator:
        """Return the numbers in a column, from the top."""
        return self.page.locator(f"#{column} b")

    def more(self, column: str) -> Locator:
        """Return how many orders have no room in a column."""
        return self.page.locator(f"#{column}-more")

    async def shows(self, **columns: list[int]) -> None:
        """Wait until each column named shows exactly these numbers, in this order."""
        for column, numbers in columns.items():
            await expect(self.numbers(column)).to_have_text([str(n) for n in numbers])
