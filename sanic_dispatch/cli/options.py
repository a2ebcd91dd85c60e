"""The options of the settings, for every command that reads settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import click

from sanic_dispatch.cli.config_file import config_option, topics_of, webhooks_of
from sanic_dispatch.cli.env_option import PREFIX, EnvOption
from sanic_dispatch.cli.setting_option import SettingOption
from sanic_dispatch.cli.topic_option import chosen_topic
from sanic_dispatch.config.settings import MODE_SETTING, SETTINGS, Mode, Settings
from sanic_dispatch.config.topic_names import nearest
from sanic_dispatch.errors import SettingsError
from sanic_dispatch.observability import log

HOW_TO_SET = """\b
Every option can be given as an environment variable instead: SANIC_DISPATCH_
and its long name in capitals. --data-dir is SANIC_DISPATCH_DATA_DIR. One that
may be given several times takes its values separated by blanks. And in a TOML
file (--config), by its long name: data-dir = "/var/lib/dispatch". An option on
the command line wins over the variable, the variable over the file.
"""


def all_setting_options(mode: Mode = MODE_SETTING.default) -> list[click.Parameter]:
    """Return --config and the options of all settings, with this default for --mode."""
    settings = (replace(each, default=mode) if each is MODE_SETTING else each for each in SETTINGS)
    return [config_option(), *map(SettingOption, settings)]


def setting_options(*names: str) -> list[click.Parameter]:
    """Return --config and the options of the named settings. Raises KeyError for an unknown one."""
    by_name = {each.name: each for each in SETTINGS}
    return [config_option(), *(SettingOption(by_name[name]) for name in names)]


def settings_of(flags: Mapping[str, Any]) -> Settings:
    """Return the settings that a command's options and its settings file give.

    Raises SettingsError.
    """
    context = click.get_current_context()
    settings = Settings.of(**flags, topics=topics_of(context), webhooks=webhooks_of(context))
    _check_allow_lists(settings)
    return settings


def warn_of_variables(settings: Settings) -> None:
    """Log a warning for each variable that is named like a setting, and belongs to no command.

    It is no error: other software may set one, as Kubernetes does for a service of this name.
    """
    known = {*_variables_of(click.get_current_context().find_root().command)}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if not unknown:
        return
    import structlog  # after the log, which keeps it from loading rich

    log.configure(settings.log_format, settings.log_level)
    names = sorted(name.removeprefix(PREFIX).lower() for name in known)
    for name in unknown:
        close = nearest(name.removeprefix(PREFIX), names)
        hint = f"did you mean {PREFIX}{close.upper()}?" if close else "see serve --help"
        structlog.get_logger().warning("variable.unknown", variable=name, hint=hint)


def _variables_of(command: click.Command) -> Iterator[str]:
    """Yield the variables of a command's options, and of those of its own commands."""
    for option in command.params:
        if isinstance(option, EnvOption):
            yield str(option.envvar)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _variables_of(each)


def settings_of_topic(flags: Mapping[str, Any]) -> Settings:
    """Return the settings of the chosen topic, as far as the command has options for them."""
    service, name = Settings.of(**flags), chosen_topic()
    if not name:
        return service
    section = topics_of(click.get_current_context()).get(name, {})
    return service.of_topic(name, {key: section[key] for key in section if key in flags})


def _check_allow_lists(settings: Settings) -> None:
    """Raise SettingsError, which names the option, if the guard could not read an entry."""
    from sanic_dispatch.callbacks.guard import Allowed

    for flag, entries in (
        ("--allow-callback", settings.allow_callback),
        ("--allow-webhook", settings.allow_webhook),
        ("--allow-push", settings.allow_push),
    ):
        for entry in entries:
            try:
                Allowed.parse(entry)
            except SettingsError as error:
                raise SettingsError(f"{flag} {error}") from None
