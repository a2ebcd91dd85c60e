"""The addresses of the service, printed or logged once at the start."""

from __future__ import annotations

import os.path
import sys
from collections.abc import Mapping
from contextlib import suppress

import structlog

from sanic_dispatch import __version__
from sanic_dispatch.config.redis_url import without_secrets
from sanic_dispatch.config.settings import ALL_INTERFACES, TOPICS_FOLDER, Mode, Settings
from sanic_dispatch.observability.log import is_human


def warn_if_open(settings: Settings) -> None:
    """Log a warning if anyone on the network can register a worker at any address.

    There is one for the service, or for each topic that is open although the service is not.
    """
    topics = [settings] if _is_open(settings) else settings.topics.values()
    for each in filter(_is_open, topics):
        structlog.get_logger().warning(
            "service.open",
            reason="it listens on all interfaces: anyone who can reach it can register workers",
            hint="set --worker-token or --allow-callback, or listen on one address with --host",
            **({"topic": each.topic} if each.topic else {}),
        )


def _is_open(settings: Settings) -> bool:
    everywhere = settings.host in ALL_INTERFACES
    return everywhere and not (settings.worker_tokens or settings.allow_callback)


def announce(settings: Settings, operator_token: str = "") -> None:
    """Print the addresses as a banner if the log is for people, else log them.

    Call it once the server accepts requests. A generated operator token is printed too, but never
    logged; a configured one is neither.
    """
    if is_human(settings.log_format, sys.stderr):
        _print(banner(settings, operator_token))
        return
    if operator_token:
        _print(f"operator: {monitor_link(base_of(settings), operator_token)}")
    facts = {name.replace(" ", "_"): text for name, text in _rows(settings).items()}
    if settings.topics:
        facts["topics"] = " ".join(base_of(topic) for topic in settings.topics.values())
    structlog.get_logger().info("dispatch.started", version=__version__, **facts)


def banner(settings: Settings, operator_token: str = "") -> str:
    """Return the banner for a terminal, with the pages of all topics."""
    rows = _rows(settings) | pages(base_of(settings), operator_token)
    parts = [f"sanic-dispatch {__version__}", _table(rows)]
    for topic in settings.topics.values():
        rows = {"topic": topic.topic} | pages(base_of(topic), operator_token)
        parts.append(_table(rows))
    return "\n\n".join(parts) + "\n"


def _print(text: str) -> None:
    """Write to standard error; like the log, it stops no server that it cannot be written."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<12}{text}" for name, text in rows.items())


def pages(base: str, operator_token: str = "") -> dict[str, str]:
    """Return the URLs of the pages below ``base``."""
    return {
        "order page": base + "public/order_drink.html",
        "wall board": base + "public/board.html",
        "monitor": monitor_link(base, operator_token),
    }


def addresses(base: str) -> dict[str, str]:
    """Return the pages, and the URLs for submissions and registrations, below ``base``."""
    return pages(base) | {"submit": base + "submit-job", "register": base + "register-worker"}


def monitor_link(base: str, token: str = "") -> str:
    """Return the URL of the operators' page; with the token it opens without asking."""
    return base + "public/monitor.html" + (f"?token={token}" if token else "")


def base_of(settings: Settings) -> str:
    """Return the URL of the topic as seen from this machine; the unnamed one is at the root."""
    name = "localhost" if settings.host in ALL_INTERFACES else settings.host
    path = f"{TOPICS_FOLDER}/{settings.topic}/" if settings.topic else ""
    host = f"[{name}]" if ":" in name else name
    return f"{settings.scheme}://{host}:{settings.port}/{path}"


def queues(settings: Settings) -> dict[str, str]:
    """Return where the jobs and the workers are stored."""
    folder = os.path.realpath(settings.data_dir)
    redis = without_secrets(settings.redis_url)
    return {
        "jobs": _queue(settings.job_queue_mode, folder, redis),
        "workers": _queue(settings.worker_queue_mode, folder, redis),
    }


def _rows(settings: Settings) -> dict[str, str]:
    return {**addresses(base_of(settings)), **queues(settings)}


def _queue(mode: Mode, folder: str, redis: str) -> str:
    if mode.is_shared:
        return f"{mode} at {redis}"
    return f"{mode} in {folder}" if mode.is_durable else f"{mode}, gone when it stops"
