"""The command that judges promised waiting times: estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.recorded_evening import SOURCE, evening_of
from sanic_dispatch.cli.replay_command import share_of
from sanic_dispatch.garbage_collection import no_collection
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.replay.judgement import Judgement, Verdict


def _parameters(_ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> Any:
    from sanic_dispatch.replay.judgement import parameters_of

    try:
        return parameters_of(given)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


_OPTIONS = [
    *SOURCE,
    click.Option(
        ["--try", "parameters"],
        multiple=True,
        callback=_parameters,
        metavar="NAME=VALUE",
        help="Estimate with another value of this parameter, such as service_samples=20.",
    ),
    click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object."),
]


@click.command(params=_OPTIONS)
def estimates(parameters: Any, as_json: bool, **options: Any) -> None:
    """Judge the promised waiting times of a recorded evening.

    How often orders were ready within the promised range, how often before or after it, how wide it
    was, and how far off the estimate: in all, and by hour, drink and place in line. The promises
    are made again, as by a dispatcher that was started then; with --try by an estimator with other
    parameters. The score is the width of the range, and for a miss 10 times the distance to it:
    the smaller, the better. Needs the operator's token, or --data-dir.

    \b
    Examples:
      sanic-dispatch estimates --data-dir /var/lib/dispatch --from 2024-11-22T18:00
      sanic-dispatch estimates --data-dir backup --try service_samples=20 --try learning_rate=0.05
    """

    async def run() -> int:
        from sanic_dispatch.replay.judgement import judge

        evening = await evening_of(options)
        found = judge(evening.recording, parameters)
        if as_json:
            click.echo(json_of(found.as_json()))
        else:
            _print(found)
        return remote.DONE

    with no_collection(), remote.interrupted_at_once():
        remote.run(run())


COLUMNS = ("promises", "kept", "early", "late", "range", "error", "score")


def _print(found: Judgement) -> None:
    """Print a table of all, and one each by hour, drink and place."""
    rows = [_row("recorded", found.recorded), _row("made again", found.replayed)]
    tables = [("", rows)]
    for by, verdicts in found.rows.items():
        tables.append((by, [_row(name or "unknown", verdict) for name, verdict in verdicts]))
    lines = [row for by, rows in tables for row in ([by, *COLUMNS], *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for by, rows in tables:
        if by:
            click.echo()
        for title, *cells in ([by, *COLUMNS], *rows):
            aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
            click.echo("  ".join((printable(title).ljust(widths[0]), *aligned)))


def _row(name: str, verdict: Verdict) -> list[str]:
    shares = map(share_of, (verdict.kept, verdict.early, verdict.late))
    times = (verdict.width_s, verdict.error_s, verdict.score_s)
    seconds = ("-" if each is None else f"{each:.0f} s" for each in times)
    return [name, str(verdict.promises), *shares, *seconds]
