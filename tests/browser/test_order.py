"""The order page, from the choice of a drink to the drink."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, expect

from sanic_dispatch.config.settings import CancelAssigned
from tests.browser.pages import OrderPage, hold_back
from tests.browser.served_bar import PREFIX, Bar, open_bar
from tests.browser.visitors import Visitors

MARKUP = "<img src=x onerror=alert(1)>"
READY = "#0b7a3b"
TURNED = "\N{RIGHT-TO-LEFT OVERRIDE}"

OTHER_NUMBER = """async (n) => {
    const { renderTicket } = await import(new URL('js/order/ticket.js', document.baseURI));
    const tracked = { order: { n, logo: 'owl' }, phase: 'waiting', entry: {} };
    renderTicket(tracked, { standing: () => '' });
}"""

OPEN_FROM_NOTIFICATION = """(id) => navigator.serviceWorker.dispatchEvent(
    new MessageEvent('message', { data: { show: id } }))"""
"""What the service worker does when a notification is clicked."""

KEPT_ORDERS = """async () => {
    const minutesAgo = (n) => Date.now() - n * 60_000;
    const { keyOf } = await import(new URL('js/shared/service_url.js', document.baseURI));
    localStorage.setItem(keyOf('orders'), JSON.stringify([
        { key: 'just over', state: 'done', asked: minutesAgo(50), last: { at: minutesAgo(29) } },
        { key: 'long over', state: 'done', asked: minutesAgo(50), last: { at: minutesAgo(31) } },
        { key: 'waiting', asked: minutesAgo(50) },
    ]));
    const { allOrders } = await import(new URL('js/order/order_store.js', document.baseURI));
    return allOrders().map(({ key }) => key);
}"""

GAP_PX = """() => {
    const [number, logo] = ['number', 'logo'].map(
        (id) => document.getElementById(id).getBoundingClientRect());
    return logo.left - number.right;
}"""
BROKEN_WORDS = r"""(selector) => [...document.querySelectorAll(selector)]
    .flatMap(({ firstChild }) => [...firstChild.data.matchAll(/\S+/g)].map((word) => {
        const range = document.createRange();
        range.setStart(firstChild, word.index);
        range.setEnd(firstChild, word.index + word[0].length);
        return [word[0], range.getClientRects().length];
    }))
    .filter(([, lines]) => lines > 1)"""
OLDER_SAFARI = "delete Element.prototype.checkVisibility"
"""Safari has had it since 17.4; some phones get no newer one than 16."""
LINKS = {"margarita": "Margarita", "Cuba Libre": "Cuba Libre", "espresso": "Espresso"}


@pytest.mark.parametrize("bar", ["/", PREFIX], ids=["root", "prefix"], indirect=True)
async def test_five_orders_reach_the_right_robots_in_order(bar: Bar, visitors: Visitors) -> None:
    """The oldest order goes to the robot that waited longest, and the page follows to the end."""
    ada, bert = await bar.robot("Robot Ada"), await bar.robot("Robot Bert")
    phone = await visitors.phone(reduced_motion="no-preference")
    for number, name in enumerate(["Ann", "Ben", "Cleo", "Dan", "Eve"], 1):
        assert await phone.place("Gin Tonic", name) == number
        await phone.shows("assigned" if number <= 2 else "waiting")
        if number < 5:
            await phone.button("Order another").click()
    await expect(phone.headline).to_have_text("2 ahead of you")
    for robot, ahead in ((bert, "1 ahead of you"), (ada, "You are next"), (ada, "Being mixed")):
        robot.finish()
        await expect(phone.headline).to_have_text(ahead)
    bert.finish()
    ada.finish()
    await phone.shows("done")
    assert bar.served == [
        ("Robot Ada", "Ann"),
        ("Robot Bert", "Ben"),
        ("Robot Bert", "Cleo"),
        ("Robot Ada", "Dan"),
        ("Robot Ada", "Eve"),
    ]
    for tab in reversed(await phone.tabs.all()):
        await expect(tab).to_contain_text("Ready")
        await tab.click()
        await phone.shows("done")
    await expect(phone.page).to_have_title("Ready! · #5 · Robot Bar")
    assert await phone.colour() == READY


async def test_an_older_phone(bar: Bar, visitors: Visitors) -> None:
    """The order is followed, and the focus stays on the ticket when a button goes."""
    phone = await visitors.newcomer()
    await phone.page.add_init_script(OLDER_SAFARI)
    await phone.open()
    await phone.place()
    await phone.shows("waiting")
    await phone.button("Cancel").focus()
    robot = bar.begin()
    await phone.shows("assigned")
    await expect(phone.headline).to_be_focused()
    robot.finish()
    await phone.shows("done")


async def test_two_phones_each_follow_their_own_order(bar: Bar, visitors: Visitors) -> None:
    """Two concurrent orders get two numbers, and each phone shows only its own."""
    ada = await bar.robot()
    phones = [await visitors.phone() for _ in range(2)]
    names = ["Ann", "Ben"]
    placed = await asyncio.gather(
        *(phone.place(name=name) for phone, name in zip(phones, names, strict=True))
    )
    assert sorted(placed) == [1, 2]
    first, second = (phones[placed.index(number)] for number in (1, 2))
    await first.shows("assigned")
    await expect(second.headline).to_have_text("You are next")
    ada.finish()
    await first.shows("done")
    await second.shows("assigned")
    for phone, name in zip(phones, names, strict=True):
        await expect(phone.page.locator("#for")).to_have_text(f"for {name}")


async def test_markup_in_names_is_shown_as_text(bar: Bar, visitors: Visitors) -> None:
    """Names from the form and from a link are shown as text everywhere."""
    phone = await visitors.phone(f"?{urlencode({'drink': MARKUP})}")
    drink = await phone.page.locator("#drinks b").first.inner_text()
    assert drink.lower() == MARKUP
    await phone.place(drink, MARKUP)
    await expect(phone.page.locator("#for")).to_have_text(f"for {MARKUP}")
    await expect(phone.page.locator("#drink")).to_have_text(drink)
    await phone.queue.locator("summary").click()
    await expect(phone.queue.locator("li")).to_contain_text(MARKUP, ignore_case=True)
    board = await visitors.television()
    await expect(board.page.locator("#next small")).to_have_text(MARKUP)
    for page in (phone.page, board.page):
        await expect(page.locator("[src=x]")).to_have_count(0)


async def test_a_name_cannot_turn_the_words_around_it(bar: Bar, visitors: Visitors) -> None:
    """Right-to-left text, and characters that pretend to be it, do not affect other text."""
    for name in ("عمر", f"{TURNED}Ada"):
        (order_id,) = await bar.order(name, drink=name)
        phone = await visitors.phone(f"?order={order_id}")
        await phone.shows("waiting")
        drink, owner = [await phone.page.locator(one).bounding_box() for one in ("#drink", "#for")]
        assert drink is not None
        assert owner is not None
        assert drink["x"] + drink["width"] <= owner["x"]


async def test_a_double_click_gives_one_order(bar: Bar, visitors: Visitors) -> None:
    """The second click of a double click has no effect: no second order, no other button."""
    phone = await visitors.phone()
    await phone.fill()
    await phone.submit.dblclick()
    await phone.shows("waiting")
    assert bar.proxy.count("POST /submit-job") == 1


async def test_many_clicks_while_loading_give_one_order(bar: Bar, visitors: Visitors) -> None:
    """However often the button is pressed while the page loads, it is one order."""
    phone = await visitors.newcomer()
    loaded = await hold_back(phone.page, "**/js/order/my_orders.js")
    await phone.open()
    await phone.fill()
    for _ in range(3):
        await phone.submit.click()
    loaded.set()
    await phone.shows("waiting")
    assert bar.proxy.count("POST /submit-job") == 1
    assert len(await bar.orders()) == 1


async def test_another_choice_while_loading(bar: Bar, visitors: Visitors) -> None:
    """If the button is pressed again with another drink, that one is ordered."""
    phone = await visitors.newcomer()
    may_load = await hold_back(phone.page, "**/my_orders.js")
    await phone.open()
    await phone.order("Mojito")
    await phone.order("Lemonade")
    may_load.set()
    await phone.shows("waiting")
    assert [order["drink"] for order in (await bar.orders()).values()] == ["lemonade"]


async def test_nothing_is_ordered_before_the_menu_is_there(visitors: Visitors) -> None:
    """The button is disabled until there are drinks to choose from."""
    phone = await visitors.newcomer()
    loaded = await hold_back(phone.page, "**/menu")
    await phone.open()
    await phone.name.fill("Ada")
    await expect(phone.submit).to_be_disabled()
    loaded.set()
    await phone.place()


async def test_orders_are_shown_once_the_network_is_back(visitors: Visitors) -> None:
    """Where there are any, nothing else is on the page: it says so, and tries again."""
    visitors.expect_network_errors = True
    phone = await visitors.phone()
    await phone.place()
    await phone.page.route("**/js/order/my_orders.js", lambda route: route.abort())
    await phone.page.reload()
    await expect(phone.banner).to_have_text("Connection lost. Reconnecting…")
    await phone.page.unroute("**/js/order/my_orders.js")
    await phone.shows("waiting")
    await expect(phone.banner).to_be_hidden()


async def test_another_order_is_opened_instead_of_an_answer(bar: Bar, visitors: Visitors) -> None:
    """A question that is left open is not about the order that a notification opens."""
    phone = await visitors.phone()
    await phone.place(name="Ann")
    first = await phone.order_id()
    await phone.button("Order another").click()
    await phone.place(name="Ben")
    await phone.button("Cancel").click()
    await expect(phone.dialog).to_be_visible()
    await phone.page.evaluate(OPEN_FROM_NOTIFICATION, first)
    await expect(phone.number).to_have_text("1")
    await expect(phone.dialog).to_be_hidden()
    await phone.cancel()
    await phone.shows("cancelled")
    await bar.sees(2, "waiting")


async def test_a_notification_that_is_clicked_while_loading(visitors: Visitors) -> None:
    """Its order is shown as soon as the scripts for it are there."""
    visitors.expect_network_errors = True
    phone = await visitors.phone()
    await phone.place(name="Ann")
    first = await phone.order_id()
    await phone.button("Order another").click()
    await phone.place(name="Ben")
    await phone.page.route("**/js/order/my_orders.js", lambda route: route.abort())
    await phone.open("?drink=mojito")
    await phone.page.evaluate(OPEN_FROM_NOTIFICATION, first)
    await expect(phone.banner).to_have_text("Connection lost. Reconnecting…")
    await phone.page.unroute("**/js/order/my_orders.js")
    await phone.shows("waiting")
    await expect(phone.number).to_have_text("1")
    await expect(phone.banner).to_be_hidden()


async def test_how_long_orders_are_kept(visitors: Visitors) -> None:
    """Half an hour from their end, however long they took."""
    phone = await visitors.phone()
    assert await phone.page.evaluate(KEPT_ORDERS) == ["just over", "waiting"]


async def test_orders_of_long_ago_leave_a_page_that_stays_open(
    bar: Bar, visitors: Visitors
) -> None:
    """Their tabs go half an hour after their end, but not the order that is shown."""
    visitors.expect_network_errors = True  # a page that sleeps so long reconnects
    phone = await visitors.newcomer()
    await phone.page.clock.install()
    await phone.open()
    await phone.place(name="Ann")
    await phone.button("Order another").click()
    await phone.place(name="Ben")
    robot = bar.begin()
    robot.finish()
    robot.finish()
    await phone.shows("done")
    await expect(phone.tabs).to_have_text(["2Ready", "1Ready"])
    await phone.page.clock.fast_forward("31:00")
    await expect(phone.tabs).to_have_count(1)
    await phone.shows("done")
    await expect(phone.number).to_have_text("2")


@pytest.mark.parametrize("script", ["my_orders.js", "words/en.js"])
async def test_an_order_is_possible_after_loading_failed(visitors: Visitors, script: str) -> None:
    """If the network fails while the page loads, it says so, and the next try succeeds."""
    visitors.expect_network_errors = True
    phone = await visitors.newcomer()
    await phone.page.route(f"**/js/order/{script}", lambda route: route.abort())
    await phone.open()
    await phone.order()
    await expect(phone.banner).to_have_text("That did not go through. Please try again.")
    await phone.page.unroute(f"**/js/order/{script}")
    await phone.submit.click()
    await phone.shows("waiting")
    await expect(phone.banner).to_be_hidden()


async def test_cancel_while_waiting(bar: Bar, visitors: Visitors) -> None:
    """A waiting order can be cancelled, after a confirmation; those behind it move up."""
    phone, other = await visitors.phone(), await visitors.phone()
    await phone.place(name="Ann")
    await other.place(name="Ben")
    order_id = await phone.order_id()
    await phone.button("Cancel").click()
    await phone.button("Keep it").click()
    await phone.shows("waiting")
    await expect(other.headline).to_have_text("1 ahead of you")
    await phone.cancel()
    await phone.shows("cancelled")
    await expect(other.headline).to_have_text("Waiting for a robot")
    assert (await bar.service.job(order_id))["state"] == "cancelled"


async def test_a_cancellation_that_does_not_get_through(bar: Bar, visitors: Visitors) -> None:
    """The page says that it failed as long as it can be tried again."""
    visitors.expect_network_errors = True
    phone = await visitors.phone()
    await phone.page.route("**/jobs/*", lambda route: route.abort())
    await phone.place()
    await phone.cancel()
    await expect(phone.note).to_have_text("That did not go through. Please try again.")
    await phone.shows("waiting")
    bar.begin()
    await phone.shows("assigned")
    await expect(phone.note).to_be_hidden()


async def test_too_late_to_cancel(bar: Bar, visitors: Visitors) -> None:
    """Once a robot has the order, the page says that it is too late, and goes on."""
    visitors.expect_network_errors = True
    phone = await visitors.phone()
    await phone.place()
    await phone.button("Cancel").click()
    robot = bar.begin()
    await phone.shows("assigned")
    await phone.button("Yes, cancel it").click()
    await expect(phone.note).to_have_text("Too late to cancel: your drink is already being mixed.")
    robot.finish()
    await phone.shows("done")


async def test_it_is_not_too_late_once_the_order_is_back(bar: Bar, visitors: Visitors) -> None:
    """An order that comes back from its robot waits, and can be cancelled after all."""
    visitors.expect_network_errors = True
    phone = await visitors.phone()
    await phone.place()
    await phone.button("Cancel").click()
    bar.begin()
    await phone.shows("assigned")
    await phone.button("Yes, cancel it").click()
    await expect(phone.note).to_contain_text("Too late to cancel")
    await bar.service.app.ctx.dispatcher.operator.pause("")
    await bar.put_back(await phone.order_id())
    await expect(phone.headline).to_have_text("Waiting for the bar")
    await expect(phone.note).to_be_hidden()


async def test_how_far_the_robot_is(bar: Bar, visitors: Visitors) -> None:
    """The page shows a bar and the robot's words; they are read out with each quarter only."""
    await bar.robot()
    phone = await visitors.phone()
    await phone.place()
    await phone.shows("assigned")
    await expect(phone.making).to_be_hidden()
    order_id = await phone.order_id()
    await bar.make_progress(order_id, None, "looking for <b>ice</b>")
    await expect(phone.making).to_have_text("looking for <b>ice</b>")
    await expect(phone.filled).to_be_hidden()
    spoken = []
    for percent, text in ((10.0, "ice"), (27.5, "gin"), (40.0, "gin"), (49.9, "tonic"), (80.0, "")):
        await bar.make_progress(order_id, percent, text)
        await expect(phone.making).to_have_text(f"{int(percent)} % {text}".strip())
        await expect(phone.filled).to_have_js_property("value", percent)
        spoken.append(await phone.spoken.inner_text())
    assert spoken[0] == "Order 1: Being mixed"
    assert spoken[1:4] == ["Order 1: Being mixed. 27 %, gin"] * 3
    assert spoken[4] == "Order 1: Being mixed. 80 %"


async def test_cancel_while_it_is_mixed(bar: Bar, visitors: Visitors) -> None:
    """A robot that can hear of it is asked to stop, and its answer is what the page says then."""
    robot = await bar.robot()
    phone = await visitors.phone()
    for end in ("cancelled", "done"):
        await phone.place()
        await phone.shows("assigned")
        await expect(phone.button("Cancel")).to_be_hidden()
        order_id = await phone.order_id()
        await bar.make_progress(order_id, 40, "adding gin")
        await phone.button("Cancel").click()
        await expect(phone.dialog).to_contain_text("We’ll ask the robot to stop.")
        await phone.button("Yes, cancel it").click()
        await expect(phone.headline).to_have_text("Asking the robot to stop…")
        await expect(phone.button("Cancel")).to_be_hidden()
        await expect(phone.spoken).to_have_text(re.compile("Asking the robot to stop"))
        await phone.page.reload()
        await expect(phone.headline).to_have_text("Asking the robot to stop…")
        if end == "cancelled":
            await bar.stop(order_id)
        robot.finish()
        await phone.shows(end)
        if end == "cancelled":
            await phone.button("Order again").click()
    await expect(phone.note).to_contain_text("It was too late to cancel.")
    await expect(phone.page.locator("#alert")).to_contain_text("It was too late to cancel.")
    await phone.page.reload()
    await expect(phone.note).to_contain_text("It was too late to cancel.")


async def test_where_customers_may_not_cancel(browser: Browser) -> None:
    """The page does not offer it."""
    async with open_bar(cancel_assigned=CancelAssigned.NEVER) as bar:
        visitors = Visitors(browser, bar.proxy)
        await bar.robot()
        phone = await visitors.phone()
        await phone.place()
        await bar.make_progress(await phone.order_id(), 40)
        await expect(phone.making).to_have_text("40 %")
        await expect(phone.button("Cancel")).to_be_hidden()
        await visitors.leave()


async def test_an_order_that_is_late_says_so(bar: Bar, visitors: Visitors) -> None:
    """Past the end of its first promise, with the newest estimate, also while it is mixed."""
    bar.knows_mixing_times(*[60.0] * 6)
    await bar.robot()
    await bar.order("Ann")
    phone = await visitors.phone()
    await phone.place()
    await expect(phone.waiting_time).to_contain_text("about")
    bar.clock.moved_s = 1000.0
    late = re.compile(r"^Taking longer than usual: about \d+(–\d+)? min$")
    await expect(phone.waiting_time).to_have_text(late)


async def test_a_cancel_is_shown_without_the_live_channel(bar: Bar, visitors: Visitors) -> None:
    """The service's answer is enough."""
    visitors.expect_network_errors = True
    phone = await visitors.newcomer()
    await phone.page.clock.install()
    await phone.open()
    await phone.place()
    bar.proxy.refuses_upgrades = True
    await phone.page.route("**/state?*", lambda route: route.abort())
    bar.proxy.drop_all()
    await phone.page.clock.fast_forward(2_000)
    await expect(phone.banner).to_be_visible()
    await phone.cancel()
    await phone.shows("cancelled")
    await expect(phone.banner).to_be_hidden()


async def test_a_failure_has_a_text_for_customers(bar: Bar, visitors: Visitors) -> None:
    """The robot's reason is for staff, and not shown."""
    robot = await bar.robot()
    phone = await visitors.phone()
    await phone.place()
    await bar.fail(await phone.order_id(), robot, "E_NO_ICE")
    await phone.shows("failed")
    await expect(phone.note).to_have_text(
        "Sorry, we couldn’t make your drink. Please ask at the bar."
    )


async def test_a_failure_is_shown_until_the_next_order(bar: Bar, visitors: Visitors) -> None:
    """A phone that opens the page again shows it, and after a later order the form."""
    robot = await bar.robot()
    phone = await visitors.phone()
    await phone.place()
    await bar.fail(await phone.order_id(), robot, "no ice")
    await phone.shows("failed")
    await phone.open()
    await phone.shows("failed")
    await phone.button("Order again").click()
    await phone.place()
    robot.finish()
    robot.finish()
    await phone.shows("done")
    await phone.open()
    await expect(phone.tabs).to_have_count(2)
    await expect(phone.name).to_be_visible()


async def test_an_order_of_another_tab(bar: Bar, visitors: Visitors) -> None:
    """A tab that was open already shows and follows it."""
    first = await visitors.phone()
    second = OrderPage(await first.page.context.new_page(), first.base_url)
    await second.open()
    await second.is_loaded()
    await first.place()
    await expect(second.tabs).to_have_count(1)
    bar.begin()
    await expect(second.tabs).to_contain_text("Being mixed")
    assert len(await bar.orders()) == 1


@pytest.mark.parametrize("count", [1, 99, 999, 9999])
async def test_a_number_never_meets_the_logo(bar: Bar, visitors: Visitors, count: int) -> None:
    """Not even a long number on the narrowest phone overlaps it."""
    phone = await visitors.phone(viewport={"width": 320, "height": 640})
    await phone.place()
    await phone.page.evaluate(OTHER_NUMBER, count)
    assert await phone.page.evaluate(GAP_PX) >= 0


async def test_the_queue_is_counted_as_it_is_listed(bar: Bar, visitors: Visitors) -> None:
    """Also while nothing is said of the own order."""
    await bar.robot()
    phone = await visitors.phone()
    await phone.place()
    await phone.shows("assigned")
    await phone.queue.locator("summary").click()
    await expect(phone.queue.locator("li")).to_have_count(1)
    await bar.order("Ann", "Ben")
    await expect(phone.queue.locator("li")).to_have_count(3)
    await expect(phone.page.locator("#queue-count")).to_have_text("2", timeout=2_000)


async def test_the_queue_marks_the_order_that_is_shown(bar: Bar, visitors: Visitors) -> None:
    """Also where another order is chosen while the queue is open, and nothing else happens."""
    phone = await visitors.phone()
    await phone.place(name="Ann")
    await phone.button("Order another").click()
    await phone.place(name="Ben")
    await phone.queue.locator("summary").click()
    marked = phone.queue.locator("li[aria-current] b")
    await expect(marked).to_have_text("2")
    for tab, number in ((1, "1"), (0, "2")):
        await phone.tabs.nth(tab).click()
        await expect(phone.number).to_have_text(number)
        await expect(marked).to_have_text(number, timeout=2_000)


async def test_the_queue_in_large_letters(bar: Bar, visitors: Visitors) -> None:
    """No word is broken where letters are twice as large."""
    await bar.robot()
    phone = await visitors.phone()
    await phone.place("Virgin Colada")
    await phone.shows("assigned")
    await phone.page.evaluate("document.documentElement.style.fontSize = '200%'")
    await phone.queue.locator("summary").click()
    await expect(phone.queue).to_contain_text("Virgin Colada")
    assert await phone.page.evaluate(BROKEN_WORDS, "#queue-list span") == []


async def test_the_logos_in_large_letters(visitors: Visitors) -> None:
    """Nor is a name there, not even on the narrowest phone."""
    phone = await visitors.phone(viewport={"width": 320, "height": 640})
    await expect(phone.page.locator("#logos b")).to_have_count(8)
    await phone.page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert await phone.page.evaluate(BROKEN_WORDS, "#logos b") == []


async def test_a_choice_is_seen_in_forced_colours(visitors: Visitors) -> None:
    """The chosen logo has a mark where the system replaces all colours."""
    phone = await visitors.phone(forced_colors="active")
    await phone.page.get_by_role("radio", name="Bee").check()
    mark = await phone.page.evaluate(
        """() => {
            const card = document.querySelector('#logos :checked + .card');
            const { borderColor, width } = getComputedStyle(card, '::after');
            return [borderColor !== getComputedStyle(document.body).backgroundColor, width];
        }"""
    )
    assert mark == [True, "18px"]


async def test_a_link_chooses_the_drink(visitors: Visitors) -> None:
    """``?drink=`` chooses a drink of the menu by its id or name, or adds another one."""
    phone = await visitors.newcomer()
    for wanted, drink in LINKS.items():
        await phone.open(f"?{urlencode({'drink': wanted})}")
        await expect(phone.drink(drink)).to_be_checked()
        await expect(phone.button(f"Order {drink}")).to_be_visible()


async def test_german(bar: Bar, visitors: Visitors) -> None:
    """A German phone gets a German page, from the form to the drink."""
    robot = await bar.robot()
    phone = await visitors.phone(locale="de-DE")
    await expect(phone.page.locator("html")).to_have_attribute("lang", "de")
    await expect(phone.page).to_have_title("Drink bestellen")
    await phone.drink("Margarita").check()
    await phone.page.get_by_label("Dein Name").fill("Zoë")
    await phone.button("Margarita bestellen").click()
    await expect(phone.headline).to_have_text("Wird gemixt")
    robot.finish()
    await expect(phone.headline).to_have_text("Fertig!")
    await expect(phone.page).to_have_title("Fertig! · #1 · Roboter-Bar")
    await expect(phone.button("Noch etwas bestellen")).to_be_visible()


async def test_a_rejection_has_a_text_for_customers(visitors: Visitors) -> None:
    """The service's text is English, and meant for staff."""
    visitors.expect_network_errors = True
    phone = await visitors.phone(locale="de-DE")
    refusal = {"status": 400, "json": {"detail": "nested too deeply"}}
    await phone.page.route("**/submit-job", lambda route: route.fulfill(**refusal))
    await phone.drink("Margarita").check()
    await phone.name.fill("Zoë")
    await phone.submit.click()
    await expect(phone.headline).to_have_text("Die Bar konnte deine Bestellung nicht annehmen")
    await expect(phone.note).to_have_text("Bitte frag an der Bar nach.")


async def test_keyboard_only(bar: Bar, visitors: Visitors) -> None:
    """Everything works by keyboard, with a visible focus."""
    phone = await visitors.phone(has_touch=False, is_mobile=False)
    await phone.is_loaded()
    keys = phone.page.keyboard
    await keys.press("Tab")
    await keys.press("Space")
    await keys.press("ArrowRight")
    await expect(phone.drink("Cuba Libre")).to_be_checked()
    assert await phone.focus_is_visible()
    await keys.press("Tab")
    await keys.press("ArrowRight")
    assert await phone.focus_is_visible()
    await keys.press("Tab")
    await expect(phone.name).to_be_focused()
    await keys.type("Ada")
    await keys.press("Enter")
    await phone.shows("waiting")
    await expect(phone.headline).to_be_focused()
    await phone.tab_to(phone.button("Cancel"))
    assert await phone.focus_is_visible()
    await keys.press("Enter")
    await phone.tab_to(phone.button("Yes, cancel it"))
    await keys.press("Enter")
    await phone.shows("cancelled")
    await expect(phone.headline).to_be_focused()


async def test_a_reload_changes_nothing(bar: Bar, visitors: Visitors) -> None:
    """The order, the name and the logo survive a reload."""
    phone = await visitors.phone()
    await phone.place("Lemonade", "Ada", "Bee")
    await phone.page.reload()
    await phone.shows("waiting")
    await expect(phone.number).to_have_text("1")
    await phone.button("Order another").click()
    await expect(phone.name).to_have_value("Ada")
    await expect(phone.page.get_by_role("radio", name="Bee")).to_be_checked()
    assert bar.proxy.count("POST /submit-job") == 1


async def test_a_friend_may_look_and_not_cancel(bar: Bar, visitors: Visitors) -> None:
    """The link of an order shows it; only the phone that ordered can cancel."""
    phone = await visitors.phone()
    await phone.place("Margarita", "Ada")
    friend = await visitors.phone(f"?order={await phone.order_id()}")
    await friend.shows("waiting")
    await expect(friend.page.locator(".what")).to_have_text("Margarita for Ada")
    await expect(friend.button("Cancel")).to_be_hidden()
    bar.begin().finish()
    await friend.shows("done")


async def test_errors_in_a_page_are_noticed(visitors: Visitors) -> None:
    """Messages on the console and exceptions reach these tests, so that silence means something."""
    phone = await visitors.phone()
    async with phone.page.expect_event("pageerror"):
        await phone.page.evaluate("setTimeout(() => { throw new Error('oh') })")
    async with phone.page.expect_console_message():
        await phone.page.evaluate("console.error('no')")
    assert visitors.complaints == ["uncaught: oh", "error: no ()"]
    visitors.complaints.clear()
