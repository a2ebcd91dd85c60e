"""Checks of the Redis URL and of the prefix of our keys."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from sanic_dispatch.errors import SettingsError

_URL = re.compile(r"(rediss?://[^/]|unix:///).*")
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")

OPTIONS = ("db", "username", "password", "client_name")
"""Allowed in the query. Other options would change how we talk to Redis."""

TLS_OPTIONS = (
    "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password",
    "ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers",
)  # fmt: skip
"""Allowed in the query too if the scheme is rediss."""


def check_redis_url(flag: str, url: str) -> None:
    """Raise SettingsError unless it is a URL of Redis.

    The error does not repeat the URL: it may contain a password.
    """
    if not _URL.fullmatch(url):
        raise SettingsError(f"{flag} must begin with redis://, rediss:// or unix:///")
    if not _has_good_port(url):
        raise SettingsError(f"{flag} has a port that is not a number from 0 to 65535")
    _check_path(flag, urlsplit(url))
    _check_options(flag, urlsplit(url))


def check_redis_prefix(flag: str, prefix: str) -> None:
    """Raise SettingsError unless it is a prefix for our keys."""
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(f"{flag} {prefix!r} must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")


def _has_good_port(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _check_path(flag: str, parts: SplitResult) -> None:
    """Raise SettingsError unless the path is a database's number, or the socket's file.

    A ``/`` or ``#`` in a password that is not quoted ends up here too.
    """
    if parts.fragment or parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", parts.path):
        raise SettingsError(
            f"{flag} has more than the number of a database after its host; "
            "in a password / is %2F, ? is %3F, # is %23"
        )


def _check_options(flag: str, parts: SplitResult) -> None:
    """Raise SettingsError if an option is not allowed or is given twice."""
    allowed = OPTIONS + (TLS_OPTIONS if parts.scheme == "rediss" else ())
    names = [each.partition("=")[0] for each in parts.query.split("&")] if parts.query else []
    if not set(names) <= set(allowed):
        raise SettingsError(f"{flag} has options besides {', '.join(allowed)}")
    if parts.scheme != "unix" and parts.path.strip("/"):
        names.append("db")
    names += ["username"] if parts.username else []
    names += ["password"] if parts.password else []
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"{flag} gives more than once: {', '.join(twice)}")


def shown(url: str) -> str:
    """Return the URL without user name, password and query, to be printed."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
