"""Options for amounts: whole numbers and durations."""

from __future__ import annotations

from sanic_dispatch.cli.parameter_types import Duration, Setting
from sanic_dispatch.config.settings import Settings

DEFAULTS = Settings()


def count(flag: str, section: str, text: str) -> Setting:
    """An option for a whole number; its default is that of the field of its name."""
    default = getattr(DEFAULTS, flag[2:].replace("-", "_"))
    return Setting(flag, section=section, type=int, default=default, metavar="N", help=text)


def duration(flag: str, section: str, unit: Duration, text: str) -> Setting:
    """An option for a duration; its default is that of the field of its name, in seconds."""
    field = flag[2:].replace("-", "_") + "_s"
    default = unit.shown(getattr(DEFAULTS, field))
    return Setting(
        flag,
        field,
        section=section,
        callback=unit,
        default=default,
        metavar=unit.metavar,
        help=text,
    )
