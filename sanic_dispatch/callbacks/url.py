"""Parse URLs of callbacks: strictly, and in one way for all checks."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address

from sanic_dispatch.core.value import Value
from sanic_dispatch.errors import InvalidCallback

NAME = re.compile(r"(?=.{1,254}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
"""A host name."""

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<userinfo>[^/?#@\\]*@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@\\:\[\]]+)"
    r"(:(?P<port>[0-9]{0,5}))?"
    r"(?=[/?#]|\Z)"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Target(Value, frozen=True):
    """The parts of an absolute URL that say where it points."""

    scheme: str
    """Lower-case."""
    userinfo: bool
    """Whether there is an ``@`` before the host, even with an empty user name."""
    host: str
    """Lower-case; an IPv6 address without its brackets."""
    port: int
    """By default that of the scheme; 0 if the scheme is unknown."""


@lru_cache(maxsize=64)
def split_url(url: str) -> Target:
    """Parse an absolute URL. Raises ValueError with the reason if it is not one.

    Cached, since each check of a request parses its URL again.
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


@lru_cache(maxsize=64)
def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return NAME.fullmatch(host) is not None
    try:
        IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def parse_callback(header: str | None) -> str:
    """Return the URL in a CPEE-CALLBACK header, unchanged.

    Raises InvalidCallback: ``Missing``, ``NotAString`` (not visible ASCII), or ``NotAUrl`` (not
    absolute, without a host, a bad port). Whether it may be called is for the guard to check.
    """
    if header is None:
        raise InvalidCallback("Missing", "there is no CPEE-CALLBACK header")
    if header and not _VISIBLE_ASCII.fullmatch(header):
        raise InvalidCallback("NotAString", "CPEE-CALLBACK is not visible ASCII")
    check_is_url("CPEE-CALLBACK", header)
    return header


def check_is_url(where: str, url: str) -> None:
    """Raise InvalidCallback (``NotAUrl``) unless a URL is absolute; ``where`` names its source."""
    try:
        split_url(url)
    except ValueError as error:
        raise InvalidCallback("NotAUrl", f"{where}: {error}") from error
