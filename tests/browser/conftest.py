"""Fixtures: one Chromium for all tests of this folder, and a service of its own for each."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.served_bar import PREFIX, Bar, open_bar
from tests.browser.visitors import PLAIN_HOST, Visitors

CHROMIUM = Path("/usr/bin/chromium-headless-shell")
WHOLE_CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1",
]
WHOLE: dict[str, Any] = {
    "executable_path": WHOLE_CHROMIUM,
    "args": [*FLAGS, "--headless=new"],
    "ignore_default_args": ["--headless"],
}
"""How the whole Chromium is launched, without a screen."""

PATIENCE_MS = 10_000

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests on one event loop, since the browser belongs to it."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium; without it the tests are skipped, except in CI."""
    _need(CHROMIUM)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole_browser() -> AsyncIterator[Browser]:
    """The Chromium that people use, with what its small one lacks: notifications and installing."""
    _need(WHOLE_CHROMIUM)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**WHOLE)
        yield browser
        await browser.close()


def _need(program: Path) -> None:
    if not program.exists():
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"{program} is missing: apt-get install {program.name}")


@pytest_asyncio.fixture(loop_scope="session")
async def bar(request: pytest.FixtureRequest) -> AsyncIterator[Bar]:
    """A service without robots, behind a path prefix unless the test says otherwise."""
    async with open_bar(getattr(request, "param", PREFIX)) as bar:
        yield bar


@pytest_asyncio.fixture(loop_scope="session")
async def visitors(browser: Browser, bar: Bar) -> AsyncIterator[Visitors]:
    """Browsers of customers and operators; the test fails if one of their consoles has an error."""
    visitors = Visitors(browser, bar.proxy)
    yield visitors
    complaints = [*visitors.complaints]
    await visitors.leave()
    assert complaints == []
