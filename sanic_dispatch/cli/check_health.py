"""The command that checks whether the dispatcher on this machine is alive: health."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NoReturn

import click

from sanic_dispatch.cli.env_option import SectionedCommand
from sanic_dispatch.cli.options import setting_options
from sanic_dispatch.cli.remote import DONE, FAILED, UNREACHABLE, warn
from sanic_dispatch.config.settings import Settings
from sanic_dispatch.server.banner import base_of

ANSWER_TIMEOUT_S = 2.0


@click.command(cls=SectionedCommand, params=setting_options("port", "host", "tls_cert", "tls_key"))
def health(**flags: Any) -> None:
    """Check whether the dispatcher with these settings, on this machine, is alive.

    The port and TLS are read from the same variables and the same file as those of serve. It is
    meant for health checks, such as a container's. The certificate is not verified, since nothing
    secret is sent.

    \b
    Examples:
      sanic-dispatch health --config /etc/sanic-dispatch/dispatch.toml
      SANIC_DISPATCH_PORT=8080 sanic-dispatch health

    \b
    Exit codes:
      0  it is alive
      1  it answers with another status than 200
      3  there is no answer within two seconds
    """
    settings = Settings(**flags)
    url = base_of(settings)
    try:
        status = _status(url)
    except (OSError, HTTPException) as error:
        _end(UNREACHABLE, f"no answer from {url}: {error or type(error).__name__}")
    if status != 200:
        _end(FAILED, f"{url}health answers {status}")
    click.echo("alive")
    click.get_current_context().exit(DONE)


def _status(url: str) -> int:
    scheme, _, place = url.rstrip("/").partition("://")
    kind = _Secure if scheme == "https" else HTTPConnection
    connection = kind(place, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


class _Secure(HTTPSConnection):
    """HTTPS without verification: a certificate does not have the name of the loopback."""

    def __init__(self, place: str, timeout: float) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(place, timeout=timeout, context=context)


def _end(code: int, text: str) -> NoReturn:
    warn(text)
    click.get_current_context().exit(code)
