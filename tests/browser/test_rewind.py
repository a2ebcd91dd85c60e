"""The monitor rewound: slider, playing, a link that is shared, and back to live with one key."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from playwright.async_api import Route, expect

from tests.browser.monitor_page import MonitorPage
from tests.browser.pages import hold_back
from tests.browser.past_evening import PastEvening, opening
from tests.browser.served_bar import Bar
from tests.browser.visitors import Visitors

KEEP_PLAYED = """
    const { WebSocket: Socket } = window;
    window.WebSocket = class extends Socket {
        constructor(url) {
            super(url);
            if (!String(url).includes('moment')) return;
            window.played = this;
            this.addEventListener('message', ({ data }) => { this.last = data; });
        }
    };
"""
"""Keeps the connection over which the past is played, and its last frame."""


async def begin(bar: Bar) -> None:
    """Let two robots serve a few guests yesterday evening."""
    evening = PastEvening(bar)
    await evening.begins()
    await evening.serve(600.0 + 150 * n for n in range(6))
    evening.at(2400.0)
    await bar.order("Late", drink="beer")
    evening.end()


def moment(seconds: float) -> str:
    """Return so many seconds after the bar opened, as an address has it."""
    at = opening().timestamp() + seconds
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


async def look_at(monitor: MonitorPage, seconds: float) -> None:
    """Open the address of a moment, and wait until it is shown."""
    address = f"rewind?at={moment(seconds)}"
    await monitor.page.evaluate("hash => { location.hash = hash }", address)
    await expect(monitor.badge).to_have_text("Past")


async def test_what_was_then(bar: Bar, visitors: Visitors) -> None:
    """The same views as of that second: an order that waited, its time, and nobody there yet."""
    await begin(bar)
    monitor = await visitors.operator()
    await expect(monitor.tile("waiting")).to_have_text("0")
    await look_at(monitor, 60)
    await expect(monitor.rewound).to_contain_text("As it was on")
    await expect(monitor.rewound).to_contain_text("18:01:00")
    await expect(monitor.tile("waiting")).to_have_text("1")
    await expect(monitor.workers).to_have_count(0)
    row = monitor.orders.first
    await expect(row).to_contain_text(
        re.compile(r"#1.*Gin Tonic.*Grace.*(0:59|1:00).*no robot is here")
    )
    await look_at(monitor, 135)
    await expect(monitor.tile("waiting")).to_have_text("0")
    await monitor.shelf("Failed").click()
    await expect(monitor.orders.first).to_contain_text("the glass broke")
    await expect(monitor.events.first).to_contain_text("the glass broke")
    await expect(monitor.events.first).to_contain_text("18:02:0")


async def test_nothing_can_be_done_to_the_past(bar: Bar, visitors: Visitors) -> None:
    """No button acts on anything, and none is left when the view is live again, or missing then."""
    await begin(bar)
    monitor = await visitors.operator()
    await bar.robot("Robot Cleo")
    await expect(monitor.page.locator("[data-act]")).not_to_have_count(0)
    await look_at(monitor, 60)
    await expect(monitor.orders).to_have_count(1)
    await expect(monitor.page.locator("[data-act]")).to_have_count(0)
    await expect(monitor.button("Pause")).to_be_hidden()
    await expect(monitor.search).to_be_hidden()
    await monitor.page.keyboard.press("Escape")
    await monitor.is_live()
    await expect(monitor.page.locator("[data-act]")).not_to_have_count(0)
    await expect(monitor.button("Pause")).to_be_visible()


async def test_a_paused_log_is_that_of_its_time(bar: Bar, visitors: Visitors) -> None:
    """Entering or leaving the past ends a pause: events of now and then are not mixed."""
    await begin(bar)
    monitor = await visitors.operator()
    await expect(monitor.events).not_to_have_count(0)
    await monitor.button("Pause the log").click()
    await look_at(monitor, 135)
    await expect(monitor.events.first).to_contain_text("the glass broke")
    await monitor.button("Pause the log").click()
    await monitor.page.keyboard.press("Escape")
    await monitor.is_live()
    await expect(monitor.events.first).not_to_contain_text("the glass broke")
    await expect(monitor.button("Pause the log")).to_be_visible()


async def test_skip_links_stay_in_the_past(bar: Bar, visitors: Visitors) -> None:
    """They lead to the robots, orders and events of that moment."""
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, 60)
    await expect(monitor.rewound).to_contain_text("18:01:00")
    await monitor.page.get_by_role("link", name="Orders", exact=True).press("Enter")
    await expect(monitor.page.locator("#orders-title")).to_be_focused()
    await expect(monitor.badge).to_have_text("Past")
    await expect(monitor.rewound).to_contain_text("18:01:00")


async def test_steps_in_quick_succession(bar: Bar, visitors: Visitors) -> None:
    """Each click is a step, however quickly they come."""
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, 600)
    await expect(monitor.rewound).to_contain_text("18:10:00")
    await monitor.button("−1 min").click(click_count=5)
    await expect(monitor.rewound).to_contain_text("18:05:00")
    await monitor.button("+1 min").click(click_count=3)
    await expect(monitor.rewound).to_contain_text("18:08:00")


async def test_the_slider(bar: Bar, visitors: Visitors) -> None:
    """It goes over the kept history, by the keyboard second by second; the field takes a time."""
    await begin(bar)
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Rewind").click()
    await expect(monitor.badge).to_have_text("Past")
    slider = monitor.page.get_by_role("slider", name="Moment")
    await expect(slider).to_have_attribute("aria-valuetext", re.compile(r"\d\d:\d\d:\d\d"))
    await slider.press("Home")
    await expect(monitor.rewound).to_contain_text("18:00:0")
    await expect(monitor.tile("waiting")).to_have_text("1")
    for _ in range(3):
        await slider.press("ArrowRight")
    await expect(monitor.rewound).to_contain_text(re.compile("18:00:0[34]"))
    await monitor.button("+1 min").click()
    await expect(monitor.rewound).to_contain_text(re.compile("18:01:0[34]"))
    await monitor.page.get_by_label("Day and time").fill(f"{opening():%Y-%m-%d}T18:02:10")
    await monitor.button("Show").click()
    await expect(monitor.rewound).to_contain_text("18:02:10")
    await expect(monitor.shelf("Failed")).to_contain_text("1")
    await monitor.button("−1 min").click()
    await expect(monitor.rewound).to_contain_text("18:01:10")


async def test_the_slider_while_the_service_answers(bar: Bar, visitors: Visitors) -> None:
    """It stays where it was moved to, so that no step is lost, whatever is shown meanwhile."""
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, 60)
    await expect(monitor.rewound).to_contain_text("18:01:00")
    may_answer = asyncio.Semaphore(0)

    async def answer_one(route: Route) -> None:
        await may_answer.acquire()
        await route.continue_()

    await monitor.page.route("**/state?*", answer_one)
    slider = monitor.page.get_by_role("slider", name="Moment")
    for _ in range(2):
        await slider.press("ArrowRight")
    may_answer.release()
    await monitor.page.wait_for_url(lambda url: quote(moment(61)) in url)
    await slider.press("ArrowRight")
    for _ in range(2):
        may_answer.release()
    await monitor.page.wait_for_url(lambda url: quote(moment(63)) in url)


async def test_a_time_that_is_typed_while_it_plays(bar: Bar, visitors: Visitors) -> None:
    """It is the one that is shown: playing ends, or the next moment would overwrite it."""
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, 60)
    await monitor.button("Play").click()
    await expect(monitor.button("Stop")).to_be_visible()
    await monitor.page.get_by_label("Day and time").fill(f"{opening():%Y-%m-%d}T18:02:10")
    await expect(monitor.button("Play")).to_be_visible()
    await monitor.button("Show").click()
    await expect(monitor.rewound).to_contain_text("18:02:10")


async def test_leaving_while_it_plays(bar: Bar, visitors: Visitors) -> None:
    """A moment that comes just then does not hold the operator back."""
    await begin(bar)
    monitor = await visitors.blank_desk()
    await monitor.page.add_init_script(KEEP_PLAYED)
    await monitor.open(visitors.OPERATORS_LINK)
    await monitor.is_live()
    await look_at(monitor, 60)
    await monitor.button("Play").click()
    await monitor.page.wait_for_function("() => window.played?.last")
    await monitor.page.evaluate("location.hash = 'now'; played.onmessage({ data: played.last })")
    await monitor.is_live()


async def test_playing(bar: Bar, visitors: Visitors) -> None:
    """Ten times as fast, what happened comes again; stopped, it stays."""
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, 60)
    await monitor.page.get_by_label("Speed").select_option("10")
    await monitor.button("Play").click()
    await expect(monitor.workers).to_have_count(1)
    await expect(monitor.tile("assigned")).to_have_text("1")
    await monitor.page.get_by_label("Speed").select_option("60")
    await expect(monitor.events.first).to_contain_text(re.compile("Back in the queue|Given|Taken"))
    await monitor.button("Stop").click()
    shown = await monitor.rewound.locator("h2").inner_text()
    await expect(monitor.button("Play")).to_be_visible()
    await monitor.page.reload()
    await expect(monitor.rewound.locator("h2")).to_have_text(shown)


async def test_play_is_pressed_early(bar: Bar, visitors: Visitors) -> None:
    """A wish to play is kept until the service has answered, at the first moment and at others."""
    await begin(bar)
    monitor = await visitors.operator()
    answered = await hold_back(monitor.page, "**/state?*")
    await look_at(monitor, 60)
    await monitor.page.get_by_label("Speed").select_option("10")
    await monitor.button("Play").click()
    await expect(monitor.button("Stop")).to_be_visible()
    answered.set()
    await expect(monitor.workers).to_have_count(1)
    answered.clear()
    await monitor.button("−1 min").click()
    await monitor.button("Play").click()
    answered.set()
    await expect(monitor.workers).to_have_count(0)
    await expect(monitor.workers).to_have_count(1)


async def test_playing_in_safari(bar: Bar, visitors: Visitors) -> None:
    """There the address cannot be changed as often as moments are shown; they are all the same."""
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, 60)
    await expect(monitor.rewound).to_contain_text("18:01:00")
    await monitor.page.evaluate(
        "() => { history.replaceState = () => { throw new DOMException('', 'SecurityError'); }; }"
    )
    await monitor.page.get_by_label("Speed").select_option("10")
    await monitor.button("Play").click()
    await expect(monitor.workers).to_have_count(1)
    await monitor.button("Stop").click()
    await monitor.button("−1 min").click()
    await expect(monitor.workers).to_have_count(0)


async def test_out_and_in_again_while_asking(bar: Bar, visitors: Visitors) -> None:
    """What comes too late for the first visit is not shown in the second one, which asks again."""
    await begin(bar)
    monitor = await visitors.operator()
    answered = await hold_back(monitor.page, "**/state?*")
    await look_at(monitor, 60)
    await expect(monitor.page.get_by_role("slider", name="Moment")).to_be_enabled()
    await monitor.page.keyboard.press("Escape")
    await monitor.is_live()
    async with monitor.page.expect_response("**/operator/events?*"):
        await look_at(monitor, 60)
    answered.set()
    await expect(monitor.rewound).to_contain_text("18:01:00")
    await expect(monitor.tile("waiting")).to_have_text("1")


async def test_playing_without_websockets(bar: Bar, visitors: Visitors) -> None:
    """Where websockets are blocked, the frames come as an event stream."""
    visitors.expect_network_errors = True
    await begin(bar)
    monitor = await visitors.operator()
    bar.proxy.refuses_upgrades = True
    await look_at(monitor, 60)
    await monitor.page.get_by_label("Speed").select_option("10")
    await monitor.button("Play").click()
    await expect(monitor.workers).to_have_count(1)


async def test_a_shared_link(bar: Bar, visitors: Visitors) -> None:
    """Another operator, who signs in, sees the same second; the link has no token."""
    await begin(bar)
    monitor = await visitors.operator()
    await monitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await look_at(monitor, 60)
    await expect(monitor.tile("waiting")).to_have_text("1")
    await monitor.button("Copy link").click()
    await expect(monitor.said).to_have_text("Link to this second copied.")
    link = str(await monitor.page.evaluate("navigator.clipboard.readText()"))
    assert "token" not in link
    other = await visitors.blank_desk()
    await other.page.goto(link)
    await other.sign_in("operator-token-1")
    await expect(other.rewound).to_contain_text("18:01:00")
    await expect(other.tile("waiting")).to_have_text("1")
    await expect(other.orders.first).to_contain_text("Grace")


async def test_a_moment_that_is_not_kept(bar: Bar, visitors: Visitors) -> None:
    """The page says what the service does, and the operator can go on from there."""
    visitors.expect_network_errors = True
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, -3600)
    wrong = monitor.rewound.get_by_role("alert")
    await expect(wrong).to_contain_text("before the history that is kept: it begins at")
    await look_at(monitor, 60)
    await expect(monitor.rewound).to_contain_text("18:01:00")
    await expect(wrong).to_be_empty()


async def test_on_from_a_moment_that_is_not_kept(bar: Bar, visitors: Visitors) -> None:
    """The slider is over what is kept, and a step of a minute does not leave it."""
    visitors.expect_network_errors = True
    await begin(bar)
    monitor = await visitors.operator()
    await look_at(monitor, -3600)
    await expect(monitor.rewound.get_by_role("alert")).not_to_be_empty()
    slider = monitor.page.get_by_role("slider", name="Moment")
    await expect(slider).to_have_attribute("min", re.compile(r"\d{10}"))
    await monitor.button("−1 min").click()
    await expect(monitor.rewound).to_contain_text("18:00:0")
    await expect(monitor.rewound.get_by_role("alert")).to_be_empty()
    await monitor.page.keyboard.press("Escape")
    await monitor.is_live()
    await look_at(monitor, 1e7)
    await expect(monitor.rewound.get_by_role("alert")).to_contain_text("in the future")
    await monitor.button("−1 min").click()
    await expect(monitor.rewound).to_contain_text("As it was on")
    await expect(monitor.rewound).not_to_contain_text("18:00:0")


async def test_links_to_other_times(bar: Bar, visitors: Visitors) -> None:
    """A plus sign in a zone stays one; for something that is not a time, nothing else is shown."""
    await begin(bar)
    monitor = await visitors.operator()
    at = datetime.fromtimestamp(opening().timestamp() + 60, timezone(timedelta(hours=1)))
    await monitor.page.evaluate("at => { location.hash = `rewind?at=${at}` }", at.isoformat())
    await expect(monitor.rewound).to_contain_text("18:01:00")
    await monitor.page.keyboard.press("Escape")
    await monitor.is_live()
    await monitor.page.evaluate("location.hash = 'rewind?at=Friday'")
    wrong = monitor.rewound.get_by_role("alert")
    await expect(wrong).to_have_text(
        "“Friday” is not a time. Use a form like 2024-11-24T01:39:00Z."
    )
    await expect(monitor.rewound.locator("h2")).to_have_text("The monitor as it was")


async def test_nothing_has_happened_yet(visitors: Visitors) -> None:
    """A new service says that there is nothing to see; so it does in German."""
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Rewind").click()
    await expect(monitor.rewound).to_contain_text("There is no history to show yet.")
    monitor = await visitors.blank_desk()
    await monitor.open(f"{Visitors.OPERATORS_LINK}&lang=de#rewind")
    await expect(monitor.rewound).to_contain_text("Es gibt noch keinen Verlauf.")


@pytest.mark.parametrize("width", [320, 390])
async def test_on_a_phone_with_large_letters(bar: Bar, visitors: Visitors, width: int) -> None:
    """The controls are no wider than it."""
    await begin(bar)
    monitor = await visitors.operator(viewport={"width": width, "height": 844})
    await look_at(monitor, 60)
    await monitor.page.evaluate("document.documentElement.style.fontSize = '200%'")
    too_wide = """node => [node, ...node.querySelectorAll('*')]
        .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((one) => one.outerHTML.slice(0, 80))"""
    assert await monitor.rewound.evaluate(too_wide) == []
