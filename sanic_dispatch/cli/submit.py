"""The command that submits a job: submit."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import aclosing
from math import ceil
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sanic_dispatch import strict_json
from sanic_dispatch.cli import remote
from sanic_dispatch.cli.json_line import json_of
from sanic_dispatch.cli.progress_words import progress_words
from sanic_dispatch.cli.why_words import why_words
from sanic_dispatch.config.declaration import HOUR_S
from sanic_dispatch.core.job import MAX_PRIORITY
from sanic_dispatch.errors import InvalidJson
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.client import DispatchClient, Lost, Submitted

EXIT_CODES = """\b
Exit codes:
  0   taken in; with --follow: done
  1   refused; with --follow: failed or cancelled
  2   wrong usage, or the job is not JSON
  3   the dispatcher cannot be reached
"""

LONGEST_WAIT_S = HOUR_S
"""The longest --submit-wait: a dispatcher does not say which one it has."""

_ENDS = {"done": remote.DONE, "failed": remote.FAILED, "cancelled": remote.FAILED}


@click.command(params=remote.service_options(), epilog=EXIT_CODES)
@click.argument("json", required=False, metavar="[JSON]")
@click.option("--file", "-f", type=click.File("rb"), help="Read the job from a file; - is stdin.")
@click.option("--follow", "-F", is_flag=True, help="Show its progress until it is done.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    callback=remote.header_text("key"),
    help="A key of your own for this job: submitted again with the same key, it stays one job.",
)
@click.option(
    "--priority",
    type=click.IntRange(0, MAX_PRIORITY),
    metavar="NUMBER",
    help=f"From 0, which is served first, to {MAX_PRIORITY}; the token has to allow it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def submit(
    json: str | None,
    file: BinaryIO | None,
    follow: bool,
    idempotency_key: str | None,
    priority: int | None,
    as_json: bool,
    url: str,
    token: str | None,
) -> None:
    """Submit a job: any JSON, from the argument, from a file, or - for standard input.

    A worker gets exactly the bytes that are given. Prints the job's id, which is a secret: it
    allows reading and cancelling the job.

    \b
    Examples:
      sanic-dispatch submit '{"drink": "mojito", "name": "Ada", "logo": "lion"}' --follow
          order a drink, and see it being mixed
      sanic-dispatch submit --file order.json --url https://bar.example/dispatch/
          from a file, to a dispatcher behind a path prefix
      jq -c .order mail.json | sanic-dispatch submit - --json | jq -r .id
          from a pipe, and only the id out
    """
    data = _checked(_read(json, file))

    async def run() -> int:
        from sanic_dispatch.client import DispatchClient

        report = Reporter(as_json)
        async with DispatchClient(url, token) as client:
            submitted = await client.submit(data, idempotency_key, priority, wait_s=LONGEST_WAIT_S)
            report.submitted(submitted)
            return await _follow(client, submitted.job_id, report) if follow else remote.DONE

    remote.run(run())


class Reporter:
    """Prints each change of a job, as a line for people or as a JSON object."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._said = ""

    def submitted(self, submitted: Submitted) -> None:
        """Print that the job was accepted."""
        state = "assigned" if submitted.position is None else "waiting"
        if self._as_json:
            said = {"id": submitted.job_id, "state": state, "position": submitted.position}
            click.echo(json_of(said))
        else:
            place = "" if submitted.position is None else f", position {submitted.position}"
            click.echo(f"{state}{place}, id {printable(submitted.job_id) or 'unknown'}")

    def changed(self, job_id: str, order: Mapping[str, Any], now_s: float) -> None:
        """Print the order's state, unless the text is the one printed last."""
        text = order_words(order, now_s)
        if text == self._said:
            return
        self._said = text
        if self._as_json:
            click.echo(json_of({"id": job_id, **order}))
        else:
            click.echo(printable(text))


def order_words(order: Mapping[str, Any], now_s: float) -> str:
    """Describe an order of the live channel; ``now_s`` is the service's time (Unix seconds)."""
    words = [f"order {order['n']}: {order['state']}"]
    if order["state"] == "waiting":
        words.append(why_words(order["why"]) if "why" in order else f"{order['ahead']} ahead")
    if progress := progress_words(order):
        words.append(progress)
    if order.get("cancelling"):
        words.append("asked to stop")
    if order.get("eta"):
        soonest, latest = (max(ceil((end - now_s) / 60), 1) for end in order["eta"])
        span = f"{soonest} to {latest}" if soonest < latest else str(latest)
        words.append(f"ready in {span} min")
    if order.get("doubt"):
        words.append("checking whether the robot has it")
    if order.get("reason"):
        words.append(str(order["reason"]))
    return ", ".join(words)


async def _follow(client: DispatchClient, job_id: str, report: Reporter) -> int:
    if not job_id:
        remote.warn("this dispatcher gives no id, so the job cannot be followed")
        return remote.FAILED
    async with aclosing(client.follow(order=job_id, on_lost=warn_of_loss)) as states:
        async for state in states:
            order = state.map["order"]
            report.changed(job_id, order, state.now)
            if order["state"] in _ENDS:
                return _ENDS[order["state"]]
    return remote.FAILED


def warn_of_loss(lost: Lost) -> None:
    """Print a warning that the live channel is interrupted."""
    remote.warn(f"cut off: {lost.reason}; trying again in {lost.delay_s:.1f} s")


def _read(json: str | None, file: BinaryIO | None) -> bytes:
    if (json is None) == (file is None):
        raise click.UsageError("Give a job: as the argument, with --file, or - for standard input.")
    if json is not None and json != "-":
        return os.fsencode(json)
    return (file or sys.stdin.buffer).read()


def _checked(data: bytes) -> bytes:
    try:
        strict_json.parse(data)
    except InvalidJson as error:
        raise click.UsageError(printable(str(error))) from error
    return data
