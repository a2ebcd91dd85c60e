"""The service worker of an order page: what is pushed to it, and the notifications it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import CDPSession, Page, Worker

from tests.support.server import eventually

BETWEEN_LOOKS_S, LONGEST_S = 0.5, 30.0

SCOPE_AND_SCRIPT = """navigator.serviceWorker.ready.then(
    ({ scope, active }) => [scope, active.scriptURL])"""
COUNT_SHOWN = """() => {
    self.shownSoFar = 0;
    const { showNotification } = ServiceWorkerRegistration.prototype;
    ServiceWorkerRegistration.prototype.showNotification = async function (...what) {
        await showNotification.apply(this, what);
        shownSoFar += 1;
    };
}"""
SHOWN = """async () => {
    const registration = await navigator.serviceWorker.ready;
    const shown = await registration.getNotifications();
    return shown.map(({ title, body, tag, lang, silent }) => ({ title, body, tag, lang, silent }));
}"""
IS_KEPT = """async () => {
    for (const name of await caches.keys()) {
        if (name.startsWith('page ') && await caches.match(
            location.href, { cacheName: name, ignoreSearch: true })) return true;
    }
    return false;
}"""
RECORD_WINDOWS = """() => {
    self.opened = [];
    self.focused = [];
    Clients.prototype.openWindow = async (url) => { opened.push(url); };
    WindowClient.prototype.focus = async function () { focused.push(this.url); };
}"""
CLICK = """async (tag) => {
    const [notification] = await registration.getNotifications({ tag });
    dispatchEvent(new NotificationEvent('notificationclick', { notification }));
}"""
HAS_LED_SOMEWHERE = "opened.length + focused.length > 0"


class ServiceWorker:
    """The service worker of a page that has been opened, and that may notify."""

    def __init__(self, page: Page, devtools: CDPSession, registration_id: str, script: str) -> None:
        self._page = page
        self._devtools = devtools
        self._registration_id = registration_id
        self._script = script

    @classmethod
    async def of(cls, page: Page) -> ServiceWorker:
        """Wait until the page's service worker is active."""
        scope, script = await page.evaluate(SCOPE_AND_SCRIPT)
        devtools = await page.context.new_cdp_session(page)
        ids: dict[str, str] = {}
        devtools.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: ids.update(
                {one["scopeURL"]: one["registrationId"] for one in event["registrations"]}
            ),
        )
        await devtools.send("ServiceWorker.enable")

        async def is_known() -> bool:
            return scope in ids

        await eventually(is_known)
        worker = cls(page, devtools, ids[scope], script)
        await worker.running.evaluate(COUNT_SHOWN)
        return worker

    @property
    def running(self) -> Worker:
        """The worker itself, to evaluate something in it; other topics have one of their own."""
        workers = self._page.context.service_workers
        return next(one for one in reversed(workers) if one.url == self._script)

    async def push(self, data: str) -> None:
        """Deliver a push message to the service worker, and wait until it has shown it."""
        before = await self.running.evaluate("shownSoFar")
        url = urlsplit(self._page.url)
        await self._devtools.send(
            "ServiceWorker.deliverPushMessage",
            {
                "origin": f"{url.scheme}://{url.netloc}",
                "registrationId": self._registration_id,
                "data": data,
            },
        )
        await self.has_shown(before + 1)

    async def has_shown(self, count: int) -> None:
        """Wait until it has shown so many notifications."""

        async def is_so() -> bool:
            return bool(await self.running.evaluate("shownSoFar") >= count)

        await eventually(is_so, LONGEST_S)

    async def shown(self) -> list[dict[str, Any]]:
        """Return the notifications that are shown."""
        return list(await self._page.evaluate(SHOWN))

    async def shows(self, *titles: str) -> list[dict[str, Any]]:
        """Wait until exactly these notifications are shown, in any order; return them."""

        async def are_shown() -> bool:
            return sorted(one["title"] for one in await self.shown()) == sorted(titles)

        await now_and_then(are_shown)
        return await self.shown()

    async def click(self, order_id: str) -> None:
        """Click the notification of an order, and wait until a window was opened or focused.

        Only a real click may open or focus a window, so it is recorded: see ``windows``.
        """
        await self.running.evaluate(RECORD_WINDOWS)
        await self.running.evaluate(CLICK, f"order {order_id}")
        await eventually(lambda: self.running.evaluate(HAS_LED_SOMEWHERE))

    async def windows(self, kind: str) -> list[str]:
        """Return the addresses of the windows that the last click ``opened`` or ``focused``."""
        return list(await self.running.evaluate(kind))


async def now_and_then(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a check that looks at notifications is true.

    Whoever asks Chromium for them between the moments at which one is stored and displayed makes it
    forget that one, so it is asked seldom.
    """
    async with asyncio.timeout(LONGEST_S):
        while True:
            await asyncio.sleep(BETWEEN_LOOKS_S)
            if await check():
                return


async def is_kept(page: Page) -> None:
    """Wait until the page is kept for when the bar cannot be reached."""
    await eventually(lambda: page.evaluate(IS_KEPT), LONGEST_S)
