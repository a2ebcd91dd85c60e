"""The settings that say who may do what: tokens, networks, other sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sanic_dispatch.cli.parameter_types import Setting
from sanic_dispatch.config.settings import DOORS

_WHO = {
    "worker": "registers as a worker, or reports on its job,",
    "submit": "submits a job",
    "operator": "sees the monitor, or acts as the operator,",
}


def access_options() -> list[Setting]:
    """Who may do what, and what may be called."""
    section = "Access (each may be given several times)"
    tokens = [setting for door in DOORS for setting in _tokens(door, section)]
    return [
        *tokens,
        _list(
            "--allow-callback",
            "allow_callback",
            section,
            "HOST|CIDR[:PORT]",
            "What may be called back; without any, every address but those that never may.",
            shown="every address but link-local, multicast, reserved ones",
        ),
        _list(
            "--trusted-proxy",
            "trusted_proxies",
            section,
            "CIDR",
            "Proxies whose word is taken on where a request comes from (X-Forwarded-For).",
        ),
    ]


def browser_options() -> list[Setting]:
    """Which other sites' pages may do something here."""
    section = "Browsers (each may be given several times)"
    return [
        _list(
            "--cors-origin",
            "cors_origins",
            section,
            "ORIGIN|*",
            "Sites whose pages may submit jobs and read answers.",
        ),
        _list(
            "--allow-origin",
            "allow_origins",
            section,
            "ORIGIN|null|*",
            "Sites whose pages may follow the live channel, besides our own.",
        ),
        _list(
            "--frame-ancestors",
            "frame_ancestors",
            section,
            "ORIGIN|self|*",
            "Sites that may show our pages in a frame.",
        ),
    ]


def _tokens(door: str, section: str) -> list[Setting]:
    """A token can be given itself, or as a file, which other users of this machine cannot see."""
    return [
        _list(
            f"--{door}-token",
            f"{door}_tokens",
            section,
            "TOKEN",
            f"Whoever {_WHO[door]} needs one of these.",
            shown="one is made at the start" if door == "operator" else "none, so everybody may",
            is_secret=True,
        ),
        _list(
            f"--{door}-token-file",
            f"{door}_token_files",
            section,
            "FILE",
            "The same from a file, one a line.",
            type=click.Path(path_type=Path),
        ),
    ]


def _list(
    flag: str,
    field: str,
    section: str,
    metavar: str,
    text: str,
    shown: str = "none",
    type: click.ParamType[Any] | None = None,
    is_secret: bool = False,
) -> Setting:
    return Setting(
        flag,
        field,
        section=section,
        is_secret=is_secret,
        type=type,
        multiple=True,
        metavar=metavar,
        show_default=shown,
        help=text,
    )
