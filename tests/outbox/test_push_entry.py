"""What a page says of a phone: what is taken, and that a refusal repeats nothing of it."""

from __future__ import annotations

from typing import Any

import pytest

from sanic_dispatch.outbox.push_entry import (
    MAX_ENDPOINT_CHARS,
    from_base64url,
    read_endpoint,
    read_subscription,
    to_base64url,
)
from tests.support.push_phone import PushPhone

ENDPOINT = "https://push.example/send/s3cret"


def said(**members: Any) -> dict[str, Any]:
    return PushPhone(ENDPOINT).subscription(**members)


def test_what_a_browser_says() -> None:
    """Members that are not known are ignored; padding makes no difference."""
    given = said(expirationTime=1_795_489_261_000, contentEncoding="aes128gcm", lang="de-AT")
    found = read_subscription(given)
    assert (found.endpoint, found.lang, found.told) == (ENDPOINT, "de-AT", ())
    assert {"p256dh": found.p256dh, "auth": found.auth} == given["keys"]
    for lang in ("de", "zh-Hans-CN", "de-DE-u-co-phonebk"):
        assert read_subscription(given | {"lang": lang}).lang == lang
    padded = {name: f"{key}=" for name, key in given["keys"].items()}
    assert read_subscription(given | {"keys": padded}) == found


@pytest.mark.parametrize(
    "members",
    [
        {"keys": {"p256dh": "s3cret", "auth": "s3cret"}},
        {"keys": {"p256dh": 5, "auth": None}},
        {"endpoint": f"{ENDPOINT}{'x' * MAX_ENDPOINT_CHARS}"},
        {"endpoint": f"{ENDPOINT} "},
        {"lang": "s3cret, or so"},
        {"lang": ["de"]},
    ],
)
def test_a_refusal_repeats_nothing(members: dict[str, Any]) -> None:
    """It goes to a log, perhaps, and to who has sent it."""
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - its text is what is tested
        read_subscription(said(**members))
    assert "s3cret" not in str(refused.value)
    assert str(refused.value)


def test_an_endpoint_by_itself() -> None:
    """As a text, in an object, or in the whole subscription."""
    for given in (ENDPOINT, {"endpoint": ENDPOINT}, said()):
        assert read_endpoint(given) == ENDPOINT
    for wrong in (None, [], {}, 7, ""):
        with pytest.raises(ValueError, match="endpoint"):
            read_endpoint(wrong)


@pytest.mark.parametrize("size", range(6))
def test_base64url(size: int) -> None:
    """There and back, and nothing else is taken for it."""
    data = bytes(range(250, 250 + size))
    assert from_base64url(to_base64url(data)) == data
    for wrong in ("+/", "a b", "ä", "AAAA\n"):
        with pytest.raises(ValueError):  # noqa: PT011 - it is replaced by another
            from_base64url(wrong)
