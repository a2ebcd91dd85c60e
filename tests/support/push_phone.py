"""A phone as its push service and its browser see it: keys, a subscription, what it was told."""

from __future__ import annotations

import base64
import os
from typing import Any, NamedTuple

import http_ece
import ujson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

from tests.support.receiver import Received


class Told(NamedTuple):
    """A message, decrypted, with the headers that a push service reads."""

    said: dict[str, Any]
    ttl: int
    topic: str
    urgency: str
    claims: dict[str, Any]
    key: str
    """The key that has signed it, which was verified."""

    @property
    def kind(self) -> str:
        return str(self.said["kind"])


class PushPhone:
    """A browser with keys of its own, subscribed at an endpoint."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)

    def subscription(self, **members: Any) -> dict[str, Any]:
        """Return what the page sends: the browser's PushSubscription, with a language."""
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": _text(point), "auth": _text(self._auth)}
        found = {"endpoint": self.endpoint, "expirationTime": None, "keys": keys, "lang": "de"}
        return found | members

    def read(self, message: Received) -> Told:
        """Verify a message's signature, and decrypt it by the library."""
        headers = message.headers
        assert Vapid02.verify(headers["authorization"])
        assert headers["content-encoding"] == "aes128gcm"
        parts = dict(
            each.strip().split("=", 1)
            for each in headers["authorization"].removeprefix("vapid ").split(",")
        )
        claims = ujson.loads(_bytes(parts["t"].split(".")[1]))
        text = http_ece.decrypt(message.body, private_key=self._key, auth_secret=self._auth)
        return Told(
            ujson.loads(text), int(headers["ttl"]), headers["topic"], headers["urgency"], claims,
            parts["k"],
        )  # fmt: skip


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
