"""The tablet of a person behind the bar: sign-in, orders, a bad network, reloads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import ujson
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.browser.pages import connects_while_loading, stop_clock
from tests.browser.served_bar import Bar, open_bar
from tests.browser.test_menu import loads_again
from tests.browser.test_ready_signal import RECORD_CALLS
from tests.browser.test_speed import NOT_PRELOADED
from tests.browser.visitors import TABLET, Visitors
from tests.browser.worker_page import WorkerPage
from tests.support.server import eventually

WORKER_TOKEN = "worker-token-1"
LINK = f"#token={WORKER_TOKEN}"
ORDERS = 10
SETTLE_MS = 500
"""How long a button does nothing after it has appeared."""

KEYS = """async (code) => {
    const keysIn = (key, word) => (typeof word === 'object'
        ? keys(word).map((one) => `${key}.${one}`) : key);
    const keys = (words) => Object.entries(words).flatMap(([key, word]) => keysIn(key, word));
    return keys((await import(`./js/worker/words/${code}.js`)).words);
}"""
"""Returns the keys of the page's texts in a language."""

SAY_TOO_MUCH = """async ({ token, sizes, reason }) => {
    const load = (path) => import(new URL(path, document.baseURI));
    const { JobWorker } = await load('js/shared/job_worker.js');
    const statuses = [];
    for await (const job of new JobWorker({ name: 'script-1', token })) {
        for (const size of sizes) {
            await job.done('x'.repeat(size)).catch(({ status }) => statuses.push(status));
        }
        await job.progress(50, reason);
        const answer = await fetch(new URL(`../jobs/${job.id}`, document.baseURI));
        const { progress } = await answer.json();
        await job.fail(reason);
        return [statuses, progress.text];
    }
}"""
"""Returns the statuses of results of these sizes, and the progress's text; then the job fails."""

LONG_NAME = "\N{CJK UNIFIED IDEOGRAPH-9152}" * 39
"""One character short of what the field takes, and over 100 once it is encoded."""


@pytest_asyncio.fixture(loop_scope="session")
async def bar(request: pytest.FixtureRequest) -> AsyncIterator[Bar]:
    """A service whose workers need a token."""
    settings = getattr(request, "param", {})
    async with open_bar(worker_tokens=(WORKER_TOKEN,), **settings) as bar:
        yield bar


async def at_work(visitors: Visitors, name: str = "Ada", *drinks: str) -> WorkerPage:
    tablet = await visitors.tablet(LINK)
    await tablet.start(name, *drinks)
    await tablet.is_connected()
    return tablet


async def test_a_name_of_blanks(visitors: Visitors) -> None:
    """Is none: the page stays where it is, and asks for one in its own words."""
    tablet = await visitors.tablet(LINK)
    await tablet.start("  ")
    await expect(tablet.name).to_be_visible()
    await expect(tablet.name).to_be_focused()
    await expect(tablet.problem).to_be_hidden()
    await tablet.start(" Ada ")
    await tablet.is_connected()


async def test_the_line_before_it_is_known(bar: Bar, visitors: Visitors) -> None:
    """The page does not say that nobody waits until it has heard so."""
    is_mute = True

    def follow(socket: WebSocketRoute) -> None:
        if not is_mute:
            socket.connect_to_server()

    tablet = await visitors.tablet(LINK)
    await tablet.page.route_web_socket(re.compile("/live"), follow)
    await tablet.start("Ada", "Mojito")
    await tablet.is_connected()
    await expect(tablet.page.get_by_role("heading", name="Next", exact=True)).to_be_visible()
    nobody = tablet.page.get_by_text("Nobody is waiting")
    await expect(nobody).to_be_hidden()
    is_mute = False
    await tablet.page.reload()
    await expect(nobody).to_be_visible()


async def test_from_the_sign_in_to_ten_orders(bar: Bar, visitors: Visitors) -> None:
    """Each order is made once, in order, although the network is cut again and again."""
    visitors.expect_network_errors = True
    tablet = await visitors.tablet(LINK)
    assert WORKER_TOKEN not in tablet.page.url
    await tablet.start()
    ids = await bar.order(*(f"Guest {n}" for n in range(ORDERS)))
    for n in range(1, ORDERS + 1):
        await tablet.accept(n)
        if n % 3 == 0:
            bar.proxy.drop_all()
            await tablet.is_connected()
        if n == 5:
            bar.proxy.go_offline()
            await expect(tablet.link).to_have_text("Reconnecting…")
            await expect(tablet.note).to_contain_text("Reconnecting automatically")
        await tablet.button("Ready").click()
        if n == 5:
            bar.proxy.go_online()
    await tablet.shows("waiting")
    jobs = [await bar.service.job(one) for one in ids]
    assert [job["state"] for job in jobs] == ["done"] * ORDERS
    assert jobs[0]["result"] == {"by": "Ada"}


async def test_a_reload_in_the_middle_of_an_order(bar: Bar, visitors: Visitors) -> None:
    """It goes on with the order that was accepted; before that, the order is offered again."""
    tablet = await at_work(visitors)
    [job_id] = await bar.order("Bea")
    await tablet.shows("offered", 1)
    await tablet.page.reload()
    await tablet.accept(1)
    await tablet.page.reload()
    await tablet.shows("making", 1)
    await tablet.button("Ready").click()
    await tablet.shows("waiting")
    assert (await bar.service.job(job_id))["state"] == "done"


async def test_a_reload_connects_once(visitors: Visitors) -> None:
    """Also where the last picture comes while it connects."""
    tablet = await at_work(visitors)
    assert len(await connects_while_loading(tablet.page, "**/work?*")) == 1
    await tablet.is_connected()


async def test_two_people_in_two_tabs(bar: Bar, visitors: Visitors) -> None:
    """After a reload each tab goes on as the person who began there."""
    tablet = await at_work(visitors, "Ada")
    other = WorkerPage(await tablet.page.context.new_page(), tablet.base_url)
    await other.open(LINK)
    await other.start("Ben")
    await other.is_connected()
    await tablet.page.reload()
    await tablet.is_connected()
    await expect(tablet.page.locator("#who")).to_have_text("Ada")
    await bar.order("Guest", "Other guest")
    await tablet.shows("offered")
    await other.shows("offered")


@pytest.mark.parametrize("logo", ["valueOf", {"toString": 1}])
async def test_a_logo_that_is_none(bar: Bar, visitors: Visitors, logo: Any) -> None:
    """It is an order as any other."""
    tablet = await at_work(visitors)
    await bar.service.submit({"drink": "mojito", "logo": logo})
    await tablet.accept(1)
    await tablet.button("Ready").click()
    await tablet.shows("waiting")


async def test_an_acceptance_that_is_lost(bar: Bar, visitors: Visitors) -> None:
    """The order goes to somebody else; when it comes back from there, the page asks again."""
    visitors.expect_network_errors = True

    def lose_acceptances(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        socket.on_message(lambda said: None if "accept" in str(said) else server.send(said))

    tablet = await visitors.tablet(LINK)
    await tablet.page.route_web_socket("**/work*", lose_acceptances)
    await tablet.start("Ann")
    await tablet.is_connected()
    await bar.order("Guest")
    await tablet.shows("offered", 1)
    other = await at_work(visitors, "Ben")
    await tablet.settles()
    await tablet.button("Accept").click()
    await other.accept(1)
    await tablet.shows("waiting")
    await expect(tablet.number).to_be_hidden()
    await other.button("Can’t make it").click()
    await other.button("Give it to someone else").click()
    await tablet.shows("offered", 1)
    await tablet.settles()
    await expect(tablet.button("Accept")).to_be_visible()


async def test_two_tablets_of_one_name(bar: Bar, visitors: Visitors) -> None:
    """Another tablet of that name takes over, with the order, and the first one takes it back."""
    tablet = await at_work(visitors)
    await bar.order("Bea")
    await tablet.accept(1)
    other = await at_work(visitors)
    await other.shows("offered", 1)
    await tablet.shows("away")
    await tablet.button("Work here").click()
    await tablet.accept(1)
    await other.shows("away")
    await other.button("Change name").click()
    await other.start("Bob")
    await other.shows("waiting")


async def test_a_wrong_token(bar: Bar, visitors: Visitors) -> None:
    """It is asked for, and never shown."""
    tablet = await visitors.tablet("#token=wrong")
    await tablet.start()
    await expect(tablet.problem).to_contain_text("This token is not valid.")
    await expect(tablet.token).to_be_focused()
    await expect(tablet.token).to_have_attribute("type", "password")
    await tablet.token.fill(WORKER_TOKEN)
    await tablet.button("Start").click()
    await tablet.is_connected()


async def test_no_token(visitors: Visitors) -> None:
    """A page that was opened without its link does not say that a token is wrong."""
    tablet = await visitors.tablet()
    await tablet.start()
    await expect(tablet.problem).to_contain_text("You need a token to work here.")
    await tablet.token.fill("wrong")
    await tablet.button("Start").click()
    await expect(tablet.problem).to_contain_text("This token is not valid.")


async def test_only_what_a_person_makes(bar: Bar, visitors: Visitors) -> None:
    """The drinks that were chosen are a rule; others stay in the line, and are shown there."""
    tablet = await at_work(visitors, "Ada", "Mojito", "Lemonade")
    await bar.order("Bea", drink="margarita")
    await bar.order("Cleo", drink="lemonade")
    await tablet.shows("offered", 2)
    await expect(tablet.next).to_have_text(re.compile("1.*Margarita"))


async def test_cannot(bar: Bar, visitors: Visitors) -> None:
    """The order goes to someone else, with the reason, or fails."""
    tablet = await at_work(visitors)
    [first, second] = await bar.order("Bea", "Cleo")
    await tablet.accept(1)
    await tablet.button("Can’t make it").click()
    await tablet.button("Keep making it").click()
    await tablet.button("Can’t make it").click()
    await tablet.dialog.get_by_label("Reason").fill("no mint")
    await tablet.button("Say it can’t be made").click()
    await tablet.accept(2)
    await tablet.button("Can’t make it").click()
    await tablet.button("Give it to someone else").click()
    await tablet.shows("offered", 2)
    failed = await bar.service.job(first)
    assert (failed["state"], failed["reason"]) == ("failed", "no mint")
    assert (await bar.service.job(second))["state"] == "assigned"


async def test_a_customer_cancels(bar: Bar, visitors: Visitors) -> None:
    """The person making it is asked to stop, and says whether it is too late."""
    tablet = await at_work(visitors)
    [first, second] = await bar.order("Bea", "Cleo")
    await tablet.accept(1)
    await bar.ask_to_cancel(first)
    await tablet.shows("cancelling", 1)
    await tablet.button("I stopped").click()
    await tablet.accept(2)
    await bar.ask_to_cancel(second)
    await tablet.shows("cancelling", 2)
    await tablet.button("Ready").click()
    await tablet.shows("waiting")
    states = [(await bar.service.job(one))["state"] for one in (first, second)]
    assert states == ["cancelled", "done"]


async def test_a_cancellation_before_the_answer_to_accept(bar: Bar, visitors: Visitors) -> None:
    """It is shown at once, after a reload, and on a tablet that takes over."""
    tablet = await at_work(visitors)
    [job_id] = await bar.order("Bea")
    await tablet.accept(1)
    await bar.ask_to_cancel(job_id)
    await tablet.shows("cancelling", 1)
    await tablet.page.reload()
    await tablet.shows("cancelling", 1)
    other = await at_work(visitors)
    await other.shows("cancelling", 1)
    await other.button("I stopped").click()
    await other.shows("waiting")
    assert (await bar.service.job(job_id))["state"] == "cancelled"


async def test_an_offer_that_is_cancelled(bar: Bar, visitors: Visitors) -> None:
    """It goes, without a word, and the next one comes."""
    tablet = await at_work(visitors)
    [job_id] = await bar.order("Bea")
    await tablet.shows("offered", 1)
    async with bar.service.http.delete(f"{bar.service.base_url}jobs/{job_id}") as answer:
        assert answer.status == 204
    await tablet.shows("waiting")
    await expect(tablet.note).not_to_contain_text("1")
    await bar.order("Cleo")
    await tablet.accept(2)


async def test_a_customer_cancels_while_the_network_is_cut(bar: Bar, visitors: Visitors) -> None:
    """The tablet hears of it as soon as it is back."""
    visitors.expect_network_errors = True
    tablet = await at_work(visitors)
    [job_id] = await bar.order("Bea")
    await tablet.accept(1)
    bar.proxy.go_offline()
    await expect(tablet.link).to_have_text("Reconnecting…")
    await bar.ask_to_cancel(job_id)
    bar.proxy.go_online()
    await tablet.shows("cancelling", 1)


async def test_a_wet_finger_touches_twice(bar: Bar, visitors: Visitors) -> None:
    """The second touch of a pair does nothing: the button under it has changed."""
    tablet = await visitors.tablet(LINK)
    await tablet.page.clock.install()
    await tablet.start()
    [job_id] = await bar.order("Bea")
    await tablet.shows("offered", 1)
    await tablet.settles()
    await stop_clock(tablet.page)  # or the button might settle before it is touched
    place = await tablet.button("Accept").bounding_box()
    assert place
    middle = (place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    await tablet.page.touchscreen.tap(*middle)
    await tablet.shows("making", 1)
    over_ready = await tablet.button("Ready").bounding_box()
    assert over_ready
    await tablet.page.touchscreen.tap(over_ready["x"] + 50, over_ready["y"] + 50)
    await tablet.page.clock.run_for(SETTLE_MS)
    await tablet.settles()
    await tablet.shows("making", 1)
    assert (await bar.service.job(job_id))["state"] == "assigned"


async def test_buttons_settle_after_the_last_change(bar: Bar, visitors: Visitors) -> None:
    """Where the service takes its time to answer, too: the steps were there before, but hidden."""
    held: list[str | bytes] = []
    is_slow = False

    def follow(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        server = socket.connect_to_server()
        server.on_message(lambda said: held.append(said) if is_slow else socket.send(said))

    async def has_answered() -> bool:
        return bool(held)

    sockets: list[WebSocketRoute] = []
    tablet = await visitors.tablet(LINK)
    await tablet.page.route_web_socket("**/work*", follow)
    await tablet.page.clock.install()
    await tablet.start()
    await bar.order("Bea")
    await tablet.shows("offered", 1)
    await tablet.settles()
    await stop_clock(tablet.page)
    is_slow = True
    await tablet.button("Accept").click()
    await eventually(has_answered)
    await tablet.page.clock.run_for(SETTLE_MS - 100)
    for said in held:
        sockets[-1].send(said)
    await tablet.shows("making", 1)
    await tablet.page.clock.run_for(SETTLE_MS - 100)
    await expect(tablet.button("50 %")).to_be_disabled()
    await tablet.page.clock.run_for(100)
    await expect(tablet.button("50 %")).to_be_enabled()


async def test_progress_reaches_the_order(bar: Bar, visitors: Visitors) -> None:
    """The last word on how far it is stays pressed, and is kept with the order."""
    tablet = await at_work(visitors)
    [job_id] = await bar.order("Bea")
    await tablet.accept(1)
    await tablet.button("50 %").click()
    await expect(tablet.button("50 %")).to_have_attribute("aria-pressed", "true")

    async def is_half_done() -> bool:
        return bool((await bar.service.job(job_id)).get("progress", {}).get("percent") == 50)

    await eventually(is_half_done)


async def test_sound_is_off_until_it_is_switched_on(bar: Bar, visitors: Visitors) -> None:
    """A new order is heard and felt only then; the choice outlives a reload."""
    tablet = await visitors.tablet(LINK)
    await tablet.page.add_init_script(RECORD_CALLS)
    await tablet.page.reload()
    await tablet.start()
    await bar.order("Bea", "Cleo")
    await tablet.accept(1)
    assert "tone" not in await tablet.page.evaluate("sensed")
    await tablet.button("Sound").click()
    await tablet.button("Ready").click()
    await tablet.shows("offered", 2)
    await tablet.page.wait_for_function(
        "() => sensed.includes('tone') && sensed.includes('vibration')"
    )
    await tablet.page.reload()
    await expect(tablet.button("Sound")).to_have_attribute("aria-pressed", "true")


async def test_finishing(bar: Bar, visitors: Visitors) -> None:
    """Finishing in the middle of an order: that one is made first, then they leave the line."""
    tablet = await at_work(visitors)
    await bar.order("Bea", "Cleo")
    await tablet.accept(1)
    await tablet.button("Finish after this order").click()
    await tablet.button("Ready").click()
    await expect(tablet.name).to_be_visible()
    await expect(tablet.name).to_have_value("Ada")
    await bar.sees(2, "waiting")
    assert await bar.service.app.ctx.dispatcher.queries.workers() == []


async def test_finishing_while_an_order_is_offered(bar: Bar, visitors: Visitors) -> None:
    """The order goes back at once, without a refusal counted, and the tablet leaves the line."""
    tablet = await at_work(visitors)
    await bar.order("Bea")
    await tablet.shows("offered", 1)
    await tablet.button("Finish").click()
    await expect(tablet.name).to_be_visible()
    await expect(tablet.name).to_have_value("Ada")
    await bar.sees(1, "waiting")
    assert await bar.service.app.ctx.dispatcher.queries.workers() == []
    [job] = await bar.service.app.ctx.dispatcher.queries.jobs(None, 0, 1)
    assert job.refusals == 0


async def test_the_menu_at_the_next_shift(browser: Browser, tmp_path: Path) -> None:
    """A tablet that stays open offers the present drinks, also in a form that waits."""
    path = tmp_path / "menu.json"
    drinks = [{"id": "tea", "name": "Tea"}, {"id": "mint", "name": "Mint"}]
    path.write_text(ujson.dumps({"drinks": drinks}))
    async with open_bar(menu=path) as bar:
        visitors = Visitors(browser, bar.proxy)
        tablet = WorkerPage(await visitors.page(**TABLET), bar.proxy.url)
        await tablet.page.clock.install()
        await tablet.open()
        names = tablet.page.locator("#drinks b")
        await tablet.start("Ada", "Mint")
        await tablet.is_connected()
        await tablet.button("Finish").click()
        for name in ("Cola", "Fizz"):
            drinks.append({"id": name.lower(), "name": name})
            path.write_text(ujson.dumps({"drinks": drinks}))
            await loads_again(tablet.page)
            await expect(names).to_have_text([drink["name"] for drink in drinks])
        for drink in drinks:
            box = tablet.page.get_by_role("checkbox", name=drink["name"])
            await expect(box).to_be_checked(checked=drink["id"] == "mint")
        await visitors.leave()
        assert visitors.complaints == []


async def test_two_people_with_long_names(bar: Bar, visitors: Visitors) -> None:
    """They are two workers, although their names begin alike."""
    for last in ("\N{CJK UNIFIED IDEOGRAPH-7532}", "\N{CJK UNIFIED IDEOGRAPH-4E59}"):
        tablet = await at_work(visitors, LONG_NAME + last)
        await tablet.shows("waiting")

    async def are_two() -> bool:
        return len(await bar.service.app.ctx.dispatcher.queries.workers()) == 2

    await eventually(are_two)


async def test_what_was_said_before_a_reload_stays(bar: Bar, visitors: Visitors) -> None:
    """While the lease is kept up, nothing is said that the person did not say."""
    tablet = await visitors.tablet(LINK)
    await tablet.page.clock.install()
    await tablet.start()
    [job_id] = await bar.order("Bea")
    await tablet.accept(1)
    await bar.make_progress(job_id, 40, "adding gin")
    await tablet.page.clock.fast_forward(20_000)
    await tablet.button("50 %").click()

    async def is_kept() -> bool:
        progress = (await bar.service.job(job_id))["progress"]
        return bool(progress == {"percent": 50, "text": "adding gin"})

    await eventually(is_kept)


async def test_a_script_that_says_too_much(bar: Bar, visitors: Visitors) -> None:
    """A result over 64 KiB is refused before it is sent; a text is made one short line."""
    tablet = await visitors.tablet(LINK)
    [job_id] = await bar.order("Bea")
    too_much = {"sizes": [64 * 1024, 1100 * 1024], "reason": "no\nice " + "\N{LEMON}" * 200}
    says = tablet.page.evaluate(SAY_TOO_MUCH, too_much | {"token": WORKER_TOKEN})
    statuses, text = await asyncio.wait_for(says, 10)
    assert statuses == [413, 413]
    one_line = "no ice " + "\N{LEMON}" * 192 + "…"
    assert (await bar.service.job(job_id))["reason"] == text == one_line


async def test_in_german(bar: Bar, visitors: Visitors) -> None:
    """Nothing is left in English, or without a text."""
    tablet = await visitors.tablet(f"?lang=de{LINK}")
    await tablet.page.locator("#name").fill("Jörg")
    await tablet.button("Los geht’s").click()
    await bar.order("Bea")
    await tablet.button("Annehmen").click()
    for word in ("Fertig", "Geht nicht", "50 %", "Ton", "Danach aufhören"):
        await expect(tablet.button(word)).to_be_visible()
    english, german = [await tablet.page.evaluate(KEYS, code) for code in ("en", "de")]
    assert english == german


@pytest.mark.parametrize("bar", [{"topics": {"roof": {}}}], indirect=True, ids=["topics"])
async def test_each_topic_has_the_page(bar: Bar, visitors: Visitors) -> None:
    """A person works for the bar under whose address the page is."""
    tablet = await visitors.tablet(LINK)
    await tablet.page.goto(f"{tablet.base_url}topics/roof/public/worker.html{LINK}")
    await tablet.start()
    await tablet.is_connected()
    await bar.order("Bea")
    await bar.topic("roof").order("Cleo")
    await tablet.accept(1)
    await expect(tablet.page.locator("#customer")).to_have_text("for Cleo")


async def test_the_scripts_are_preloaded(visitors: Visitors) -> None:
    """The HTML names every script that the page starts with."""
    tablet = await at_work(visitors)
    assert await tablet.page.evaluate(NOT_PRELOADED) == []
