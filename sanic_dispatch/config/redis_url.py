"""Checks of the Redis URL and of the prefix of our keys."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from sanic_dispatch.errors import SettingsError

_URL = re.compile(r"(rediss?://[^/]|unix:///).*")
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")

TOPICS_INFIX = ":topics:"
"""Between the prefix and the name of a topic in the keys of a named topic."""

OPTIONS = ("db", "username", "password", "client_name")
"""Allowed in the query. Others could break the store, which relies e.g. on ``decode_responses``."""

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
    """Raise SettingsError unless it is a prefix for our keys, and not that of a named topic."""
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(f"{flag} {prefix!r} must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")
    if TOPICS_INFIX in prefix:
        raise SettingsError(
            f"{flag} {prefix!r} must not contain {TOPICS_INFIX}, "
            "or its keys could be those of a named topic"
        )


def _has_good_port(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _check_path(flag: str, parts: SplitResult) -> None:
    """Raise SettingsError unless the path is a database's number, or the socket's file.

    An unquoted ``/`` or ``#`` in a password makes ``urlsplit`` see a path or a fragment: that is
    refused here.
    """
    is_good = parts.scheme == "unix" or re.fullmatch(r"(/\d*)?", parts.path)
    if parts.fragment or not is_good:
        raise SettingsError(
            f"{flag} has more than the number of a database after its host; "
            "in a password / is %2F, ? is %3F, # is %23"
        )


def _check_options(flag: str, parts: SplitResult) -> None:
    """Raise SettingsError if an option is not allowed or is given twice.

    Path and user info count, too: ``/3?db=3`` and ``ada@…?username=ada`` give an option twice.
    """
    allowed = OPTIONS + (TLS_OPTIONS if parts.scheme == "rediss" else ())
    given = [each.partition("=")[0] for each in parts.query.split("&")] if parts.query else []
    if not set(given) <= set(allowed):
        raise SettingsError(f"{flag} has options besides {', '.join(allowed)}")
    if parts.scheme != "unix" and parts.path.strip("/"):
        given.append("db")
    if parts.username:
        given.append("username")
    if parts.password:
        given.append("password")
    if twice := sorted({name for name in given if given.count(name) > 1}):
        raise SettingsError(f"{flag} gives more than once: {', '.join(twice)}")


def without_secrets(url: str) -> str:
    """Return the URL without user name, password and query, to be printed."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
