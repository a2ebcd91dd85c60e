"""The command that follows the live channel: watch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.submit import warn_of_loss

if TYPE_CHECKING:
    from sanic_dispatch.client import ViewState

OUTPUT = """\b
As JSON there is one line for each key of the view that changed:
  {"at":"a1b2c3d4:43","now":1732412346.1,"key":"order/42","value":{"n":42,…}}
value is null if the key was removed; the first lines are the whole view. "at" is
the cursor: the epoch and the number of the last event.
"""


@click.command(params=remote.service_options(), epilog=OUTPUT)
@click.option(
    "--view",
    type=click.Choice(["board", "monitor"]),
    default="board",
    show_default=True,
    help="The public view, or the operator's view, which needs the operator's token.",
)
@click.option("--order", metavar="ID", help="Follow one order, by the secret id of its job.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON lines; always without a terminal."
)
def watch(url: str, token: str | None, view: str, order: str | None, as_json: bool) -> None:
    """Show orders and robots, live, until Ctrl-C; it reconnects automatically.

    \b
    Examples:
      sanic-dispatch watch
          the wall board as a table
      sanic-dispatch watch --view monitor --url https://bar.example/dispatch/
          robots too, and every order with its name
      sanic-dispatch watch --json | jq -r 'select(.value.state == "done") | .value.n'
          the numbers of the orders as they are ready
    """
    is_table = sys.stdout.isatty() and not as_json
    follow = _show_table if is_table else _print_lines
    remote.run(remote.until_told(follow(url, token, view, order)))


async def _print_lines(url: str, token: str | None, view: str, order: str | None) -> None:
    from sanic_dispatch.client import DispatchClient

    before: Mapping[str, Any] = {}
    async with (
        DispatchClient(url, token) as client,
        aclosing(client.follow(view, order=order, on_lost=warn_of_loss)) as states,
    ):
        async for state in states:
            for line in changed_lines(before, state):
                click.echo(line)
            before = state.map


def changed_lines(before: Mapping[str, Any], state: ViewState) -> Iterator[str]:
    """Yield a JSON line for each key that was added, changed or removed."""
    gone = dict.fromkeys(before.keys() - state.map.keys())
    for key, value in {**state.map, **gone}.items():
        if before.get(key) != value:
            line = {"at": state.at, "now": state.now, "key": key, "value": value}
            yield json_of(line)


async def _show_table(url: str, token: str | None, view: str, order: str | None) -> None:
    from rich.console import Console
    from rich.live import Live

    from sanic_dispatch.cli.terminal import cut_off, view_table
    from sanic_dispatch.client import DispatchClient, Lost

    console = Console()
    async with DispatchClient(url, token) as client:
        with Live(console=console, screen=True, auto_refresh=False) as live:

            def show_cut_off(lost: Lost) -> None:
                live.update(cut_off(live.renderable, lost), refresh=True)

            async with aclosing(client.follow(view, order=order, on_lost=show_cut_off)) as states:
                async for state in states:
                    live.update(view_table(state, console.height), refresh=True)
