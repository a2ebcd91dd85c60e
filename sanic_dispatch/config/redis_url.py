"""Where Redis is, and under which prefix the queues are in it."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from sanic_dispatch.errors import SettingsError

_URL = re.compile(r"(rediss?://[^/]|unix:///).*")
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")

OPTIONS = ("db", "username", "password", "client_name")
"""What may stand behind the question mark; all else would change how we talk to Redis."""

TLS_OPTIONS = (
    "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password",
    "ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers",
)  # fmt: skip
"""The same besides, where it is rediss."""


def check_redis(url: str, prefix: str) -> None:
    """Raises SettingsError, without repeating the address: a password may be in it."""
    if not _URL.fullmatch(url):
        raise SettingsError("--redis-url begins with redis://, rediss:// or unix:///")
    if not _has_good_port(url):
        raise SettingsError("--redis-url has no port from 0 to 65535 behind its host")
    _check_path(urlsplit(url))
    _check_options(urlsplit(url))
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(f"--redis-prefix {prefix!r} has other characters than A-Z a-z 0-9 ._:-")


def _has_good_port(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _check_path(parts: SplitResult) -> None:
    """A number or a file. A password that holds one of these characters would end up here."""
    if parts.fragment or parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", parts.path):
        raise SettingsError(
            "--redis-url has more than the number of a database behind its host; "
            "in a password / is %2F, ? is %3F, # is %23"
        )


def _check_options(parts: SplitResult) -> None:
    """Only those that we leave to others, and nothing said twice."""
    allowed = OPTIONS + (TLS_OPTIONS if parts.scheme == "rediss" else ())
    names = [each.partition("=")[0] for each in parts.query.split("&")] if parts.query else []
    if not set(names) <= set(allowed):
        raise SettingsError(f"--redis-url has options besides {', '.join(allowed)}")
    if parts.scheme != "unix" and parts.path.strip("/"):
        names.append("db")
    names += ["username"] if parts.username else []
    names += ["password"] if parts.password else []
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"--redis-url says twice: {', '.join(twice)}")


def shown(url: str) -> str:
    """An address without the password that may be in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
