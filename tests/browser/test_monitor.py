"""The monitor: what an operator sees."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import WebSocket, expect

from sanic_dispatch.config.menu import BUILT_IN
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import evidence
from tests.browser.journeys import LONG_DRINK
from tests.browser.served_bar import Bar
from tests.browser.visitors import Visitors
from tests.support.server import eventually

MARKUP = "<img src=x onerror=alert(1)>"

MARKS = "(all) => all.map((one) => getComputedStyle(one, '::before').content)"
TOPS = """() => [...document.querySelectorAll('.tiles dt + dd')].map(
    (number) => Math.round(number.getBoundingClientRect().top))"""
LINES = """(node) => {
    const text = document.createRange();
    text.selectNodeContents(node);
    return text.getClientRects().length;
}"""
HOLD_IS_BESIDE = """() => {
    const [title, button] = ['log-title', 'hold'].map(
        (id) => document.getElementById(id).getBoundingClientRect());
    return button.top < title.bottom && title.top < button.bottom;
}"""
RECORD_BADGE = """() => {
    window.said = [];
    const note = ({ addedNodes: [text] }) => said.push(text.data);
    new MutationObserver((changes) => changes.forEach(note))
        .observe(document.getElementById('badge'), { childList: true });
}"""
"""Records what it says: that it reconnects it says for two seconds only."""


async def test_tiles_follow_the_service(bar: Bar, visitors: Visitors) -> None:
    """Each tile has the current number: orders, robots, the last hour."""
    monitor = await visitors.operator()
    ada = await bar.robot("Robot Ada")
    await bar.robot("Robot Bert")
    await expect(monitor.tile("idle")).to_have_text("2")
    await bar.order("Ann", "Ben", "Cleo")
    for tile, value in {"waiting": "1", "assigned": "2", "idle": "0", "busy": "2"}.items():
        await expect(monitor.tile(tile)).to_have_text(value)
    ada.finish()
    for tile, number in {"waiting": "0", "hour": "1", "p50": "0:00"}.items():
        await expect(monitor.tile(tile)).to_have_text(number)
    await expect(monitor.tile("p90")).to_have_text(re.compile(r"0:0\d"))  # Cleo waited for Ada
    await expect(monitor.page).to_have_title("0 waiting · Monitor")


async def test_a_robots_row(bar: Bar, visitors: Visitors) -> None:
    """It has a link to the robot's instance, its state, its order, and for how long."""
    monitor = await visitors.operator()
    robot = await bar.robot("Robot Ada")
    await bar.order("Ann")
    row = monitor.worker("Robot Ada")
    moment = re.compile(r"^0:0\d$")
    await expect(row.locator("td")).to_have_text(["Mixing", "#1", moment, moment, ""])
    link = row.get_by_role("link", name="Robot Ada: process instance")
    await expect(link).to_have_attribute("href", robot.instance.url)
    await expect(link).to_have_attribute("rel", "noopener noreferrer")


async def test_why_a_robot_is_aside(bar: Bar, visitors: Visitors) -> None:
    """The reason, and apart from it how often it refused."""
    monitor = await visitors.operator()
    gone = {"CPEE-CALLBACK": "http://127.0.0.1:1/callbacks/1/", "CPEE-LABEL": "Robot Zoe"}
    async with bar.service.http.post(f"{bar.service.base_url}register-worker", headers=gone):
        await bar.order("Ann")
    notes = monitor.worker("Robot Zoe").locator("td small")
    await expect(notes).to_have_text([re.compile("reach|refused"), "1 refusal"])
    assert await notes.evaluate_all(MARKS) == ["none", '"· "']


async def test_the_title_of_a_hidden_page(bar: Bar, visitors: Visitors) -> None:
    """It is all that is seen of a tab in the background, where browsers draw no frames."""
    monitor = await visitors.operator()
    await expect(monitor.page).to_have_title("0 waiting · Monitor")
    await monitor.page.evaluate("self.requestAnimationFrame = () => 0")
    await bar.order("Ann", "Ben")
    await expect(monitor.page).to_have_title("2 waiting · Monitor")
    await bar.service.app.ctx.dispatcher.operator.pause("")
    await expect(monitor.page).to_have_title("Paused · Monitor")


@pytest.mark.parametrize(
    ("locale", "text", "state"),
    [
        ("en", "taken, but not used: is its process alive?", "In doubt"),
        ("de", "angenommen, aber nicht verwendet: Läuft sein Prozess noch?", "Unklar"),
    ],
)
async def test_a_robot_that_lost_its_order(
    bar: Bar, visitors: Visitors, locale: str, text: str, state: str
) -> None:
    """Its row and the order's say that the order was not used, and ask to look at the process."""
    monitor = await visitors.operator(locale=locale)
    await bar.robot("Robot Ada")
    (job_id,) = await bar.order("Ann")
    await bar.sees(1, "assigned")
    await lose(bar, job_id)
    await expect(monitor.worker("Robot Ada")).to_contain_text(state)
    await expect(monitor.worker("Robot Ada")).to_contain_text(text)
    await monitor.page.get_by_role("button", name=re.compile("Being mixed|Wird gemixt")).click()
    await expect(monitor.orders.first).to_contain_text(text)


async def lose(bar: Bar, job_id: str) -> None:
    """Make the callback of a robot wait again, as if its process had been killed."""

    async def unknown(*_: object, **__: object) -> None:
        return None

    bar.service.app.ctx.callbacks.is_pending = unknown
    dispatcher = bar.service.app.ctx.dispatcher
    hold = (await dispatcher.look_up(job_id)).job.hold
    look = c.LookAtJob(job_id, hold, 0, 0.0)
    found = evidence.ProbeResult(pending=True, before="running", after="running")
    await dispatcher.batches.execute(c.HoldProbed(look, False, found))


async def test_an_order_whose_report_was_refused(bar: Bar, visitors: Visitors) -> None:
    """The refused report and the reason are a note on the order, also once it is finished."""
    monitor = await visitors.operator()
    ada = await bar.robot("Robot Ada")
    (job_id,) = await bar.order("Ann")
    await bar.sees(1, "assigned")
    url = f"{bar.service.base_url}jobs/{job_id}/fail"
    async with bar.service.http.post(url, json={"reason": "no ice"}) as answer:
        assert answer.status == 409
    await monitor.page.get_by_role("button", name="Being mixed").click()
    refused = "the robot’s report was refused: fail: only the worker that holds the job can do this"
    await expect(monitor.orders.first).to_contain_text(refused)
    ada.finish()
    await bar.sees(1, "done")
    await monitor.page.get_by_role("button", name="Finished").click()
    await expect(monitor.orders.first).to_contain_text(refused)


async def test_shelves(bar: Bar, visitors: Visitors) -> None:
    """One state at a time: waiting, assigned, failed, finished."""
    monitor = await visitors.operator()
    ada = await bar.robot()
    await bar.order("Ann", "Ben", "Cleo", drink="gin-tonic")
    await monitor.shelf_shows("Waiting", 2, 3)
    await expect(monitor.orders.first).to_contain_text("Gin Tonic")
    await expect(monitor.orders.first).to_contain_text("Ben")
    ada.finish()
    await monitor.shelf_shows("Being mixed", 2)
    await expect(monitor.orders).to_contain_text("Robot Ada")
    await monitor.shelf_shows("Finished", 1)


async def test_a_long_queue_is_shown_in_part(bar: Bar, visitors: Visitors) -> None:
    """The first hundred are shown, and how many there are."""
    await bar.order(*[""] * 130)
    monitor = await visitors.operator()
    await expect(monitor.orders).to_have_count(100)
    await expect(monitor.page.locator("#orders-more")).to_have_text(
        "+30 more. Find any of them by number."
    )
    await expect(monitor.shelf("Waiting")).to_have_text("Waiting 130")


async def test_an_order_is_found_by_its_number(bar: Bar, visitors: Visitors) -> None:
    """An order anywhere in the queue is found, live and with all its actions."""
    await bar.order(*[""] * 620, "Ann")
    monitor = await visitors.operator()
    await monitor.find("#621")
    await monitor.shows_orders(621)
    await expect(monitor.orders).to_contain_text("Ann")
    await expect(monitor.orders).to_contain_text("place 621")
    await monitor.act("Move to front: order 621", "Yes, move it", "birthday")
    await expect(monitor.button("Move to front: order 621")).to_be_hidden()
    await monitor.act("Cancel order 621", "Yes, cancel it", "gone home")
    await expect(monitor.orders).to_contain_text("Cancelled")
    await expect(monitor.orders).to_contain_text("gone home")
    await monitor.shelf_shows("Finished", 621)
    await expect(monitor.search).to_have_value("")


async def test_an_unsuccessful_search(bar: Bar, visitors: Visitors) -> None:
    """An unknown number or no number finds nothing; an empty field ends the search."""
    monitor = await visitors.operator()
    await bar.order("Ann", "Ben")
    said = monitor.page.locator("#find-said")
    await monitor.find("17")
    await expect(said).to_have_text("There is no order 17.")
    await monitor.shows_orders()
    await monitor.find("Ann")
    await expect(said).to_have_text("Please enter an order number.")
    await monitor.find("2")
    await monitor.shows_orders(2)
    await monitor.search.fill("")
    await monitor.shows_orders(1, 2)
    await expect(said).to_be_empty()


async def test_a_search_that_is_sent_twice(bar: Bar, visitors: Visitors) -> None:
    """Only the last one is followed; an earlier one would mix its order into others."""
    monitor = await visitors.operator()
    await bar.order("Ann", "Ben")
    followed: list[WebSocket] = []
    monitor.page.on("websocket", lambda socket: followed.append(socket))
    await monitor.find("1")
    await monitor.search.press("Enter")
    await monitor.shows_orders(1)
    await monitor.find("2")
    await monitor.shows_orders(2)
    await eventually(lambda: _are_closed(followed[:-1]))


async def _are_closed(sockets: list[WebSocket]) -> bool:
    return all(socket.is_closed() for socket in sockets)


async def test_an_order_of_long_ago_is_found(bar: Bar, visitors: Visitors) -> None:
    """An order that is no longer shown is found with its outcome."""
    robot = await bar.robot()
    await bar.order("Ann")
    robot.finish()
    await bar.sees(1, "done")
    bar.clock.moved_s = 3600.0
    monitor = await visitors.operator()
    await expect(monitor.shelf("Finished")).to_have_text("Finished 0")
    await monitor.find("1")
    await monitor.shows_orders(1)
    await expect(monitor.orders).to_contain_text("Served")


async def test_waiting_time_counts_from_the_submission(bar: Bar, visitors: Visitors) -> None:
    """Also for an order that was put back just now."""
    bar.clock.moved_s = -600.0
    (job_id,) = await bar.order("Ann")
    bar.begin()
    await bar.sees(1, "assigned")
    bar.clock.moved_s = 0.0
    monitor = await visitors.operator()
    await bar.service.app.ctx.dispatcher.operator.put_back(job_id, "glass broke")
    await expect(monitor.orders.locator(".elapsed")).to_have_text(re.compile("^10:"))


async def test_failed_orders_stay(bar: Bar, visitors: Visitors) -> None:
    """However many orders finish later, failed ones stay and can be put back."""
    robot = await bar.robot()
    (job_id,) = await bar.order("Ann")
    await bar.fail(job_id, robot, "no more mint")
    for other in await bar.order(*[""] * 205):
        await bar.service.app.ctx.dispatcher.operator.cancel(other, "")
    monitor = await visitors.operator()
    await expect(monitor.shelf("Finished")).to_have_text("Finished 200")
    await expect(monitor.tile("waiting").locator("+ dd")).to_have_text("1 failed")
    await monitor.shelf_shows("Failed", 1)


async def test_robots_keep_their_rows(bar: Bar, visitors: Visitors) -> None:
    """Rows are sorted by label, so that no button moves; equal labels are numbered."""
    monitor = await visitors.operator()
    names = monitor.workers.locator("th a")
    cleo = await bar.robot("Robot 10")
    await bar.robot("Robot 9")
    await expect(names).to_have_text(["Robot 9", "Robot 10"])
    await bar.order("Ann")
    await expect(monitor.worker("Robot 10")).to_contain_text("Mixing")
    await expect(names).to_have_text(["Robot 9", "Robot 10"])
    cleo.finish()
    await expect(monitor.worker("Robot 10")).to_contain_text("Idle")
    await expect(names).to_have_text(["Robot 9", "Robot 10"])
    await bar.robot("Robot 9")
    await expect(names).to_have_text(["Robot 9 2", "Robot 9 3", "Robot 10"])


async def test_skip_links(bar: Bar, visitors: Visitors) -> None:
    """The first Tab shows links to robots, orders and events."""
    await bar.robot()
    monitor = await visitors.operator()
    keys = monitor.page.keyboard
    for n, title in enumerate(("workers", "orders", "log"), 1):
        await monitor.page.evaluate("document.activeElement.blur(); location.hash = ''")
        link = monitor.page.locator(f"#skip a:nth-child({n})")
        await link.focus()
        assert await monitor.focus_is_visible()
        await expect(link).to_be_in_viewport()
        await keys.press("Enter")
        await expect(monitor.page.locator(f"#{title}-title")).to_be_focused()


async def test_numbers_stand_on_one_line(bar: Bar, visitors: Visitors) -> None:
    """Numbers do not wrap, in tiles and tables, in both languages at every width."""
    await bar.order(*[""] * 3)
    for query in ("&lang=en", "&lang=de"):
        monitor = await (await visitors.blank_desk()).open(visitors.OPERATORS_LINK + query)
        await monitor.page.locator("#orders tr").first.wait_for()
        for width in (1366, 1920):
            await monitor.page.set_viewport_size({"width": width, "height": 768})
            tops = await monitor.page.evaluate(TOPS)
            assert len(set(tops)) == 1, (query, width, tops)
            hold = await monitor.page.evaluate(HOLD_IS_BESIDE)
            assert hold, (query, width)


async def test_a_name_is_not_broken(bar: Bar, visitors: Visitors) -> None:
    """Beside the long name of a drink, and what that needs, there is room for a first name."""
    await bar.robot("Robot Ada", "match.drink=mojito")
    await bar.order("Barbara", drink=LONG_DRINK)
    monitor = await visitors.operator()
    await expect(monitor.orders).to_contain_text("no robot here makes it")
    name = monitor.page.get_by_role("cell", name="Barbara", exact=True)
    assert await name.evaluate(LINES) == 1


async def test_a_drink_is_not_broken(bar: Bar, visitors: Visitors) -> None:
    """On a small screen, beside a long note, its buttons are one below the other instead."""
    await bar.robot("Robot Ada", "match.drink=mojito")
    await bar.order("Barbara", "Edsger", drink="margarita")
    monitor = await visitors.operator()
    await expect(monitor.orders).to_contain_text(["no robot here makes it"] * 2)
    for width in (1024, 1100):
        await monitor.page.set_viewport_size({"width": width, "height": 800})
        drink = monitor.orders.nth(1).get_by_text("Margarita", exact=True)
        assert await drink.evaluate(LINES) == 1, width


async def test_events_can_be_filtered(bar: Bar, visitors: Visitors) -> None:
    """The log is filtered by kind and by any text: a number, a robot, a reason."""
    monitor = await visitors.operator()
    await bar.robot()
    await bar.order("Ann", "Ben")
    await expect(monitor.events.first).to_contain_text("Received")
    await monitor.filter.fill("#2")
    await expect(monitor.events).to_have_count(1)
    await monitor.filter.fill("robot ada")
    await expect(monitor.events.last).to_contain_text("Robot registered")
    await monitor.page.get_by_label("Kind of event").select_option("Orders")
    await expect(monitor.events.last).to_contain_text("Given to a robot#1Robot Ada")
    await monitor.filter.fill("nothing like that")
    await expect(monitor.page.get_by_text("No events")).to_be_visible()


async def test_the_log_can_be_paused(bar: Bar, visitors: Visitors) -> None:
    """A paused log does not move; it counts the new events."""
    monitor = await visitors.operator()
    await bar.order("Ann")
    await expect(monitor.events).to_have_count(1)
    await monitor.button("Pause the log").click()
    await bar.order("Ben", "Cleo")
    await monitor.button("Resume (2 new)").click()
    await expect(monitor.events).to_have_count(3)


async def test_the_chart_has_the_last_hour_at_once(bar: Bar, visitors: Visitors) -> None:
    """The server sends the last hour; it is also described in words."""
    bar.remembers_an_evening([60.0, 120.0, 180.0] * 10)
    monitor = await visitors.operator()
    await expect(monitor.chart.locator("polyline")).to_have_count(2)
    await expect(monitor.chart).to_have_accessible_name(
        "In the last hour, 30 orders were received and 30 were served. "
        "Most recently, the median wait for a robot was 3:00 minutes, "
        "and 90 % waited less than 3:00."
    )
    await expect(monitor.tile("p50")).to_have_text("2:00")
    drawn = await monitor.chart.locator("rect.done").count()
    await monitor.page.reload()
    await expect(monitor.chart.locator("rect.done")).to_have_count(drawn)


async def test_bars_differ_by_more_than_a_colour(bar: Bar, visitors: Visitors) -> None:
    """Received and served orders can be told apart without colours."""
    bar.remembers_an_evening([60.0, 120.0, 180.0] * 10)
    monitor = await visitors.operator()
    fill = "node => getComputedStyle(node).fill"
    assert await monitor.chart.locator("rect.arrived").first.evaluate(fill) == "none"
    assert await monitor.chart.locator("rect.done").first.evaluate(fill) != "none"


async def test_markup_is_shown_as_text(bar: Bar, visitors: Visitors) -> None:
    """Names, drinks, logos, labels and reasons are shown as text everywhere."""
    monitor = await visitors.operator()
    await bar.robot(MARKUP)
    await expect(monitor.workers.locator("th")).to_contain_text(MARKUP)
    await monitor.button(f"Set aside {MARKUP}").click()
    await expect(monitor.dialog).to_contain_text(MARKUP)
    await monitor.who.fill(MARKUP[:40])
    await monitor.reason.fill(MARKUP)
    await monitor.button("Yes, set it aside").click()
    await expect(monitor.said).to_contain_text(MARKUP)
    await bar.order(MARKUP, drink=MARKUP, logo=MARKUP)
    await expect(monitor.orders.locator("td").nth(0)).to_contain_text(MARKUP)
    await expect(monitor.orders.locator("td").nth(1)).to_have_text(MARKUP)
    await expect(monitor.events.nth(1)).to_contain_text(MARKUP)
    await expect(monitor.page.locator("[src=x]")).to_have_count(0)


async def test_everything_as_json(visitors: Visitors, bar: Bar) -> None:
    """It is copied, or shown and selected where a page may not use the clipboard."""
    monitor = await visitors.operator(permissions=["clipboard-read", "clipboard-write"])
    await bar.order("Ann")
    await expect(monitor.orders).to_have_count(1)
    await monitor.button("Copy as JSON").click()
    await expect(monitor.said).to_have_text("Copied everything as JSON.")
    copied = json.loads(await monitor.page.evaluate("navigator.clipboard.readText()"))
    assert copied["entries"]["order/1"]["name"] == "Ann"
    await monitor.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
    await monitor.button("Copy as JSON").click()
    await expect(monitor.dialog.locator("textarea")).to_have_value(json.dumps(copied, indent=2))
    await monitor.button("Close").click()
    await expect(monitor.dialog).to_be_hidden()


async def test_a_disconnected_monitor_says_so(bar: Bar, visitors: Visitors) -> None:
    """After two seconds it says that it is out of date; reconnected, it catches up."""
    visitors.expect_network_errors = True
    monitor = await visitors.blank_desk()
    await monitor.page.clock.install()
    await monitor.open(visitors.OPERATORS_LINK)
    await monitor.is_live()
    await monitor.page.evaluate(RECORD_BADGE)
    bar.proxy.go_offline()
    await monitor.page.clock.run_for(2_000)
    await expect(monitor.badge).to_have_text("Out of date")
    assert await monitor.page.evaluate("said") == ["Reconnecting…", "Out of date"]
    await bar.order("Ann")
    bar.proxy.go_online()
    await monitor.page.clock.fast_forward(15_000)
    await expect(monitor.badge).to_have_text("Live")
    await expect(monitor.tile("waiting")).to_have_text("1")


async def test_event_stream_where_websockets_are_refused(bar: Bar, visitors: Visitors) -> None:
    """Behind a proxy without websockets the monitor is live too, and asks for its token."""
    visitors.expect_network_errors = True
    bar.proxy.refuses_upgrades = True
    monitor = await visitors.operator()
    await bar.order("Ann")
    await expect(monitor.tile("waiting")).to_have_text("1")
    wrong = await (await visitors.blank_desk()).open("?token=operator-token-2")
    await expect(wrong.refused).to_have_text("This token is not valid.")


@pytest.mark.parametrize("bar", ["/"], ids=["root"], indirect=True)
async def test_a_german_monitor(bar: Bar, visitors: Visitors) -> None:
    """The monitor is in German where the browser is."""
    monitor = await (await visitors.blank_desk(locale="de-DE")).open(visitors.OPERATORS_LINK)
    await bar.order("Ann")
    await monitor.button("Pausieren").click()
    await monitor.button("Ja, pausieren").click()
    await expect(monitor.said).to_have_text("Die Bar macht Pause.")
    await expect(monitor.button("Bestellung 1 stornieren")).to_be_visible()
    await expect(monitor.page).to_have_title("Pausiert · Monitor")


async def test_both_languages_have_the_same_texts(visitors: Visitors) -> None:
    """No text is missing in a language."""
    monitor = await visitors.operator()
    keys = await monitor.page.evaluate(
        """async () => {
            const keysOf = (value) => typeof value === 'object'
                ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, keysOf(v)])) : '';
            const load = (path) => import(new URL(path, document.baseURI));
            const both = (path) =>
                Promise.all(['en', 'de'].map((lang) => load(`${path}/${lang}.js`)));
            const folders = ['shared', 'order', 'monitor', 'history'];
            const all = await Promise.all(folders.map((folder) => both(`js/${folder}/words`)));
            return all.map((pair) => pair.map(({ words }) => keysOf(words)));
        }"""
    )
    for english, german in keys:
        assert english == german


async def test_the_pages_know_the_built_in_menu(visitors: Visitors) -> None:
    """The order page's fallback menu is the service's built-in menu."""
    monitor = await visitors.operator()
    menu = "import(new URL('js/shared/menu.js', document.baseURI))"
    drinks = await monitor.page.evaluate(f"{menu}.then((module) => module.BUILT_IN)")
    assert drinks == BUILT_IN["drinks"]
