"""The monitor's views that look back: search, an order's way, a robot's day, statistics."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Request, Route, expect

from sanic_dispatch.simulation import Faults
from tests.browser.past_evening import PastEvening, yesterday
from tests.browser.served_bar import OPERATOR_TOKEN, Bar
from tests.browser.test_monitor import MARKUP
from tests.browser.visitors import Visitors

# A hand-over within one millisecond has no length to show.
HANDED_OVER = re.compile(r"\s*\d+ ms\s+being handed over")

SPANS = """async ([events, now]) => {
    const module = new URL('js/history/robot_spans.js', document.baseURI);
    const { lanesOf, spansOf } = await import(module);
    const shown = ({ what, from, to, ticket, end }) =>
        [what, from, to, ticket, end].join(' ').trim();
    return lanesOf(spansOf(events, now)).map((lane) => lane.map(shown));
}"""

OLDER_BROWSER = """delete URLSearchParams.prototype.size; delete Map.groupBy;
    for (const name of ['toReversed', 'toSorted']) delete Array.prototype[name];"""
"""All browsers have had these since 2023 or 2024; Chrome for Windows 7 and 8 will not."""

SAID_OF_ONE = """async (code) => {
    const load = async (folder) => (await import(`./js/${folder}/words/${code}.js`)).words;
    const [{ history, statistics }, { chart }] = [await load('history'), await load('monitor')];
    const gaps = [history.hole(1, '', ''), history.moreGaps(1)];
    return [...gaps, statistics.counts(1, 1), chart.counts(1, 1)];
}"""
"""Returns what the texts with numbers say of one."""


async def test_one_of_something(visitors: Visitors) -> None:
    """It is no plural."""
    monitor = await visitors.operator()
    for code, plurals in (("en", "events|gaps|orders|were"), ("de", "Ereignisse|Lücken|wurden")):
        said = " ".join(await monitor.page.evaluate(SAID_OF_ONE, code))
        assert not re.search(plurals, said), said


async def test_an_orders_whole_way(bar: Bar, visitors: Visitors) -> None:
    """Each step with its time, robot and reason, every attempt, and how long it was what."""
    evening = PastEvening(bar)
    await evening.begins()
    await evening.serve([])
    monitor = await visitors.operator()
    await monitor.look_back("order?n=1")
    await expect(monitor.steps).to_have_count(8)
    texts = [HANDED_OVER.sub("", text) for text in await monitor.steps.all_inner_texts()]
    assert [" ".join(text.split()) for text in texts] == [
        "18:00:00 Received 1:12 waiting",
        "18:01:12 Given to a robot Robot Ada · attempt 1",
        "18:01:12 Taken by the robot Robot Ada 0:53 being mixed",
        "18:02:06 Failed Robot Ada · the glass broke 0:18 failed",
        "18:02:24 Back in the queue Robot Ada · Grace: it was the last but one 0:40 waiting",
        "18:03:05 Given to a robot Robot Bert · attempt 2",
        "18:03:05 Taken by the robot Robot Bert 2:31 being mixed",
        "18:05:36 Served Robot Bert",
    ]
    facts = monitor.found.locator(".facts dd")
    # Two hand-overs take a moment each.
    waited, mixed = re.compile("1:5[23]"), re.compile("3:2[45]")
    await expect(facts).to_have_text(["Served", waited, mixed, "5:36", "2"])
    await monitor.page.go_back()
    await expect(monitor.page.locator("#monitor")).to_be_visible()
    await expect(monitor.past).to_be_hidden()


async def test_a_browser_of_2022(bar: Bar, visitors: Visitors) -> None:
    """Questions have their arguments, and the answers are shown."""
    evening = PastEvening(bar)
    await evening.begins()
    await evening.serve([])
    bar.remembers_an_evening([60.0] * 30)
    monitor = await visitors.blank_desk()
    await monitor.page.add_init_script(OLDER_BROWSER)
    await monitor.open(visitors.OPERATORS_LINK)
    await monitor.is_live()
    await expect(monitor.page.locator("polygon.between")).to_be_visible()
    await monitor.page.get_by_role("link", name="History", exact=True).click()
    await expect(monitor.found).to_contain_text("No events")
    await monitor.look_back("order?n=1")
    await expect(monitor.steps).to_have_count(8)
    await monitor.found.get_by_role("link", name="Robot Bert").first.click()
    await expect(monitor.rows.first).to_be_visible()
    await monitor.look_back("statistics?span=yesterday")
    await expect(monitor.found).to_contain_text("Served")


async def test_an_order_that_is_not_over(bar: Bar, visitors: Visitors) -> None:
    """It is reached from its row, and says whose it is and for how long it has waited so far."""
    bar.clock.moved_s = -75.0
    await bar.order("Ann", drink="gin-tonic")
    bar.clock.moved_s = 0.0
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="#1").click()
    await expect(monitor.found.locator("h2")).to_have_text("Order 1")
    await expect(monitor.found.locator("h2")).to_be_focused()
    await expect(monitor.found).to_contain_text("Gin Tonic for Ann")
    await expect(monitor.steps).to_contain_text(re.compile(r"Received\s*so far 1:[123]\d waiting"))


async def test_search(bar: Bar, visitors: Visitors) -> None:
    """A text finds a day's events by reason or robot; a number opens the order; a page ends."""
    visitors.expect_network_errors = True  # an order that does not exist
    evening = PastEvening(bar)
    await evening.begins()
    await evening.serve(600.0 + 150 * n for n in range(20))
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="History", exact=True).click()
    await expect(monitor.found).to_contain_text("No events")
    await monitor.page.locator("[type=date]").fill(yesterday())
    await monitor.past_search.fill("GLASS")
    await monitor.past_search.press("Enter")
    await expect(monitor.rows.first).to_contain_text(re.compile("Failed\\s*#1"))
    await expect(monitor.rows).to_have_count(1)
    await expect(monitor.past_search).to_be_focused()
    await monitor.past_search.fill("")
    await monitor.past_search.press("Enter")
    await expect(monitor.found).to_contain_text("The first")
    before = await monitor.rows.count()
    await monitor.button("Show more").click()
    await expect(monitor.button("Show more")).to_be_hidden()
    assert await monitor.rows.count() > before
    await expect(monitor.rows.last).to_contain_text("Robot registered")
    await monitor.past_search.fill("#21")
    await monitor.past_search.press("Enter")
    await expect(monitor.found.locator("h2")).to_have_text("Order 21")
    await monitor.look_back("order?n=77")
    await expect(monitor.found).to_contain_text("Nothing is stored about order 77.")


async def test_a_robots_day(bar: Bar, visitors: Visitors) -> None:
    """What it did when, as bars and as a list, with the orders; other days are a link away."""
    evening = PastEvening(bar)
    ada, _ = await evening.begins()
    await evening.serve([])
    evening.at(1800.5)
    await evening.set_aside(ada, "smells burnt")
    evening.at(2700.0)
    await evening.bring_back(ada, "cleaned")
    evening.at(4500.5)
    await evening.close()
    monitor = await visitors.operator()
    await monitor.look_back("order?n=1")
    await monitor.page.get_by_role("link", name="Robot Ada").first.click()
    await expect(monitor.found.locator("h2")).to_contain_text("Robot Ada on ")
    texts = [" ".join(text.split()) for text in await monitor.rows.all_inner_texts()]
    assert texts == [
        "18:01:12 Order #1 0:53 Failed · the glass broke",
        "18:03:43 Idle 26:16",
        "18:30:00 Set aside 14:59 Grace: smells burnt",
        "18:45:00 Idle 30:00 Grace: cleaned",
    ]
    hours = monitor.found.locator(".hours")
    await expect(hours.locator("> span")).to_have_text(["18:00", "19:00"])
    await expect(hours.locator(".track").first.locator("[data-span]")).to_have_count(4)
    order = monitor.found.locator(".hours [data-span=trouble]")
    await expect(order).to_have_attribute("href", "#order?n=1")
    await monitor.page.get_by_role("link", name="←").click()
    await expect(monitor.found).to_contain_text("This robot was not there that day.")


async def test_robots_of_one_name(visitors: Visitors) -> None:
    """What they did at the same time lies in lanes; a callback that comes back goes on waiting."""
    monitor = await visitors.operator()

    def event(kind: str, at_s: int, callback: str = "", ticket: int = 0) -> dict[str, Any]:
        return {"kind": kind, "t": at_s, "callback": callback, "ticket": ticket or None}

    events = [
        event("worker.registered", 0, "a"),
        event("worker.registered", 1, "b"),
        event("job.assigned", 2, "a", 1),
        event("job.returned", 3, "", 1),
        event("job.assigned", 4, "b", 1),
        event("worker.used", 4, "b"),
        event("job.done", 6, "b", 1),
        event("job.assigned", 6, "c", 2),
        event("job.assigned", 7, "c", 2),
    ]
    lanes = await monitor.page.evaluate(SPANS, [events, 9])
    assert lanes == [
        ["waiting 0 2", "order 2 3 1 job.returned", "waiting 3 9"],
        ["waiting 1 4", "order 4 6 1 job.done", "order 6 9 2"],
    ]


async def test_statistics(bar: Bar, visitors: Visitors) -> None:
    """A row for each hour, drink or robot of some days; what is not known is a dash."""
    evening = PastEvening(bar)
    await evening.begins()
    await evening.serve([600.0, 900.0, 4000.0])
    evening.at(5000.0)
    await evening.close()
    monitor = await visitors.operator()
    await monitor.page.get_by_role("link", name="Statistics").click()
    await expect(monitor.found).to_contain_text("No orders in this time span.")
    await monitor.page.get_by_role("link", name="Yesterday").click()
    await expect(monitor.rows.locator("th")).to_have_text(["18:00", "19:00"])
    cells = monitor.rows.first.locator("td")
    await expect(cells.nth(0)).to_have_text("3")
    await expect(cells.nth(4)).to_have_text(re.compile(r"^\d:\d\d$"))
    await expect(cells.nth(10)).to_have_text("–")
    chart = monitor.found.get_by_role("img")
    await expect(chart).to_have_accessible_name(
        re.compile("^4 orders were received and 4 were served. Most were served .*, 18:00: 3.$")
    )
    await expect(chart.locator("rect")).to_have_count(4)
    await monitor.page.get_by_role("link", name="Drink").click()
    await expect(monitor.rows.locator("th")).to_contain_text(["Mojito"])
    await monitor.page.get_by_role("link", name="Robot").click()
    await expect(monitor.rows.locator("th")).to_have_text(["Robot Ada", "Robot Bert"])
    await monitor.rows.get_by_role("link", name="Robot Bert").click()
    await expect(monitor.found.locator("h2")).to_contain_text("Robot Bert on ")


async def test_a_link_can_be_shared(bar: Bar, visitors: Visitors) -> None:
    """It opens the same view after the sign-in, in the reader's language."""
    await bar.order("Ann")
    monitor = await (await visitors.blank_desk(locale="de-DE")).open("#order?n=1")
    await expect(monitor.past).to_be_hidden()
    await monitor.page.get_by_label("Operator-Token").fill(OPERATOR_TOKEN)
    await monitor.page.keyboard.press("Enter")
    await expect(monitor.found.locator("h2")).to_have_text("Bestellung 1")
    await expect(monitor.steps.first).to_contain_text("Eingegangen")
    await monitor.page.get_by_role("button", name="Abmelden").click()
    await expect(monitor.past).to_be_hidden()


async def test_it_is_loaded_when_it_is_opened(visitors: Visitors) -> None:
    """The monitor's start loads none of it; where it cannot be loaded, that is said."""
    visitors.expect_network_errors = True
    loaded: list[str] = []
    monitor = await visitors.blank_desk()

    def note(request: Request) -> None:
        if "history" in request.url:
            loaded.append(request.url)

    monitor.page.on("request", note)
    await monitor.open(visitors.OPERATORS_LINK)
    await monitor.is_live()
    assert loaded == []
    await monitor.page.route("**/css/history.css", lambda route: route.abort())
    await monitor.page.get_by_role("link", name="History", exact=True).click()
    await expect(monitor.past).to_have_text("The service could not be reached.")
    await monitor.page.unroute("**/css/history.css")
    await monitor.page.get_by_role("link", name="Statistics").click()
    await expect(monitor.found).to_contain_text("No orders in this time span.")


async def test_what_is_missing_is_said(visitors: Visitors) -> None:
    """Holes and damaged files; a refusal, no answer, and a token that is no longer valid."""
    visitors.expect_network_errors = True
    monitor = await visitors.operator()
    answers: list[dict[str, Any]] = [
        {"status": 200, "json": {"events": [], "next": None, **GAPS}},
        {"status": 503, "json": {"detail": "it takes too long"}},
        {"status": 400, "json": {"detail": "from is a time"}},
        {"status": 401, "json": {}},
    ]

    async def answer(route: Route) -> None:
        await route.fulfill(**answers.pop(0))

    await monitor.page.route("**/operator/events?*", answer)
    await monitor.look_back("history")
    await expect(monitor.found.locator(".gaps li")).to_have_text(
        [
            re.compile(r"^7 events could not be stored, from .* to .*$"),
            re.compile("^Some events may be missing: .* history/segment-1.gz .* byte 12 .CRC..$"),
        ]
    )
    wrong = monitor.past.get_by_role("alert")
    for n, text in enumerate(
        (
            "The service cannot answer this now. Ask for fewer days, or try again later.",
            "That was not possible: from is a time.",
        )
    ):
        await monitor.page.evaluate("n => { location.hash = `history?find=${n}` }", n)
        await expect(wrong).to_have_text(text)
    await monitor.page.evaluate("location.hash = 'history'")
    await expect(monitor.refused).to_have_text("This token is not valid.")
    await expect(monitor.past).to_be_hidden()


async def test_markup_is_shown_as_text(bar: Bar, visitors: Visitors) -> None:
    """Names, drinks, labels, reasons and what an address says are text in every view."""
    robot = await bar.robot(MARKUP)
    robot.instance.faults = Faults(take=False, status=500)
    (job_id,) = await bar.order(MARKUP, drink=MARKUP, logo=MARKUP)
    await bar.service.app.ctx.dispatcher.operator.move_to_front(job_id, MARKUP, MARKUP)
    monitor = await visitors.operator()
    for address, times in {
        "order?n=1": 3, "history": 3, f"history?find={MARKUP}": 3, f"order?n={MARKUP}": 1,
        f"robot?name={MARKUP}": 1, "statistics?by=drink": 1, "statistics?by=robot": 1,
    }.items():  # fmt: skip
        await monitor.look_back(address)
        await expect(monitor.found).to_contain_text(MARKUP)
        assert (await monitor.found.inner_text()).count(MARKUP) >= times, address
        await expect(monitor.page.locator("[src=x]")).to_have_count(0)


GAPS = {
    "damage": [{"file": "history/segment-1.gz", "byte": 12, "why": "CRC"}],
    "holes": [
        {"first": 3, "last": 9, "from": "2024-11-24T01:00:00Z", "to": "2024-11-24T02:00:00Z"}
    ],
}
