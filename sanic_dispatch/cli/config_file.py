"""Read settings from a TOML file, by the names of their options without the leading dashes."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

import click

from sanic_dispatch.cli.setting_option import SettingOption
from sanic_dispatch.config.declaration import OFF, Flag, Pathname, Setting
from sanic_dispatch.config.settings import SETTINGS
from sanic_dispatch.errors import SettingsError

CONFIG = Setting(
    "--config",
    None,
    Pathname("FILE", "file"),
    "Settings",
    "TOML file of settings, by the names of the options: port = 8080. An option or a variable "
    "overrides the file.",
    details="See [the settings file](#the-settings-file).",
    default_text="none",
    name="config",
)
"""Says where the file is, so it cannot be in it."""

_KNOWN = {setting.key: setting for setting in SETTINGS}


def config_option() -> SettingOption:
    """Return --config, which makes a file's values the defaults of the other options."""
    return SettingOption(CONFIG, is_eager=True, expose_value=False, callback=_take)


def read(path: Path) -> dict[str, Any]:
    """Return what a settings file has, by the names of the settings. Raises SettingsError."""
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"--config {path}: {reason}") from None
    for key, value in found.items():
        if key not in _KNOWN:
            hint = "; settings are not in sections" if isinstance(value, dict) else _meant(key)
            raise SettingsError(f"--config {path}: there is no setting {key!r}{hint}")
    return {_KNOWN[key].name: _value(path, _KNOWN[key], found[key]) for key in found}


def _take(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make the file click's map of defaults, so that click knows where each value is from."""
    if path is not None:
        ctx.default_map = {**(ctx.default_map or {}), **read(path)}


def _meant(key: str) -> str:
    close = difflib.get_close_matches(key.replace("_", "-").lower(), _KNOWN, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _value(path: Path, setting: Setting, value: Any) -> Any:
    """Return a value of the file as the command line has it."""
    if setting.is_list:
        values = value if isinstance(value, list) else [value]
        return [_word(path, setting, each) for each in values]
    if isinstance(setting.kind, Flag):
        if not isinstance(value, bool):
            raise SettingsError(f"--config {path}: {setting.key} must be true or false")
        return value
    return _word(path, setting, value)


def _word(path: Path, setting: Setting, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else OFF
    if not isinstance(value, (str, int, float)):
        raise SettingsError(f"--config {path}: {setting.key} must be a text or a number")
    return str(value)
