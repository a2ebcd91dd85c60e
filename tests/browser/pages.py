"""The pages as their users know them: what can be done and what can be seen."""

from __future__ import annotations

import re
from typing import Self

from playwright.async_api import Locator, Page, expect

SENTENCE = {
    "waiting": re.compile(r"^(\d+ ahead of you|You are next)$"),
    "assigned": "Being mixed",
    "done": "Ready!",
    "failed": "Something went wrong",
    "cancelled": "Cancelled",
    "unsent": "Not sent yet",
    "stale": "Still thirsty?",
    "rejected": "The bar could not take your order",
    "gone": "This order no longer exists",
    "sending": "Sending your order…",
}
"""What the ticket says first, by the phase that it is in."""


class Keys:
    """What only has a keyboard."""

    page: Page

    async def tab_to(self, target: Locator) -> None:
        """Press Tab until it has the focus."""
        for _ in range(60):
            if await target.evaluate("node => node === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {target}")

    async def focus_is_visible(self) -> bool:
        """Whether one sees what has the focus: itself, or the card that it fills."""
        return bool(
            await self.page.evaluate(
                """() => [document.activeElement, document.activeElement.nextElementSibling].some(
                    (node) => node && getComputedStyle(node).outlineStyle !== 'none')"""
            )
        )


class OrderPage(Keys):
    """The page on a phone: the form, then the ticket."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.ticket = page.locator("#ticket")
        self.number = page.locator("#number")
        self.headline = page.locator("#headline")
        self.waiting_time = page.locator("#eta")
        self.note = page.locator("#note")
        self.banner = page.locator("#banner")
        self.name = page.locator("#name")
        self.submit = page.locator("#submit")
        self.steps = page.locator("#steps li")
        self.tabs = page.locator("#orders button")
        self.queue = page.locator("#queue")
        self.dialog = page.get_by_role("dialog")

    async def open(self, query: str = "") -> Self:
        """As from a link or a QR code."""
        await self.page.goto(f"{self.base_url}public/order_drink.html{query}")
        await self.page.locator("main :is(#form, #ticket):visible").wait_for()
        return self

    async def is_loaded(self) -> None:
        """Wait until all is there that an order needs: from now on it works without a network."""
        await self.page.wait_for_function(
            "() => Boolean(document.getElementById('another').onclick)"
        )

    def drink(self, name: str) -> Locator:
        """A drink's radio button."""
        return self.page.get_by_role("radio", name=name)

    def button(self, name: str) -> Locator:
        """A button that can be seen."""
        return self.page.get_by_role("button", name=name, exact=True)

    def step(self, name: str) -> Locator:
        """A step of the order, by its word."""
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
        """Order, and return the number that the bar gave."""
        await self.order(drink, name, logo)
        await expect(self.number).to_have_text(re.compile(r"^\d+$"))
        return int(await self.number.inner_text())

    async def cancel(self) -> None:
        """Cancel, and say yes."""
        await self.button("Cancel").click()
        await self.button("Yes, cancel it").click()

    async def shows(self, phase: str) -> None:
        """Wait until the ticket is in that phase, in colour and in words."""
        await expect(self.ticket).to_have_attribute("data-phase", phase)
        await expect(self.headline).to_have_text(SENTENCE[phase])

    async def colour(self) -> str:
        """The ticket's colour, once it has settled."""
        colour = "node => getComputedStyle(node).getPropertyValue('--colour')"
        return str(await self.ticket.evaluate(colour))

    async def order_id(self) -> str:
        """The secret id, from the address that a reload or a friend would open."""
        await self.page.wait_for_url(re.compile("order="))
        return self.page.url.partition("order=")[2].partition("&")[0]


class BoardPage:
    """The page on the wall."""

    COLUMNS = ("ready", "mixing", "next")

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.strip = page.locator("#strip")

    async def open(self, query: str = "") -> Self:
        """Turn the television on."""
        await self.page.goto(f"{self.base_url}public/board.html{query}")
        return self

    def numbers(self, column: str) -> Locator:
        """The numbers in a column, from the top."""
        return self.page.locator(f"#{column} b")

    def more(self, column: str) -> Locator:
        """How many have no room in a column."""
        return self.page.locator(f"#{column}-more")

    async def shows(self, **columns: list[int]) -> None:
        """Wait until each column named shows just these numbers, in this order."""
        for column, numbers in columns.items():
            await expect(self.numbers(column)).to_have_text([str(n) for n in numbers])
