"""Parse a Redis URL: where to connect, TLS, and the commands that begin a connection.

The options in the URL are redis-py's, as far as ``check_redis_url`` allows them.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from sanic_dispatch.config.redis_url import without_secrets
from sanic_dispatch.errors import RedisUnusable

_DEFAULT_PORT = 6379
_YES = ("1", "y", "yes", "t", "true", "on")
_NO = ("0", "n", "no", "f", "false", "off", "")
_CHECKS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis listens: ``path`` of a Unix socket, or ``host`` and ``port``.

    Each connection begins with the commands in ``greeting``. ``shown`` is the URL without password.
    """

    shown: str
    host: str = "localhost"
    port: int = _DEFAULT_PORT
    path: str = ""
    tls: ssl.SSLContext | None = None
    greeting: Sequence[tuple[str, ...]] = ()


def parse_address(url: str) -> RedisAddress:
    """Parse a Redis URL. Raises RedisUnusable if an option in it is invalid."""
    parts = urlsplit(url)
    try:
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        is_socket = parts.scheme == "unix"
        if not is_socket and parts.path.strip("/"):
            options["db"] = parts.path.strip("/")
        if parts.username:
            options["username"] = unquote(parts.username)
        if parts.password:
            options["password"] = unquote(parts.password)
        return RedisAddress(
            without_secrets(url),
            host=unquote(parts.hostname or "localhost"),
            port=parts.port or _DEFAULT_PORT,
            path=unquote(parts.path) if is_socket else "",
            tls=_tls_context(options) if parts.scheme == "rediss" else None,
            greeting=_greeting(options),
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise RedisUnusable(without_secrets(url), f"its address is wrong: {error}") from error


def _greeting(options: Mapping[str, str]) -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []
    if password := options.get("password", ""):
        username = options.get("username", "")
        commands.append(("AUTH", username, password) if username else ("AUTH", password))
    elif username := options.get("username", ""):
        commands.append(("AUTH", username, ""))
    if name := options.get("client_name", ""):
        commands.append(("CLIENT", "SETNAME", name))
    if (database := _number("db", options.get("db", "0"))) != 0:
        commands.append(("SELECT", str(database)))
    return commands


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    check = options.get("ssl_cert_reqs", "required")
    if check not in _CHECKS:
        raise ValueError(f"'ssl_cert_reqs' cannot be {check!r}")
    checks_name = _truth("ssl_check_hostname", options.get("ssl_check_hostname", "true"))
    context.check_hostname = checks_name and check != "none"
    context.verify_mode = _CHECKS[check]
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if certificate is not None:
        context.load_cert_chain(certificate, key, options.get("ssl_password"))
    elif key is not None:
        raise ValueError("'ssl_keyfile' needs 'ssl_certfile'")
    file, folder = options.get("ssl_ca_certs"), options.get("ssl_ca_path")
    if file is not None or folder is not None:
        context.load_verify_locations(file, folder)
    if (version := options.get("ssl_min_version")) is not None:
        context.minimum_version = ssl.TLSVersion(_number("ssl_min_version", version))
    if (ciphers := options.get("ssl_ciphers")) is not None:
        context.set_ciphers(ciphers)
    return context


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"'{name}' cannot be {text!r}") from None


def _truth(name: str, text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise ValueError(f"'{name}' cannot be {text!r}")
