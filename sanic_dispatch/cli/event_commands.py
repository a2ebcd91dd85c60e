"""The commands that ask what happened: events, stats, export-log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.ctl import OPTIONS, print_rows, run_as_operator
from sanic_dispatch.cli.job_history import line_of
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.topic_option import folder_of_topic
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.client.operator_client import OperatorClient
    from sanic_dispatch.history.formats import EventWriter

JsonPage = Mapping[str, Any]
"""A page of events, as the service sends it."""

POLL_S = 1.0
"""How often to ask for new events."""

COUNTS = ("submitted", "done", "failed", "cancelled", "refused", "doubted")


def _time(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Convert an ISO 8601 time to RFC 3339; without a zone it is local time."""
    if value is None:
        return None
    try:
        return to_rfc3339(datetime.fromisoformat(value).timestamp())
    except (ValueError, OverflowError):
        example = "2024-11-24T01:39, 2024-11-24 or 2024-11-24T01:39:00Z"
        raise click.BadParameter(f"{value!r} is not a time, such as {example}.") from None


def check_span(begin: str | None, end: str | None) -> None:
    """Raise UsageError if a span ends before it begins."""
    if begin and end and end < begin:
        raise click.UsageError("--to is before --from.")


def check_source(data_dir: Path | None) -> None:
    """Raise UsageError if the command line has a dispatcher's URL beside a data folder."""
    source = click.get_current_context().get_parameter_source("url")
    if data_dir is not None and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--data-dir contradicts --url.")


def span_options() -> list[click.Parameter]:
    """Return the options --from and --to, as ``begin`` and ``end`` in RFC 3339."""
    return [
        click.Option(["--from", "begin"], callback=_time, metavar="TIME", help="From then on."),
        click.Option(["--to", "end"], callback=_time, metavar="TIME", help="Until before then."),
    ]


SERVICE = [option for option in OPTIONS if option.name not in ("yes", "as_json")]
_AS_JSON = next(option for option in OPTIONS if option.name == "as_json")

_EVENTS: list[click.Parameter] = [
    click.Option(["--ticket"], type=click.IntRange(1), help="Of the order with this number."),
    click.Option(["--worker"], metavar="WORKER", help="Of this worker: its label or its callback."),
    click.Option(
        ["--kind"],
        type=click.Choice([kind.value for kind in EventKind]),
        metavar="KIND",
        help="Of this kind, such as job.failed.",
    ),
    click.Option(["--text"], help="With this text in the reason or the worker's label."),
    *span_options(),
    click.Option(
        ["--after"], type=click.IntRange(0), metavar="N", help="Behind the event of this number."
    ),
    click.Option(["--follow", "-F"], is_flag=True, help="Go on with new events, until Ctrl-C."),
    *SERVICE,
    _AS_JSON,
]


@click.command(params=_EVENTS)
def events(follow: bool, as_json: bool, **options: Any) -> None:
    """Print what happened, the oldest first; all conditions have to be met.

    With --follow and neither --from nor --after, only what happens from now on. The dispatcher may
    be restarted meanwhile. Times without a zone are those of this machine. Needs the operator's
    token.

    \b
    Examples:
      sanic-dispatch events --from 2024-11-24 --kind job.failed
      sanic-dispatch events --worker "Robot 1" --from 2024-11-24T18:00 --to 2024-11-24T19:00
      sanic-dispatch events --follow --json | jq -r 'select(.event == "job.done") | .ticket'
    """
    check_span(options["begin"], options["end"])
    if follow and options["end"]:
        raise click.UsageError("--follow goes on until Ctrl-C: leave out --to.")
    question = {
        "ticket": options["ticket"],
        "worker": options["worker"],
        "kind": options["kind"],
        "text": options["text"],
        "from": options["begin"],
        "to": options["end"],
        "after": options["after"],
    }

    def show(found: Sequence[Mapping[str, Any]]) -> None:
        for event in found:
            click.echo(json_of(event) if as_json else printable(_line(event)))

    async def run() -> int:
        async with _client(options) as client:
            if follow:
                return await remote.until_told(_follow(client, question, show))
            async for page in _warned(client.all_events(**question)):
                show(page["events"])
        return remote.DONE

    remote.run(run())


_STATS: list[click.Parameter] = [
    click.Option(
        ["--by"],
        type=click.Choice(["hour", "drink", "robot"]),
        default="hour",
        show_default=True,
        help="What the rows are for.",
    ),
    *span_options(),
    *SERVICE,
    _AS_JSON,
]


@click.command(params=_STATS)
def stats(by: str, begin: str | None, end: str | None, as_json: bool, **options: Any) -> None:
    """Print statistics of a span; without --from and --to, of all that is kept.

    Orders, the median, 90th and 99th percentile of their waiting and service times in seconds, the
    share of promised waiting times that came true, hand-overs that were refused or in doubt, and
    how busy robots were. Needs the operator's token.

    \b
    Examples:
      sanic-dispatch stats --from 2024-11-24
      sanic-dispatch stats --by robot --json | jq 'select(.utilisation > 0.9) | .robot'
    """

    check_span(begin, end)

    async def ask(client: OperatorClient) -> Any:
        said = await client.statistics(**{"by": by, "from": begin, "to": end})
        remote.warn_of_gaps(said, set())
        return said["rows"]

    columns = (by, *COUNTS, *_columns("wait"), *_columns("service"), "kept", "utilisation")

    def show(rows: list[dict[str, Any]]) -> None:
        print_rows(rows if as_json else list(map(_flat, rows)), columns, as_json)

    run_as_operator(ask, show, options)


_EXPORT: list[click.Parameter] = [
    click.Option(
        ["--format", "kind"],
        type=click.Choice(["csv", "jsonl", "xes"]),
        default="jsonl",
        show_default=True,
        help="A table, one JSON object a line, or XES (IEEE 1849) for process mining.",
    ),
    *span_options(),
    click.Option(
        ["--data-dir"],
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Read this data folder, which no dispatcher uses, instead of asking one.",
    ),
    *SERVICE,
]


@click.command("export-log", params=_EXPORT)
def export_log(
    kind: str, begin: str | None, end: str | None, data_dir: Path | None, **options: Any
) -> None:
    """Write events to standard output, without the data of orders.

    In XES an order is a trace, named by its number, and the robot is the resource. Only orders that
    were submitted and have ended within the span are in it. In CSV, what a spreadsheet could take
    for a formula begins with an apostrophe. Needs the operator's token, or --data-dir.

    \b
    Examples:
      sanic-dispatch export-log --format xes --from 2024-11-24 > evening.xes
      sanic-dispatch export-log --format csv --data-dir /var/lib/dispatch > events.csv
    """
    from sanic_dispatch.history.formats import FORMATS

    check_span(begin, end)
    check_source(data_dir)
    writer = FORMATS[kind]()
    span = begin, end or max(begin or "", to_rfc3339(time()))

    async def run() -> int:
        if data_dir is not None:
            with _pages_in(folder_of_topic(data_dir), *span) as pages:
                await _write(pages, writer, *span)
        else:
            async with _client(options) as client:
                await _write(client.all_events(**{"from": begin, "to": span[1]}), writer, *span)
        return remote.DONE

    remote.run(run())


# ---- pages of events


def _client(options: Mapping[str, Any]) -> OperatorClient:
    from sanic_dispatch.client.operator_client import OperatorClient

    return OperatorClient(options["url"], options["token_file"] or options["token"])


async def _warned(pages: AsyncIterator[JsonPage]) -> AsyncIterator[JsonPage]:
    """Yield the pages; say once of each place that something may be missing."""
    told = set[str]()
    async for page in pages:
        remote.warn_of_gaps(page, told)
        yield page


@contextmanager
def _pages_in(folder: Path, begin: str | None, end: str) -> Iterator[AsyncIterator[JsonPage]]:
    from sanic_dispatch.history.event_fields import page_fields
    from sanic_dispatch.history.questions import question_of
    from sanic_dispatch.storage.event_log import MAX_LIMIT
    from sanic_dispatch.storage.read_history import history_of

    arguments = {"to": [end], "limit": [str(MAX_LIMIT)], **({"from": [begin]} if begin else {})}

    async def pages() -> AsyncIterator[JsonPage]:
        for page in log.pages(question_of(arguments)):
            yield page_fields(page)

    with history_of(folder) as log:
        yield pages()


async def _follow(client: OperatorClient, question: Mapping[str, Any], show: Any) -> None:
    """Show matching events and go on with new ones; without a beginning only new ones."""
    from sanic_dispatch.client import ServiceError, Unreachable

    after, is_away = question["after"], False
    if after is None and question["from"] is None:
        after = await client.last_number()
    while True:
        try:
            if is_away and await client.last_number() < (after or 0):
                remote.warn("the events are numbered from 1 again: the dispatcher kept none")
                after = None
            async for page in _warned(client.all_events(**{**question, "after": after})):
                show(page["events"])
                after = page["events"][-1]["n"] if page["events"] else after
            is_away = False
        except (Unreachable, ServiceError) as error:
            if isinstance(error, ServiceError) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            if not is_away:
                remote.warn(f"{error}; trying again")
            is_away = True
        sys.stdout.flush()
        await asyncio.sleep(POLL_S)


# ---- what is printed


def _line(event: Mapping[str, Any]) -> str:
    """Return an event as a line: as ``history`` prints it, with its ticket."""
    ticket = {"order": event["ticket"]} if event["ticket"] else {}
    step = {"timestamp": event["at"], "event": event["event"], **ticket, **event}
    shown = {name: value for name, value in step.items() if value not in (None, "")}
    return line_of({name: value for name, value in shown.items() if name not in ("n", "at")})


def _columns(what: str) -> tuple[str, ...]:
    return tuple(f"{what} {name}" for name in ("p50", "p90", "p99"))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of statistics with a column for each percentile."""
    flat = dict(row)
    for what in ("wait", "service"):
        flat |= dict(zip(_columns(what), row[f"{what}_s"].values(), strict=True))
    return flat


async def _write(
    pages: AsyncIterator[JsonPage], writer: EventWriter, begin: str | None, end: str
) -> None:
    """Write all events; a progress bar is on the terminal unless the events are there."""
    from sanic_dispatch.history.xes import XesWriter

    out = sys.stdout.buffer
    out.write(writer.begin().encode())
    with _progress(begin, end) as advance:
        async for page in _warned(pages):
            out.write("".join(map(writer.add, page["events"])).encode())
            if page["events"]:
                advance(page["events"][0]["at"], page["events"][-1]["at"])
    out.write(writer.end().encode())
    out.flush()
    if isinstance(writer, XesWriter) and (writer.begun_before or writer.unfinished):
        remote.warn(
            f"left out: orders that were submitted before: {writer.begun_before}, "
            f"that have not ended: {writer.unfinished}"
        )


@contextmanager
def _progress(begin: str | None, end: str) -> Iterator[Any]:
    """Yield a function that is told the times of the first and the last event of a page."""
    if sys.stdout.isatty() or not sys.stderr.isatty():
        yield lambda _first, _last: None
        return
    from rich.console import Console
    from rich.progress import Progress

    start_s = from_rfc3339(begin) if begin else None
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("exporting", total=None)

        def advance(first: str, last: str) -> None:
            nonlocal start_s
            start_s = from_rfc3339(first) if start_s is None else start_s
            total_s = max(from_rfc3339(end) - start_s, 1.0)
            progress.update(task, total=total_s, completed=from_rfc3339(last) - start_s)

        yield advance
