"""Visitors of the pages: phones, televisions and desktops, and the errors on their consoles."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, WebError

from tests.browser.monitor_page import MonitorPage
from tests.browser.pages import BoardPage, OrderPage
from tests.browser.served_bar import OPERATOR_TOKEN
from tests.browser.worker_page import WorkerPage
from tests.support.proxy import Proxy

PLAIN_HOST = "bar.test"
"""A name of this machine. To browsers it is one without HTTPS, unlike 127.0.0.1."""

NETWORK_ERRORS = (
    "Failed to load resource",
    "WebSocket connection",
    "An unknown error occurred when fetching the script.",  # of a service worker
    "Failed to fetch dynamically imported module",
)
"""How the browser's own words for failed requests begin."""

HUNG_UP = "WebSocket is closed before the connection is established"
"""A page that goes elsewhere at once may hang up before it is answered."""

EVERYBODY: dict[str, Any] = {"locale": "en-GB", "reduced_motion": "reduce"}
"""Reduced motion makes tests quicker, and pictures reproducible."""

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
TABLET: dict[str, Any] = {
    "viewport": {"width": 820, "height": 1180},
    "is_mobile": True,
    "has_touch": True,
}
TELEVISION: dict[str, Any] = {"viewport": {"width": 1920, "height": 1080}}
DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 1000}}


class Visitors:
    """Opens pages, each in its own browser profile; ``complaints`` has every error in them."""

    def __init__(self, browser: Browser, proxy: Proxy) -> None:
        self.complaints: list[str] = []
        self.expect_network_errors = False
        """Whether failed requests, which the browser reports itself, are no complaints."""
        self._browser = browser
        self._proxy = proxy
        self._contexts: list[BrowserContext] = []

    async def phone(self, query: str = "", **profile: Any) -> OrderPage:
        """Open the order page on a phone."""
        return await (await self.newcomer(**profile)).open(query)

    async def newcomer(self, **profile: Any) -> OrderPage:
        """Return a phone that has not opened the order page yet."""
        return OrderPage(await self.page(**PHONE | profile), self._proxy.url)

    async def television(self, query: str = "", **profile: Any) -> BoardPage:
        """Open the board on a television."""
        return await (await self.blank_television(**profile)).open(query)

    async def blank_television(self, **profile: Any) -> BoardPage:
        """Return a television that has not opened a page yet."""
        return BoardPage(await self.page(**TELEVISION | profile), self._proxy.url)

    async def tablet(self, address: str = "", **profile: Any) -> WorkerPage:
        """Open the page for people behind the bar."""
        page = await self.page(**TABLET | profile)
        return await WorkerPage(page, self._proxy.url).open(address)

    OPERATORS_LINK = f"?token={OPERATOR_TOKEN}"

    async def operator(self, query: str = OPERATORS_LINK, **profile: Any) -> MonitorPage:
        """Open the operator's link, and wait until it is signed in."""
        monitor = await (await self.blank_desk(**profile)).open(query)
        await monitor.is_live()
        return monitor

    async def blank_desk(self, **profile: Any) -> MonitorPage:
        """Return a desktop that has not opened a page yet."""
        return MonitorPage(await self.page(**DESK | profile), self._proxy.url)

    async def page(self, **profile: Any) -> Page:
        """Return an empty page whose errors are collected."""
        context = await self._browser.new_context(**EVERYBODY | profile)
        self._contexts.append(context)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        return await context.new_page()

    async def leave(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            await context.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        url = message.location["url"]
        is_network = message.text.startswith(NETWORK_ERRORS) and self.expect_network_errors
        if not is_network and HUNG_UP not in message.text:
            self.complaints.append(f"{message.type}: {message.text} ({url})")

    def _on_error(self, error: WebError) -> None:
        if error.error.message.startswith(NETWORK_ERRORS) and self.expect_network_errors:
            return
        self.complaints.append(f"uncaught: {error.error.message}")
