"""Read settings from a TOML file, by the names of their options without the leading dashes.

A section ``[topics.NAME]`` has what that topic sets itself, and a table ``[[webhooks]]`` a webhook.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import click

from sanic_dispatch.callbacks.url import check_is_url
from sanic_dispatch.cli.setting_option import FILE, SettingOption
from sanic_dispatch.config.declaration import OFF, Flag, Pathname, Setting
from sanic_dispatch.config.settings import SETTINGS, TOPICS_FOLDER
from sanic_dispatch.config.topic_names import nearest
from sanic_dispatch.config.webhook_entry import WebhookEntry, read_entry
from sanic_dispatch.errors import InvalidCallback, SettingsError

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

WEBHOOKS = "webhooks"
"""The name of the tables with webhooks."""

_SECTIONS = f"; only a topic has a section, [{TOPICS_FOLDER}.NAME]"

_KNOWN = {setting.key: setting for setting in SETTINGS}
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def config_option() -> SettingOption:
    """Return --config, which makes a file's values the defaults of the other options."""
    return SettingOption(CONFIG, is_eager=True, expose_value=False, callback=_take)


class SettingsFile(NamedTuple):
    """What a settings file has, by the names of the settings."""

    values: dict[str, Any]
    topics: dict[str, dict[str, Any]]
    """What each topic sets itself, as ``Settings.of`` takes it."""
    webhooks: tuple[WebhookEntry, ...]
    """Those of the unnamed topic."""


def read(path: Path) -> SettingsFile:
    """Read a settings file. Raises SettingsError."""
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"--config {path}: {reason}") from None
    sections = found.pop(TOPICS_FOLDER, {})
    if not (isinstance(sections, dict) and all(isinstance(own, dict) for own in sections.values())):
        raise SettingsError(f"--config {path}: a topic is a section, [topics.NAME]")
    topics = {name: _section(f"{path}: topic {name}", own) for name, own in sections.items()}
    webhooks = _webhooks(str(path), found)
    return SettingsFile(dict(_known(str(path), found)), topics, webhooks)


def topics_of(ctx: click.Context) -> Mapping[str, Mapping[str, Any]]:
    """Return what each topic in the command's settings file sets itself."""
    return cast("Mapping[str, Mapping[str, Any]]", ctx.meta.get(_TOPICS, {}))


def webhooks_of(ctx: click.Context) -> tuple[WebhookEntry, ...]:
    """Return the webhooks of the unnamed topic in the command's settings file."""
    return cast("tuple[WebhookEntry, ...]", ctx.meta.get(_WEBHOOKS, ()))


_TOPICS, _WEBHOOKS = f"{__name__}.topics", f"{__name__}.webhooks"


def _take(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make the file click's map of defaults, so that click knows where each value is from."""
    if path is not None:
        file = read(path)
        ctx.default_map = {**(ctx.default_map or {}), **file.values}
        ctx.meta[_TOPICS], ctx.meta[_WEBHOOKS] = file.topics, file.webhooks
        ctx.meta[FILE] = path


def _known(where: str, found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each setting, as the command line has it."""
    for key, value in found.items():
        if key not in _KNOWN:
            hint = _SECTIONS if isinstance(value, dict) else _meant(key)
            raise SettingsError(f"--config {where}: there is no setting {key!r}{hint}")
        yield _KNOWN[key].name, _value(where, _KNOWN[key], value)


def _webhooks(where: str, found: dict[str, Any]) -> tuple[WebhookEntry, ...]:
    """Take the webhooks out of a section, and return them."""
    tables = found.pop(WEBHOOKS, [])
    if not (isinstance(tables, list) and all(isinstance(each, dict) for each in tables)):
        raise SettingsError(f"--config {where}: a webhook is a table, [[webhooks]]")
    try:
        entries = tuple(map(read_entry, tables))
        for entry in entries:
            check_is_url("url", entry.url)
    except (ValueError, InvalidCallback) as error:
        raise SettingsError(f"--config {where}: a webhook's {error}") from None
    if not all(entry.secret for entry in entries):
        raise SettingsError(f"--config {where}: a webhook's secret is missing")
    if len({entry.url for entry in entries}) < len(entries):
        raise SettingsError(f"--config {where}: two webhooks have the same URL")
    return entries


def _section(where: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return what a topic sets itself."""
    webhooks = _webhooks(where, found)
    own: dict[str, Any] = {WEBHOOKS: webhooks} if webhooks else {}
    for name, written in _known(where, found):
        setting = _BY_NAME[name]
        if not setting.per_topic:
            raise SettingsError(f"--config {where}: {setting.key} is the same for all topics")
        try:
            own[name] = setting.parse(written)
        except ValueError as error:
            raise SettingsError(f"--config {where}: {setting.key}: {error}") from None
    return own


def _meant(key: str) -> str:
    close = nearest(key.replace("_", "-"), (*_KNOWN, WEBHOOKS))
    return f"; did you mean {close!r}?" if close else ""


def _value(where: str, setting: Setting, value: Any) -> Any:
    """Return a value of the file as the command line has it."""
    if setting.is_list:
        values = value if isinstance(value, list) else [value]
        return [_word(where, setting, each) for each in values]
    if isinstance(setting.kind, Flag):
        if not isinstance(value, bool):
            raise SettingsError(f"--config {where}: {setting.key} must be true or false")
        return value
    return _word(where, setting, value)


def _word(where: str, setting: Setting, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else OFF
    if not isinstance(value, (str, int, float)):
        hint = _SECTIONS if isinstance(value, dict) else ""
        raise SettingsError(f"--config {where}: {setting.key} must be a text or a number{hint}")
    return str(value)
