"""Push messages: how a phone asks for them, what it shows, and where a click leads."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests.browser.pages import hold_back
from tests.browser.served_bar import PREFIX, Bar, open_bar
from tests.browser.service_worker import ServiceWorker, now_and_then
from tests.browser.subscriber import A_PUSH_SERVICE, PUSHED_TO, Subscriber, message
from tests.browser.visitors import PLAIN_HOST, Visitors
from tests.support.push_phone import PushPhone
from tests.support.receiver import Receiver, running_receiver
from tests.support.server import eventually

TITLES = {
    "en": {
        "two_before": ("Order 42: 2 ahead of you", ""),
        "making": ("Order 42: Being mixed", ""),
        "ready": ("Order 42: Ready!", "Come to the bar and look for your logo."),
        "late": ("Order 42: Taking longer than usual", ""),
        "failed": (
            "Order 42: Something went wrong",
            "Sorry, we couldn’t make your drink. Please ask at the bar.",
        ),
    },
    "de": {
        "two_before": ("Bestellung 42: Noch 2 vor dir", ""),
        "making": ("Bestellung 42: Wird gemixt", ""),
        "ready": ("Bestellung 42: Fertig!", "Komm an die Bar und such dein Logo."),
        "late": ("Bestellung 42: Dauert länger als sonst", ""),
        "failed": (
            "Bestellung 42: Da ist etwas schiefgelaufen",
            "Tut uns leid, wir konnten deinen Drink nicht mixen. Bitte frag an der Bar nach.",
        ),
    },
}
"""By language and kind: the title of a notification, and its text."""

ON = "We’ll notify you, even if you close this page."
KEY = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
"""A public key that no bar has."""

NO_PUSH_SERVICE = """PushManager.prototype.subscribe = async () => {
    throw new DOMException('Registration failed - push service error', 'AbortError');
};"""
OLDER_SAFARI = "delete Response.json"
"""Safari has had Web Push since 16.4, and this since 17."""
A_SILENT_PUSH_SERVICE = "PushManager.prototype.subscribe = () => new Promise(() => {});"
"""Chromium tries for minutes where a firewall drops what it sends."""
NOTIFY_TWICE = """async (notice) => {
    const { active } = await navigator.serviceWorker.ready;
    for (let n = 0; n < 2; n++) active.postMessage({ notice });
}"""


@pytest.fixture(scope="session")
def browser(whole_browser: Browser) -> Browser:
    """The Chromium that has notifications."""
    return whole_browser


@pytest_asyncio.fixture(loop_scope="session")
async def bar() -> AsyncIterator[Bar]:
    """A service with two topics, behind a path prefix, that may push to this machine."""
    async with open_bar(PREFIX, allow_push=PUSHED_TO, topic_names=("roof",)) as bar:
        yield bar


@pytest_asyncio.fixture(loop_scope="session")
async def push_service() -> AsyncIterator[Receiver]:
    """What push services do with messages; the tests deliver them."""
    async with running_receiver() as receiver:
        yield receiver


# ---- what is shown


@pytest.mark.parametrize("lang", TITLES)
async def test_what_notifications_say(visitors: Visitors, lang: str) -> None:
    """Short, in the page's language, without a name; the next one replaces the last."""
    phone = await visitors.phone(permissions=["notifications"])
    worker = await ServiceWorker.of(phone.page)
    for kind, (title, text) in TITLES[lang].items():
        await worker.push(message("1f", kind, lang=lang))
        (shown,) = await worker.shows(title)
        assert (shown["body"], shown["lang"], shown["silent"]) == (text, lang, False)


async def test_each_order_has_one_notification(visitors: Visitors) -> None:
    """Messages of another order leave it alone, and a repeat does not alert again."""
    phone = await visitors.phone(permissions=["notifications"])
    worker = await ServiceWorker.of(phone.page)
    await worker.push(message("1f", "making"))
    await worker.shows("Order 42: Being mixed")
    await worker.push(message("2e", "making", ticket=43))
    await worker.shows("Order 42: Being mixed", "Order 43: Being mixed")
    await worker.push(message("1f", "ready"))
    await worker.shows("Order 43: Being mixed", "Order 42: Ready!")
    await worker.push(message("1f", "ready"))

    async def is_silent() -> bool:
        shown = {one["title"]: one["silent"] for one in await worker.shown()}
        return shown == {"Order 43: Being mixed": False, "Order 42: Ready!": True}

    await now_and_then(is_silent)


async def test_two_messages_at_the_same_time(visitors: Visitors) -> None:
    """If a push and an open page say the same, the phone alerts once."""
    phone = await visitors.phone(permissions=["notifications"])
    worker = await ServiceWorker.of(phone.page)
    await phone.page.evaluate(NOTIFY_TWICE, json.loads(message("1f", "ready")))
    await worker.has_shown(2)
    (shown,) = await worker.shows("Order 42: Ready!")
    assert shown["silent"]


# ---- from the button to the click


@pytest.mark.parametrize("topic", ["", "topics/roof/"], ids=["service", "topic"])
async def test_an_order_is_told_by_push(
    bar: Bar, visitors: Visitors, push_service: Receiver, topic: str
) -> None:
    """From the button to the click: the phone learns of it, and the order comes to the front."""
    house = bar.topic("roof") if topic else bar
    customer = await Subscriber.come(visitors, push_service, topic, locale="de-DE")
    phone = await customer.phone.open()
    await phone.drink("Mojito").check()
    await phone.name.fill("Ada")
    await phone.submit.click()
    await phone.button("Benachrichtigen").click()
    await expect(phone.notified).to_have_text(
        "Wir sagen dir Bescheid, auch wenn du diese Seite schließt."
    )
    await expect(phone.button("Benachrichtigen")).to_be_hidden()
    worker = await ServiceWorker.of(phone.page)
    robot = house.begin()
    await worker.push(await told(push_service, customer.endpoints[0], 1))
    await worker.shows("Bestellung 1: Wird gemixt")
    robot.finish()
    await worker.push(await told(push_service, customer.endpoints[0], 2))
    await worker.shows("Bestellung 1: Fertig!")

    order_id = await phone.order_id()
    await phone.button("Noch etwas bestellen").click()
    await worker.click(order_id)
    await expect(phone.headline).to_have_text("Fertig!")
    page_url = f"{phone.base_url}public/order_drink.html"
    assert await worker.windows("focused") == [page_url]
    await worker.shows()


async def test_a_click_opens_the_order_if_no_page_is_open(bar: Bar, visitors: Visitors) -> None:
    """In its language; pages of other topics and the board are left alone."""
    phone = await visitors.phone(permissions=["notifications"])
    worker = await ServiceWorker.of(phone.page)
    await worker.push(message("1f", "ready", lang="de"))
    await worker.shows("Bestellung 42: Fertig!")
    await phone.page.goto(f"{phone.base_url}public/board.html")
    other = await phone.page.context.new_page()
    await other.goto(f"{phone.base_url}topics/roof/public/order_drink.html")
    await worker.click("1f")
    page_url = f"{phone.base_url}public/order_drink.html"
    assert await worker.windows("opened") == [f"{page_url}?order=1f&lang=de"]
    assert await worker.windows("focused") == []


# ---- subscriptions


@pytest.mark.parametrize("script", ["", OLDER_SAFARI], ids=["now", "older"])
async def test_a_browser_subscribes_once(
    bar: Bar, visitors: Visitors, push_service: Receiver, script: str
) -> None:
    """The next order is told without a question, to the same subscription."""
    customer = await Subscriber.come(visitors, push_service)
    await customer.phone.page.add_init_script(script)
    phone = await customer.phone.open()
    await phone.place()
    assert bar.proxy.count("GET /push/key") == 0
    await phone.button("Notify me").click()
    await expect(phone.notified).to_have_text(ON)
    first = await phone.order_id()
    await phone.button("Order another").click()
    await phone.place()
    await expect(phone.notified).to_have_text(ON)
    assert await phone.page.evaluate("subscribed.length") == 1
    for order_id in (first, await phone.order_id()):
        assert bar.proxy.count(f"PUT /jobs/{order_id}/push") == 1
    bar.begin()
    await told(push_service, customer.endpoints[0], 1)


@pytest.mark.parametrize(
    ("key", "ends_ms", "endpoint"),
    [("the bar's", None, 2), ("the bar's", 1000, 0), ("another", None, 0)],
    ids=["valid", "expired", "another-key"],
)
async def test_a_subscription_is_renewed(
    bar: Bar, visitors: Visitors, push_service: Receiver,
    key: str, ends_ms: int | None, endpoint: int,
) -> None:  # fmt: skip
    """Without a word, if it has expired, or is for a key that the bar no longer has."""
    customer = await Subscriber.come(visitors, push_service, permissions=["notifications"])
    async with bar.service.http.get(f"{bar.service.base_url}push/key") as answer:
        keys = {"the bar's": (await answer.json())["key"], "another": KEY}
    old = json.dumps([customer.subscriptions[2], keys[key], ends_ms])
    await customer.phone.page.add_init_script(f"self.current = subscriptionOf(...{old})")
    phone = await customer.phone.open()
    await phone.place()
    await expect(phone.notified).to_have_text(ON)
    bar.begin()
    await told(push_service, customer.endpoints[endpoint], 1)


async def test_a_browser_renews_a_subscription_by_itself(
    bar: Bar, visitors: Visitors, push_service: Receiver
) -> None:
    """Without an open page: the orders under way are told to the new subscription."""
    customer = await Subscriber.come(visitors, push_service, permissions=["notifications"])
    phone = await customer.phone.open()
    await phone.place()
    await expect(phone.notified).to_have_text(ON)
    worker = await ServiceWorker.of(phone.page)
    await phone.page.goto("about:blank")
    await worker.running.evaluate(A_PUSH_SERVICE, customer.subscriptions[1:])
    await worker.running.evaluate("dispatchEvent(new Event('pushsubscriptionchange')) && null")
    await eventually(lambda: has_put(bar, 2))
    bar.begin()
    await told(push_service, customer.endpoints[1], 1)


async def has_put(bar: Bar, count: int) -> bool:
    """Return whether so many subscriptions were sent to the service."""
    return bar.proxy.count("PUT /jobs/") == count


async def test_a_picture_that_is_long_in_coming(visitors: Visitors, push_service: Receiver) -> None:
    """The phone is notified all the same."""
    customer = await Subscriber.come(visitors, push_service, permissions=["notifications"])
    phone = customer.phone
    may_come = await hold_back(phone.page, "**/img/drinks/lemonade.svg")
    await phone.page.goto(f"{phone.base_url}public/order_drink.html", wait_until="commit")
    await phone.place()
    await expect(phone.notified).to_have_text(ON)
    may_come.set()
    await phone.page.wait_for_load_state()


# ---- where there is no push


async def test_without_https(bar: Bar, visitors: Visitors) -> None:
    """Nothing is asked, and the page says why it has to stay open."""
    phone = await visitors.newcomer()
    phone.base_url = phone.base_url.replace("127.0.0.1", PLAIN_HOST)
    await phone.open()
    await phone.place()
    await expect(phone.notified).to_have_text(re.compile("keep this page open: .* has no HTTPS"))
    await expect(phone.button("Notify me")).to_be_hidden()
    await phone.cancel()
    await phone.shows("cancelled")
    await expect(phone.notified).to_be_empty()


@pytest.mark.parametrize(
    "push_service_of_the_maker", [NO_PUSH_SERVICE, A_SILENT_PUSH_SERVICE], ids=["none", "silent"]
)
async def test_without_the_internet(
    bar: Bar, visitors: Visitors, push_service_of_the_maker: str
) -> None:
    """The page says that it has to stay open, and notifies while it lives."""
    phone = await visitors.newcomer(permissions=["notifications"])
    await phone.page.add_init_script(push_service_of_the_maker)
    await phone.open()
    await phone.place()
    await expect(phone.notified).to_have_text(
        re.compile("keep this page open: the internet can’t be reached"), timeout=20_000
    )
    robot = bar.begin()
    await phone.shows("assigned")
    await phone.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    worker = await ServiceWorker.of(phone.page)
    assert await worker.shown() == []
    robot.finish()
    await worker.shows("Order 1: Ready!")


async def test_a_push_service_that_the_bar_does_not_call(
    bar: Bar, visitors: Visitors, push_service: Receiver
) -> None:
    """The page says so, and does not ask the bar again for this order."""
    visitors.expect_network_errors = True
    customer = await Subscriber.come(
        visitors, push_service, permissions=["notifications"], endpoint="https://10.0.0.1/send/1"
    )
    phone = await customer.phone.open()
    await phone.place()
    await expect(phone.notified).to_have_text(
        re.compile("keep this page open: the bar can’t send messages to this browser")
    )
    bar.begin()
    await phone.shows("assigned")
    assert bar.proxy.count("PUT /jobs/") == 1


async def test_an_order_that_three_phones_follow(
    bar: Bar, visitors: Visitors, push_service: Receiver
) -> None:
    """The fourth is told to stay open, and has its own order told all the same."""
    visitors.expect_network_errors = True
    (order_id,) = await bar.order("Ann")
    url = f"{bar.service.base_url}jobs/{order_id}/push"
    for n in range(3):
        said = PushPhone(push_service.url(f"others/{n}")).subscription()
        async with bar.service.http.put(url, json=said) as answer:
            assert answer.status == 204
    customer = await Subscriber.come(visitors, push_service, permissions=["notifications"])
    phone = await customer.phone.open(f"?order={order_id}")
    await expect(phone.notified).to_contain_text("the bar can’t send messages to this browser")
    await phone.button("Order another").click()
    await phone.place()
    await expect(phone.notified).to_have_text(ON)


@pytest.mark.parametrize(
    ("status", "words"),
    [(503, ""), (404, "the bar can’t send messages to this browser")],
    ids=["away", "without-push"],
)
async def test_a_bar_that_gives_no_key(
    visitors: Visitors, push_service: Receiver, status: int, words: str
) -> None:
    """While it is away the page says nothing of push; it asks again with the network."""
    visitors.expect_network_errors = True
    customer = await Subscriber.come(visitors, push_service, permissions=["notifications"])
    phone = customer.phone
    asked = asyncio.Event()

    async def refuse(route: Route) -> None:
        await route.fulfill(status=status, body="{}", content_type="application/problem+json")
        asked.set()

    await phone.page.route("**/push/key", refuse)
    await phone.open()
    await phone.place()
    await asyncio.wait_for(asked.wait(), timeout=10)
    await expect(phone.notified).to_have_text(re.compile(f"{words}[.]?$"))
    await phone.page.unroute("**/push/key")
    await phone.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(phone.notified).to_have_text(ON)


async def test_the_network_comes_back_while_the_bar_is_asked(
    visitors: Visitors, push_service: Receiver
) -> None:
    """An answer that fails after that does not put off the next try."""
    visitors.expect_network_errors = True
    customer = await Subscriber.come(visitors, push_service, permissions=["notifications"])
    phone = customer.phone
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def refuse(route: Route) -> None:
        asked.set()
        await may_answer.wait()
        await route.fulfill(status=503, body="{}", content_type="application/problem+json")

    await phone.page.route("**/push/key", refuse, times=1)
    await phone.open()
    await phone.place()
    await asyncio.wait_for(asked.wait(), timeout=10)
    await phone.page.evaluate("dispatchEvent(new Event('online'))")
    may_answer.set()
    await expect(phone.notified).to_have_text(ON)


async def test_a_customer_who_does_not_want_notifications(
    visitors: Visitors, push_service: Receiver
) -> None:
    """The page says how to change that, and does not ask again."""
    customer = await Subscriber.come(visitors, push_service, wants=False)
    phone = await customer.phone.open()
    await phone.place()
    await phone.button("Notify me").click()
    await expect(phone.notified).to_have_text(re.compile("Notifications are blocked"))
    await expect(phone.button("Notify me")).to_be_hidden()
    assert await phone.page.evaluate("subscribed.length") == 0


@pytest.mark.parametrize(
    ("device", "words"),
    [("Object.defineProperty(navigator, 'standalone', { value: false });", "your home screen"),
     ("", "this browser can’t do it otherwise")],
    ids=["ios", "another"],
)  # fmt: skip
async def test_browsers_without_push(visitors: Visitors, device: str, words: str) -> None:
    """On iOS the page says that it needs the home screen; elsewhere that it has to stay open."""
    phone = await visitors.newcomer()
    await phone.page.add_init_script(
        f"{device} delete window.PushManager; delete window.Notification"
    )
    await phone.open()
    await phone.place()
    await expect(phone.notified).to_contain_text(words)
    await expect(phone.button("Notify me")).to_be_hidden()


# ---- helpers


async def told(push_service: Receiver, endpoint: PushPhone, count: int) -> str:
    """Wait until the push service has so many messages for a phone; return the last, decrypted."""

    async def has_come() -> bool:
        return len(push_service.of_path(path)) >= count

    path = urlsplit(endpoint.endpoint).path.removeprefix("/")
    await eventually(has_come, 20)
    return json.dumps(endpoint.read(push_service.of_path(path)[count - 1]).said)
