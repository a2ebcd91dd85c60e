"""The client for push services: which addresses are called, and by which scheme."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.http_client import Timeouts
from sanic_dispatch.callbacks.resolver import Lookup, system_lookup
from sanic_dispatch.errors import CallbackForbidden
from sanic_dispatch.outbox.message_client import Posted
from sanic_dispatch.outbox.push_client import PushClient
from tests.callbacks.test_guard import FORBIDDEN, NEVER, NOT_PUBLIC, url_of
from tests.support.clock import FakeClock
from tests.support.receiver import running_receiver

SHORT = Timeouts(total_s=0.4, connect_s=0.4, keep_alive_s=2.0)


def client_of(*allow: str, lookup: Lookup = system_lookup) -> PushClient:
    """Return a client as the service makes it."""
    guard, plain = Guard(allow, public_only=True), Guard(allow) if allow else None
    return PushClient(guard, plain, FakeClock(), timeouts=SHORT, lookup=lookup)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the door a name that takes long to resolve is accepted: none does here."""
    monkeypatch.setattr("sanic_dispatch.callbacks.resolver.CHECK_S", 60.0)


async def is_refused(client: PushClient, url: str) -> bool:
    """Return whether both doors refuse a URL: they must agree."""
    posted = await client.post(url, b"", {})
    is_closed = posted.reason.startswith("may not be called: ")
    try:
        await client.check(url)
    except CallbackForbidden:
        assert is_closed, url
        return True
    assert not is_closed, url
    return False


async def test_forbidden_addresses() -> None:
    """None of them passes the door, and none is called, by https either."""
    client = client_of()
    for url in [*FORBIDDEN, *map(url_of, NOT_PUBLIC)]:
        assert await is_refused(client, url)
        assert await is_refused(client, url.replace("http://", "https://"))
    await client.close()


@pytest.mark.parametrize("address", [*NEVER, *NOT_PUBLIC])
async def test_names_are_no_better_than_their_addresses(address: str) -> None:
    client = client_of(lookup=lambda _: [address])
    assert await is_refused(client, "https://push.example/")
    await client.close()


def rebinding(*answers: str) -> Callable[[str], Sequence[str]]:
    """Return a resolver that answers something else each time."""
    left = list(answers)
    return lambda _: [left.pop(0) if len(left) > 1 else left[0]]


async def test_a_name_that_is_bound_again() -> None:
    """It is judged by what it resolves to at the delivery, not at the door."""
    client = client_of(lookup=rebinding("8.8.8.8", "127.0.0.1"))
    await client.check("https://push.example/")
    posted = await client.post("https://push.example/", b"", {})
    assert posted == Posted("may not be called: the address is not public")
    await client.close()


PLAIN = [
    ((), "http://8.8.8.8/", "8.8.8.8", True),
    ((), "http://push.example/", "8.8.8.8", True),
    (("10.0.0.0/8",), "http://10.1.2.3:1/", "10.1.2.3", False),
    (("10.0.0.0/8",), "http://8.8.8.8/", "8.8.8.8", True),
    (("10.0.0.0/8",), "http://push.example:1/", "8.8.8.8", True),
    (("10.0.0.0/8:2",), "http://10.1.2.3:1/", "10.1.2.3", True),
    (("push.example",), "http://other.example/", "8.8.8.8", True),
    (("push.example",), "http://push.example/", "169.254.169.254", True),
]


@pytest.mark.parametrize(("allow", "url", "address", "refused"), PLAIN)
async def test_plain_http(allow: tuple[str, ...], url: str, address: str, refused: bool) -> None:
    """Only where the list says so; what a name resolves to counts, too."""
    client = client_of(*allow, lookup=lambda _: [address])
    assert await is_refused(client, url) is refused
    await client.close()


async def test_a_plain_push_service_of_ones_own() -> None:
    """By its address, and by a name."""
    async with running_receiver() as receiver:
        for allow, host in (("127.0.0.0/8", "127.0.0.1"), ("push.example", "push.example")):
            client = client_of(allow, lookup=lambda _: ["127.0.0.1"])
            url = receiver.url().replace("127.0.0.1", host)
            await client.check(url)
            assert await client.post(url, b"", {}) == Posted()
            await client.close()
    assert len(receiver.received) == 2
