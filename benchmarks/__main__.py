"""``python -m benchmarks``: measure, and report in Markdown and JSON."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import uvloop

from benchmarks.drive import machine
from benchmarks.drive.plan import FULL, QUICK
from benchmarks.drive.servers import ours
from benchmarks.measure import instruction_counts, peers, soak
from benchmarks.measurements import MEASUREMENTS, runner
from benchmarks.peers.parts import install_parts
from benchmarks.peers.sides import ALL
from benchmarks.report import document, goals
from benchmarks.report.tables import Report
from sanic_dispatch.config.settings import Mode

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


TO_JSON = click.option(
    "--json",
    "data",
    type=click.Path(path_type=Path),
    help="Where the numbers go, beside those that are there.",
)


@click.group()
def main() -> None:
    """Measure the service beside its floor (bare Sanic) and beside the original.

    The server runs on one core and the load on another; the sides take turns, so that they see the
    same machine. Numbers are medians over the rounds, with the least and the most in brackets.
    """
    machine.stay_off_the_servers_core()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, so that the servers are killed


@main.command(name="run")
@click.argument("names", nargs=-1, type=click.Choice(list(MEASUREMENTS)), metavar="[NAME]...")
@click.option("--original", "program", help="The original's executable, to be measured beside us.")
@click.option("--url", "urls", multiple=True, help="A server that runs already, with empty queues.")
@click.option("--only-urls", is_flag=True, help="Start nothing: measure what runs already.")
@click.option("--quick", is_flag=True, help="A few seconds: to try the tool, not to believe it.")
@click.option("--depth", "depths", type=int, multiple=True, help="Only at this depth.")
@TO_JSON
@click.option("--write", is_flag=True, help=f"Put the tables into docs/{PAGE.name}.")
def run(
    names: Sequence[str],
    program: str | None,
    urls: Sequence[str],
    only_urls: bool,
    quick: bool,
    depths: tuple[int, ...],
    data: Path | None,
    write: bool,
) -> None:
    """Run all measurements, or the named ones, and compare the results with the goals.

    The names are those of the parts of docs/performance.md: fsync, depth, keyed, latency, cycles,
    faults, fanout, crowd, connected, webhooks, memory, restart, evening, storage, sharing, eta,
    tuning, replay, modules, instructions.
    """
    plan = QUICK if quick else FULL
    if depths:
        plan = replace(plan, depths=depths)
    known = known_in(data)

    def keep(report: Report) -> None:
        """Keep each result at once: a later measurement can fail, or take too long."""
        add(known, report, data)
        if write:
            document.write(PAGE, [report, goals.report(known)])

    keep(document.about_the_machine(machine.describe()))
    for name in names or MEASUREMENTS:
        measure = runner(name, plan, program, urls, only_urls=only_urls)
        report = uvloop.run(_run(measure()))
        keep(report)
        click.echo(f"{report.show()}\n")
    click.echo(goals.report(known).show())


@main.command(name="soak")
@click.option("--minutes", default=60.0, show_default=True, help="For how long.")
@click.option("--mode", default=Mode.CACHED_JSON_FILE, type=click.Choice(list(Mode)))
@click.option("--subscribers", default=soak.CROWD, show_default=True, help="How many follow.")
@click.option("--write", is_flag=True, help=f"Put the table into docs/{PAGE.name}.")
def run_soak(minutes: float, mode: str, subscribers: int, write: bool) -> None:
    """Send orders at a fixed rate for a long time: memory, descriptors and times must stay flat."""
    report = uvloop.run(soak.measure(ours(Mode(mode)), minutes, click.echo, crowd=subscribers))
    click.echo(f"\n{report.show()}")
    if write:
        document.write(PAGE, [report])


@main.command(name="peers")
@click.argument(
    "names",
    nargs=-1,
    type=click.Choice([peer.name for peer in ALL], case_sensitive=False),
    metavar="[NAME]...",
)
@click.option("--quick", is_flag=True, help="A minute: to try the tool, not to believe it.")
@click.option("--install", is_flag=True, help="First install what is missing, as root.")
@TO_JSON
@click.option("--write", is_flag=True, help=f"Put the tables into docs/{PAGE.name}.")
def run_peers(
    names: Sequence[str], quick: bool, install: bool, data: Path | None, write: bool
) -> None:
    """Measure other job queues beside ours: the CPU time of a job, of all processes.

    All that are installed, or the named ones; for the others it says how to install them. Ours are
    named by their modes.
    """
    chosen = [peer for peer in ALL if not names or peer.name in names]
    if install:
        install_parts([part for peer in chosen for part in peer.missing()])
    report = peers.measure(QUICK if quick else FULL, chosen)
    reached = goals.report({report.name: report.data}).tables
    report = replace(report, tables=[*report.tables, *(table for table in reached if table.rows)])
    add(known_in(data), report, data)
    click.echo(report.show())
    if write:
        document.write(PAGE, [report])


@main.command(name="goals")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--write", is_flag=True, help=f"Put the table into docs/{PAGE.name}.")
def show_goals(files: Sequence[Path], write: bool) -> None:
    """Compare the medians of several runs with the goals, from the files of their --json."""
    report = goals.report(*map(known_in, files))
    click.echo(report.show())
    if write:
        document.write(PAGE, [report])


@main.command(name="charts")
def draw_charts() -> None:
    """Redraw the charts of the page from its tables."""
    document.write(PAGE, [])


@main.command(name="instructions")
@click.option("--write", is_flag=True, help="Renew the table that `make check` compares with.")
def count_instructions(write: bool) -> None:
    """Count the instructions of requests in each mode, and fail if one grows by over 5 %.

    It takes a minute and a half, and needs valgrind. `run instructions` says where they go.
    """
    table = instruction_counts.table()
    if not write and table["python"] != instruction_counts.python():
        click.echo(f"The table of instructions is of Python {table['python']}: nothing to compare.")
        return
    report = uvloop.run(instruction_counts.measure())
    click.echo(report.show())
    if write:
        instruction_counts.TABLE.write_text(f"{json.dumps(report.data, indent=1)}\n")
        document.write(PAGE, [report])
        return
    found = instruction_counts.grown(report.data, table)
    if found:  # where the machine stood still for a second, something else was counted, too
        found = instruction_counts.grown(uvloop.run(instruction_counts.measure()).data, table)
    if found:
        lines = [*found, f"If that is meant: {instruction_counts.COMMAND}"]
        raise click.ClickException("\n".join(lines))


def known_in(data: Path | None) -> dict[str, Any]:
    """Return the numbers in a file, if it is there."""
    return dict(json.loads(data.read_text())) if data and data.exists() else {}


def add(known: dict[str, Any], report: Report, data: Path | None) -> None:
    """Add a report's numbers to the known ones, in the file too: with texts as keys, as in JSON."""
    known[report.name] = merged(known.get(report.name), json.loads(json.dumps(report.data)))
    if data:
        data.write_text(json.dumps(known, indent=1))


def merged(old: Any, new: Any) -> Any:
    """Merge new results into old ones; depths and sides that were not measured again stay."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {key: merged(old.get(key), value) for key, value in new.items()}


async def _run(measuring: Awaitable[Report]) -> Report:
    return await measuring


if __name__ == "__main__":
    main()
