"""What an order does outside the page: sound, vibration, a lit screen, a notification, a link."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.pages import hold_back, stop_clock
from tests.browser.served_bar import Bar
from tests.browser.visitors import Visitors

RECORD_CALLS = """
    window.sensed = [];
    const note = (name) => { sensed.push(name); return Promise.resolve(); };
    navigator.vibrate = () => note('vibration');
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...when) { note('tone'); start.apply(this, when); };
    const lock = { release: () => { note('dark again'); lock.onrelease(); } };
    Object.defineProperty(navigator, 'wakeLock', {
        value: { request: () => note('lit').then(() => lock) },
    });
"""
"""Records the calls, since a headless browser has neither a motor nor a screen."""


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_ready_drink_is_heard_and_felt(bar: Bar, visitors: Visitors, is_slow: bool) -> None:
    """Three tones and a vibration when it is ready, not before; the screen stays on until then.

    On a slow network, too, where Order is tapped before the scripts that follow an order are there.
    """
    robot = await bar.robot()
    phone = await visitors.newcomer()
    await phone.page.add_init_script(RECORD_CALLS)
    may_load = await hold_back(phone.page, "**/signal.js")
    if not is_slow:
        may_load.set()
    await phone.open()
    await phone.order()
    may_load.set()
    await phone.shows("assigned")
    assert await phone.page.evaluate("sensed") == ["lit"]
    robot.finish()
    await phone.shows("done")
    await phone.page.wait_for_function("() => sensed.includes('dark again')")
    sensed = await phone.page.evaluate("sensed")
    assert set(sensed) == {"lit", "tone", "vibration", "dark again"}
    assert (sensed.count("lit"), sensed.count("tone"), sensed.count("vibration")) == (1, 3, 1)


KEEP_SOUND = """
    const { AudioContext: Context } = window;
    window.AudioContext = class extends Context {
        constructor() {
            super();
            window.sound = this;
        }
    };
"""


async def test_a_ready_drink_is_heard_after_an_interruption(bar: Bar, visitors: Visitors) -> None:
    """A phone may silence a page, as for a call: it sounds again without having been touched."""
    robot = await bar.robot()
    phone = await visitors.newcomer()
    await phone.page.add_init_script(KEEP_SOUND)
    await phone.open()
    await phone.place()
    await phone.shows("assigned")
    await phone.page.wait_for_function("() => window.sound?.state === 'running'")
    await phone.page.evaluate("sound.suspend()")
    robot.finish()
    await phone.shows("done")
    await phone.page.wait_for_function("() => sound.state === 'running'")


NOTE_NOTICES_DOWN = """
    Object.defineProperty(navigator, 'serviceWorker', { value: undefined });
    window.notices = [];
    window.Notification = class {
        static permission = 'default';
        static requestPermission() {
            this.permission = 'granted';
            return Promise.resolve(this.permission);
        }
        constructor(text) { notices.push(text); }
    };
"""


async def test_notification(bar: Bar, visitors: Visitors) -> None:
    """Without a service worker: the button asks once, and a hidden page sends one notification."""
    robot = await bar.robot()
    phone = await visitors.newcomer()
    await phone.page.add_init_script(NOTE_NOTICES_DOWN)
    await phone.open()
    await phone.place()
    await phone.shows("assigned")
    await phone.button("Notify me").click()
    await expect(phone.button("Notify me")).to_be_hidden()
    await expect(phone.notified).to_contain_text("this browser can’t do it otherwise")
    await phone.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    assert await phone.page.evaluate("notices") == []
    robot.finish()
    await phone.shows("done")
    notices = await phone.page.evaluate("notices")
    assert len(notices) == 1
    assert "ready" in notices[0].lower()


async def test_an_order_is_followed_without_any_of_it(bar: Bar, visitors: Visitors) -> None:
    """Old phones, and pages without https, have none of these."""
    robot = await bar.robot()
    phone = await visitors.newcomer()
    await phone.page.add_init_script(
        "for (const name of ['vibrate', 'wakeLock', 'share', 'clipboard'])"
        " Object.defineProperty(navigator, name, { value: undefined });"
        "window.AudioContext = window.Notification = undefined;"
    )
    await phone.open()
    await phone.place()
    await phone.button("Share").click()
    link = phone.page.get_by_label("Link to this order")
    await expect(link).to_have_value(f"{phone.base_url}public/order_drink.html?order="
                                     + await phone.order_id())  # fmt: skip
    robot.finish()
    await phone.shows("done")


async def test_a_link_that_is_shown_goes_with_its_order(visitors: Visitors) -> None:
    """Another order of the same phone is not shown above it."""
    phone = await visitors.newcomer()
    await phone.page.add_init_script(
        "for (const name of ['share', 'clipboard'])"
        " Object.defineProperty(navigator, name, { value: undefined });"
    )
    await phone.open()
    await phone.place(name="Ann")
    await phone.button("Order another").click()
    await phone.place(name="Ben")
    link = phone.page.get_by_label("Link to this order")
    await phone.button("Share").click()
    await expect(link).to_have_value(re.compile(f"order={await phone.order_id()}$"))
    await phone.tabs.last.click()
    await expect(phone.number).to_have_text("1")
    await expect(link).to_be_hidden()


async def test_a_link_is_copied(visitors: Visitors) -> None:
    """If a phone cannot share, the link is copied to the clipboard, and the button says so."""
    phone = await visitors.newcomer(permissions=["clipboard-read", "clipboard-write"])
    await phone.page.add_init_script(
        "Object.defineProperty(navigator, 'share', { value: undefined })"
    )
    await phone.page.clock.install()
    await phone.open()
    await phone.place()
    await stop_clock(phone.page)  # it says so for a moment only
    await phone.button("Share").click()
    await expect(phone.button("Link copied")).to_be_visible()
    copied = str(await phone.page.evaluate("navigator.clipboard.readText()"))
    assert copied.endswith(f"?order={await phone.order_id()}")
