"""The command line: parse, make Settings, call. What is done is said elsewhere."""

from __future__ import annotations

from typing import Any

import click

from sanic_dispatch import __version__
from sanic_dispatch.commands.configuring import show_config
from sanic_dispatch.commands.controlling import ctl
from sanic_dispatch.commands.serving import demo, serve
from sanic_dispatch.commands.storing import check, export, import_
from sanic_dispatch.commands.submitting import submit
from sanic_dispatch.commands.telling import history
from sanic_dispatch.commands.watching import watch
from sanic_dispatch.commands.working import work
from sanic_dispatch.errors import StartError
from sanic_dispatch.logs import printable


class Commands(click.Group):
    """All commands; an error that keeps one from starting is a line and not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except StartError as error:
            click.echo(f"sanic-dispatch: {printable(str(error))}", err=True)
            ctx.exit(error.exit_code)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command explains itself: sanic-dispatch COMMAND --help",
)
@click.version_option(__version__, prog_name="sanic-dispatch")
def cli() -> None:
    """A realtime job dispatcher: the oldest job goes to the worker that has waited longest.

    Jobs are any JSON, sent to POST /submit-job. Workers are process instances that ask for one
    with POST /register-worker and get it in the answer, or later by PUT to their callback.
    """


cli.add_command(serve)
cli.add_command(demo)
for command in (submit, watch, work, ctl, history, show_config, check, export, import_):
    cli.add_command(command)


def main() -> None:
    """Run the command line of this process."""
    cli(prog_name="sanic-dispatch")
