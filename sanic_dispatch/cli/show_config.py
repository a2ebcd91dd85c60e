"""The command that prints the settings in effect, and where each comes from: config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from sanic_dispatch.cli.config_file import WEBHOOKS, topics_of, webhooks_of
from sanic_dispatch.cli.env_option import SectionedCommand
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.options import HOW_TO_SET, all_setting_options, settings_of
from sanic_dispatch.config.declaration import Setting
from sanic_dispatch.config.masking import MASK
from sanic_dispatch.config.settings import SETTINGS, TOPICS_FOLDER
from sanic_dispatch.config.webhook_entry import WebhookEntry
from sanic_dispatch.observability.log import without_secrets
from sanic_dispatch.server.tls import tls_context

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
    for --config. Tokens, passwords and the secrets of webhooks are masked, and their lines are
    comments.

    \b
    Examples:
      sanic-dispatch config --config dispatch.toml
      sanic-dispatch config | grep -v '# default' > dispatch.toml
      sanic-dispatch config --json | jq .port.value
    """
    settings = settings_of(flags)
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls_context(settings.tls_cert, settings.tls_key)
    topics = settings.topics
    context = click.get_current_context()
    own = {name: topics_of(context).get(name, {}) for name in topics}
    if as_json:
        rows = {each.key: _row(each, flags, _origin(context, each)) for each in SETTINGS}
        rows |= _webhook_row(webhooks_of(context))
        sections = {
            name: {each.key: _row(each, values, "file") for each in SETTINGS if each.name in values}
            | _webhook_row(values.get(WEBHOOKS, ()))
            for name, values in own.items()
        }
        found = rows | ({TOPICS_FOLDER: sections} if sections else {})
        click.echo(json_of(found))
        return
    for setting in SETTINGS:
        click.echo(_line(setting, flags[setting.name], _origin(context, setting)))
    _print_webhooks(WEBHOOKS, webhooks_of(context))
    for name, values in own.items():
        click.echo(f"\n[{TOPICS_FOLDER}.{name}]")
        for setting in SETTINGS:
            if setting.name in values:
                click.echo(_line(setting, values[setting.name], "file"))
        _print_webhooks(f"{TOPICS_FOLDER}.{name}.{WEBHOOKS}", values.get(WEBHOOKS, ()))


def _row(setting: Setting, values: Mapping[str, Any], origin: str) -> dict[str, Any]:
    return {"value": setting.written(values[setting.name]), "origin": origin}


def _webhook_row(webhooks: Sequence[WebhookEntry]) -> dict[str, Any]:
    """Return the webhooks of a topic, if it has any: only the settings file can have them."""
    shown = [_shown(each) for each in webhooks]
    return {WEBHOOKS: {"value": shown, "origin": "file"}} if shown else {}


def _print_webhooks(name: str, webhooks: Sequence[WebhookEntry]) -> None:
    """Print tables of TOML as comments, since a table without its secret is invalid."""
    for each in webhooks:
        click.echo(f"\n# [[{name}]]  # file")
        for key, value in _shown(each).items():
            text = json_of(value)
            click.echo(f"# {key} = {text}")


def _shown(webhook: WebhookEntry) -> dict[str, Any]:
    """Return what is printed of a webhook: its URL may have a key in it, too."""
    return {**webhook._asdict(), "url": without_secrets(webhook.url), "secret": MASK}


def _origin(context: click.Context, setting: Setting) -> str:
    source = context.get_parameter_source(setting.name)
    return ORIGINS.get(source, "default") if source else "default"


def _line(setting: Setting, value: Any, origin: str) -> str:
    """Return a line of TOML; a comment if there is no value, or if it is masked."""
    written = setting.written(value)
    if written is None or written == []:
        return f"# {setting.key} is not set: {setting.default_text or 'none'}"
    text = json_of(written)
    is_masked = setting.mask is not None and MASK in text
    return f"{'# ' if is_masked else ''}{setting.key} = {text}  # {origin}"
