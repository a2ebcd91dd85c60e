"""The settings that say where several dispatchers meet."""

from __future__ import annotations

from sanic_dispatch.cli.parameter_types import Setting
from sanic_dispatch.config.settings import Settings

_DEFAULTS = Settings()


def redis_options(section: str) -> list[Setting]:
    """Redis, and how many processes share it."""
    return [
        Setting(
            "--redis-url",
            section=section,
            default=_DEFAULTS.redis_url,
            metavar="URL",
            help="Redis 7 or Valkey 8 for the mode Redis: redis://, rediss:// or unix://. Give a "
            "password in the environment, where others do not see it.",
        ),
        Setting(
            "--redis-prefix",
            section=section,
            default=_DEFAULTS.redis_prefix,
            metavar="NAME",
            help="One dispatcher at a time owns the queues of a prefix; others stand by.",
        ),
        Setting(
            "--workers",
            section=section,
            type=int,
            default=_DEFAULTS.workers,
            metavar="N",
            help="Processes that serve the port: 1 in this version.",
        ),
    ]
