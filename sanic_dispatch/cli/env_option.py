"""Options that are environment variables too, and commands that show them in sections."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click

PREFIX = "SANIC_DISPATCH_"


class EnvOption(click.Option):
    """An option that is an environment variable too, in a section of the help.

    ``--data-dir`` is ``SANIC_DISPATCH_DATA_DIR``.
    """

    def __init__(self, *names: str, section: str, **attributes: Any) -> None:
        flag = next(name for name in names if name.startswith("--"))
        attributes["envvar"] = PREFIX + flag[2:].replace("-", "_").upper()
        super().__init__(names, **{"show_default": True, **attributes})
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists its options by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options per section, in the order in which they were given."""
        for section, options in groupby(self.get_params(ctx), _section_of):
            rows = [row for option in options if (row := option.get_help_record(ctx)) and row[1]]
            with formatter.section(section):
                formatter.write_dl(rows)


def _section_of(option: click.Parameter) -> str:
    return option.section if isinstance(option, EnvOption) else "Other"
