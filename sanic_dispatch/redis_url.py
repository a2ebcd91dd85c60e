"""Where Redis is, and under which prefix the queues are in it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sanic_dispatch.errors import SettingsError

_URL = re.compile(r"(rediss?://[^/]|unix:///).*")
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def check_redis(url: str, prefix: str) -> None:
    """Raises SettingsError, without repeating the address: a password may be in it."""
    if not _URL.fullmatch(url):
        raise SettingsError("--redis-url begins with redis://, rediss:// or unix:///")
    if not _has_good_port(url):
        raise SettingsError("--redis-url has no port from 0 to 65535 behind its host")
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(f"--redis-prefix {prefix!r} has other characters than A-Z a-z 0-9 ._:-")


def _has_good_port(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def shown(url: str) -> str:
    """An address without the password that may be in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
