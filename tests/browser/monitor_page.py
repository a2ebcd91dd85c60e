"""The monitor as operators use it."""

from __future__ import annotations

from typing import Self

from playwright.async_api import Locator, Page, expect

from tests.browser.pages import Keys
from tests.browser.served_bar import OPERATOR_TOKEN


class MonitorPage(Keys):
    """The monitor on a desktop screen: the sign-in, then all of the page."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.badge = page.locator("#badge")
        self.paused = page.locator("#paused")
        self.token = page.get_by_label("Operator token")
        self.refused = page.locator("#refused")
        self.dialog = page.get_by_role("dialog")
        self.reason = page.get_by_label("Reason (optional)")
        self.who = page.get_by_label("Your name (optional)")
        self.said = page.locator("#said")
        self.wrong = page.locator("#wrong")
        self.workers = page.locator("#workers tr")
        self.orders = page.locator("#orders tr")
        self.events = page.locator("#events li")
        self.search = page.get_by_label("Find an order by number")
        self.filter = page.get_by_label("Filter events")
        self.chart = page.locator("#chart")
        self.topics = page.get_by_role("navigation", name="Bars", exact=True).get_by_role("link")
        self.cards = page.locator("#overview li")
        self.rewound = page.locator("#rewind")
        self.webhooks = page.locator("section[aria-labelledby=outbox-webhooks] tbody tr")
        self.phones = page.locator("section[aria-labelledby=outbox-phones] tbody tr")
        self.past = page.locator("#past")
        self.found = page.locator(".found")
        self.past_search = page.get_by_label("Order number, robot or reason")
        self.steps = page.locator(".way li")
        self.rows = page.locator(".found tbody tr")

    async def open(self, query: str = "") -> Self:
        """Open the page by the operator's link, or by a bookmark."""
        await self.page.goto(f"{self.base_url}public/monitor.html{query}")
        return self

    async def is_live(self) -> None:
        """Wait until the operator is signed in and the page shows the service's state."""
        await expect(self.badge).to_have_text("Live")
        await expect(self.page.locator("#monitor")).to_be_visible()

    async def look_back(self, address: str) -> None:
        """Open a view by its address, and wait until it shows something new."""
        await self.found.evaluate_all("nodes => nodes.forEach((node) => node.replaceChildren())")
        await self.page.evaluate("hash => { location.hash = hash }", address)
        await self.found.locator("h2").wait_for()

    async def sign_in(self, token: str) -> None:
        """Type a token, and press Enter."""
        await self.token.fill(token)
        await self.token.press("Enter")

    def tile(self, name: str) -> Locator:
        """Locate the number of this tile."""
        return self.page.locator(f"#tiles [data-tile={name}] dd").first

    def card(self, title: str) -> Locator:
        """Locate a topic in the overview."""
        return self.cards.filter(has=self.page.get_by_role("heading", name=title, exact=True))

    def button(self, name: str) -> Locator:
        """Locate a visible button."""
        return self.page.get_by_role("button", name=name, exact=True)

    def shelf(self, name: str) -> Locator:
        """Locate the button of a shelf of orders; its number is part of the text."""
        return self.page.locator("#shelves button").filter(has_text=name)

    def worker(self, label: str) -> Locator:
        """Locate a robot's row."""
        return self.workers.filter(has_text=label)

    async def id_of(self, number: int) -> str:
        """Return an order's secret id, as this page received it."""
        url = f"{self.base_url}operator/jobs?after={number - 1}&limit=1"
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        answer = await self.page.request.get(url, headers=headers)
        return str((await answer.json())["jobs"][0]["id"])

    async def find(self, text: str) -> None:
        """Search for an order."""
        await self.search.fill(text)
        await self.search.press("Enter")

    async def act(self, name: str, yes: str, reason: str = "") -> None:
        """Press a button, give a reason, and confirm."""
        await self.button(name).click()
        await self.reason.fill(reason)
        await self.button(yes).click()
        await expect(self.dialog).to_be_hidden()

    async def shelf_shows(self, shelf: str, *numbers: int) -> None:
        """Wait until a shelf shows exactly these orders, in this order."""
        await self.shelf(shelf).click()
        await self.shows_orders(*numbers)

    async def shows_orders(self, *numbers: int) -> None:
        """Wait until the shelf that is shown has exactly these orders, in this order."""
        await expect(self.orders.locator("th")).to_have_text([f"#{n}" for n in numbers])
