"""Make the icons of the installed page from the robot: python -m tests.browser.icons"""

from __future__ import annotations

import asyncio

from playwright.async_api import Browser, async_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.portraits import shrink
from tests.support.paths import ROOT

IMAGES = ROOT / "static" / "img"

APP = """<style>
    body { display: grid; place-items: center; height: 100vh; margin: 0; background:
        radial-gradient(circle at 100% 0, #ffd9c2, transparent 60%),
        radial-gradient(circle at 0 100%, #d9f5d6, transparent 60%), #fff4e3; }
    svg { height: 68%; }
</style>"""
"""The robot is inside the circle that a mask may leave: four fifths of the icon."""

BADGE = """<style>body { margin: 0; } svg { display: block; height: 100vh; }</style>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<path fill="#fff" fill-rule="evenodd" d="M32 3a5 5 0 0 1 2 9.6V17h10a10 10 0 0 1 10 10v3h4v14h-4v3
 a10 10 0 0 1-10 10H20a10 10 0 0 1-10-10v-3H6V30h4v-3a10 10 0 0 1 10-10h10v-4.4A5 5 0 0 1 32 3z
 M23 29a4 4 0 0 0-4 4v4a4 4 0 0 0 8 0v-4a4 4 0 0 0-4-4z
 M41 29a4 4 0 0 0-4 4v4a4 4 0 0 0 8 0v-4a4 4 0 0 0-4-4zM22 46v4h20v-4z"/></svg>"""
"""Phones show only its outline, in one colour."""


async def main() -> None:
    """Write the icons in static/img."""
    robot = (IMAGES / "robot.svg").read_text()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for size_px in (192, 512):
            await draw(browser, APP + robot, size_px, f"app-{size_px}")
        await draw(browser, BADGE, 96, "app-badge")
        await browser.close()


async def draw(browser: Browser, content: str, size_px: int, name: str) -> None:
    """Draw a square picture; what has no background is transparent."""
    page = await browser.new_page(viewport={"width": size_px, "height": size_px})
    await page.set_content(content)
    await page.screenshot(path=IMAGES / f"{name}.png", omit_background=True)
    await page.close()


if __name__ == "__main__":
    asyncio.run(main())
    shrink(IMAGES.glob("app-*.png"))
