"""Settings from a TOML file: the same names and values as on the command line, without dashes."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from sanic_dispatch.cli.parameter_types import Setting
from sanic_dispatch.errors import SettingsError

OWN = "config"
"""The option that names the file; it cannot be in one."""


class ConfigFile(Setting):
    """``--config``: what is in the file are the defaults of all other settings."""

    def __init__(self) -> None:
        super().__init__(
            "--config",
            section="Settings",
            type=click.Path(path_type=Path),
            default=None,
            show_default="none",
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            callback=_take,
            help="TOML file of settings, by the names of the options: port = 8080. What is given "
            "as an option or variable wins.",
        )


def settings_in(params: Iterable[click.Parameter]) -> dict[str, Setting]:
    """The settings that can be in a file, by their names there."""
    options = [option for option in params if isinstance(option, Setting)]
    return {option.key: option for option in options if option.key != OWN}


def read(path: Path, known: Mapping[str, Setting]) -> dict[str, Any]:
    """What a file says, by the options' parameters. Raises SettingsError."""
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"--config {path}: {reason}") from None
    for key, value in said.items():
        if key not in known:
            hint = (
                "; settings stand in no section" if isinstance(value, dict) else _meant(key, known)
            )
            raise SettingsError(f"--config {path}: there is no setting {key!r}{hint}")
    return {str(known[key].name): _value(path, known[key], value) for key, value in said.items()}


def _take(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Let the file be the defaults: click knows then what came from where."""
    if path is not None:
        from sanic_dispatch.cli.options import settings_options

        said = read(path, settings_in(settings_options()))
        ctx.default_map = {**(ctx.default_map or {}), **said}


def _meant(key: str, known: Mapping[str, Setting]) -> str:
    close = difflib.get_close_matches(key.replace("_", "-").lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _value(path: Path, setting: Setting, value: Any) -> Any:
    """As the command line would have it."""
    if setting.multiple:
        values = value if isinstance(value, list) else [value]
        return [_word(path, setting, each) for each in values]
    if setting.is_flag:
        if not isinstance(value, bool):
            raise SettingsError(f"--config {path}: {setting.key} is true or false")
        return value
    return _word(path, setting, value)


def _word(path: Path, setting: Setting, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, (str, int, float)):
        raise SettingsError(f"--config {path}: {setting.key} is a text or a number")
    return str(value)
