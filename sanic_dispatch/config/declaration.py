"""How a setting is declared: its option, default, kind of value, range, unit and texts.

The command line, the settings file, the checks, ``sanic-dispatch config`` and the tables in
docs/operations.md are made from these declarations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

from sanic_dispatch.errors import SettingsError

OFF = "off"
"""How a user writes None for a number that may be switched off."""

HOUR_S = 3600.0
YEAR_S = 365 * 24 * HOUR_S

UNITS_S = {"seconds": 1.0, "hours": HOUR_S, "days": 24 * HOUR_S}

_ON, _OFF = ("on", "1", "true", "yes"), (OFF, "0", "false", "no")

_DECLARATION = "setting"

T = TypeVar("T")


class SettingKind:
    """What a setting's values are, and how a user writes them."""

    metavar: str
    """The placeholder of the value in ``--help``."""

    allowed: str
    """The unit and range, for the documentation."""

    words: tuple[str, ...] = ()
    """All values that there are, where they can be listed."""

    def parse(self, text: str) -> Any:
        """Parse a value. Raises ValueError with the reason."""
        return text

    def written(self, value: Any) -> str | float | bool:
        """Return the value as a settings file has it."""
        return str(value)

    def check(self, flag: str, value: Any) -> None:
        """Raise SettingsError if the value is out of range."""


class Text(SettingKind):
    """Any text; the setting's own check says which are good."""

    def __init__(self, metavar: str, allowed: str) -> None:
        self.metavar = metavar
        self.allowed = allowed


class Pathname(SettingKind):
    """A file or a folder."""

    def __init__(self, metavar: str, allowed: str) -> None:
        self.metavar = metavar
        self.allowed = allowed

    def parse(self, text: str) -> Path:
        return Path(text)


class Choice(SettingKind):
    """A member of an enumeration, in upper or lower case."""

    def __init__(self, members: type[StrEnum], metavar: str = "") -> None:
        self.words = tuple(members)
        self.metavar = metavar or "|".join(self.words)
        self.allowed = ", ".join(self.words)
        self._members = {member.lower(): member for member in members}

    def parse(self, text: str) -> StrEnum:
        try:
            return self._members[text.lower()]
        except KeyError:
            raise ValueError(f"{text!r} is none of {', '.join(self.words)}") from None


class Switch(SettingKind):
    """``on`` or ``off``, or another word for it that click takes in the variable of a flag."""

    metavar = "on|off"
    allowed = "on or off"
    words = ("on", OFF)

    def parse(self, text: str) -> bool:
        word = text.lower()
        if word not in _ON and word not in _OFF:
            raise ValueError(f"{text!r} is none of {', '.join(self.words)}")
        return word in _ON

    def written(self, value: bool) -> bool:
        return value


class Flag(Switch):
    """An option without a value; ``true`` or ``false`` in a settings file."""

    metavar = ""
    allowed = "a flag"


class Number(SettingKind):
    """A number from ``low`` to ``high``, both included, or None where it may be off.

    A user writes the number in ``unit``, which follows the range in texts; the value is that number
    times ``unit_size``: 3600 for hours, so that it is in seconds.
    """

    def __init__(
        self, low: float, high: float, unit: str, unit_size: float, *, may_be_off: bool
    ) -> None:
        self._low = low
        self._high = high
        self._unit_size = unit_size
        self._may_be_off = may_be_off
        self._unit = f" {unit}" if unit else ""
        self.metavar = (unit.upper() or "N") + ("|off" if may_be_off else "")
        self.allowed = self._range("{} to {}") + (", or off" if may_be_off else "")

    def parse(self, text: str) -> float | None:
        if self._may_be_off and text.lower() == OFF:
            return None
        return self._number(text)

    def written(self, value: float | None) -> str | float:
        return OFF if value is None else self._in_unit(value)

    def check(self, flag: str, value: float | None) -> None:
        if value is not None and not self._low <= value <= self._high:
            shown = self._in_unit(value)
            raise SettingsError(f"{flag} must be {self._range('from {} to {}')}, not {shown}")

    def _number(self, text: str) -> float:
        raise NotImplementedError

    def _in_unit(self, value: float) -> float:
        """Return the number in the user's unit, an int where it is whole."""
        number = float(f"{value / self._unit_size:.12g}")
        return int(number) if number.is_integer() else number

    def _range(self, wording: str) -> str:
        return wording.format(self._in_unit(self._low), self._in_unit(self._high)) + self._unit


class Integer(Number):
    """A whole number."""

    def __init__(self, low: int, high: int, unit: str = "", *, may_be_off: bool = False) -> None:
        super().__init__(low, high, unit, 1, may_be_off=may_be_off)

    def _number(self, text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None

    def _in_unit(self, value: float) -> float:
        return value  # exact, however large


class Duration(Number):
    """A time, kept in seconds and written in ``unit``, one of UNITS_S. The range is in seconds."""

    def __init__(
        self, low_s: float, high_s: float, unit: str = "seconds", *, may_be_off: bool = False
    ) -> None:
        super().__init__(low_s, high_s, unit, UNITS_S[unit], may_be_off=may_be_off)

    def _number(self, text: str) -> float:
        try:
            return float(text) * self._unit_size
        except ValueError:
            raise ValueError(f"{text!r} is not a number of{self._unit}") from None


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of one setting.

    ``flag`` is the option, as in ``--max-jobs``; the environment variable and the key of the
    settings file follow from it. ``default`` is a tuple if the setting can be given several times.
    ``help`` is the text of ``--help``; the documentation adds ``details``, which is Markdown.
    ``default_text`` is shown instead of a default that is not clear as it is. ``check`` takes the
    flag and a value, and raises SettingsError. ``mask`` hides the secrets in a text. A setting
    ``per_topic`` may differ between topics. ``name`` is the attribute of Settings, filled
    in from there, or the argument of Settings.of.
    """

    flag: str
    default: Any
    kind: SettingKind
    section: str
    help: str
    details: str = ""
    short: str = ""
    default_text: str = ""
    check: Callable[[str, Any], None] | None = None
    mask: Callable[[str], str] | None = None
    per_topic: bool = False
    name: str = ""

    @property
    def key(self) -> str:
        """The name in a settings file."""
        return self.flag.removeprefix("--")

    @property
    def is_list(self) -> bool:
        """Whether it can be given several times."""
        return isinstance(self.default, tuple)

    def parse(self, written: Any) -> Any:
        """Parse a value, or each value of a list. Raises ValueError with the reason."""
        if self.is_list:
            return tuple(self.kind.parse(each) for each in written)
        return self.kind.parse(written) if isinstance(written, str) else written

    def validate(self, value: Any) -> None:
        """Raise SettingsError, in one line, if a value is out of range or not well formed."""
        self.kind.check(self.flag, value)
        if self.check is not None:
            self.check(self.flag, value)

    def written(self, value: Any) -> Any:
        """Return a value as a settings file has it, secrets masked; None if nothing is set."""
        if self.is_list:
            return [self._masked(self.kind.written(each)) for each in value]
        if value == "" or (value is None and not isinstance(self.kind, Number)):
            return None
        return self._masked(self.kind.written(value))

    def _masked(self, written: str | float | bool) -> str | float | bool:
        return self.mask(str(written)) if self.mask is not None else written


def setting(flag: str, default: T, kind: SettingKind, section: str, help: str, **more: Any) -> T:
    """Declare a field of Settings; the arguments are those of Setting."""
    declared = Setting(flag, default, kind, section, help, **more)
    return cast(T, declared_field(declared, default))


def declared_field(declared: Setting, default: Any) -> Any:
    """Return a field of Settings whose default is not that of its option.

    The option --job-queue-mode has none, the field that of --mode. A masked one is not in the
    ``repr``.
    """
    return field(default=default, repr=declared.mask is None, metadata={_DECLARATION: declared})


def declaration_of(metadata: Any) -> Setting:
    """Return the declaration in a field's metadata."""
    return cast(Setting, metadata[_DECLARATION])
