"""The settings that say how much is taken, and what is written of it."""

from __future__ import annotations

from sanic_dispatch.cli.amounts import DEFAULTS, count, duration
from sanic_dispatch.cli.parameter_types import Count, Duration, OneOf, Setting
from sanic_dispatch.config.settings import LogFormat, LogLevel


def limit_options() -> list[Setting]:
    """How much is taken."""
    section = "Limits"
    return [
        count("--max-jobs", section, "Jobs that may wait; further ones are refused."),
        count("--max-workers", section, "Workers that may wait; further ones are refused."),
        Setting(
            "--max-body",
            "max_body_bytes",
            section=section,
            type=int,
            default=DEFAULTS.max_body_bytes,
            metavar="BYTES",
            help="Bytes that the body of a request may have; 2097152 are 2 MiB.",
        ),
        count("--max-depth", section, "How deep the JSON of a job may be nested."),
        count(
            "--max-connections",
            section,
            "Clients that may follow the live channel; further ones are told to come back.",
        ),
        Setting(
            "--orders-per-minute",
            section=section,
            callback=Count(may_be_off=True),
            default="off",
            metavar="N|off",
            help="Jobs that one address may submit in a minute; a venue often shares one address.",
        ),
        duration(
            "--request-timeout",
            section,
            Duration("seconds"),
            "Seconds within which a request must have arrived.",
        ),
    ]


def log_options() -> list[Setting]:
    """What is written, and how."""
    section = "Log (written to standard error)"
    return [
        Setting(
            "--log-format",
            section=section,
            type=OneOf(LogFormat),
            default=DEFAULTS.log_format.value,
            help="Lines for people, or one JSON object a line. Auto: human on a terminal, JSON "
            "elsewhere.",
        ),
        Setting(
            "--log-level",
            section=section,
            type=OneOf(LogLevel),
            default=DEFAULTS.log_level.value,
            help="The least important lines to write.",
        ),
    ]
