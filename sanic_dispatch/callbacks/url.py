"""How a callback's URL is read: strictly, and the same way by everyone who has to judge it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from sanic_dispatch.errors import InvalidCallback

NAME = re.compile(r"(?=.{1,254}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
"""What may be the name of a host."""

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<userinfo>[^/?#@\\]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@\\:\[\]]+)"
    r"(:(?P<port>[0-9]{0,5}))?"
    r"(?=[/?#]|\Z)"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """Where an absolute URL points."""

    scheme: str
    """In lower case."""
    userinfo: bool
    """Whether there is an ``@`` in front of the host, be it with an empty name."""
    host: str
    """In lower case, an IPv6 address without its brackets."""
    port: int
    """The scheme's own where the URL names none; 0 where the scheme has none that we know."""


@lru_cache(maxsize=64)
def split_url(url: str) -> Target:
    """Where the URL points; raises ValueError with a plain reason where it is no absolute URL.

    Everyone who judges a request asks again, so the last ones are remembered.
    """
    match = _URL.match(url)
    if match is None:
        raise ValueError("not an absolute URL with a scheme and a host")
    scheme, host = match["scheme"].lower(), match["host"]
    if not _is_host(host):
        raise ValueError("the host is neither a name nor an address")
    port = int(match["port"] or _DEFAULT_PORTS.get(scheme, 0))
    if (match["port"] and port == 0) or port > 65535:
        raise ValueError("the port is not between 1 and 65535")
    return Target(scheme, match["userinfo"] is not None, host.strip("[]").lower(), port)


def http_origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an http or https URL without a user name, else None."""
    try:
        target = split_url(url)
    except ValueError:
        return None
    if target.userinfo or target.scheme not in ("http", "https"):
        return None
    return target.scheme, target.host, target.port


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return NAME.fullmatch(host) is not None
    try:
        IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def parse_callback(header: str | None) -> str:
    """The callback's URL, unchanged, out of the CPEE-CALLBACK header.

    Raises InvalidCallback: ``Missing``, ``NotAString`` (not visible ASCII), or ``NotAUrl`` (not
    absolute, without a host, a bad port). Which schemes and addresses may be called is not judged
    here: the guard does that.
    """
    if header is None:
        raise InvalidCallback("Missing", "there is no CPEE-CALLBACK header")
    if header and not _VISIBLE_ASCII.fullmatch(header):
        raise InvalidCallback("NotAString", "CPEE-CALLBACK is not visible ASCII")
    try:
        split_url(header)
    except ValueError as error:
        raise InvalidCallback("NotAUrl", f"CPEE-CALLBACK: {error}") from error
    return header
