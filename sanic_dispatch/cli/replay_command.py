"""The command that runs a recorded evening again: replay."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.number_range import NumberRange
from sanic_dispatch.cli.recorded_evening import SOURCE, evening_of
from sanic_dispatch.cli.recorded_evening import parsed as parsed_by
from sanic_dispatch.core.json_pointer import steps_of
from sanic_dispatch.core.rules import normal_form
from sanic_dispatch.errors import InvalidMatch, SettingsError
from sanic_dispatch.garbage_collection import no_collection
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.replay.comparison import Comparison
    from sanic_dispatch.replay.evening_source import Evening
    from sanic_dispatch.replay.goal import Goal
    from sanic_dispatch.replay.grid import Cell, Grid
    from sanic_dispatch.replay.scenario import Scenario


def _goal_of(text: str) -> Any:
    from sanic_dispatch.replay.goal import goal_of

    return goal_of(text)


def _grid_of(text: str) -> Any:
    from sanic_dispatch.replay.grid import grid_of

    return grid_of(text)


def _more_or_fewer(text: str) -> int:
    if not re.fullmatch(r"[+-]\d{1,6}", text):
        raise ValueError("say +1 for one robot more, -1 for one fewer")
    return int(text)


def _pointer(text: str) -> str:
    if text:
        steps_of(text)
    return text


def _svg(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """Return the file for the plot. Raises BadParameter if its name promises another format."""
    if path is not None and path.suffix.lower() not in ("", ".svg"):
        raise click.BadParameter(f"the plot is SVG: give it a name such as {path.stem}.svg.")
    return path


def _rules(_ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """Return the rules by robot. Raises BadParameter."""
    conditions: dict[str, list[tuple[str, str]]] = {}
    for text in given:
        robot, separator, condition = text.partition("=")
        name, _, value = condition.partition("=")
        if not (robot and separator and name):
            raise click.BadParameter(f"{text!r} is not like 'Robot 1=drink=mojito|negroni'.")
        conditions.setdefault(robot, []).append((f"match.{name}", value))
    try:
        return {robot: normal_form(each) for robot, each in conditions.items()}
    except InvalidMatch as error:
        raise click.BadParameter(str(error)) from None


_WHAT_IF = [
    click.Option(
        ["--robots"],
        default="+0",
        callback=parsed_by(_more_or_fewer),
        metavar="+N|-N",
        help="Add robots that take everything; a negative number leaves out the last to arrive.",
    ),
    click.Option(
        ["--slower"],
        type=NumberRange(0.01, 100.0),
        default=1.0,
        metavar="FACTOR",
        help="All robots take FACTOR times as long: 1.3, or 0.8.",
    ),
    click.Option(
        ["--match", "rules"],
        multiple=True,
        callback=_rules,
        metavar="ROBOT=MEMBER=VALUE",
        help="A robot takes only such orders: 'Robot 1=drink=mojito|negroni'. Several times for "
        "several robots or conditions; an added robot is 'extra 1'.",
    ),
    click.Option(
        ["--fair-by"],
        callback=parsed_by(_pointer),
        metavar="POINTER",
        help="Customers take turns, named by this member, such as /name; '' for no turns.",
    ),
    click.Option(
        ["--priorities/--no-priorities"],
        default=None,
        help="Orders have the priorities with which they came, or none.",
    ),
    click.Option(
        ["--max-jobs"],
        type=click.IntRange(1),
        metavar="N",
        help="Turn orders away while so many wait.",
    ),
    click.Option(
        ["--seed"],
        type=int,
        default=1,
        metavar="N",
        show_default=True,
        help="For the service times of orders that nobody made.",
    ),
]

_OUTPUT = [
    click.Option(
        ["--grid"],
        callback=parsed_by(_grid_of),
        metavar="RANGES",
        help="All crews and speeds of ranges: robots=1..5,slower=1.0..1.5.",
    ),
    click.Option(
        ["--goal"],
        callback=parsed_by(_goal_of),
        metavar="GOAL",
        help="With --grid: name the smallest crew that keeps it, such as 'p90 wait <= 5 min'.",
    ),
    click.Option(
        ["--plot"],
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_svg,
        metavar="FILE.svg",
        help="Draw the line's length over the evening.",
    ),
    click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object."),
]


@click.command(params=[*SOURCE, *_WHAT_IF, *_OUTPUT])
def replay(
    grid: Grid | None, goal: Goal | None, plot: Path | None, as_json: bool, **options: Any
) -> None:
    """Run a recorded evening again, and print what was beside what would have been.

    The dispatcher's own core pairs the recorded orders and robots on virtual time, with the
    recorded service times; every order keeps its own. Nothing is written to the folder. Without a
    change it tells whether the pairing is the recorded one. Needs the operator's token, or
    --data-dir.

    \b
    Examples:
      sanic-dispatch replay --data-dir /var/lib/dispatch --from 2024-11-22T18:00 --robots +1
      sanic-dispatch replay --data-dir backup --slower 1.3 --plot line.svg
      sanic-dispatch replay --grid robots=1..5,slower=1.0..1.5 --goal "p90 wait <= 5 min"
    """
    _check(grid, goal, plot, options)
    # A million orders stay in memory, and leave no garbage.
    with no_collection(), remote.interrupted_at_once():
        remote.run(_run(grid, goal, plot, as_json, options))


def _check(
    grid: Grid | None, goal: Goal | None, plot: Path | None, options: Mapping[str, Any]
) -> None:
    """Raise UsageError where options contradict each other."""
    if goal is not None and grid is None:
        raise click.UsageError("--goal needs --grid.")
    if grid is None:
        return
    if plot is not None:
        raise click.UsageError("--plot draws one evening, and --grid are many.")
    if grid.robots is not None and options["robots"]:
        raise click.UsageError("--robots contradicts --grid robots=….")
    if grid.slower is not None and options["slower"] != 1.0:
        raise click.UsageError("--slower contradicts --grid slower=….")


async def _run(
    grid: Grid | None,
    goal: Goal | None,
    plot: Path | None,
    as_json: bool,
    options: Mapping[str, Any],
) -> int:
    from sanic_dispatch.replay.comparison import replay as run_replay
    from sanic_dispatch.replay.scenario import Scenario

    names = ("robots", "slower", "rules", "fair_by", "priorities", "max_jobs", "seed")
    scenario = Scenario(**{name: options[name] for name in names})
    evening = await evening_of(options)
    if waiting := evening.summary.unserved:
        remote.warn(
            f"orders that wait when the log ends, and have a wait only in the replay: {waiting}"
        )
    if grid is not None:
        _print_grid(evening, grid, goal, scenario, as_json)
        return remote.DONE
    compared = run_replay(evening.recording, evening.summary, scenario)
    if plot is not None:
        _draw(plot, compared)
    if as_json:
        click.echo(json_of(compared.as_json()))
    else:
        _print(compared, scenario)
    if compared.outcome.turned_away:
        remote.warn(f"orders turned away, since the line was full: {compared.outcome.turned_away}")
    if compared.replayed.unserved:
        remote.warn(f"orders that no robot would have made: {compared.replayed.unserved}")
    return remote.DONE


def _draw(path: Path, compared: Comparison) -> None:
    from sanic_dispatch.replay.line_plot import plot

    try:
        path.write_text(plot(compared.recorded, compared.replayed))
    except OSError as error:
        raise SettingsError(f"--plot {path}: {error.strerror}") from error


# ---- what is printed


def _print(compared: Comparison, scenario: Scenario) -> None:
    """Print the recorded and the replayed evening side by side, and compare their pairings."""
    both = (compared.recorded, compared.replayed)
    rows = [
        ["", "recorded", "replayed"],
        ["orders", *(str(each.orders) for each in both)],
        *([title, *(_duration(each.wait_s[at]) for each in both)] for at, title in _WAITS.items()),
        ["longest line", *(str(each.longest_line) for each in both)],
        ["utilisation", *(share_of(each.utilisation) for each in both)],
        ["promises kept", *(share_of(each.kept) for each in both)],
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for title, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        click.echo("  ".join((title.ljust(widths[0]), *aligned)))
    same, different, faults = compared.pairing
    click.echo(f"\npairing: {same} orders with the same robots, {different} with others")
    if faults:
        click.echo(f"hand-overs that a fault interfered with: {faults}")
    if scenario.robots < 0:
        gone = compared.outcome.removed
        click.echo(f"without: {printable(', '.join(gone))}")


_WAITS = {"p50": "wait, median", "p90": "wait, 90 %", "p99": "wait, 99 %", "mean": "wait, mean"}


def _duration(seconds: float | None) -> str:
    """Return a duration for people: ``42.5 s``, ``3:07 min``."""
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min"


def _minutes(seconds: float | None) -> str:
    """Return minutes and seconds, such as ``3:07``."""
    return "-" if seconds is None else "{}:{:02}".format(*divmod(round(seconds), 60))


def share_of(share: float | None) -> str:
    """Return a share for people: ``81.9%``."""
    return "-" if share is None else f"{share:.1%}"


def _print_grid(
    evening: Evening, grid: Grid, goal: Goal | None, scenario: Scenario, as_json: bool
) -> None:
    from sanic_dispatch.replay.grid import cells, smallest_crews

    found = []
    with _progress(grid.size) as advance:
        for cell in cells(evening.recording, grid, scenario):
            found.append(cell)
            advance()
    smallest = smallest_crews(found, goal) if goal is not None else {}
    if as_json:
        crews = [{"slower": slower, "robots": robots} for slower, robots in smallest.items()]
        rows = [cell.as_json() for cell in found]
        click.echo(json_of({"grid": rows, **({"smallest": crews} if goal else {})}))
        return
    _print_cells(found, goal)
    for slower, robots in smallest.items():
        speed = "" if slower == 1.0 else f", {slower:g} times as slow"
        crew = "none of these crews" if robots is None else f"{robots} robots"
        click.echo(f"smallest crew{speed}: {crew}")


def _print_cells(found: Sequence[Cell], goal: Goal | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = ("robots", "slower", *_WAITS, "line", "busy", "kept", "left")
    caption = "waits in min:s; longest line; utilisation; promises kept; orders that no robot made"
    table = Table(header_style="bold", caption=caption, box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for name in (*names, *(["goal"] if goal else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for cell in found:
        summary = cell.summary
        words = [str(cell.robots), f"{cell.slower:g}"]
        words += [_minutes(summary.wait_s[name]) for name in _WAITS]
        words += [str(summary.longest_line), share_of(summary.utilisation), share_of(summary.kept)]
        words.append(str(summary.unserved))
        if goal:
            words.append("kept" if goal.is_kept(summary) else "")
        table.add_row(*map(Text, words))
    console = Console()
    with console.capture() as shown:  # it would exit with 1 if nobody reads what it prints itself
        console.print(table)
    click.echo(shown.get(), nl=False)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Yield a function to call after each scenario; a progress bar is on a terminal."""
    import sys

    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replaying", total=total)
        yield lambda: progress.advance(task)
