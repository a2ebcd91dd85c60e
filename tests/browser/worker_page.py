"""The page for people behind the bar, as they see it."""

from __future__ import annotations

import re
from typing import Self

from playwright.async_api import Locator, Page, expect

from tests.browser.pages import Keys

HEADLINE = {
    "waiting": "Waiting for an order",
    "offered": "New order",
    "making": "You are making this",
    "cancelling": "The customer wants to cancel",
    "missed": "Are you still there?",
    "lost": "This order is no longer yours",
    "away": "Someone else has taken over",
}


class WorkerPage(Keys):
    """The page on a tablet."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.headline = page.locator("#headline")
        self.note = page.locator("#note")
        self.problem = page.locator("#problem")
        self.token = page.get_by_label("Worker token")
        self.name = page.get_by_label("Your name")
        self.link = page.locator("#link")
        self.number = page.locator("#number")
        self.next = page.locator("#next li")
        self.dialog = page.get_by_role("dialog")

    async def open(self, address: str = "") -> Self:
        """Open the page, by a link with this query or fragment."""
        await self.page.goto(f"{self.base_url}public/worker.html{address}")
        await self.page.locator("main:visible").wait_for()
        return self

    def button(self, name: str) -> Locator:
        """Locate a button by its text."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def start(self, name: str = "Ada", *drinks: str) -> None:
        """Fill the form in, and begin."""
        await self.name.fill(name)
        for drink in drinks:
            await self.page.get_by_role("checkbox", name=drink).check()
        await self.button("Start").click()

    async def is_connected(self) -> None:
        """Wait until it is."""
        await expect(self.link).to_have_text("Connected")

    async def shows(self, phase: str, number: int | None = None) -> None:
        """Wait for a phase, and for an order if one is meant."""
        await expect(self.headline).to_have_text(HEADLINE[phase])
        if number is not None:
            await expect(self.number).to_have_text(re.compile(rf" {number}$"))

    async def accept(self, number: int) -> None:
        """Wait for an order, and accept it."""
        await self.shows("offered", number)
        await self.button("Accept").click()
        await self.shows("making", number)

    async def settles(self) -> None:
        """Wait until the buttons can be pressed."""
        await expect(self.page.locator("#card button:disabled")).to_have_count(0)
