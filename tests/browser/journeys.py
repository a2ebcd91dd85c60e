"""Scripts that lead the order page and the board through every state that people can see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from playwright.async_api import Route, expect

from sanic_dispatch.simulation import Faults
from tests.browser.pages import BoardPage, OrderPage, hold_back
from tests.browser.served_bar import Bar

DRINKS = ("mojito", "cuba-libre", "gin-tonic", "margarita", "virgin-colada", "lemonade")
LOGOS = ("lion", "cat", "turtle", "rabbit", "owl", "fox", "octopus", "bee")
LONG_DRINK = "Donaudampfschifffahrtsgesellschaftskapitän"
LONG_NAME = "Maximiliane-Konstantine Müller"
MIXING_TIMES_S = (110, 120, 130, 100, 140, 120)
"""Earlier mixing times, so that waiting times can be estimated."""

Journey = AsyncIterator[str]
"""Yields the name of each state when it is reached."""


# ---- the order page


async def a_change_of_mind(bar: Bar, phone: OrderPage) -> Journey:
    """Fill in the form, wait in a long queue, and cancel."""
    answered = await hold_back(phone.page, "**/submit-job")
    await _get_busy(bar)
    await phone.open()
    yield "form"
    await phone.fill("Gin Tonic", "Ada", "Octopus")
    yield "form-filled"
    await phone.button("Order Gin Tonic").click()
    await phone.shows("sending")
    yield "sending"
    answered.set()
    await expect(phone.headline).to_have_text("3 ahead of you")
    await expect(phone.waiting_time).to_contain_text("min")
    yield "waiting"
    await phone.queue.locator("summary").click()
    await expect(phone.queue.locator("li[aria-current]")).to_contain_text("Gin Tonic")
    yield "queue-open"
    await phone.button("Cancel").click()
    await expect(phone.dialog).to_be_visible()
    yield "confirming"
    await phone.button("Yes, cancel it").click()
    await phone.shows("cancelled")
    yield "cancelled"


async def a_drink(bar: Bar, phone: OrderPage) -> Journey:
    """Order without robots, lose the network, and get the drink."""
    bar.knows_mixing_times(*MIXING_TIMES_S)
    await phone.page.clock.install()
    await phone.open()
    await phone.place("Gin Tonic", "Ada", "Octopus")
    await phone.shows("waiting")
    yield "no-robots"
    robot = bar.begin()
    await phone.shows("assigned")
    await expect(phone.waiting_time).to_contain_text("min")
    yield "mixing"
    bar.proxy.go_offline()
    await phone.page.clock.fast_forward(3_000)
    await expect(phone.banner).to_be_visible()
    yield "cut-off"
    bar.proxy.go_online()
    robot.finish()
    await phone.page.clock.fast_forward(15_000)
    await phone.shows("done")
    yield "ready"


async def a_second_thought(bar: Bar, phone: OrderPage) -> Journey:
    """Watch how far the robot is, and want to cancel too late; in German, with longer texts."""
    bar.knows_mixing_times(*MIXING_TIMES_S)
    robot = await bar.robot()
    await phone.open("?lang=de")
    await phone.page.get_by_role("radio", name="Gin Tonic").check()
    await phone.name.fill("Ada")
    await phone.submit.click()
    order_id = await phone.order_id()
    await bar.make_progress(order_id, 40, "Gin, und dann Wasser von der Donaudampfschifffahrt")
    await expect(phone.making).to_contain_text("40 %")
    yield "progress"
    await phone.button("Stornieren").click()
    await expect(phone.dialog).to_be_visible()
    yield "confirming-stop"
    await phone.button("Ja, stornieren").click()
    await expect(phone.headline).to_have_text("Der Roboter soll aufhören …")
    yield "stopping"
    robot.finish()
    await expect(phone.headline).to_have_text("Fertig!")
    yield "ready-anyway"


async def a_bad_network(bar: Bar, phone: OrderPage) -> Journey:
    """Order a drink with a long name by a link; the order never reaches the service."""
    await phone.page.clock.install()
    await phone.page.route("**/submit-job", lambda route: route.abort())
    await phone.open(f"?drink={LONG_DRINK}")
    await phone.name.fill(LONG_NAME)
    yield "form-by-link"
    await phone.submit.click()
    await phone.shows("unsent")
    yield "unsent"
    await phone.page.clock.fast_forward("03:00")
    await phone.shows("unsentTooLong")
    yield "still-thirsty"
    await phone.page.route("**/submit-job", _refuse)
    await phone.button("Send now").click()
    await phone.shows("rejected")
    yield "rejected"


async def a_bad_night(bar: Bar, phone: OrderPage) -> Journey:
    """An unknown order, one that no robot can mix, and one that may be lost."""
    await phone.open(f"?order={'0' * 32}")
    await phone.shows("gone")
    yield "unknown"
    robot = await bar.robot()
    robot.instance.faults = Faults(take=False, status=500)
    await phone.button("Order again").click()
    await phone.order("Gin Tonic")
    await phone.shows("failed")
    yield "failed"
    robot.instance.faults = Faults(take=False, hang=True)
    await phone.button("Order again").click()
    await phone.order("Cuba Libre")
    await robot.instance.until(lambda: len(robot.instance.puts) == 2)
    await bar.engine.down()
    await expect(phone.note).to_contain_text("not responding")
    yield "in-doubt"


async def a_round(bar: Bar, phone: OrderPage) -> Journey:
    """Three orders from one phone, each in another state."""
    ada, _ = await bar.robot(), await bar.robot()
    await phone.open()
    for drink in ("Mojito", "Cuba Libre", "Lemonade"):
        await phone.place(drink, LONG_NAME, "Turtle")
        await phone.button("Order another").click()
    yield "form-again"
    ada.finish()
    await expect(phone.tabs.filter(has_text="Ready")).to_have_count(1)
    await phone.tabs.first.click()
    await phone.shows("assigned")
    yield "several-orders"


async def a_long_night(bar: Bar, phone: OrderPage) -> Journey:
    """An order with a number above 1,000, in German, whose texts are longer."""
    await bar.order(*[""] * 1233)
    await phone.open(f"?lang=de&drink={LONG_DRINK}")
    await phone.name.fill(LONG_NAME)
    await phone.submit.click()
    await expect(phone.number).to_have_text("1234")
    yield "large-number"


async def a_small_menu(bar: Bar, phone: OrderPage) -> Journey:
    """A robot makes four drinks; then another takes over, which does not make the chosen one."""
    bert = await bar.robot("Robot Bert", "not.drink=margarita|lemonade")
    await phone.open()
    await phone.fill("Gin Tonic", "Ada", "Octopus")
    greyed = phone.page.locator("#drinks [aria-disabled=true]")
    await expect(greyed).to_have_count(2)
    yield "small-menu"
    await bar.robot("Robot Cleo", "match.drink=mojito|lemonade")
    await bar.drop(bert)
    await expect(phone.page.locator("#drink-news")).not_to_be_empty()
    yield "chosen-not-made"
    await phone.open("?lang=de")
    await expect(greyed).to_have_count(4)
    await phone.drink("Limonade").check()
    yield "german-small-menu"
    (order_id,) = await bar.order(LONG_NAME, drink="virgin-colada", logo="bee")
    await phone.open(f"?order={order_id}")
    await expect(phone.headline).to_have_text("Waiting for a robot")
    yield "unserved"
    await phone.open(f"?lang=de&order={order_id}")
    await expect(phone.headline).to_have_text("Wartet auf einen Roboter")
    yield "german-unserved"


# ---- the wall board


async def a_party(bar: Bar, board: BoardPage) -> Journey:
    """The board from empty to full, and when the network breaks."""
    await board.page.clock.install()
    robots = [await bar.robot() for _ in range(4)]
    await board.open()
    await board.shows(ready=[], mixing=[], next=[])
    yield "empty"
    for n in range(24):
        await bar.order("", drink=DRINKS[n * 5 % 6], logo=LOGOS[n * 3 % 8])
    for robot in (*robots, robots[0]):
        robot.finish()
    await expect(board.more("next")).to_have_text("+7")
    for percent, order_id in zip((20, 55, 90), bar.being_made, strict=False):
        await bar.make_progress(order_id, percent)
    await expect(board.filled).to_have_count(3)
    yield "busy"
    bar.proxy.go_offline()
    await board.page.clock.fast_forward(3_000)
    await expect(board.strip).to_contain_text("Connection lost")
    yield "cut-off"


async def a_rush(bar: Bar, board: BoardPage) -> Journey:
    """Hundreds wait and dozens are ready, in German with its longer texts; then no network."""
    robots = [await bar.robot() for _ in range(7)]
    await board.open("?lang=de")
    for n in range(40):
        await bar.order("", drink=DRINKS[n * 5 % 6], logo=LOGOS[n * 3 % 8])
    for robot in (*robots, *robots, *robots):
        robot.finish()
    await bar.order(*[""] * 281)
    await expect(board.page.locator("#ready-others li")).to_have_count(13)
    await expect(board.more("next")).to_have_text("+285")
    yield "rush"
    await bar.service.app.ctx.dispatcher.operator.pause("out of ice")
    await expect(board.strip).to_have_text("Die Bar macht kurz Pause")
    yield "paused"
    await board.sound.click()
    await expect(board.sound).to_be_checked()
    yield "sound-on"


async def a_late_crew(bar: Bar, board: BoardPage) -> Journey:
    """Orders wait, and no robot has registered."""
    await bar.order("", "", drink="mojito", logo="fox")
    await board.open()
    await expect(board.strip).to_contain_text("No robot")
    yield "no-robots"


async def _get_busy(bar: Bar) -> None:
    """Start two robots, and let three orders wait."""
    bar.knows_mixing_times(*MIXING_TIMES_S)
    for _ in range(2):
        await bar.robot()
    for drink, logo in zip(DRINKS[:5], LOGOS[:5], strict=True):
        await bar.order("Ann", drink=drink, logo=logo)


async def _refuse(route: Route) -> None:
    await route.fulfill(status=400, json={"detail": "the bar is closed"})


OrderJourney = Callable[[Bar, OrderPage], Journey]
BoardJourney = Callable[[Bar, BoardPage], Journey]

ON_A_PHONE: tuple[OrderJourney, ...] = (
    a_change_of_mind,
    a_drink,
    a_second_thought,
    a_bad_network,
    a_bad_night,
    a_round,
    a_long_night,
    a_small_menu,
)
ON_THE_WALL: tuple[BoardJourney, ...] = (a_party, a_rush, a_late_crew)
