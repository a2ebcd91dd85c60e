"""Tokens: what whoever wants to do something has to show, and how it is compared.

A token is never kept in the clear longer than it takes to read it: only digests are compared.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from sanic_dispatch.errors import SettingsError

SHORTEST, LONGEST = 8, 256

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 lets stand behind ``Bearer``."""


class Tokens:
    """The tokens that open one door; without any it stands open."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, shown: str | None) -> bool:
        """Whether it opens the door. Takes as long for a near miss as for any other."""
        if not self._digests:
            return True
        digest = _digest(shown or "")
        matches = [hmac.compare_digest(digest, own) for own in self._digests]
        return any(matches)


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def check_tokens(flag: str, tokens: Iterable[str]) -> None:
    """Raises SettingsError, without the token in it, where one cannot be sent or is too short."""
    for token in tokens:
        if not _TOKEN.fullmatch(token):
            raise SettingsError(
                f"{flag}: a token has letters, digits and any of . _ ~ + / -, and may end in ="
            )
        if not SHORTEST <= len(token) <= LONGEST:
            raise SettingsError(f"{flag}: a token has {SHORTEST} to {LONGEST} characters")


def read_tokens(flag: str, path: Path) -> list[str]:
    """The tokens of a file, one a line; empty lines and those that begin with # do not count.

    Raises SettingsError where there is none.
    """
    try:
        lines = [line.strip() for line in path.read_text("ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not plain text"
        raise SettingsError(f"{flag} {path}: {reason}") from None
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise SettingsError(f"{flag} {path}: there is no token in it")
    return tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
