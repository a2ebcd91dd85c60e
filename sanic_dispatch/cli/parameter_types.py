"""What an option can be besides a number or a path, and how it shows in the help."""

from __future__ import annotations

from enum import StrEnum
from itertools import groupby
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

PREFIX = "SANIC_DISPATCH_"

Word = TypeVar("Word", bound=StrEnum)


class Setting(click.Option):
    """An option that is an environment variable too, in its section of the help.

    ``--data-dir`` is ``SANIC_DISPATCH_DATA_DIR``, and ``data-dir`` in a file (``key``). What
    ``is_secret`` is shown to nobody.
    """

    def __init__(
        self, *names: str, section: str, is_secret: bool = False, **attributes: Any
    ) -> None:
        flag = next(name for name in names if name.startswith("--"))
        self.key = flag[2:]
        attributes["envvar"] = PREFIX + self.key.replace("-", "_").upper()
        super().__init__(names, **{"show_default": True, **attributes})
        self.section = section
        self.is_secret = is_secret


class SettingsCommand(click.Command):
    """A command whose help shows its settings section by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options per section, in the order in which they were given."""
        for section, options in groupby(self.get_params(ctx), _section_of):
            rows = [row for option in options if (row := option.get_help_record(ctx))]
            with formatter.section(section):
                formatter.write_dl(rows)


class OneOf(click.Choice[Word]):
    """One of an enumeration's words, in any case."""

    def __init__(self, words: type[Word]) -> None:
        super().__init__(list(words), case_sensitive=False)

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """What is compared: the word itself, in small letters."""
        return str(choice).lower()

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All the words, in the help."""
        return "|".join(self.choices)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The words as they are written, whatever case was begun with."""
        begun = incomplete.lower()
        return [CompletionItem(str(w)) for w in self.choices if w.lower().startswith(begun)]

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Whoever gives another word is told which there are."""
        return f"{value!r} is none of {', '.join(self.choices)}."


class Duration:
    """A callback for an option: a number of its unit comes out in seconds, ``off`` as None."""

    def __init__(self, unit: str, unit_s: float = 1.0, *, may_be_off: bool = False) -> None:
        self.metavar = f"{unit.upper()}|off" if may_be_off else unit.upper()
        self._unit = unit
        self._unit_s = unit_s
        self._may_be_off = may_be_off

    def __call__(self, ctx: click.Context, param: click.Parameter, value: str) -> float | None:
        """What the option gives the command."""
        if self._may_be_off and value.lower() == "off":
            return None
        try:
            return float(value) * self._unit_s
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a number of {self._unit}.") from None

    def shown(self, duration_s: float | None) -> str:
        """A duration as a user would write it after the flag."""
        return "off" if duration_s is None else f"{duration_s / self._unit_s:g}"


class Count:
    """A callback for an option: a whole number, or None for ``off``."""

    def __init__(self, *, may_be_off: bool = False) -> None:
        self._may_be_off = may_be_off

    def __call__(self, ctx: click.Context, param: click.Parameter, value: str) -> int | None:
        """What the option gives the command."""
        if self._may_be_off and value.lower() == "off":
            return None
        try:
            return int(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a whole number.") from None


def _section_of(option: click.Parameter) -> str:
    return option.section if isinstance(option, Setting) else "Other"
