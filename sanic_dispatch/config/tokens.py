"""Access tokens: read, checked and compared.

Tokens keeps digests only, and compares those.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from sanic_dispatch.errors import SettingsError

MIN_TOKEN_CHARS, MAX_TOKEN_CHARS = 8, 256

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The ``b64token`` of RFC 6750, section 2.1."""


class Tokens:
    """The tokens of one role, all of equal right: an old and a new one during a rotation."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    @property
    def is_required(self) -> bool:
        """Whether a client needs a token: at least one is configured."""
        return bool(self._digests)

    def admit(self, presented: str | None) -> bool:
        """Whether a client with this token, or with none, has the role.

        Every client has it if no token is required.
        """
        return not self._digests or self.has(presented)

    def has(self, presented: str | None) -> bool:
        """Whether this is one of the tokens; the time this takes does not depend on it."""
        digest = _digest(presented or "")
        matches = [hmac.compare_digest(digest, own) for own in self._digests]
        return any(matches)


def new_token() -> str:
    """Return a new random token."""
    return secrets.token_urlsafe(24)


def check_tokens(flag: str, tokens: Iterable[str]) -> None:
    """Raise SettingsError, without repeating the token, if one has bad characters or length.

    ``flag`` is the option's name, for the error text.
    """
    for token in tokens:
        if not _TOKEN.fullmatch(token):
            raise SettingsError(
                f"{flag}: a token has letters, digits and any of . _ ~ + / -, and may end in ="
            )
        if not MIN_TOKEN_CHARS <= len(token) <= MAX_TOKEN_CHARS:
            raise SettingsError(
                f"{flag}: a token has {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} characters"
            )


def read_tokens(flag: str, path: Path) -> list[str]:
    """Return the tokens in a file, one on each line; empty lines and ``#`` comments are skipped.

    The tokens are unchecked until ``check_tokens``. ``flag`` is the option's name, for the error
    text. Raises SettingsError if the file cannot be read or has no token.
    """
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not plain text"
        raise SettingsError(f"{flag} {path}: {reason}") from None
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise SettingsError(f"{flag} {path}: the file has no token")
    return tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
