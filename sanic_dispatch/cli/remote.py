"""What the commands have in common that speak to a dispatcher: its address, and how they end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import click

from sanic_dispatch.cli.parameter_types import Setting
from sanic_dispatch.observability.log import printable

DEFAULT_URL = "http://localhost:2567/"

DONE, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""


def service_options() -> list[click.Parameter]:
    """Where the dispatcher is, and what opens it."""
    section = "Dispatcher"
    return [
        Setting(
            "--url",
            section=section,
            default=DEFAULT_URL,
            metavar="URL",
            callback=base_url,
            show_envvar=True,
            help="Where the dispatcher is, with the path prefix that it may have.",
        ),
        Setting(
            "--token",
            section=section,
            default=None,
            metavar="TOKEN",
            show_default="none",
            show_envvar=True,
            help="Sent as a bearer token. Better given as the variable: other users of this "
            "machine can see a command line.",
        ),
    ]


def base_url(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A callback for an option or argument: an address of http or https."""
    if not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value!r} does not begin with http:// or https://.")
    return value


def run(work: Coroutine[Any, Any, int]) -> None:
    """Run it and exit with its code; what the dispatcher says or does not say is one line."""
    from sanic_dispatch.client import ServiceError, Unreachable

    try:
        code = asyncio.run(work)
    except ServiceError as error:
        code = _say(error, FAILED)
    except Unreachable as error:
        code = _say(error, UNREACHABLE)
    except KeyboardInterrupt:
        code = INTERRUPTED
    click.get_current_context().exit(code)


async def until_told(work: Coroutine[Any, Any, object]) -> int:
    """Work until SIGINT or SIGTERM: for what has no end of its own, that is a good one."""
    working = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, working.cancel)
    with suppress(asyncio.CancelledError):
        await working
    return DONE


def warn(text: str) -> None:
    """One line on standard error."""
    click.echo(f"sanic-dispatch: {printable(text)}", err=True)


def _say(error: Exception, code: int) -> int:
    warn(str(error))
    return code
