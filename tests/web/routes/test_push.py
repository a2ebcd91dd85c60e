"""Messages to phones over HTTP: the key, the door, and what is told of an order."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import pytest

from sanic_dispatch.app import create_app
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import SettingsError
from tests.support.http_requests import Answer, ask
from tests.support.leftovers import files_with
from tests.support.push_phone import PushPhone, Told
from tests.support.receiver import Receiver, running_receiver, status
from tests.support.server import Service, eventually, running_service

TOKEN = "operator-token"
PUBLIC = "https://8.8.8.8/send/f7A0dQ-secret"


@pytest.fixture
async def push_service() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(
        operator_tokens=(TOKEN,), allow_push=("127.0.0.0/8",), topic_names=("roof",)
    ) as service:
        yield service


async def order(service: Service, topic: str = "") -> str:
    """Submit an order, and return its id."""
    answer = await ask(service, "POST", f"{topic}submit-job", json={"name": "Ada"})
    return answer.headers["Location"].removeprefix("jobs/")


async def subscribe(
    service: Service, job: str, phone: PushPhone, topic: str = "", **members: Any
) -> Answer:
    said = phone.subscription(**members)
    return await ask(service, "PUT", f"{topic}jobs/{job}/push", json=said)


async def pending(service: Service) -> dict[str, Any]:
    return dict((await ask(service, "GET", "operator/push", TOKEN)).body)


async def told(receiver: Receiver, phone: PushPhone, count: int) -> list[Told]:
    """Wait until the push service has so many messages, and return them decrypted."""

    async def are_there() -> bool:
        return len(receiver.received) >= count

    await eventually(are_there)
    return [phone.read(each) for each in receiver.received]


async def test_the_key(service: Service) -> None:
    """65 bytes, a point; the same each time, and another one for each topic."""
    key = (await ask(service, "GET", "push/key")).body["key"]
    data = urlsafe_b64decode(key + "=")
    assert (len(data), data[0]) == (65, 4)
    assert (await ask(service, "GET", "push/key")).body == {"key": key}
    assert (await ask(service, "GET", "topics/roof/push/key")).body["key"] != key


@pytest.mark.parametrize("topic", ["", "topics/roof/"])
async def test_a_phone_is_told_of_its_order(
    service: Service, push_service: Receiver, topic: str
) -> None:
    """Encrypted for it alone, signed with the topic's key, and nothing of it is kept after."""
    phone, job = PushPhone(push_service.url("send/1")), await order(service, topic)
    assert (await subscribe(service, job, phone, topic)).status == 204
    await ask(
        service, "POST", f"{topic}register-worker", headers={"CPEE-CALLBACK": "http://1.2.3.4/"}
    )
    (message,) = await told(push_service, phone, 1)
    assert message.said == {"job": job, "ticket": 1, "kind": "ready", "lang": "de"}
    assert message.key == (await ask(service, "GET", f"{topic}push/key")).body["key"]
    assert message.claims["aud"] == push_service.url("").rstrip("/")
    assert "sub" not in message.claims
    assert 0 < message.claims["exp"] - time() <= 24 * 3600
    assert (message.ttl, message.urgency) == (3600, "high")
    assert job not in message.topic
    assert len(message.topic) == 32

    async def is_over() -> bool:
        answer = await ask(service, "GET", f"{topic}operator/push", TOKEN)
        return bool(answer.body == {"subscriptions": 0, "pending": []})

    await eventually(is_over)


@pytest.mark.parametrize(
    "members",
    [
        {"endpoint": 7},
        {"endpoint": ""},
        {"endpoint": "https://8.8.8.8/" + "x" * 2000},
        {"endpoint": "https://8.8.8.8/ö"},
        {"keys": None},
        {"keys": {}},
        {"keys": {"p256dh": "BAAA", "auth": "BTBZMqHH6r4Tts7J_aSIgg"}},
        {"keys": {"p256dh": "B" + "A" * 86, "auth": "BTBZMqHH6r4Tts7J_aSIgg"}},
        {"keys": {"p256dh": "!" * 87, "auth": "BTBZMqHH6r4Tts7J_aSIgg"}},
        {"lang": None},
        {"lang": "deutsch, bitte"},
    ],
)
async def test_what_is_no_subscription(service: Service, members: dict[str, Any]) -> None:
    """400, nothing is kept, and nothing of it is repeated."""
    answer = await subscribe(service, await order(service), PushPhone(PUBLIC), **members)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert b"8.8.8.8" not in answer.raw
    assert (await pending(service))["subscriptions"] == 0


async def test_a_short_auth_secret(service: Service) -> None:
    """400."""
    phone = PushPhone(PUBLIC)
    keys = phone.subscription()["keys"] | {"auth": "AAAA"}
    assert (await subscribe(service, await order(service), phone, keys=keys)).status == 400


async def test_bodies_that_are_none(service: Service) -> None:
    """A list, no JSON, no body."""
    path = f"jobs/{await order(service)}/push"
    for method in ("PUT", "DELETE"):
        assert (await ask(service, method, path, json=[PUBLIC])).status == 400
        not_json = {"data": b"{", "headers": {"Content-Type": "application/json"}}
        assert (await ask(service, method, path, **not_json)).status == 400
        assert (await ask(service, method, path)).status == 400


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://10.0.0.1/", "https://[::1]/", "https://169.254.169.254/", "ftp://8.8.8.8/",
        "nowhere", "http://8.8.8.8/", "https://ada@8.8.8.8/", "https://0x7f000001/",
        "https://[::ffff:10.0.0.1]/",
    ],
)  # fmt: skip
async def test_what_is_no_push_service(service: Service, endpoint: str) -> None:
    """403 with the guard's reason, and plain http only where the operator allows it."""
    answer = await subscribe(service, await order(service), PushPhone(endpoint))
    assert (answer.status, answer.body["Error"]) == (403, "NotAllowed")
    assert answer.body["detail"]
    assert (await pending(service))["subscriptions"] == 0


async def test_nothing_is_allowed_by_itself() -> None:
    """Without --allow-push no plain http, and no private address."""
    async with running_service() as service:
        job = await order(service)
        for endpoint in ("http://8.8.8.8/", "http://127.0.0.1/", "https://127.0.0.1/"):
            assert (await subscribe(service, job, PushPhone(endpoint))).status == 403
        assert (await subscribe(service, job, PushPhone(PUBLIC))).status == 204


async def test_three_phones_for_an_order(service: Service) -> None:
    """A fourth is refused; the same endpoint again replaces, and another order has its own."""
    job = await order(service)
    phones = [PushPhone(f"{PUBLIC}/{number}") for number in range(4)]
    for phone in phones[:3]:
        assert (await subscribe(service, job, phone)).status == 204
    assert (await subscribe(service, job, phones[0], lang="en-GB")).status == 204
    refused = await subscribe(service, job, phones[3])
    assert (refused.status, refused.body["Error"]) == (409, "TooManySubscriptions")
    assert (await subscribe(service, await order(service), phones[3])).status == 204
    assert (await pending(service))["subscriptions"] == 4


async def test_the_end_of_a_subscription(service: Service) -> None:
    """By the whole subscription or its endpoint alone; a repeat is not an error."""
    job, phone = await order(service), PushPhone(PUBLIC)
    for body in (phone.subscription(), {"endpoint": PUBLIC}, PUBLIC):
        await subscribe(service, job, phone)
        assert (await pending(service))["subscriptions"] == 1
        for _ in range(2):
            assert (await ask(service, "DELETE", f"jobs/{job}/push", json=body)).status == 204
        assert (await pending(service))["subscriptions"] == 0


async def test_orders_that_are_over_or_unknown(service: Service) -> None:
    """404 and 409; a cancelled order keeps nothing of its phones."""
    job, phone = await order(service), PushPhone(PUBLIC)
    unknown = await subscribe(service, "0" * 32, phone)
    assert (unknown.status, unknown.body["Error"]) == (404, "UnknownJob")
    unasked = await subscribe(service, "0" * 32, PushPhone("https://10.0.0.1/"))
    assert unasked.status == 404  # no name is resolved for who has no order
    assert (await ask(service, "DELETE", f"jobs/{'0' * 32}/push", json=PUBLIC)).status == 404
    await subscribe(service, job, phone)
    assert (await ask(service, "DELETE", f"jobs/{job}")).status == 204
    assert (await pending(service))["subscriptions"] == 0
    over = await subscribe(service, job, phone)
    assert (over.status, over.body["Error"], over.body["state"]) == (409, "WrongState", "cancelled")


async def test_what_the_operator_sees_and_does(service: Service, push_service: Receiver) -> None:
    """What is pending and why, without the endpoint; it is tried again, or dropped."""
    push_service.answer = status(503)
    phone, job = PushPhone(push_service.url("send/s3cret")), await order(service)
    await subscribe(service, job, phone)
    await ask(service, "POST", "register-worker", headers={"CPEE-CALLBACK": "http://1.2.3.4/"})

    async def has_failed() -> bool:
        found = (await pending(service))["pending"]
        return bool(found and found[0]["attempts"])

    await eventually(has_failed)
    answer = await ask(service, "GET", "operator/push", TOKEN)
    (shown,) = answer.body["pending"]
    assert b"s3cret" not in answer.raw
    assert shown == {
        "id": shown["id"],
        "ticket": 1,
        "service": push_service.url("").rstrip("/"),
        "kind": "ready",
        "told": [],
        "attempts": 1,
        "reason": "status 503",
        "retry_in_s": shown["retry_in_s"],
    }
    path = f"operator/push/{shown['id']}"
    assert (await ask(service, "POST", f"{path}/continue", TOKEN)).status == 204
    await told(push_service, phone, 2)
    await eventually(has_failed)
    assert (await ask(service, "POST", f"{path}/drop", TOKEN)).status == 204
    assert await pending(service) == {"subscriptions": 0, "pending": []}
    for act in ("continue", "drop"):
        unknown = await ask(service, "POST", f"{path}/{act}", TOKEN)
        assert (unknown.status, unknown.body["Error"]) == (404, "UnknownSubscription")


async def test_other_methods(service: Service) -> None:
    """405 says which there are; pages of another origin may use them, too."""
    answer = await ask(service, "POST", f"jobs/{await order(service)}/push")
    assert (answer.status, answer.headers["Allow"]) == (405, "PUT, DELETE")
    async with running_service(cors_origins=("https://bar.example",)) as open_service:
        headers = {"Origin": "https://bar.example", "Access-Control-Request-Method": "PUT"}
        preflight = await ask(open_service, "OPTIONS", "jobs/1/push", headers=headers)
        assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]


async def test_only_operators(service: Service) -> None:
    """The operator's routes need the token."""
    for method, path in (("GET", ""), ("POST", "/x/continue"), ("POST", "/x/drop")):
        assert (await ask(service, method, f"operator/push{path}", "wrong-token")).status == 401


@pytest.mark.parametrize(
    "bad", [{"allow_push": ("a b",)}, {"push_contact": "ada@bar.example"}, {"push_contact": "x"}]
)
def test_settings_that_cannot_be_read(bad: dict[str, Any]) -> None:
    """The service does not start."""
    with pytest.raises(SettingsError):
        create_app(Settings(**bad))


@pytest.mark.parametrize("contact", ["mailto:ada@bar.example", "https://bar.example/contact"])
async def test_the_contact(push_service: Receiver, contact: str) -> None:
    """It is in the signature."""
    async with running_service(allow_push=("127.0.0.0/8",), push_contact=contact) as service:
        phone, job = PushPhone(push_service.url()), await order(service)
        await subscribe(service, job, phone)
        await ask(service, "POST", "register-worker", headers={"CPEE-CALLBACK": "http://1.2.3.4/"})
        (message,) = await told(push_service, phone, 1)
        assert message.claims["sub"] == contact


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE])
async def test_over_a_restart(tmp_path: Path, push_service: Receiver, mode: Mode) -> None:
    """The key stays the same, and so does who is told."""
    phone = PushPhone(push_service.url())
    settings = {"mode": mode, "data_dir": tmp_path, "allow_push": ("127.0.0.0/8",)}
    async with running_service(**settings) as service:
        job = await order(service)
        await subscribe(service, job, phone)
        key = (await ask(service, "GET", "push/key")).body["key"]
    async with running_service(**settings) as service:
        assert (await ask(service, "GET", "push/key")).body["key"] == key
        await ask(service, "POST", "register-worker", headers={"CPEE-CALLBACK": "http://1.2.3.4/"})
        (message,) = await told(push_service, phone, 1)
        assert (message.kind, message.key) == ("ready", key)


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE])
async def test_forgetting(tmp_path: Path, push_service: Receiver, mode: Mode) -> None:
    """With an order's data its phone is erased, also from files, though it was not told all."""
    push_service.answer = status(503)
    phone = PushPhone(push_service.url("send/s3cret"))
    settings = {"mode": mode, "data_dir": tmp_path, "operator_tokens": (TOKEN,)}
    async with running_service(allow_push=("127.0.0.0/8",), **settings) as service:
        job = await order(service)
        await subscribe(service, job, phone)
        await ask(service, "POST", "register-worker", headers={"CPEE-CALLBACK": "http://1.2.3.4/"})
        await told(push_service, phone, 1)
        assert files_with(tmp_path, b"s3cret")
        assert (await ask(service, "DELETE", f"operator/jobs/{job}/data", TOKEN)).status == 204

        async def is_erased() -> bool:
            return not files_with(tmp_path, b"s3cret")

        await eventually(is_erased)
        assert (await pending(service))["subscriptions"] == 0
