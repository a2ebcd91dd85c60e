"""Webhooks over HTTP: the door, what operators see and do, and what nobody sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.app import create_app
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import SettingsError
from tests.support.http_requests import Answer, ask
from tests.support.receiver import SECRET, Receiver, running_receiver, status
from tests.support.server import Service, eventually, running_service

TOKEN = "operator-token"
TILL = "https://8.8.8.8/hook?key=k3y"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(
        operator_tokens=(TOKEN,), allow_webhook=("127.0.0.0/8",), topic_names=("roof",)
    ) as service:
        yield service


async def send(service: Service, method: str, path: str = "", **options: Any) -> Answer:
    return await ask(service, method, f"operator/webhooks{path}", TOKEN, **options)


async def add(service: Service, **entry: Any) -> Answer:
    return await send(service, "POST", json={"url": TILL, **entry})


async def messages(receiver: Receiver, count: int) -> None:
    """Wait until the receiver has so many messages."""

    async def are_there() -> bool:
        return len(receiver.received) >= count

    await eventually(are_there)


async def test_a_webhook_is_told_of_an_order(service: Service, receiver: Receiver) -> None:
    """201 with the secret, by which the receiver verifies what comes."""
    answer = await add(service, url=receiver.url(), payload=True)
    assert (answer.status, set(answer.body)) == (201, {"id", "secret"})
    await service.submit({"drink": "mojito"})
    await messages(receiver, 1)
    (message,) = receiver.received
    assert message.is_signed_with(answer.body["secret"])
    assert message.said["type"] == "job.submitted"
    assert message.said["data"]["payload"] == {"drink": "mojito"}


async def test_what_the_operator_sees(service: Service) -> None:
    """No secret is shown, and of the URL neither key nor id."""
    assert (await add(service, secret=SECRET)).body["secret"] == SECRET
    answer = await send(service, "GET")
    assert b"whsec" not in answer.raw
    (shown,) = answer.body["webhooks"]
    assert shown == {
        "id": shown["id"],
        "url": "https://8.8.8.8/hook",
        "events": ["job.*"],
        "payload": False,
        "configured": False,
        "state": "delivering",
        "reason": "",
        "failing_since": None,
        "retry_in_s": None,
        "pending": 0,
        "oldest": None,
        "told_to": 0,
        "last": 0,
    }
    assert (await send(service, "DELETE", f"/{shown['id']}")).status == 204
    assert (await send(service, "GET")).body == {"webhooks": []}


@pytest.mark.parametrize(
    "entry",
    [
        {"url": 7},
        {"url": ""},
        {"url": "https://8.8.8.8/" + "x" * 2000},
        {"url": "https://8.8.8.8/ö"},
        {"events": []},
        {"events": ["job.dreamt"]},
        {"events": "job.*"},
        {"payload": "yes"},
        {"secret": "whsec_short"},
        {"secret": "whsec_" + "A" * 1000},
        {"secret": 5},
        {"sekret": SECRET},
    ],
)
async def test_what_is_no_webhook(service: Service, entry: dict[str, Any]) -> None:
    """400 with what is allowed, and nothing is kept."""
    answer = await add(service, **entry)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert (await send(service, "GET")).body == {"webhooks": []}


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://[::1]/", "https://169.254.169.254/", "ftp://8.8.8.8/"],
)
async def test_what_may_not_be_called(service: Service, url: str) -> None:
    """403 with the guard's reason."""
    answer = await add(service, url=url)
    assert (answer.status, answer.body["Error"]) == (403, "NotAllowed")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("foo", "not an absolute URL with a scheme and a host"),
        ("//8.8.8.8/", "not an absolute URL with a scheme and a host"),
        ("https://a..b/", "the host is neither a name nor an address"),
        ("https://8.8.8.8:99999/", "the port is not between 1 and 65535"),
    ],
)
async def test_what_is_no_url(service: Service, url: str, why: str) -> None:
    """400 with the code that a malformed callback gets, too."""
    answer = await add(service, url=url)
    assert (answer.status, answer.body["Error"]) == (400, "NotAUrl")
    assert answer.body["detail"] == f"url: {why}"


def test_a_list_that_cannot_be_read() -> None:
    """The service does not start."""
    with pytest.raises(SettingsError):
        create_app(Settings(allow_webhook=("a b",)))


async def test_only_operators(service: Service) -> None:
    """Every route needs the operator's token."""
    found = (await add(service)).body["id"]
    for method, path in (
        ("GET", ""), ("POST", ""), ("DELETE", f"/{found}"), ("POST", f"/{found}/rotate"),
        ("POST", f"/{found}/test"), ("POST", f"/{found}/continue"), ("POST", f"/{found}/drop"),
        ("GET", f"/{found}/events"),
    ):  # fmt: skip
        answer = await ask(service, method, f"operator/webhooks{path}", "wrong-token")
        assert answer.status == 401, path
        assert (await send(service, method, path.replace(found, "none"))).status in (200, 400, 404)


async def test_rotating(service: Service, receiver: Receiver) -> None:
    """Messages are signed with the new secret and with the one before."""
    made = (await add(service, url=receiver.url())).body
    rotated = await send(service, "POST", f"/{made['id']}/rotate")
    assert rotated.status == 200
    assert rotated.body["secret"] != made["secret"]
    await service.submit(1)
    await messages(receiver, 1)
    for secret in (made["secret"], rotated.body["secret"]):
        assert receiver.received[0].is_signed_with(secret)
    assert not receiver.received[0].is_signed_with(SECRET)
    for bad in ({"secret": "whsec_x"}, {"other": 1}):
        assert (await send(service, "POST", f"/{made['id']}/rotate", json=bad)).status == 400


async def test_a_test_message(service: Service, receiver: Receiver) -> None:
    """It is sent at once, and its outcome is the answer."""
    found = (await add(service, url=receiver.url(), secret=SECRET)).body["id"]
    answer = await send(service, "POST", f"/{found}/test")
    (message,) = receiver.received
    assert answer.body == {"id": message.id, "delivered": True, "reason": ""}
    assert (message.said["type"], message.is_signed_with(SECRET)) == ("webhook.test", True)
    receiver.answer = status(410)
    answer = await send(service, "POST", f"/{found}/test")
    assert (answer.body["delivered"], answer.body["reason"]) == (False, "status 410")


async def test_what_was_missed(service: Service, receiver: Receiver) -> None:
    """The messages again, with the same ids, a page at a time."""
    found = (await add(service, url=receiver.url())).body["id"]
    for drink in range(3):
        await service.submit(drink)
    await messages(receiver, 3)
    page = (await send(service, "GET", f"/{found}/events?limit=2")).body
    rest = (await send(service, "GET", f"/{found}/events?since={page['next']}")).body
    assert rest["next"] is None
    again = {each["id"]: each["data"]["n"] for each in (*page["events"], *rest["events"])}
    assert again == {each.id: each.n for each in receiver.received}
    for bad in ("since=x", "limit=0", "limit=1001", "kind=job.done"):
        assert (await send(service, "GET", f"/{found}/events?{bad}")).status == 400


async def test_a_topic_has_its_own(service: Service, receiver: Receiver) -> None:
    """Under topics/NAME/ the same routes are for that topic's events alone."""
    path = "topics/roof/operator/webhooks"
    made = await ask(service, "POST", path, TOKEN, json={"url": receiver.url("roof")})
    assert made.status == 201
    assert (await send(service, "GET")).body == {"webhooks": []}
    await service.submit("down")
    url = service.base_url + "topics/roof/submit-job"
    async with service.http.post(url, json="up"):
        await messages(receiver, 1)
    assert [each.path for each in receiver.received] == ["/roof"]


async def test_they_outlive_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    """With their secrets, in the data folder."""
    settings: dict[str, Any] = {
        "mode": Mode.CACHED_JSON_FILE,
        "data_dir": tmp_path,
        "operator_tokens": (TOKEN,),
        "allow_webhook": ("127.0.0.0/8",),
    }
    async with running_service(**settings) as service:
        await add(service, url=receiver.url(), secret=SECRET)
    async with running_service(**settings) as service:
        await service.submit(1)
        await messages(receiver, 1)
    assert receiver.received[0].is_signed_with(SECRET)
