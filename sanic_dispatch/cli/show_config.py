"""The command that prints the settings in effect, and where each comes from: config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import ujson
from click.core import ParameterSource

from sanic_dispatch.cli.config_file import topics_of
from sanic_dispatch.cli.env_option import SectionedCommand
from sanic_dispatch.cli.options import HOW_TO_SET, all_setting_options, settings_of
from sanic_dispatch.config.declaration import Setting
from sanic_dispatch.config.masking import MASK
from sanic_dispatch.config.settings import SETTINGS, TOPICS_FOLDER

ORIGINS = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "env",
    ParameterSource.DEFAULT_MAP: "file",
}
"""Where a value comes from, if not from the default."""


@click.command("config", cls=SectionedCommand, params=all_setting_options(), epilog=HOW_TO_SET)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_config(as_json: bool, **flags: Any) -> None:
    """Print the settings in effect, each with its origin: default, file, env or flag.

    They are checked as serve checks them; nothing is started. The output can be used as a file
    for --config. Tokens and passwords are masked, and their lines are comments.

    \b
    Examples:
      sanic-dispatch config --config dispatch.toml
      sanic-dispatch config | grep -v '# default' > dispatch.toml
      sanic-dispatch config --json | jq .port.value
    """
    topics = settings_of(flags).topics
    context = click.get_current_context()
    own = {name: topics_of(context).get(name, {}) for name in topics}
    if as_json:
        rows = {each.key: _row(each, flags, _origin(context, each)) for each in SETTINGS}
        sections = {
            name: {each.key: _row(each, values, "file") for each in SETTINGS if each.name in values}
            for name, values in own.items()
        }
        found = rows | ({TOPICS_FOLDER: sections} if sections else {})
        click.echo(ujson.dumps(found, ensure_ascii=False, escape_forward_slashes=False))
        return
    for setting in SETTINGS:
        click.echo(_line(setting, flags[setting.name], _origin(context, setting)))
    for name, values in own.items():
        click.echo(f"\n[{TOPICS_FOLDER}.{name}]")
        for setting in SETTINGS:
            if setting.name in values:
                click.echo(_line(setting, values[setting.name], "file"))


def _row(setting: Setting, values: Mapping[str, Any], origin: str) -> dict[str, Any]:
    return {"value": setting.written(values[setting.name]), "origin": origin}


def _origin(context: click.Context, setting: Setting) -> str:
    source = context.get_parameter_source(setting.name)
    return ORIGINS.get(source, "default") if source else "default"


def _line(setting: Setting, value: Any, origin: str) -> str:
    """Return a line of TOML; a comment if there is no value, or if it is masked."""
    written = setting.written(value)
    if written is None or written == []:
        return f"# {setting.key} is not set: {setting.default_text or 'none'}"
    text = ujson.dumps(written, ensure_ascii=False, escape_forward_slashes=False)
    return f"{'# ' if MASK in text else ''}{setting.key} = {text}  # {origin}"
