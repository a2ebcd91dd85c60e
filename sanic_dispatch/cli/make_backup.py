"""The command that backs up a running dispatcher: backup."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli.ctl import OPTIONS, run_as_operator
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.client.operator_client import OperatorClient


@click.command(params=[option for option in OPTIONS if option.name != "yes"])
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def backup(folder: Path, **options: Any) -> None:
    """Back up a running dispatcher, which goes on meanwhile.

    DIR is a new or empty folder on the dispatcher's machine, not in its data folder. The backup
    has everything that was acknowledged before, as of one moment: serve --data-dir DIR goes on
    from there. It has the orders in plain text, and the secret that order links are made with: keep
    it as safe as the data folder. Ctrl-C calls it off. Needs the operator's token.

    \b
    Examples:
      sanic-dispatch backup /var/backups/bar-$(date +%F) --token-file operator.token
      sanic-dispatch backup /mnt/bar-1 && sanic-dispatch check --data-dir /mnt/bar-1
    """

    from rich.console import Console

    path = str(folder.absolute())

    async def ask(client: OperatorClient) -> Any:
        with Console(stderr=True).status("backing up"):
            return await client.back_up(path)

    run_as_operator(ask, lambda made: _print(made, options["as_json"]), options)


def _print(made: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json_of(made))
        return
    from rich.filesize import decimal

    counts = ", ".join(f"{name}: {made[name]}" for name in ("jobs", "workers", "events"))
    click.echo(printable(f"{made['folder']}: {counts}, {decimal(made['bytes'])}"))
