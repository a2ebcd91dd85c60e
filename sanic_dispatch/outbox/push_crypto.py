"""The cryptography of Web Push: encryption (RFC 8291) and the service's signature (RFC 8292).

``push_outbox`` and ``web/routes/push`` import it when it is needed first: it is slow to import.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sanic_dispatch.outbox.push_entry import from_base64url, to_base64url

_CURVE = ec.SECP256R1()

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the curve P-256: a private key is a number from 1 to below it."""

_NAME = b"sanic-dispatch web push"


def private_key_of(secret: str) -> ec.EllipticCurvePrivateKey:
    """Return the topic's key, which follows from its secret (hex), like job ids and receipts.

    With 512 bits for a number of 256, as in FIPS 186-5, A.2.1, no number is likelier than another.
    """
    found = hmac.digest(bytes.fromhex(secret), _NAME, hashlib.sha512)
    return ec.derive_private_key(int.from_bytes(found, "big") % (_ORDER - 1) + 1, _CURVE)


def public_key_of(secret: str) -> str:
    """Return the topic's public key as browsers want it: 65 bytes in base64url."""
    return to_base64url(_point_of(private_key_of(secret)))


def check_point(point: bytes) -> None:
    """Raise ValueError if this is not a point of the curve P-256, uncompressed."""
    ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)


def encrypt(text: bytes, p256dh: str, auth: str) -> bytes:
    """Encrypt a message for a browser with these keys. Raises ValueError if they are invalid."""
    return bytes(
        http_ece.encrypt(
            text,
            private_key=ec.generate_private_key(_CURVE),
            dh=from_base64url(p256dh),
            auth_secret=from_base64url(auth),
        )
    )


@lru_cache(maxsize=64)
def authorization(secret: str, origin: str, contact: str, until_s: int) -> str:
    """Return the header with which the push service at an origin knows this topic.

    It is good until then (Unix seconds). ``contact`` may be empty: it is optional. Cached, since
    to sign takes longer than to encrypt.
    """
    key = private_key_of(secret)
    claims = {"aud": origin, "exp": until_s} | ({"sub": contact} if contact else {})
    token = jwt.encode(claims, key, algorithm="ES256")
    return f"vapid t={token},k={to_base64url(_point_of(key))}"


def _point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
