"""The settings as options: one list, the same for every command that starts a server.

An option's name is that of its field in Settings, and its default comes from there.
"""

from __future__ import annotations

from pathlib import Path

import click

from sanic_dispatch.cli.access_options import access_options, browser_options
from sanic_dispatch.cli.amounts import count, duration
from sanic_dispatch.cli.config_file import ConfigFile
from sanic_dispatch.cli.limit_options import limit_options, log_options
from sanic_dispatch.cli.parameter_types import Duration, OneOf, Setting
from sanic_dispatch.cli.redis_options import redis_options
from sanic_dispatch.config.settings import HOUR_S, Mode, OnDoubt, Settings

ENVIRONMENT = """\b
Every option can be given as an environment variable instead: SANIC_DISPATCH_
and its long name in capitals. --data-dir is SANIC_DISPATCH_DATA_DIR. One that
may be given several times takes its values separated by blanks. And in a TOML
file (--config), by its long name: data-dir = "/var/lib/dispatch". An option on
the command line wins over the variable, the variable over the file.
"""

_DEFAULTS = Settings()
_FOLDER = click.Path(path_type=Path)
_MODE = OneOf(Mode)


def settings_options(mode: Mode = _DEFAULTS.job_queue_mode) -> list[click.Parameter]:
    """Options for all settings, with this default for the mode of the queues."""
    return [
        ConfigFile(),
        *_network(),
        *_queues(mode),
        *_deliveries(),
        *access_options(),
        *browser_options(),
        *limit_options(),
        *log_options(),
    ]


def _network() -> list[Setting]:
    section = "Network"
    return [
        Setting(
            "--port",
            "-p",
            section=section,
            type=int,
            default=_DEFAULTS.port,
            help="TCP port to listen on, 0 to 65535; 0 takes any free one.",
        ),
        Setting(
            "--host",
            section=section,
            default=_DEFAULTS.host,
            show_default="all interfaces, IPv6 and IPv4",
            metavar="ADDRESS",
            help="Address or name to listen on.",
        ),
        Setting(
            "--tls-cert",
            section=section,
            type=_FOLDER,
            default=_DEFAULTS.tls_cert,
            show_default="none, so it speaks plain HTTP",
            metavar="FILE",
            help="Certificate in PEM, with its chain: the service speaks HTTPS.",
        ),
        Setting(
            "--tls-key",
            section=section,
            type=_FOLDER,
            default=_DEFAULTS.tls_key,
            show_default="none",
            metavar="FILE",
            help="The certificate's key in PEM, without a password.",
        ),
        Setting(
            "--public",
            section=section,
            type=_FOLDER,
            default=_DEFAULTS.public,
            show_default="none",
            metavar="DIR",
            help="Folder of your own files, served under public/ in place of the built-in ones "
            "of the same name.",
        ),
        Setting(
            "--menu",
            section=section,
            type=_FOLDER,
            default=_DEFAULTS.menu,
            show_default="the built-in menu",
            metavar="FILE",
            help="JSON file of the drinks on the order page; an edit counts at once.",
        ),
        Setting(
            "--public-url",
            section=section,
            default=_DEFAULTS.public_url,
            show_default="the address of the wall board's page",
            metavar="URL",
            help="Address under which customers reach this service, for the QR code; a query in "
            "it goes along.",
        ),
    ]


def _queues(mode: Mode) -> list[Setting]:
    section = "Queues"
    return [
        Setting(
            "--mode",
            "-m",
            section=section,
            type=_MODE,
            default=mode.value,
            metavar="MODE",
            help="Where jobs and workers wait; in any case. InMemory: gone when it stops. "
            "JsonFile: jobs.json and workers.json, read and written on every operation. "
            "CachedJsonFile: the same files, brought up to date from a journal. Sqlite: "
            "dispatch.sqlite3. Redis: a server whose queues another dispatcher can take over.",
        ),
        Setting(
            "--job-queue-mode",
            section=section,
            type=_MODE,
            default=None,
            metavar="MODE",
            show_default="as --mode",
            help="The same for the jobs alone; overrides --mode.",
        ),
        Setting(
            "--worker-queue-mode",
            section=section,
            type=_MODE,
            default=None,
            metavar="MODE",
            show_default="as --mode",
            help="The same for the workers alone; overrides --mode.",
        ),
        Setting(
            "--data-dir",
            section=section,
            type=_FOLDER,
            default=_DEFAULTS.data_dir,
            show_default="the current folder",
            metavar="DIR",
            help="Folder of the files in which they wait. It must exist; one dispatcher owns it.",
        ),
        Setting(
            "--fsync",
            section=section,
            type=click.Choice(["on", "off"], case_sensitive=False),
            callback=lambda _ctx, _param, word: word == "on",
            default="on" if _DEFAULTS.fsync else "off",
            metavar="on|off",
            help="Whether an answer waits until the disk has what it acknowledges. Off is for "
            "those who can lose the last orders in a power cut.",
        ),
        Setting(
            "--repair",
            section=section,
            is_flag=True,
            default=_DEFAULTS.repair,
            show_default="off",
            help="Set damaged entries of jobs.json and workers.json aside, into a file beside it, "
            "and start with the others. Without it, nothing starts on a damaged file.",
        ),
        duration(
            "--keep-done",
            section,
            Duration("hours", HOUR_S),
            "Hours for which a finished job can still be looked up.",
        ),
        *redis_options(section),
    ]


def _deliveries() -> list[Setting]:
    section = "Deliveries"
    return [
        duration(
            "--submit-wait",
            section,
            Duration("seconds"),
            "Seconds that the answer to a new job waits at most for a worker to take it.",
        ),
        duration(
            "--callback-timeout",
            section,
            Duration("seconds"),
            "Seconds that one call of a worker's callback may take in all.",
        ),
        count(
            "--max-attempts",
            section,
            "How often workers that are alive may refuse a job, or ask for a retry, before it "
            "counts as failed.",
        ),
        duration(
            "--lease",
            section,
            Duration("seconds", may_be_off=True),
            "Seconds after which an assigned job that is neither done nor extended goes back to "
            "its place.",
        ),
        Setting(
            "--on-doubt",
            section=section,
            type=OneOf(OnDoubt),
            default=_DEFAULTS.on_doubt.value,
            help="When nobody knows whether a worker has the job: hold it until that is cleared "
            "up, or resend it to the next worker. Auto holds where the worker can be asked.",
        ),
        duration(
            "--worker-patience",
            section,
            Duration("hours", HOUR_S),
            "Hours for which a worker is kept whose callback is not pending.",
        ),
        duration(
            "--probe-after",
            section,
            Duration("seconds"),
            "Seconds after which a waiting worker is asked whether it still waits before it gets "
            "a job.",
        ),
        duration(
            "--unconsumed-after",
            section,
            Duration("seconds"),
            "Seconds after which a worker that took a job and still waits on the same callback has "
            "lost it, and gets it again.",
        ),
        duration(
            "--stop-grace",
            section,
            Duration("seconds"),
            "Seconds that deliveries under way may take when the service is told to stop.",
        ),
    ]
