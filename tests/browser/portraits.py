"""Make the pictures of the documentation from the real pages: python -m tests.browser.portraits"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright, expect

from tests.browser import evenings, journeys
from tests.browser.conftest import WHOLE
from tests.browser.served_bar import open_bar
from tests.browser.service_worker import ServiceWorker, is_kept, now_and_then
from tests.browser.subscriber import PUSHED_TO, Subscriber, message
from tests.browser.visitors import PHONE, Visitors
from tests.support.paths import DOCS, ROOT
from tests.support.receiver import running_receiver

PICTURES = DOCS / "img"

PHONES = (
    (journeys.a_small_menu, "small-menu", "light"),
    (journeys.a_drink, "mixing", "light"),
    (journeys.a_drink, "ready", "dark"),
)

DESKS = (
    ("search", "history", 580),
    ("robots-day", "robots-day", 900),
    ("by-hour", "statistics", 850),
)
"""The views of yesterday evening on a desktop: the name of each picture, and its height."""

POCKETS = (("orders-way", "light"), ("robots-day", "dark"), ("by-hour", "light"))
"""The views of yesterday evening on a phone."""

LOCK_SCREEN = """<style>
    body { margin: 0; padding: 64px 14px; background: linear-gradient(160deg, #43194f, #123a4d);
        font: 17px/1.35 system-ui, sans-serif; color: #231942; }
    section { display: flex; gap: 14px; margin-bottom: 12px; padding: 14px; border-radius: 24px;
        background: #fffe; }
    img { width: 46px; height: 46px; border-radius: 12px; }
    b, small { display: block; }
    small { color: #62567f; }
</style>"""

FRAMES = """<style>
    body { display: inline-flex; gap: 28px; margin: 0; padding: 6px; }
    img { width: 250px; border: 7px solid #231942; border-radius: 34px; }
</style>"""


async def main() -> None:
    """Write the pictures in docs/img."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**WHOLE)
        phones = [await phone(browser, *which) for which in PHONES]
        await frame(browser, phones, "order")
        await app(browser)
        await board(browser)
        await monitor(browser)
        await overview(browser)
        await looks_back(browser)
        await browser.close()


async def phone(browser: Browser, journey: journeys.OrderJourney, state: str, scheme: str) -> bytes:
    """Take a picture of a phone in one state of a journey."""
    async with open_bar() as bar:
        visitors = Visitors(browser, bar.proxy)
        customer = await visitors.newcomer(color_scheme=scheme, device_scale_factor=2)
        await reach(state, journey(bar, customer))
        await customer.page.evaluate("scrollTo(0, 0)")
        picture = await customer.page.screenshot(animations="disabled")
        await visitors.leave()
        return picture


async def app(browser: Browser) -> None:
    """Take pictures of the page as an app: notified of an order, and without a network."""
    async with open_bar(allow_push=PUSHED_TO) as bar, running_receiver() as push_service:
        visitors = Visitors(browser, bar.proxy)
        customer = await Subscriber.come(
            visitors, push_service, permissions=["notifications"], device_scale_factor=2
        )
        phone = await customer.phone.open()
        bar.knows_mixing_times(*journeys.MIXING_TIMES_S)
        await bar.robot()
        await bar.order("Ann", "Ben", "Cleo")
        await phone.place("Gin Tonic", "Ada", "Octopus")
        await expect(phone.headline).to_have_text("2 ahead of you")
        await expect(phone.notified).to_be_visible()
        await is_kept(phone.page)
        screens = [await phone.page.screenshot(animations="disabled")]
        worker = await ServiceWorker.of(phone.page)
        for n, kind in enumerate(("two_before", "making", "late", "ready", "failed")):
            await worker.push(message(str(n), kind, ticket=4))
        shown = await eventually_shown(worker, 5)
        screens.append(await lock_screen(browser, shown))
        bar.proxy.go_offline()
        await phone.page.emulate_media(color_scheme="dark")
        await phone.page.reload()
        await expect(phone.banner).to_be_visible()
        screens.append(await phone.page.screenshot(animations="disabled"))
        await visitors.leave()
    await frame(browser, screens, "app")


async def lock_screen(browser: Browser, shown: list[dict[str, Any]]) -> bytes:
    """Draw what notifications say as a phone does; how each phone shows them is its own affair."""
    icon = b64encode((ROOT / "static/img/app-192.png").read_bytes()).decode()
    cards = (
        f'<section><img src="data:image/png;base64,{icon}" alt=""><div><small>Robot Bar</small>'
        f"<b>{escape(one['title'])}</b>{escape(one['body'])}</div></section>"
        for one in shown
    )
    size = PHONE["viewport"]
    page = await browser.new_page(viewport=size, device_scale_factor=2)
    await page.set_content(LOCK_SCREEN + "".join(cards))
    picture = await page.screenshot()
    await page.close()
    return picture


async def frame(browser: Browser, screens: list[bytes], name: str) -> None:
    """Put all phones side by side on a transparent background."""
    page = await browser.new_page(device_scale_factor=1.5, viewport={"width": 1000, "height": 700})
    images = (f'<img src="data:image/png;base64,{b64encode(one).decode()}">' for one in screens)
    await page.set_content(FRAMES + "".join(images))
    body = page.locator("body")
    await body.screenshot(path=PICTURES / f"{name}.png", omit_background=True)
    await page.close()


async def board(browser: Browser) -> None:
    """Take a picture of the board, at a readable size."""
    async with open_bar() as bar:
        visitors = Visitors(browser, bar.proxy)
        size = {"width": 1280, "height": 720}
        television = await visitors.blank_television(viewport=size)
        await reach("busy", journeys.a_party(bar, television))
        await television.page.screenshot(path=PICTURES / "board.png", animations="disabled")
        await visitors.leave()


async def monitor(browser: Browser) -> None:
    """Take a picture of the monitor in the middle of a busy evening."""
    async with open_bar() as bar:
        visitors = Visitors(browser, bar.proxy)
        desk = await visitors.blank_desk(viewport={"width": 1360, "height": 1120})
        await reach("busy", evenings.a_busy_evening(bar, desk))
        await desk.page.screenshot(path=PICTURES / "monitor.png", animations="disabled")
        await visitors.leave()


async def overview(browser: Browser) -> None:
    """Take a picture of the overview of several bars."""
    async with open_bar(topics=evenings.BARS) as bar:
        visitors = Visitors(browser, bar.proxy)
        desk = await visitors.blank_desk(viewport={"width": 1360, "height": 460})
        await reach("overview", evenings.a_house_of_bars(bar, desk))
        await desk.page.screenshot(path=PICTURES / "overview.png", animations="disabled")
        await visitors.leave()


async def looks_back(browser: Browser) -> None:
    """Take pictures of yesterday evening, on a desktop and on phones."""
    async with open_bar() as bar:
        await evenings.work_through(bar)
        visitors = Visitors(browser, bar.proxy)
        for state, name, height in DESKS:
            desk = await visitors.operator(viewport={"width": 1360, "height": height})
            await desk.look_back(evenings.LOOKS_BACK[state])
            await desk.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")
        screens = []
        for state, scheme in POCKETS:
            profile = PHONE | {"color_scheme": scheme, "device_scale_factor": 2}
            pocket = await visitors.operator(**profile)
            await pocket.look_back(evenings.LOOKS_BACK[state])
            await pocket.found.evaluate("node => scrollTo(0, node.offsetTop - 16)")
            screens.append(await pocket.page.screenshot(animations="disabled"))
        await visitors.leave()
    await frame(browser, screens, "history-phone")


async def eventually_shown(worker: ServiceWorker, count: int) -> list[dict[str, Any]]:
    """Wait until so many notifications are shown; return them, the first one first."""

    async def are_shown() -> bool:
        return len(await worker.shown()) == count

    await now_and_then(are_shown)
    return sorted(await worker.shown(), key=lambda one: str(one["tag"]))


async def reach(state: str, journey: journeys.Journey) -> None:
    """Run a journey up to this state."""
    async for reached in journey:
        if reached == state:
            return


def shrink(pictures: Iterable[Path]) -> None:
    """Shrink PNG files, if pngquant is installed."""
    if pngquant := shutil.which("pngquant"):
        subprocess.run([pngquant, "--force", "--ext", ".png", "--strip", *pictures], check=True)


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    asyncio.run(main())
    shrink(PICTURES.glob("*.png"))
