"""The command that prints the events of one order: history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.ctl import OPTIONS, run_as_operator
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.why_words import why_words
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.client.operator_client import OperatorClient

HEAD = ("timestamp", "event", "attempt", "worker")
"""Come first in a line; other fields follow as name=value."""

LEFT_OUT = ("ticket", "job", "callback")
"""Not printed: the same in all lines, or part of the worker's name."""


@click.command(params=[option for option in OPTIONS if option.name != "yes"])
@click.argument("ticket", type=click.IntRange(1))
def history(ticket: int, **options: Any) -> None:
    """Print what happened to the order with this number, step by step.

    The last line says what it is now, and why it waits if it does. The dispatcher knows the steps
    of all orders as far back as it keeps events, also from before its last start. Needs the
    operator's token.

    \b
    Examples:
      sanic-dispatch history 42 --token-file operator.token
      sanic-dispatch history 42 --json | jq -r 'select(.reason) | .reason'
    """

    async def ask(client: OperatorClient) -> Any:
        said = await client.history(ticket)
        remote.warn_of_gaps(said, set())
        return said

    run_as_operator(ask, lambda said: _print(said, options["as_json"]), options)


def _print(said: Mapping[str, Any], as_json: bool) -> None:
    for step in said["events"]:
        click.echo(json_of(step) if as_json else printable(line_of(step)))
    if not as_json:
        click.echo(printable(_now(said["job"])))


def line_of(step: Mapping[str, Any]) -> str:
    """Return a step as a line: time, event, attempt, worker, then the other fields."""
    attempt = f"#{step['attempt']}" if "attempt" in step else ""
    worker = step.get("worker") or step.get("callback", "")
    words = (step["timestamp"], f"{step['event']:<14}", f"{attempt:<3}", worker, *_rest(step))
    return "  ".join(filter(None, words)).rstrip()


def _rest(step: Mapping[str, Any]) -> Iterator[str]:
    for name, value in step.items():
        if name not in (*HEAD, *LEFT_OUT):
            yield f"{name}={value}"


def _now(job: Mapping[str, Any] | None) -> str:
    if job is None:
        return "now: not kept any more"
    stage = f", {job['stage']}" if job["stage"] else ""
    why = f", {why_words(job['why'])}" if "why" in job else ""
    return f"now: {job['state']}{stage}{why}"
