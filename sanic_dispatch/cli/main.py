"""The command line: the group of all commands, and its entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from sanic_dispatch import __version__
from sanic_dispatch.cli.check_health import health
from sanic_dispatch.cli.completion import PROGRAM, completion
from sanic_dispatch.cli.ctl import ctl
from sanic_dispatch.cli.data_commands import check, export, import_
from sanic_dispatch.cli.estimates_command import estimates
from sanic_dispatch.cli.event_commands import events, export_log, stats
from sanic_dispatch.cli.job_history import history
from sanic_dispatch.cli.make_backup import backup
from sanic_dispatch.cli.remote import INTERRUPTED
from sanic_dispatch.cli.replay_command import replay
from sanic_dispatch.cli.serve import demo, serve
from sanic_dispatch.cli.show_config import show_config
from sanic_dispatch.cli.submit import submit
from sanic_dispatch.cli.watch import watch
from sanic_dispatch.cli.webhook_commands import outbox, push, webhook
from sanic_dispatch.cli.work import work
from sanic_dispatch.config.settings import LogLevel
from sanic_dispatch.errors import StartError
from sanic_dispatch.observability import log
from sanic_dispatch.observability.log import printable

EPILOG = """\b
Help for a command: sanic-dispatch COMMAND --help

\b
Exit codes:
  0    done; a server: it was told to stop, and has
  1    failure: a server cannot start, a dispatcher refused, damage was found
  2    an option, a setting or an argument is wrong
  3    no answer from the dispatcher
  130  Ctrl-C; a server: it was told to stop twice (by SIGTERM: 143)

\b
Environment:
  SANIC_DISPATCH_…        every option of serve and demo, and --url and --token of the others
  NO_COLOR                no colours in the log of a terminal

\b
Files:
  jobs.json, workers.json, dispatch.json, dispatch.sqlite3
                          the queues, in the data folder (--data-dir)

\b
More: docs/protocol.md for clients, docs/operations.md for operators. A running server has its
interface at /docs, its state at /ready, and metrics at /metrics.
"""


class Commands(click.Group):
    """All commands; prints an error that a user can mend as one line instead of a traceback.

    A command whose output nobody reads any more, as before ``| head``, ends quietly with 0.
    """

    def make_context(self, *arguments: Any, **values: Any) -> click.Context:
        """Read the options, of which some print."""
        with _until_unread():
            return super().make_context(*arguments, **values)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; on a StartError and on Ctrl-C, exit with the exit code of that.

        An OSError with a number (a folder that another user owns, a full /tmp) is one line, too.
        """
        try:
            with _until_unread():
                return super().invoke(ctx)
        except KeyboardInterrupt:  # click would exit with 1
            ctx.exit(INTERRUPTED)
        except StartError as error:
            click.echo(f"sanic-dispatch: {printable(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno is None:
                raise
            click.echo(f"sanic-dispatch: {printable(str(error))}", err=True)
            ctx.exit(1)


@contextmanager
def _until_unread() -> Iterator[None]:
    """End the command with 0 when it writes to a pipe that is not read any more."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        raise click.exceptions.Exit(0) from None


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """A realtime job dispatcher: the oldest job goes to the worker that has waited longest.

    Jobs are any JSON, sent to POST /submit-job. Workers are process instances that ask for one
    with POST /register-worker and get it in the answer, or later by PUT to their callback.
    """


for command in (webhook, push, outbox):
    ctl.add_command(command)

COMMANDS: dict[click.Command, str] = {
    serve: "Run the dispatcher.",
    demo: "Run two bars with simulated robots.",
    submit: "Submit a job, and wait for it if you like.",
    watch: "Show orders and robots, live.",
    work: "Simulate robots for a dispatcher.",
    ctl: "Act as the operator: pause, put back, set aside.",
    health: "Check whether the dispatcher on this machine is alive.",
    history: "Print what happened to one order.",
    events: "Print what happened, or follow it.",
    stats: "Print statistics by hour, drink or robot.",
    replay: "Run a recorded evening again: what if?",
    estimates: "Judge the promised waiting times of an evening.",
    export_log: "Write events as CSV, JSON lines or XES.",
    backup: "Back up a running dispatcher.",
    show_config: "Print the settings in effect, and their origin.",
    completion: "Print a shell's completion script.",
    check: "Check a data folder for damage.",
    export: "Write the records to standard output.",
    import_: "Store an export.",
}
"""All commands, with their lines in the list."""

for command, line in COMMANDS.items():
    command.short_help = line
    cli.add_command(command)


def main() -> None:
    """Run the command line of this process.

    Until a server sets the log up as it was told to, only warnings are written: the standard output
    of many commands is data, and their standard error is read by people.
    """
    log.configure(level=LogLevel.WARNING)
    cli(prog_name=PROGRAM)
