"""The commands that start a server: serve and demo."""

from __future__ import annotations

from typing import Any

import click

from sanic_dispatch.cli.env_option import SectionedCommand
from sanic_dispatch.cli.options import (
    HOW_TO_SET,
    all_setting_options,
    settings_of,
    warn_of_variables,
)
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.garbage_collection import no_collection


@click.command(cls=SectionedCommand, params=all_setting_options(), epilog=HOW_TO_SET)
def serve(**flags: Any) -> None:
    """Run the dispatcher until it is told to stop (SIGTERM, Ctrl-C).

    \b
    Examples:
      sanic-dispatch serve
          port 2567, queues in jobs.json and workers.json of this folder
      sanic-dispatch serve -p 8080 -m InMemory
          nothing on disk: the queues are lost when it stops
      sanic-dispatch serve --data-dir /var/lib/dispatch --lease 600
          a job neither done nor extended within ten minutes goes back
      sanic-dispatch serve --config /etc/sanic-dispatch/dispatch.toml
          settings from a file; sanic-dispatch config prints those in effect

    \b
    Signals:
      SIGTERM, SIGINT  no new jobs; deliveries finish or go back (--stop-grace); pages are told
                       to reconnect; exit code 0. A second signal ends it at once.

    \b
    Exit codes:
      0  it was told to stop, and has
      1  it cannot start: the port, the data folder, a file in it, Redis
      2  a setting is wrong, or two contradict each other
    """
    settings = settings_of(flags)
    warn_of_variables(settings)
    with no_collection():
        from sanic_dispatch.app import serve

    serve(settings)


@click.command(cls=SectionedCommand, params=all_setting_options(Mode.IN_MEMORY), epilog=HOW_TO_SET)
def demo(**flags: Any) -> None:
    """Run two bars with simulated robots, to try the dispatcher without a process engine.

    The second bar is a topic, roof, with an order page of its own; with --topic there are the named
    ones instead. The robots register over HTTP as real ones do, take a few seconds for each
    drink and ask again. Nothing is written to disk unless another --mode is given.

    \b
    Examples:
      sanic-dispatch demo
          then open the order pages; their addresses are printed
      sanic-dispatch demo -p 8080
          the same on another port
    """
    settings = settings_of(flags)
    warn_of_variables(settings)
    from sanic_dispatch.cli.demo import run

    run(settings)
