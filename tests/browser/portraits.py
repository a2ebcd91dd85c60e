"""Make the pictures of the documentation from the real pages: python -m tests.browser.portraits"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from base64 import b64encode

from playwright.async_api import Browser, async_playwright

from tests.browser import evenings, journeys
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.served_bar import open_bar
from tests.browser.visitors import PHONE, Visitors
from tests.support.paths import DOCS

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

FRAMES = """<style>
    body { display: inline-flex; gap: 28px; margin: 0; padding: 6px; }
    img { width: 250px; border: 7px solid #231942; border-radius: 34px; }
</style>"""


async def main() -> None:
    """Write the pictures in docs/img."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        phones = [await phone(browser, *which) for which in PHONES]
        await frame(browser, phones, "order")
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


async def reach(state: str, journey: journeys.Journey) -> None:
    """Run a journey up to this state."""
    async for reached in journey:
        if reached == state:
            return


def shrink() -> None:
    """Shrink the files, if pngquant is installed."""
    if pngquant := shutil.which("pngquant"):
        pictures = map(str, PICTURES.glob("*.png"))
        subprocess.run([pngquant, "--force", "--ext", ".png", "--strip", *pictures], check=True)


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    asyncio.run(main())
    shrink()
