"""Scripts that lead the monitor through every state that an operator can see."""

from __future__ import annotations

from asyncio import StreamWriter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from math import sin

from playwright.async_api import expect

from sanic_dispatch.simulation import Faults
from tests.browser.journeys import DRINKS, LOGOS, LONG_DRINK, LONG_NAME, Journey
from tests.browser.monitor_page import MonitorPage
from tests.browser.past_evening import EVENING_S, PastEvening, arrivals_s, opening, yesterday
from tests.browser.served_bar import OPERATOR_TOKEN, Bar
from tests.browser.visitors import Visitors
from tests.support.phone_order import PhoneOrder
from tests.support.receiver import SECRET, Received, Receiver, running_receiver, status
from tests.support.server import eventually

ROBOTS = {"Robot Ada": "", "Robot Bert": "", "Robot Cleo": "match.drink=margarita|mojito"}
"""By name, with a rule."""

GUESTS = {
    660: "Ada", 640: "Grace", 610: "Alan", 560: "Edsger", 480: "Barbara", 410: "Ken",
    350: "Margaret", 290: "Donald", 220: "Radia", 150: "Tim", 90: "Frances", 45: "Niklaus", 12: "",
}  # fmt: skip
"""When each guest ordered, in seconds ago."""

LOOKS_BACK = {
    "search": f"history?find=Grace&day={yesterday()}",
    "orders-way": "order?n=1",
    "robots-day": f"robot?name=Robot+Ada&day={yesterday()}",
    "by-hour": "statistics?span=yesterday",
    "by-robot": "statistics?span=week&by=robot",
}
"""The address of each view of yesterday evening."""

BUSY_WAITS_S = [max(8.0, 150 + 110 * sin(n / 9) + 47 * (n % 4)) for n in range(84)]
"""Waiting times of an hour with a rush."""


async def a_quiet_evening(bar: Bar, monitor: MonitorPage) -> Journey:
    """Sign in, look at an empty bar, and lose the network."""
    await monitor.page.clock.install()
    await monitor.open()
    await expect(monitor.token).to_be_visible()
    yield "sign-in"
    await monitor.sign_in("operator-token-2")
    await expect(monitor.refused).to_contain_text("not valid")
    yield "wrong-token"
    await monitor.open(Visitors.OPERATORS_LINK)
    await monitor.is_live()
    yield "empty"
    bar.proxy.go_offline()
    await monitor.page.clock.fast_forward(3_000)
    await expect(monitor.badge).to_have_text("Out of date")
    yield "cut-off"


async def a_busy_evening(bar: Bar, monitor: MonitorPage) -> Journey:
    """Three robots, a long queue and a rush; confirmations, actions, and undoing them."""
    await _fill(bar)
    await monitor.open(Visitors.OPERATORS_LINK)
    await monitor.is_live()
    await expect(monitor.tile("waiting")).to_have_text("7")
    yield "busy"
    await monitor.button("Cancel order 9").click()
    await expect(monitor.dialog).to_be_visible()
    yield "question"
    await monitor.button("No, leave it").click()
    await monitor.act("Pause", "Yes, pause", "out of ice")
    await expect(monitor.paused).to_be_visible()
    yield "paused"
    await monitor.shelf("Being mixed").click()
    await monitor.filter.fill("#1")
    yield "being-mixed"


async def an_evening_abroad(bar: Bar, monitor: MonitorPage) -> Journey:
    """The same in German, whose texts are longer."""
    await _fill(bar)
    await monitor.open(f"{Visitors.OPERATORS_LINK}&lang=de")
    await expect(monitor.tile("waiting")).to_have_text("7")
    await monitor.button("Pausieren").click()
    await monitor.button("Ja, pausieren").click()
    await expect(monitor.said).to_have_text("Die Bar macht Pause.")
    yield "german"
    await monitor.button("Bestellung 9 stornieren").click()
    await expect(monitor.dialog).to_be_visible()
    yield "german-question"


async def a_bad_evening(bar: Bar, monitor: MonitorPage) -> Journey:
    """A robot in doubt, one set aside, a failed order; and the longest texts allowed."""
    robots = [await bar.robot(name) for name in ("Robot Ada", LONG_DRINK, "Robot Bert")]
    await bar.order(LONG_NAME, drink=LONG_DRINK, logo="fox")
    (lost,) = await bar.order("Grace", drink="mojito")
    await bar.fail(lost, robots[1], "The mint is out, and nobody knows where the rest of it went")
    robots[2].instance.faults = Faults(take=False, hang=True)
    await bar.order("Alan", drink="lemonade")
    await robots[2].instance.until(lambda: len(robots[2].instance.puts) == 1)
    await bar.robot("Robot Cleo")
    await monitor.open(Visitors.OPERATORS_LINK)
    await monitor.is_live()
    await monitor.act("Set aside Robot Cleo", "Yes, set it aside", "smells burnt")
    await monitor.worker("Robot Cleo").get_by_text("Set aside").first.wait_for()
    yield "trouble"
    await bar.engine.down()
    await expect(monitor.workers.filter(has_text="In doubt")).to_have_count(1)
    await monitor.shelf("Failed").click()
    yield "in-doubt"
    await monitor.act("Put back order 2", "Yes, put it back")
    bar.proxy.go_offline()
    await monitor.act("Pause", "Yes, pause")
    await expect(monitor.wrong).to_contain_text("could not be reached")
    yield "unreached"


async def a_bar_of_specialists(bar: Bar, monitor: MonitorPage) -> Journey:
    """Robots that make some drinks, orders that nobody makes, priorities; also in German."""
    ada = await bar.robot("Robot Ada", "match.drink=mojito|gin-tonic&not.size=xl")
    await bar.robot("Robot Bert", f"not.drink=beer|{LONG_DRINK}")
    operator = bar.service.app.ctx.dispatcher.operator
    await operator.set_aside(ada.instance.callback_urls[-1], "smells burnt")
    await bar.robot("Robot Cleo", "match.drink=virgin-colada|lemonade&match.guest.table=1|2|3")
    drinks = ("mojito", "gin-tonic", "beer", LONG_DRINK, "lemonade", "margarita")
    for drink, name in zip(drinks, GUESTS.values(), strict=False):
        await bar.order(name, drink=drink)
    await monitor.open(Visitors.OPERATORS_LINK)
    await expect(monitor.orders.filter(has_text="no robot here makes it")).to_have_count(2)
    await monitor.button("Set priority of order 6").click()
    yield "priority-question"
    await monitor.page.get_by_role("combobox", name="Priority").select_option("1")
    await monitor.button("Yes, change it").click()
    await expect(monitor.said).to_have_text("Order 6 has priority 1.")
    yield "specialists"
    await monitor.open(f"{Visitors.OPERATORS_LINK}&lang=de")
    await expect(monitor.orders.filter(has_text="kein Roboter hier")).to_have_count(2)
    await monitor.button("Bestellung 5 priorisieren").click()
    yield "german-priority-question"
    await monitor.page.keyboard.press("Escape")
    yield "german-specialists"


async def a_look_back(bar: Bar, monitor: MonitorPage) -> Journey:
    """Yesterday evening: what was found, an order that failed once, a robot's day."""
    await work_through(bar, every=5)
    await monitor.open(Visitors.OPERATORS_LINK)
    await monitor.is_live()
    for state in ("search", "orders-way", "robots-day"):
        await monitor.look_back(LOOKS_BACK[state])
        yield state


async def a_look_at_the_monitor_as_it_was(bar: Bar, monitor: MonitorPage) -> Journey:
    """Yesterday evening in the middle of the rush, also in German, and a time before it all."""
    await work_through(bar, every=3)
    rush = datetime.fromtimestamp(opening().timestamp() + EVENING_S / 2 + 30.0, UTC)
    address = f"rewind?at={rush:%Y-%m-%dT%H:%M:%SZ}"
    await monitor.open(f"{Visitors.OPERATORS_LINK}#{address}")
    await expect(monitor.rewound).to_contain_text("As it was on")
    await expect(monitor.events).not_to_have_count(0)
    yield "rewound"
    await monitor.open(f"{Visitors.OPERATORS_LINK}&lang=de#{address}")
    await expect(monitor.rewound).to_contain_text("Stand vom")
    await expect(monitor.events).not_to_have_count(0)
    yield "german-rewound"
    await monitor.page.evaluate("() => { location.hash = 'rewind?at=2001-01-01T00:00:00Z' }")
    await expect(monitor.rewound).to_contain_text("Das ging nicht")
    yield "german-before-all"


async def a_look_at_the_figures(bar: Bar, monitor: MonitorPage) -> Journey:
    """Statistics of yesterday, and in German, whose texts are longer."""
    await work_through(bar, every=5)
    await monitor.open(f"{Visitors.OPERATORS_LINK}#{LOOKS_BACK['by-hour']}")
    await monitor.found.locator("h2").wait_for()
    yield "by-hour"
    await monitor.open(f"{Visitors.OPERATORS_LINK}&lang=de#{LOOKS_BACK['by-robot']}")
    await monitor.found.locator("h2").wait_for()
    yield "german-by-robot"
    await monitor.look_back(LOOKS_BACK["robots-day"])
    yield "german-robots-day"


async def a_till_that_is_down(bar: Bar, monitor: MonitorPage) -> Journey:
    """A webhook that fails, one that does not, and a push service; in German with the questions."""
    async with running_receiver() as receiver:
        await add_phone(bar, receiver)
        await add_webhooks(bar, receiver)
        await monitor.open(f"{Visitors.OPERATORS_LINK}#outbox")
        await expect(monitor.webhooks).to_have_count(2)
        await expect(monitor.webhooks.last).to_contain_text("oldest from")
        await expect(monitor.phones).to_contain_text("next try in")
        yield "outbox"
        await monitor.open(f"{Visitors.OPERATORS_LINK}&lang=de#outbox")
        await expect(monitor.webhooks.last).to_contain_text("das älteste vom")
        await expect(monitor.phones).to_contain_text("nächster Versuch in")
        yield "german-outbox"
        await monitor.button(f"Ausstehendes für {receiver.url('till')} verwerfen").click()
        await expect(monitor.dialog).to_be_visible()
        yield "german-webhook-question"
        await monitor.page.keyboard.press("Escape")
        await monitor.button("Nachricht zu Bestellung 1 verwerfen").click()
        await expect(monitor.dialog).to_be_visible()
        yield "german-phone-question"


async def add_webhooks(bar: Bar, receiver: Receiver) -> None:
    """Tell an address that answers, and one that does not, of an order."""
    receiver.answer = answer_of_display
    for path in ("display", "till"):
        entry = {"url": receiver.url(path), "events": ["job.*"], "secret": SECRET}
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        url = f"{bar.service.base_url}operator/webhooks"
        async with bar.service.http.post(url, json=entry, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
    await bar.order("Ada")
    await eventually(lambda: _are_told(receiver))


async def add_phone(bar: Bar, receiver: Receiver) -> PhoneOrder:
    """Have an order made whose phone is not told of it, as its push service is down."""
    receiver.answer = answer_of_display
    order = PhoneOrder(bar.service.http, receiver)
    await order.submit(bar.service.base_url)
    await order.make(bar.service.base_url)
    await order.told("making")
    return order


async def answer_of_display(writer: StreamWriter, message: Received) -> None:
    """Answer as a display; all else (a till, a push service) is down.

    The till asks for a rest, so that it is not told again before a test has found its button.
    """
    answers = {"/display": status(200), "/till": status(503, "Retry-After: 50")}
    writer.write(answers.get(message.path, status(503)))
    await writer.drain()


async def _are_told(receiver: Receiver) -> bool:
    return all(receiver.of_path(path) for path in ("display", "till"))


async def a_house_of_bars(bar: Bar, monitor: MonitorPage) -> Journey:
    """Three topics: their overview, one of them paused, and a broken connection."""
    await monitor.page.clock.install()
    await open_bars(bar)
    await monitor.open(f"{Visitors.OPERATORS_LINK}#overview")
    await expect(monitor.card("The roof")).to_contain_text("Paused")
    yield "overview"
    await monitor.topics.filter(has_text="Robot Bar").click()
    await monitor.is_live()
    yield "with-a-switch"
    await monitor.open(f"{Visitors.OPERATORS_LINK}&lang=de#overview")
    await expect(monitor.card("The roof")).to_contain_text("Pausiert")
    bar.proxy.go_offline()
    await monitor.page.clock.fast_forward(3_000)
    await expect(monitor.card("The roof")).to_contain_text("Veraltet")
    yield "german-cut-off"


async def open_bars(bar: Bar) -> None:
    """Let the topics of BARS have an evening: one is busy, one is paused, one has no robot."""
    roof, garden = (bar.topic(name) for name in BARS)
    for name in ROBOTS:
        await bar.robot(name)
    bar.clock.moved_s = -272.0
    await bar.order("Ada", "Grace", "Alan", "Edsger", "Barbara")
    await roof.robot("Robot Dora")
    await roof.order("Ken", "Margaret", "Donald")
    await bar.service.app.ctx.topics["roof"].dispatcher.operator.pause("out of ice")
    bar.clock.moved_s = -31.0
    await garden.order("Radia")
    bar.clock.moved_s = 0.0


async def work_through(bar: Bar, every: int = 1) -> None:
    """Let the bar work through yesterday evening; with every n-th guest only, that is quicker."""
    evening = PastEvening(bar)
    _, bert = await evening.begins()
    await evening.serve(islice(arrivals_s(), 0, None, every))
    evening.at(EVENING_S)
    await evening.set_aside(bert, "smells burnt")
    evening.at(EVENING_S + 900.0)
    await evening.bring_back(bert, "cleaned the nozzles")
    evening.at(EVENING_S + 1500.0)
    await evening.close()


async def _fill(bar: Bar) -> None:
    """Create three robots, a long queue, and ten minutes of orders before now."""
    bar.remembers_an_evening(BUSY_WAITS_S)
    bar.keeps_promises(43, of=46)
    bar.clock.moved_s = -700.0
    robots = [await bar.robot(name, rule) for name, rule in ROBOTS.items()]
    for n, (ago_s, name) in enumerate(GUESTS.items(), 1):
        bar.clock.moved_s = -ago_s
        await bar.order(name, drink=DRINKS[n * 5 % 6], logo=LOGOS[n * 3 % 8])
        if n in (5, 7, 9):
            robots.pop(0).finish()
            await bar.sees(4 + (n - 5) // 2, "assigned")
    bar.clock.moved_s = 0.0


BARS = {"roof": {"title": "The roof"}, "garden": {"title": "The beer garden behind the house"}}
"""The named topics of a house of bars, by name."""

DeskJourney = Callable[[Bar, MonitorPage], Journey]

ON_THE_DESK: tuple[DeskJourney, ...] = (
    a_quiet_evening,
    a_busy_evening,
    an_evening_abroad,
    a_bad_evening,
    a_bar_of_specialists,
    a_look_back,
    a_look_at_the_figures,
    a_look_at_the_monitor_as_it_was,
)
