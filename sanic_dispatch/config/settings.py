"""The settings of the service: what an operator can choose, declared and validated here.

A setting is declared once, as a field of Settings. To add one, see CONTRIBUTING.md.
"""

from __future__ import annotations

import ipaddress
import os.path
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Self

from sanic_dispatch.config.declaration import (
    HOUR_S,
    YEAR_S,
    Choice,
    Duration,
    Flag,
    Integer,
    Pathname,
    Setting,
    Switch,
    Text,
    declaration_of,
    declared_field,
    setting,
)
from sanic_dispatch.config.masking import mask_all, mask_url
from sanic_dispatch.config.menu import check_menu
from sanic_dispatch.config.origins import ANY, OPAQUE, check_origins
from sanic_dispatch.config.public_url import (
    MAX_URL_CHARS,
    check_advertised_url,
    check_contact,
    check_public_url,
    url_below,
)
from sanic_dispatch.config.redis_url import TOPICS_INFIX, check_redis_prefix, check_redis_url
from sanic_dispatch.config.tokens import (
    MAX_TOKEN_CHARS,
    MIN_TOKEN_CHARS,
    check_tokens,
    new_token,
    read_tokens,
)
from sanic_dispatch.config.topic_names import check_topic_names
from sanic_dispatch.config.webhook_entry import WebhookEntry
from sanic_dispatch.core.json_pointer import steps_of
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.errors import SettingsError
from sanic_dispatch.strict_json import MAX_DEPTH

ROLES = ("worker", "submit", "operator")
"""The roles of clients; each has tokens of its own."""

MAX_TITLE_CHARS = 60

SELF = "self"
"""As an ancestor of a frame: this service's own pages."""


class Mode(StrEnum):
    """The backends of a queue, by the names that users of the original know."""

    IN_MEMORY = "InMemory"
    JSON_FILE = "JsonFile"
    CACHED_JSON_FILE = "CachedJsonFile"
    SQLITE = "Sqlite"
    REDIS = "Redis"

    @property
    def is_shared(self) -> bool:
        """Whether several processes can use the same queue."""
        return self is Mode.REDIS

    @property
    def is_durable(self) -> bool:
        """Whether waiting jobs and workers survive the process."""
        return self is not Mode.IN_MEMORY


class OnDoubt(StrEnum):
    """What to do with a job when it is unknown whether its worker received it."""

    AUTO = "auto"
    HOLD = "hold"
    RESEND = "resend"


class CancelAssigned(StrEnum):
    """Whether customers may have jobs cancelled that a worker has."""

    AUTO = "auto"
    NEVER = "never"


class LogFormat(StrEnum):
    """The format of a log line; ``auto`` is human on a terminal and JSON elsewhere."""

    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _check_host(flag: str, host: str) -> None:
    if not (_HOST.fullmatch(host) or _is_ipv6(host)):
        raise SettingsError(f"{flag} {host!r} is neither an address nor a name")


def _check_title(flag: str, title: str) -> None:
    if len(title) > MAX_TITLE_CHARS or not title.isprintable():
        raise SettingsError(f"{flag} must be one line of up to {MAX_TITLE_CHARS} characters")


def _check_networks(flag: str, networks: Iterable[str]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise SettingsError(f"{flag} {network!r} is not an address or a network") from None


def _check_folder(flag: str, folder: Path | None) -> None:
    if folder is not None and not os.path.isdir(folder):
        raise SettingsError(f"{flag} {folder} is not a folder")


def _check_cluster_secret(flag: str, secret: str) -> None:
    check_tokens(flag, [secret] if secret else [])


def _check_fair_by(flag: str, pointer: str) -> None:
    if pointer:
        try:
            steps_of(pointer)
        except ValueError as error:
            raise SettingsError(f"{flag} {pointer!r}: {error}") from None


ALL_INTERFACES = ("", "::", "0.0.0.0")  # noqa: S104 - only compared
"""What ``--host`` is if the service listens on every address."""

NETWORK = "Network"
TOPICS = "Topics"
QUEUES = "Queues"
ORDERING = "The order of the line"
DELIVERIES = "Deliveries"
ACCESS = "Access (each may be given several times)"
BROWSERS = "Browsers (each may be given several times)"
LIMITS = "Limits"
LOG = "Log (written to standard error)"
"""Sections of the help. The docs have the same, without what is in parentheses."""

FILE = Pathname("FILE", "file")
FOLDER = Pathname("DIR", "folder")
MODE_NAME = Choice(Mode, "MODE")
TOKEN = Text("TOKEN", f"{MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} characters")

TOPICS_FOLDER = "topics"
"""The folder in the data folder with a folder for each named topic, and their path's beginning."""

_QUEUE_MODES = ("job_queue_mode", "worker_queue_mode")

_POLICY = Policy()

MODE_SETTING = Setting(
    "--mode",
    Mode.CACHED_JSON_FILE,
    MODE_NAME,
    QUEUES,
    "Where jobs and workers wait (case-insensitive). InMemory: lost when the service stops. "
    "JsonFile: jobs.json and workers.json, read and written on every operation. CachedJsonFile: "
    "the same files, brought up to date from a journal. Sqlite: dispatch.sqlite3. Redis: a server "
    "whose queues several dispatchers share.",
    short="-m",
    details=f"The demo's default is {Mode.IN_MEMORY}.",
    per_topic=True,
    name="mode",
)
"""The mode of both queues, which Settings.of passes on to each."""


def _token_file(kind: str) -> Setting:
    """Declare the files with tokens of a kind, which Settings.of reads."""
    return Setting(
        f"--{kind}-token-file",
        (),
        Pathname("FILE", "file, one token a line"),
        ACCESS,
        f"File with more values for --{kind}-token, one on each line.",
        default_text="none",
        per_topic=True,
        name=f"{kind}_token_files",
    )


TOKEN_FILES = {f"{kind}_tokens": _token_file(kind) for kind in (*ROLES, "priority")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked; durations are in seconds.

    They are those of the unnamed topic; ``topics`` has those of the others by name, complete: what
    such a topic does not set itself is inherited. ``topic`` is the topic's own name. ``process`` is
    the number of this process, if --workers starts several. ``webhooks`` are those of the settings
    file for this topic alone.

    Raises SettingsError if a value is out of range or two contradict each other. What may hold a
    secret is not in the ``repr``.
    """

    topic: str = ""
    process: int = 0
    topics: Mapping[str, Settings] = field(default_factory=dict, hash=False)
    webhooks: tuple[WebhookEntry, ...] = ()

    port: int = setting(
        "--port",
        2567,
        Integer(0, 65535),
        NETWORK,
        "TCP port to listen on; 0 takes any free port.",
        short="-p",
    )
    host: str = setting(
        "--host",
        "",
        Text("ADDRESS", "address or name"),
        NETWORK,
        "Address or name to listen on.",
        default_text="all interfaces, IPv6 and IPv4",
        check=_check_host,
    )
    advertise: str = setting(
        "--advertise",
        "",
        Text("URL", "http or https"),
        NETWORK,
        "URL at which the other processes that share the queues reach this one.",
        default_text="http://HOST:PORT/ if --host is one address",
        check=check_advertised_url,
    )
    tls_cert: Path | None = setting(
        "--tls-cert",
        None,
        Pathname("FILE", "file, PEM"),
        NETWORK,
        "Certificate with its chain, in PEM format. The service then speaks HTTPS.",
        details="See [TLS](#tls).",
        default_text="none, so it speaks plain HTTP",
    )
    tls_key: Path | None = setting(
        "--tls-key",
        None,
        Pathname("FILE", "file, PEM"),
        NETWORK,
        "The certificate's key in PEM format, without a password.",
        default_text="none",
    )
    public: Path | None = setting(
        "--public",
        None,
        FOLDER,
        NETWORK,
        "Folder of your own files, served under public/. A file replaces the built-in one of the "
        "same name.",
        default_text="none",
        check=_check_folder,
    )
    menu: Path | None = setting(
        "--menu",
        None,
        FILE,
        NETWORK,
        "JSON file of the drinks on the order page. Changes to it take effect at once.",
        details="See [the menu](#the-menu).",
        default_text="the built-in menu",
        check=check_menu,
        per_topic=True,
    )
    public_url: str = setting(
        "--public-url",
        "",
        Text("URL", "http or https"),
        NETWORK,
        "URL at which customers reach this service, for the QR code. Its query is kept.",
        details="See [the QR code](#the-qr-code).",
        default_text="the address of the wall board's page",
        check=check_public_url,
        mask=mask_url,
        per_topic=True,
    )
    push_contact: str = setting(
        "--push-contact",
        "",
        Text("URI", "mailto: or https:"),
        NETWORK,
        "Where the operators of push services find those of this service.",
        details="See [messages to phones](#messages-to-phones).",
        default_text="none, which some push services refuse",
        check=check_contact,
    )
    topic_names: tuple[str, ...] = setting(
        "--topic",
        (),
        Text("NAME", "1 to 63 of `a-z 0-9 -`"),
        TOPICS,
        "Another line of jobs and workers in this service, under topics/NAME/. May be given "
        "several times; a section [topics.NAME] of the settings file gives it settings of its own.",
        details="See [several topics](#several-topics).",
        default_text="none",
        check=check_topic_names,
    )
    title: str = setting(
        "--title",
        "",
        Text("TEXT", f"up to {MAX_TITLE_CHARS} characters"),
        TOPICS,
        "Name of the bar, on its pages and in the list of topics.",
        default_text="that of the topic",
        check=_check_title,
        per_topic=True,
    )
    listed: bool = setting(
        "--listed",
        True,
        Switch(),
        TOPICS,
        "Whether the list of topics has this one.",
        per_topic=True,
    )
    job_queue_mode: Mode = declared_field(
        Setting(
            "--job-queue-mode",
            None,
            MODE_NAME,
            QUEUES,
            "Where jobs wait; overrides --mode.",
            default_text="as --mode",
            per_topic=True,
        ),
        default=MODE_SETTING.default,
    )
    worker_queue_mode: Mode = declared_field(
        Setting(
            "--worker-queue-mode",
            None,
            MODE_NAME,
            QUEUES,
            "Where workers wait; overrides --mode.",
            default_text="as --mode",
            per_topic=True,
        ),
        default=MODE_SETTING.default,
    )
    data_dir: Path = setting(
        "--data-dir",
        Path(),
        FOLDER,
        QUEUES,
        "Folder of the files with jobs and workers. It must exist; one dispatcher owns it. In the "
        "mode Redis it has the older part of the history.",
        default_text="the current folder",
    )
    fsync: bool = setting(
        "--fsync",
        True,
        Switch(),
        QUEUES,
        "Whether a request is answered only after its changes are on the disk. Off: a power cut "
        "can lose the last orders.",
    )
    repair: bool = setting(
        "--repair",
        False,
        Flag(),
        QUEUES,
        "Move damaged entries of jobs.json and workers.json to a file beside them, and start with "
        "the others. Without it, a damaged file keeps the service from starting.",
        details="See [durability.md](durability.md#damage).",
        default_text="off",
    )
    keep_done_s: float = setting(
        "--keep-done",
        _POLICY.keep_done_s,
        Duration(0, 10 * YEAR_S, "hours"),
        QUEUES,
        "How long a finished job can still be looked up.",
        per_topic=True,
    )
    keep_history_s: float = setting(
        "--keep-history",
        7 * 24 * HOUR_S,
        Duration(0, 10 * YEAR_S, "days"),
        QUEUES,
        "How long to keep what happened, in all modes but InMemory.",
        details="See [the history](durability.md#the-history).",
        per_topic=True,
    )
    keep_history_bytes: int = setting(
        "--keep-history-size",
        2**30,
        Integer(2**20, 2**50, "bytes"),
        QUEUES,
        "How much of the disk the history may take; the oldest events are dropped first.",
        per_topic=True,
    )
    history_payloads: bool = setting(
        "--history-payloads",
        True,
        Switch(),
        QUEUES,
        "Whether the history has the data and results of jobs. Off: only what happened.",
        per_topic=True,
    )
    redis_url: str = setting(
        "--redis-url",
        "redis://localhost:6379/0",
        Text("URL", "redis, rediss or unix"),
        QUEUES,
        "Redis 7 or Valkey 8 for the mode Redis: redis://, rediss:// or unix://. Give a password "
        "in the environment variable, since other users of the machine can see the command line.",
        details="After a `?` only `db`, `username`, `password`, `client_name` and, with rediss, "
        "redis-py's `ssl_…` are allowed.",
        check=check_redis_url,
        mask=mask_url,
    )
    redis_prefix: str = setting(
        "--redis-prefix",
        "sanic-dispatch",
        Text("NAME", "1 to 64 of `A-Z a-z 0-9 . _ : -`"),
        QUEUES,
        "Prefix of the queues' keys in Redis. Dispatchers with the same prefix share the topics.",
        details="Without `:topics:`, which marks the keys of named topics. See [several "
        "processes](#several-processes).",
        check=check_redis_prefix,
    )
    cluster_secret: str = setting(
        "--cluster-secret",
        "",
        Text("SECRET", f"{MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} characters"),
        QUEUES,
        "Secret by which the processes that share the queues know each other.",
        details="Give it in the environment variable, since other users of the machine can see the "
        "command line.",
        default_text="one that is kept in Redis",
        check=_check_cluster_secret,
        mask=mask_all,
    )
    workers: int = setting(
        "--workers",
        1,
        Integer(1, 256),
        QUEUES,
        "Number of processes that serve the port; each owns some of the topics. More than 1 need "
        "--mode Redis.",
        details="See [several processes](#several-processes).",
    )
    priorities: bool = setting(
        "--priorities",
        _POLICY.priorities,
        Flag(),
        ORDERING,
        "Let operators, and submitters with a token for it, give jobs a priority from 0 to 7; 0 is "
        "served first.",
        details="See [priorities](#priorities).",
        default_text="off",
        per_topic=True,
    )
    priority_step_s: float = setting(
        "--priority-step",
        _POLICY.priority_step_s,
        Duration(1, 10 * YEAR_S),
        ORDERING,
        "How long a job waits until it rises one priority.",
        per_topic=True,
    )
    fair_by: str = setting(
        "--fair-by",
        _POLICY.fair_by or "",
        Text("POINTER", "JSON pointer"),
        ORDERING,
        "Member of a job that names its customer, such as /name. Customers then take turns.",
        details="See [fair turns](#fair-turns).",
        default_text="off",
        check=_check_fair_by,
        per_topic=True,
    )
    submit_wait_s: float = setting(
        "--submit-wait",
        2.0,
        Duration(0, HOUR_S),
        DELIVERIES,
        "How long to delay the answer to a new job, at most, until a worker takes the job.",
        per_topic=True,
    )
    callback_timeout_s: float = setting(
        "--callback-timeout",
        10.0,
        Duration(0.001, HOUR_S),
        DELIVERIES,
        "Timeout of a call to a worker's callback, from connecting to the end of the answer.",
        per_topic=True,
    )
    max_attempts: int = setting(
        "--max-attempts",
        _POLICY.max_attempts,
        Integer(1, 1000),
        DELIVERIES,
        "How often live workers may refuse a job, or ask for a retry, before it fails.",
        per_topic=True,
    )
    lease_s: float | None = setting(
        "--lease",
        _POLICY.lease_s,
        Duration(0.001, 10 * YEAR_S, may_be_off=True),
        DELIVERIES,
        "How long a worker may keep a job without completing it or extending the lease. The job "
        "then returns to its place in the queue.",
        per_topic=True,
    )
    cancel_assigned: CancelAssigned = setting(
        "--cancel-assigned",
        CancelAssigned.AUTO,
        Choice(CancelAssigned),
        DELIVERIES,
        "Whether customers may cancel an order that is being made: auto where the worker can hear "
        "of it, or never.",
        per_topic=True,
    )
    on_doubt: OnDoubt = setting(
        "--on-doubt",
        OnDoubt.AUTO,
        Choice(OnDoubt),
        DELIVERIES,
        "What to do when it is unknown whether a worker received a job: hold it until that is "
        "known, or resend it to the next worker. Auto holds it if the worker can be asked.",
        per_topic=True,
    )
    worker_patience_s: float = setting(
        "--worker-patience",
        _POLICY.worker_patience_s,
        Duration(0, 10 * YEAR_S, "hours"),
        DELIVERIES,
        "How long to keep a worker whose callback is not pending.",
        per_topic=True,
    )
    probe_after_s: float = setting(
        "--probe-after",
        _POLICY.probe_after_s,
        Duration(0, 10 * YEAR_S),
        DELIVERIES,
        "A worker that has waited longer is asked whether it still waits before it gets a job.",
        per_topic=True,
    )
    unconsumed_after_s: float = setting(
        "--unconsumed-after",
        _POLICY.unconsumed_after_s,
        Duration(0.1, 10 * YEAR_S),
        DELIVERIES,
        "If a worker's callback is still pending this long after it took a job, the job is lost "
        "and is sent again.",
        details="The worker's process is probably dead "
        "([DispatchJobsUnconsumed](#dispatchjobsunconsumed)). Choose more than the longest time "
        "for which the engine's evaluator is busy.",
        per_topic=True,
    )
    stop_grace_s: float = setting(
        "--stop-grace",
        12.0,
        Duration(0, HOUR_S),
        DELIVERIES,
        "How long deliveries under way may take to finish when the service stops.",
        details="See [stopping](#stopping).",
    )
    worker_tokens: tuple[str, ...] = setting(
        "--worker-token",
        (),
        TOKEN,
        ACCESS,
        "Token for registering as a worker and reporting on its job.",
        default_text="none, so everybody may",
        check=check_tokens,
        mask=mask_all,
        per_topic=True,
    )
    submit_tokens: tuple[str, ...] = setting(
        "--submit-token",
        (),
        TOKEN,
        ACCESS,
        "Token for submitting a job.",
        default_text="none, so everybody may",
        check=check_tokens,
        mask=mask_all,
        per_topic=True,
    )
    priority_tokens: tuple[str, ...] = setting(
        "--priority-token",
        (),
        TOKEN,
        ACCESS,
        "Token for submitting a job with a priority of one's own, where --priorities is on.",
        details="It also does where a submit token is needed, but does not make one needed.",
        default_text="none, so only operators may",
        check=check_tokens,
        mask=mask_all,
        per_topic=True,
    )
    operator_tokens: tuple[str, ...] = setting(
        "--operator-token",
        (),
        TOKEN,
        ACCESS,
        "Token for the monitor and for acting as the operator.",
        default_text="one is made at the start",
        check=check_tokens,
        mask=mask_all,
        per_topic=True,
    )
    allow_callback: tuple[str, ...] = setting(
        "--allow-callback",
        (),
        Text("HOST|CIDR[:PORT]", "HOST or CIDR, :PORT"),
        ACCESS,
        "Hosts and networks that workers' callbacks may be on.",
        details="See [what may be called back](#what-may-be-called-back).",
        default_text="every address but link-local, multicast, reserved ones",
    )
    allow_webhook: tuple[str, ...] = setting(
        "--allow-webhook",
        (),
        Text("HOST|CIDR[:PORT]", "HOST or CIDR, :PORT"),
        ACCESS,
        "Hosts and networks that webhooks may be sent to, besides public addresses.",
        details="See [webhooks](#webhooks).",
        default_text="none, so only public addresses",
    )
    allow_push: tuple[str, ...] = setting(
        "--allow-push",
        (),
        Text("HOST|CIDR[:PORT]", "HOST or CIDR, :PORT"),
        ACCESS,
        "Hosts and networks that messages to phones may be sent to, also by plain http, besides "
        "public addresses by https.",
        details="See [messages to phones](#messages-to-phones).",
        default_text="none, so only public addresses by https",
    )
    trusted_proxies: tuple[str, ...] = setting(
        "--trusted-proxy",
        (),
        Text("CIDR", "address or CIDR"),
        ACCESS,
        "Proxies whose X-Forwarded-For and X-Forwarded-Host are trusted.",
        default_text="none",
        check=_check_networks,
    )
    cors_origins: tuple[str, ...] = setting(
        "--cors-origin",
        (),
        Text("ORIGIN|*", "origin, or *"),
        BROWSERS,
        "Sites whose pages may submit jobs and read answers.",
        default_text="none",
        check=partial(check_origins, words=(ANY,)),
    )
    allow_origins: tuple[str, ...] = setting(
        "--allow-origin",
        (),
        Text("ORIGIN|null|*", "origin, null, or *"),
        BROWSERS,
        "Sites whose pages may follow the live channel, or work, besides our own.",
        default_text="none",
        check=partial(check_origins, words=(ANY, OPAQUE)),
    )
    frame_ancestors: tuple[str, ...] = setting(
        "--frame-ancestors",
        (),
        Text("ORIGIN|self|*", "origin, self, or *"),
        BROWSERS,
        "Sites that may show our pages in a frame.",
        default_text="none",
        check=partial(check_origins, words=(ANY, SELF)),
    )
    max_jobs: int = setting(
        "--max-jobs",
        _POLICY.max_jobs,
        Integer(1, 100_000_000),
        LIMITS,
        "Jobs that may wait; further ones are refused.",
        per_topic=True,
    )
    max_workers: int = setting(
        "--max-workers",
        _POLICY.max_workers,
        Integer(1, 1_000_000),
        LIMITS,
        "Workers that may wait; further ones are refused.",
        per_topic=True,
    )
    max_rules: int = setting(
        "--max-rules",
        _POLICY.max_rules,
        Integer(1, 10_000),
        LIMITS,
        "Different rules that workers may be present with; a worker with a further one is refused.",
        details="See [what a worker takes](protocol.md#rules-at-registration).",
        per_topic=True,
    )
    max_body_bytes: int = setting(
        "--max-body",
        2 * 2**20,
        Integer(1024, 2**30, "bytes"),
        LIMITS,
        "Largest request body that is accepted.",
    )
    max_depth: int = setting(
        "--max-depth",
        MAX_DEPTH,
        Integer(1, 500),
        LIMITS,
        "How deeply the JSON of a job may be nested.",
        per_topic=True,
    )
    max_connections: int = setting(
        "--max-connections",
        20_000,
        Integer(1, 1_000_000),
        LIMITS,
        "Clients that may follow the live channel; further ones are told to come back later.",
        details="Websockets and event streams count together. Workers may have as many websockets "
        "and polls, in all topics together.",
        per_topic=True,
    )
    orders_per_minute: int | None = setting(
        "--orders-per-minute",
        None,
        Integer(1, 100_000, may_be_off=True),
        LIMITS,
        "Jobs that one address may submit in a minute. A venue often shares one address. Each "
        "process counts for itself.",
        details="They may come all at once or one by one. Where N dispatchers share the queues, up "
        "to N times as many are let in: divide by N.",
        per_topic=True,
    )
    request_timeout_s: float = setting(
        "--request-timeout",
        10.0,
        Duration(0.001, HOUR_S),
        LIMITS,
        "How long a request may take to arrive, from its first byte to the last of its body.",
    )
    log_format: LogFormat = setting(
        "--log-format",
        LogFormat.AUTO,
        Choice(LogFormat),
        LOG,
        "Lines for people, or one JSON object a line. Auto: human on a terminal, JSON elsewhere.",
    )
    log_level: LogLevel = setting(
        "--log-level",
        LogLevel.INFO,
        Choice(LogLevel),
        LOG,
        "The lowest level to log.",
    )

    def __post_init__(self) -> None:
        for declared in _FIELDS:
            declared.validate(getattr(self, declared.name))
        self._check_tls()
        self._check_public()
        self._check_workers()

    @classmethod
    def of(cls, mode: Mode, **values: Any) -> Settings:
        """Return the settings that the options give.

        ``mode`` is for both queues; a queue's own mode overrides it unless it is None. Tokens are
        also read from files: those in ``worker_token_files``, and so on. ``topics`` has by name
        what named topics set themselves, by the same arguments; those in ``topic_names`` inherit
        everything.
        """
        own_of: Mapping[str, Mapping[str, Any]] = values.pop("topics", {})
        for queue in _QUEUE_MODES:
            values[queue] = values.get(queue) or mode
        service = cls(**_with_tokens(values))
        check_topic_names("[topics.NAME]", own_of)
        names = dict.fromkeys((*service.topic_names, *own_of))
        return replace(
            service, topics={name: service.of_topic(name, own_of.get(name, {})) for name in names}
        )

    def of_topic(self, name: str, own: Mapping[str, Any]) -> Settings:
        """Return the settings of a named topic, which sets ``own`` and inherits the others.

        ``own`` are arguments of ``of``. Tokens are not added to the inherited ones. Its public URL
        is below that of the service. Raises SettingsError.
        """
        defaults: dict[str, Any] = {"title": "", "listed": True, "topics": {}, "webhooks": ()}
        if self.public_url and "public_url" not in own:
            defaults["public_url"] = url_below(self.public_url, f"{TOPICS_FOLDER}/{name}/")
            if len(defaults["public_url"]) > MAX_URL_CHARS:
                raise SettingsError(
                    f"topic {name}: below --public-url its own would have over {MAX_URL_CHARS} "
                    "characters: give it one in its section"
                )
        own = {"topic": name, **defaults} | dict(own)
        if "mode" in own:
            mode = own.pop("mode")
            own = dict.fromkeys(_QUEUE_MODES, mode) | own
        own["data_dir"] = self.data_dir / TOPICS_FOLDER / name
        try:
            return replace(self, **_with_tokens(own))
        except SettingsError as error:
            raise SettingsError(f"topic {name}: {error}") from None

    def with_operator_token(self) -> Self:
        """Return these settings, with a new operator's token if there is none."""
        return self if self.operator_tokens else replace(self, operator_tokens=(new_token(),))

    def with_port(self, port: int) -> Self:
        """Return the settings of all topics with the port that the service listens on."""
        topics = {name: own.with_port(port) for name, own in self.topics.items()}
        return replace(self, port=port, topics=topics)

    def with_process(self, number: int, host: str, port: int) -> Self:
        """Return the settings of one of several processes, with a port for the others."""
        topics = {name: own.with_process(number, host, port) for name, own in self.topics.items()}
        return replace(self, process=number, advertise=f"http://{host}:{port}/", topics=topics)

    @property
    def display_title(self) -> str:
        """The name of the topic for people: its title, or else its own name; may be empty."""
        return self.title or self.topic

    @property
    def redis_keys(self) -> str:
        """What the keys of this topic in Redis begin with."""
        return self.redis_prefix + (f"{TOPICS_INFIX}{self.topic}" if self.topic else "")

    @property
    def advertised_url(self) -> str:
        """Where other processes reach this one; empty if it listens on all interfaces."""
        if self.advertise or self.host in ALL_INTERFACES:
            return self.advertise
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/"

    @property
    def scheme(self) -> str:
        """The URL scheme of the service: http or https."""
        return "http" if self.tls_cert is None else "https"

    @property
    def needs_data_dir(self) -> bool:
        """Whether records are in the data folder, which then belongs to this process."""
        return any(mode.is_durable and not mode.is_shared for mode in self._modes)

    @property
    def writes_data_dir(self) -> bool:
        """Whether anything is written to the data folder: records, or only the history."""
        return any(mode.is_durable for mode in self._modes)

    @property
    def needs_redis(self) -> bool:
        """Whether anything is kept in Redis."""
        return any(mode.is_shared for mode in self._modes)

    @property
    def is_shared(self) -> bool:
        """Whether several processes can share both queues."""
        return all(mode.is_shared for mode in self._modes)

    @property
    def _modes(self) -> tuple[Mode, Mode]:
        return self.job_queue_mode, self.worker_queue_mode

    @property
    def resend_doubt(self) -> bool | None:
        """``on_doubt`` as Policy has it; None lets the kind of worker decide."""
        return None if self.on_doubt is OnDoubt.AUTO else self.on_doubt is OnDoubt.RESEND

    def _check_tls(self) -> None:
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise SettingsError("--tls-cert and --tls-key belong together")

    def _check_workers(self) -> None:
        if self.workers > 1 and not self.is_shared:
            raise SettingsError(
                f"--workers {self.workers}: several processes share queues only with --mode Redis"
            )
        if self.workers > 1 and self.advertise and not self.process:
            raise SettingsError(
                f"--workers {self.workers}: these processes reach each other at 127.0.0.1 only, "
                "and --advertise is for others"
            )

    def _check_public(self) -> None:
        if self.public and self.writes_data_dir and _is_inside(self.data_dir, self.public):
            raise SettingsError(
                f"--data-dir {self.data_dir} lies in --public {self.public}: "
                "everybody could read the jobs"
            )


def _with_tokens(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of Settings, with the tokens that are in files."""
    made = dict(values)
    for tokens, from_file in TOKEN_FILES.items():
        for path in made.pop(from_file.name, ()):
            found = read_tokens(from_file.flag, path)
            made[tokens] = (*made.get(tokens, ()), *found)
    return made


_HOST = re.compile(r"[A-Za-z0-9._-]*")


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _is_inside(inner: Path, outer: Path) -> bool:
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer))


_FIELDS = tuple(
    replace(declaration_of(each.metadata), name=each.name)
    for each in fields(Settings)
    if each.metadata
)


def _in_order() -> Iterator[Setting]:
    """Yield all settings, including the ones that ``Settings.of`` maps to fields."""
    for declared in _FIELDS:
        if declared.name == "job_queue_mode":
            yield MODE_SETTING
        yield declared
        if declared.name in TOKEN_FILES:
            yield TOKEN_FILES[declared.name]


SETTINGS = tuple(_in_order())
"""Every setting, in the order of the help."""

DEFAULTS = Settings()
"""The settings of a service that was given none; for constructors that have the same defaults."""
