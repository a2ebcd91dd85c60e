"""The command that says which settings count, and where each comes from: config."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import ujson
from click.core import ParameterSource

from sanic_dispatch.cli.config_file import settings_in
from sanic_dispatch.cli.options import ENVIRONMENT, settings_options
from sanic_dispatch.cli.parameter_types import Duration, Setting, SettingsCommand
from sanic_dispatch.config.settings import Settings

ORIGINS = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "env",
    ParameterSource.DEFAULT_MAP: "file",
}
"""Where a value can come from, besides being the default."""

MASK = "…"

_SECRET = re.compile(
    r"(?P<kept>://[^:/?#]*:)[^/?#]*(?=@)|(?P<key>[?&][^=&#]*(?:token|pass)[^=&#]*=)[^&#]*", re.I
)
"""A password or a token in an address; a port is none."""


@click.command("config", cls=SettingsCommand, params=settings_options(), epilog=ENVIRONMENT)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_config(as_json: bool, **flags: Any) -> None:
    """Print the settings that count, each with its origin: default, file, env or flag.

    They are checked as serve would check them; nothing is started. What is printed is a file for
    --config. Tokens and passwords are masked, in lines that are comments.

    \b
    Examples:
      sanic-dispatch config --config dispatch.toml
      sanic-dispatch config | grep -v '# default' > dispatch.toml
      sanic-dispatch config --json | jq .port.value
    """
    Settings.of(**flags)
    context = click.get_current_context()
    found = {
        key: (setting, context.params[str(setting.name)], _origin(context, setting))
        for key, setting in settings_in(context.command.params).items()
    }
    if as_json:
        rows = {key: {"value": _shown(*each[:2]), "origin": each[2]} for key, each in found.items()}
        click.echo(ujson.dumps(rows, ensure_ascii=False, escape_forward_slashes=False))
        return
    for key, each in found.items():
        click.echo("\n".join(_lines(key, *each)))


def _origin(context: click.Context, setting: Setting) -> str:
    source = context.get_parameter_source(str(setting.name))
    return ORIGINS.get(source, "default") if source else "default"


def _lines(key: str, setting: Setting, value: Any, origin: str) -> Iterator[str]:
    """A line of TOML; a comment where there is no value, or none that may be seen."""
    shown = _shown(setting, value)
    if shown is None or shown == []:
        yield f"# {key} is not set: {_without(setting)}"
        return
    text = ujson.dumps(shown, ensure_ascii=False, escape_forward_slashes=False)
    yield f"{'# ' if MASK in text else ''}{key} = {text}  # {origin}"


def _without(setting: Setting) -> str:
    """What counts then."""
    return setting.show_default if isinstance(setting.show_default, str) else "none"


def _shown(setting: Setting, value: Any) -> Any:
    """A value as it would be written in a file, without secrets."""
    if isinstance(value, (list, tuple)):
        return [_word(setting, each) for each in value]
    if isinstance(setting.callback, Duration):
        text = setting.callback.shown(value)
        return text if text == "off" else _number(text)
    if value is None or value == "":
        return "off" if setting.default == "off" else None
    return value if isinstance(value, (bool, int)) else _word(setting, value)


def _number(text: str) -> float:
    """Whole, where it is."""
    return int(text) if text.isdecimal() else float(text)


def _word(setting: Setting, value: Any) -> str:
    if setting.is_secret:
        return MASK
    return _SECRET.sub(lambda found: (found["kept"] or found["key"]) + MASK, str(value))
