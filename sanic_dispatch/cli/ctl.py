"""The operator's commands: ctl."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.config.tokens import read_tokens
from sanic_dispatch.core.job import MAX_PRIORITY, ticket_in
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.client.operator_client import OperatorClient

Ask = Callable[["OperatorClient"], Awaitable[Any]]

JOB_COLUMNS = (
    *("ticket", "state", "stage", "attempt", "priority", "submitted_at", "id", "reason"),
)
WORKER_COLUMNS = ("label", "registered_at", "aside", "rule", "callback")


def _token_file(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> str | None:
    return read_tokens("--token-file", path)[0] if path else None


OPTIONS: list[click.Parameter] = [
    *remote.service_options(),
    click.Option(
        ["--token-file"],
        type=click.Path(path_type=Path),
        callback=_token_file,
        metavar="FILE",
        help="File with the operator's token.",
    ),
    click.Option(["--yes", "-y"], is_flag=True, help="Do not ask on a terminal."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object a line."),
]


@click.group(params=[])
def ctl() -> None:
    """Act as the operator: pause and resume, list jobs and workers, move, remove or forget them.

    JOB is a job's id or its ticket number, CALLBACK a worker's callback. The dispatcher's log names
    the user who runs the command.

    \b
    Examples:
      sanic-dispatch ctl pause --reason "out of ice" --token-file operator.token
      sanic-dispatch ctl jobs --state failed
      sanic-dispatch ctl put-back 42
    """


def _listing(name: str, help: str, *extra: click.Parameter) -> Callable[[Any], click.Command]:
    return click.command(name, params=[*extra, *OPTIONS], help=help)


@_listing(
    "jobs",
    "List jobs by ticket.",
    click.Option(["--state"], metavar="STATE", help="waiting, assigned, done, failed, cancelled."),
    click.Option(["--after"], type=int, default=0, metavar="TICKET", help="After this ticket."),
)
def list_jobs(state: str | None, after: int, **options: Any) -> None:
    """Fetch all pages and print them."""

    async def ask(client: OperatorClient) -> list[dict[str, Any]]:
        jobs, following = [], after
        while following is not None:
            page = await client.jobs(state, following, 1000)
            jobs += page["jobs"]
            following = page["next"]
        return jobs

    run_as_operator(ask, lambda jobs: print_rows(jobs, JOB_COLUMNS, options["as_json"]), options)


@_listing("workers", "List the workers that wait.")
def list_workers(**options: Any) -> None:
    """Print the workers that the dispatcher knows."""
    run_as_operator(
        lambda client: client.workers(),
        lambda workers: print_rows(workers, WORKER_COLUMNS, options["as_json"]),
        options,
    )


@click.command("forget", params=[click.Argument(["job"], metavar="JOB"), *OPTIONS])
def forget(job: str, **options: Any) -> None:
    """Erase the data and result of a finished job; its events stay.

    They are gone from the data folder within a minute. What backups have is not touched.
    """

    async def ask(client: OperatorClient) -> dict[str, Any]:
        await client.forget(job)
        return {"job": job, "forgotten": True}

    act_as_operator(ask, options, f"Erase the data of job {printable(job)} for good?")


def _reason() -> click.Option:
    return click.Option(["--reason", "-r"], default="", metavar="TEXT", help="Why; it is logged.")


@click.command(
    "priority",
    params=[
        click.Argument(["job"], metavar="JOB"),
        click.Argument(["number"], type=click.IntRange(0, MAX_PRIORITY), metavar="NUMBER"),
        _reason(),
        *OPTIONS,
    ],
)
def set_priority(job: str, number: int, reason: str, **options: Any) -> None:
    """Give a waiting job another priority.

    NUMBER is from 0, which is served first, to 7.
    """

    async def ask(client: OperatorClient) -> dict[str, Any]:
        return await client.set_priority(await _id_of(client, job), number, reason)

    act_as_operator(ask, options, f"Give job {printable(job)} the priority {number}?")


Send = Callable[["OperatorClient", str, str, str], Awaitable[Any]]
"""Carries out an act: (client, the act's name, the job or the worker, why)."""


def _act(name: str, help: str, question: str, send: Send, subject: str = "") -> click.Command:
    """Return a command for an act on a ``subject``, which is the name of its argument."""

    def act(reason: str, **options: Any) -> None:
        named = options.pop(subject, "")
        act_as_operator(
            lambda client: send(client, name, named, reason),
            options,
            question.format(printable(named)),
        )

    argument = [click.Argument([subject], metavar=subject.upper())] if subject else []
    return click.Command(name, callback=act, params=[*argument, _reason(), *OPTIONS], help=help)


async def _on_service(client: OperatorClient, act: str, _: str, reason: str) -> Any:
    return await client.act(act, reason)


async def _on_job(client: OperatorClient, act: str, job: str, reason: str) -> Any:
    return await client.act_on_job(await _id_of(client, job), act, reason)


async def _on_worker(client: OperatorClient, act: str, callback: str, reason: str) -> Any:
    return await client.act_on_worker(callback, act, reason)


for command in (
    list_jobs,
    list_workers,
    _act("pause", "Hand out no more jobs.", "Hand out no more jobs?", _on_service),
    _act("resume", "Hand out jobs again.", "Hand out jobs again?", _on_service),
    _act(
        "cancel",
        "Cancel a job. The worker that has an assigned one is asked to stop.",
        "Cancel job {}?",
        _on_job,
        "job",
    ),
    _act(
        "put-back",
        "Put an assigned or failed job back to its place in the queue.",
        "Put job {} back, even if a worker is working on it?",
        _on_job,
        "job",
    ),
    _act("first", "Move a waiting job to the front.", "Let job {} go first?", _on_job, "job"),
    set_priority,
    forget,
    _act("aside", "Give a worker no jobs.", "Set {} aside?", _on_worker, "callback"),
    _act("back", "Give jobs to a worker again.", "Bring {} back?", _on_worker, "callback"),
    _act("drop", "Remove a worker.", "Remove {}?", _on_worker, "callback"),
):
    ctl.add_command(command)


def act_as_operator(ask: Ask, options: Mapping[str, Any], question: str = "") -> None:
    """Send the request, print the answer, and exit.

    On a terminal the question is asked before, if there is one, unless --yes is given.
    """
    if question and not options["yes"] and _is_terminal():
        _confirm(question)
    run_as_operator(ask, lambda said: _print_said(said, options["as_json"]), options)


def run_as_operator(ask: Ask, show: Callable[[Any], None], options: Mapping[str, Any]) -> None:
    """Send the request, show the answer, and exit."""
    remote.run(_ask(ask, show, options))


async def _ask(ask: Ask, show: Callable[[Any], None], options: Mapping[str, Any]) -> int:
    from sanic_dispatch.client.operator_client import OperatorClient

    token = options["token_file"] or options["token"]
    async with OperatorClient(options["url"], token, who=_who()) as client:
        show(await ask(client))
    return remote.DONE


def _confirm(question: str) -> None:
    """Ask for a yes. Raises Abort for a no, and KeyboardInterrupt on Ctrl-C."""
    try:
        is_sure = click.confirm(question)
    except click.Abort:  # there is no answer
        click.echo(err=True)
        raise KeyboardInterrupt from None
    if not is_sure:
        raise click.Abort


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _who() -> str:
    """Return the user's login name if it can be sent in a header, else an empty text."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return ""
    return name if name.isascii() and name.isprintable() and len(name) <= 64 else ""


async def _id_of(client: OperatorClient, job: str) -> str:
    """Return a job's id; ``job`` is the id itself or the ticket number."""
    ticket = ticket_in(job)
    if ticket is None:
        return job
    from sanic_dispatch.client import ServiceError

    found = (await client.jobs(after=ticket - 1, limit=1))["jobs"]
    if not found or found[0]["ticket"] != ticket:
        raise ServiceError(404, "UnknownJob", "there is no job with that ticket")
    return str(found[0]["id"])


def _print_said(said: Mapping[str, Any], as_json: bool) -> None:
    """Print an answer as a line of text, or of JSON."""
    if as_json:
        click.echo(json_of(said))
        return
    words = (f"{name} {_cell(value)}" for name, value in said.items() if value is not None)
    click.echo(printable(", ".join(words)))


def print_rows(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """Print rows as a table with these columns, or each as a line of JSON."""
    if as_json:
        for row in rows:
            click.echo(json_of(row))
        return
    lines = [columns, *([printable(_cell(row.get(name))) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ": ".join(str(part) for part in value.values() if part)
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
