"""Web origins, such as ``https://bar.example:8443``: parsed, compared and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sanic_dispatch.errors import SettingsError

ANY, OPAQUE = "*", "null"
"""The words for any origin, and for the origin of a page from a file or in a sandbox."""

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?"
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def authority_of(origin: str) -> str | None:
    """Return the origin's ``host[:port]`` as in a Host header, or None if it is not an origin."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme, _, authority = origin.lower().partition("://")
    return authority.removesuffix(_DEFAULT_PORTS[scheme])


def is_same_site(origin: str, host: str) -> bool:
    """Whether a page of this origin was served under this Host header.

    The scheme is not compared: it is unknown here if a proxy terminates TLS.
    """
    authority = authority_of(origin)
    if authority is None:
        return False
    scheme = origin.partition("://")[0].lower()
    return authority == host.lower().removesuffix(_DEFAULT_PORTS[scheme])


def check_origins(flag: str, origins: Iterable[str], words: tuple[str, ...]) -> None:
    """Raise SettingsError unless each is an origin or one of the words."""
    for origin in origins:
        if origin not in words and authority_of(origin) is None:
            allowed = ", ".join(("an origin as in https://bar.example", *words))
            raise SettingsError(f"{flag} {origin!r} is none of: {allowed}")
