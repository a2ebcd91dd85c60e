"""Where everything is, said once at the start."""

from __future__ import annotations

import os.path
import sys

import structlog

from sanic_dispatch import __version__
from sanic_dispatch.config.redis_url import shown
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.observability.log import is_human

_ALL_INTERFACES = ("", "::", "0.0.0.0")  # noqa: S104 - it is only compared


def warn_if_open(settings: Settings) -> None:
    """Say it loudly where everybody on the network may register a worker anywhere."""
    if settings.host in _ALL_INTERFACES and not (settings.worker_tokens or settings.allow_callback):
        structlog.get_logger().warning(
            "service.open",
            reason="it listens on all interfaces, and whoever reaches it can register workers",
            hint="set --worker-token or --allow-callback, or listen on one address with --host",
        )


def announce(settings: Settings, port: int, operator_token: str = "") -> None:
    """Say it: as a banner where the log is for people, else as a line of the log.

    ``port`` is the one that is really listened on. Call it once requests are taken. A token that
    was made for the operator is said too, once and never in the log; one that was given is not.
    """
    if is_human(settings.log_format, sys.stderr):
        sys.stderr.write(banner(settings, port, operator_token) + "\n")
        return
    if operator_token:
        link = monitor_link(base_of(settings, port), operator_token)
        sys.stderr.write(f"operator: {link}\n")
    facts = {name.replace(" ", "_"): text for name, text in _rows(settings, port).items()}
    structlog.get_logger().info("dispatch.started", version=__version__, **facts)


def banner(settings: Settings, port: int, operator_token: str = "") -> str:
    """The lines for a person."""
    rows = _rows(settings, port)
    if operator_token:
        rows["monitor"] = monitor_link(base_of(settings, port), operator_token)
    lines = [f"  {name:<12}{text}" for name, text in rows.items()]
    return "\n".join([f"sanic-dispatch {__version__}", "", *lines, ""])


def addresses(base: str) -> dict[str, str]:
    """What to open in a browser, and what customers and workers call, at this address."""
    return {
        "order page": base + "public/order_drink.html",
        "wall board": base + "public/board.html",
        "monitor": monitor_link(base),
        "submit": base + "submit-job",
        "register": base + "register-worker",
    }


def monitor_link(base: str, token: str = "") -> str:
    """The operator's page; with the token it opens without asking for it."""
    return base + "public/monitor.html" + (f"?token={token}" if token else "")


def base_of(settings: Settings, port: int) -> str:
    """The address of the server's root, as this machine reaches it."""
    name = "localhost" if settings.host in _ALL_INTERFACES else settings.host
    return f"{settings.scheme}://{f'[{name}]' if ':' in name else name}:{port}/"


def queues(settings: Settings) -> dict[str, str]:
    """Where jobs and workers wait."""
    folder = os.path.realpath(settings.data_dir)
    redis = shown(settings.redis_url)
    return {
        "jobs": _queue(settings.job_queue_mode, folder, redis),
        "workers": _queue(settings.worker_queue_mode, folder, redis),
    }


def _rows(settings: Settings, port: int) -> dict[str, str]:
    return {**addresses(base_of(settings, port)), **queues(settings)}


def _queue(mode: Mode, folder: str, redis: str) -> str:
    if mode.is_shared:
        return f"{mode} at {redis}"
    return f"{mode} in {folder}" if mode.is_durable else f"{mode}, gone when it stops"
