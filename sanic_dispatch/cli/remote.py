"""Shared by the commands that call a dispatcher: its address and token, and exit codes."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import click

from sanic_dispatch.cli.env_option import EnvOption
from sanic_dispatch.cli.topic_option import topic_option, url_of_topic
from sanic_dispatch.config.settings import DEFAULTS
from sanic_dispatch.observability.log import printable

DEFAULT_URL = f"http://localhost:{DEFAULTS.port}/"

DONE, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""


def header_text(what: str) -> Callable[..., str | None]:
    """Return a callback for click that returns a text if it can be sent in a header."""

    def check(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise click.BadParameter(
                f"the {what} has a line break, or another character that is no text."
            )
        return value

    return check


_token = header_text("token")


def service_options() -> list[click.Parameter]:
    """Return the options --url, --token and --topic; the URL is that of the topic."""
    section = "Dispatcher"
    return [
        EnvOption(
            "--url",
            section=section,
            default=DEFAULT_URL,
            metavar="URL",
            callback=base_url,
            show_envvar=True,
            help="URL of the dispatcher, with its path prefix if it has one.",
        ),
        EnvOption(
            "--token",
            section=section,
            default=None,
            metavar="TOKEN",
            show_default="none",
            show_envvar=True,
            callback=_token,
            help="Sent as a bearer token. Better given as the variable: other users of this "
            "machine can see a command line.",
        ),
        topic_option(),
    ]


def base_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the URL of the chosen topic of the service at a URL; a callback for click."""
    from yarl import URL

    if not value.startswith(("http://", "https://")):
        raise click.BadParameter(f"{value!r} does not begin with http:// or https://.")
    try:
        url = URL(value)
        (url.raw_host or "").encode("idna")  # as whoever connects to it does
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}.") from None
    if not url.host:
        raise click.BadParameter(f"{value!r} has no host.")
    _token(ctx, param, url.query.get("token"))
    return url_of_topic(value)


def run(work: Coroutine[Any, Any, int]) -> None:
    """Run it and exit with its code; print an error of the dispatcher as one line."""
    from sanic_dispatch.client import BadAddress, ServiceError, Unreachable

    try:
        code = asyncio.run(work)
    except BadAddress as error:
        code = _say(error, USAGE)
    except ServiceError as error:
        code = _say(error, FAILED)
    except Unreachable as error:
        code = _say(error, UNREACHABLE)
    except KeyboardInterrupt:
        code = INTERRUPTED
    click.get_current_context().exit(code)


@contextmanager
def interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C interrupt a computation in the block, which asyncio does only at an ``await``.

    Do nothing if SIGINT is ignored, as by what a script runs in the background.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


async def until_told(work: Coroutine[Any, Any, object]) -> int:
    """Run until SIGINT or SIGTERM, and return DONE: for work that has no end of its own."""
    working = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, working.cancel)
    with suppress(asyncio.CancelledError):
        await working
    return DONE


def warn_of_gaps(answer: Mapping[str, Any], told: set[str]) -> None:
    """Print what an answer says may be missing, unless it was ``told`` already; note that it is."""
    from sanic_dispatch.history.event_fields import describe_gaps

    for text in describe_gaps(answer):
        if text not in told:
            told.add(text)
            warn(text)


def warn(text: str) -> None:
    """Print one line on standard error."""
    click.echo(f"sanic-dispatch: {printable(text)}", err=True)


def _say(error: Exception, code: int) -> int:
    warn(str(error))
    return code
