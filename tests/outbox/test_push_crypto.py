"""The cryptography of messages to phones: the RFC's own example, and the topic's key."""

from __future__ import annotations

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

from sanic_dispatch.outbox.push_crypto import (
    authorization,
    check_point,
    encrypt,
    private_key_of,
    public_key_of,
)
from sanic_dispatch.outbox.push_entry import from_base64url

SECRET = "ab" * 32

# RFC 8291, section 5 and appendix A
TEXT = b"When I grow up, I want to be a watermelon"
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
BROWSERS_KEY = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
MESSAGE = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLoc"
    "InmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSg"
    "Sxsj_Qulcy4a-fN"
)


def decrypt(message: bytes) -> bytes:
    """Decrypt a message as the browser of the RFC's example does."""
    number = int.from_bytes(from_base64url(BROWSERS_KEY), "big")
    key = ec.derive_private_key(number, ec.SECP256R1())
    found: bytes = http_ece.decrypt(message, private_key=key, auth_secret=from_base64url(AUTH))
    return found


def test_encryption_as_in_the_rfc() -> None:
    """The browser that can read the RFC's message can read ours; no two are alike."""
    assert decrypt(from_base64url(MESSAGE)) == TEXT
    first, second = (encrypt(TEXT, P256DH, AUTH) for _ in range(2))
    assert decrypt(first) == decrypt(second) == TEXT
    assert first != second
    assert len(first) == len(from_base64url(MESSAGE))


def test_a_message_for_another_phone_cannot_be_read() -> None:
    with pytest.raises(http_ece.ECEException):
        decrypt(encrypt(TEXT, public_key_of(SECRET), AUTH))


def test_the_key_follows_from_the_secret() -> None:
    """The same each time, a point of the curve, and another one for another secret."""
    key = public_key_of(SECRET)
    assert key == public_key_of(SECRET)
    assert key != public_key_of("ac" * 32)
    check_point(from_base64url(key))
    assert private_key_of(SECRET).curve.name == "secp256r1"


def test_what_is_no_point() -> None:
    """A point that is not on the curve, a compressed one, nothing."""
    point = from_base64url(P256DH)
    for wrong in (point[:-1] + b"\0", b"", point[:33], b"\4" + bytes(64)):
        with pytest.raises(ValueError):  # noqa: PT011 - the library's own text
            check_point(wrong)


@pytest.mark.parametrize("contact", ["", "mailto:ada@bar.example"])
def test_a_signature(contact: str) -> None:
    """It is verified by the key that it names, and by no other."""
    header = authorization(SECRET, "https://push.example", contact, 1_732_412_340)
    assert Vapid02.verify(header)
    assert header.endswith(f",k={public_key_of(SECRET)}")
    assert not Vapid02.verify(header.replace(public_key_of(SECRET), P256DH))
